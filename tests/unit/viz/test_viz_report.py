import base64
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from visus import viz
from visus.viz import style

ATTACK = """<script>alert("x")</script>"'><img src=x onerror=alert(1)> $1 & {{ 7 * 7 }} 🐈"""
VOID = {"meta", "img", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """The tags and texts of a page; fails where a tag isn't closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1], data))

    def of(self, tag: str) -> list[str]:
        return [text for where, text in self.texts if where == tag]


def report(text: str) -> str:
    return viz.render(
        text,
        text,
        [(text, "98.6 % (95 % interval 96.9–99.4, n = 360)"), ("Time", text)],
        tables=[viz.Table(text, (text, "F1"), [(text, "0.5"), ("b", "–")], text)],
        pictures=[viz.Picture(text, text, viz.png(style.figure(2, 1), dpi=144)), viz.Picture("plain", "", png(96, 10))],
        texts=[viz.Text(text, text, "warning"), viz.Text(text, text), viz.Text(text, text, "code")],
    )


def png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def test_markup_in_names_is_shown_as_text():
    html = report(ATTACK)
    page = Page(html)
    kinds = {tag for tag, _ in page.tags}
    assert "script" not in kinds
    assert sum(tag == "img" for tag, _ in page.tags) == 2
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    for tag in ("title", "h1", "h3", "td", "th", "dt", "summary", "pre", "strong"):
        assert ATTACK in page.of(tag), tag
    assert page.tags[[tag for tag, _ in page.tags].index("img")][1]["alt"] == f"{ATTACK}: {ATTACK}"
    assert "49" not in "".join(text for tag, text in page.texts if tag != "style")


def test_the_page_asks_nothing_of_the_network():
    html = report("LeNet-5")
    assert not re.search(r"https?://", html)
    assert not re.search(r"url\(|@import|<link|<script|<iframe", html)
    page = Page(html)
    for _, attributes in page.tags:
        if "src" in attributes:
            assert attributes["src"].startswith("data:image/png;base64,")
        if "href" in attributes:
            assert attributes["href"].startswith("#")
    policy = next(attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes)
    assert "default-src 'none'" in policy


def test_each_entry_of_the_contents_leads_somewhere():
    page = Page(report("LeNet-5"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert len(ids) == len(set(ids))
    assert links == [f"#{name}" for name in ids]
    assert len(links) == 4  # two pictures, a table, a code


def test_a_picture_keeps_its_bytes_and_its_size_in_inches():
    figure = viz.png(style.figure(2, 1), dpi=144)
    page = Page(viz.render("t", pictures=[viz.Picture("p", "", figure)]))
    (image,) = [attributes for tag, attributes in page.tags if tag == "img"]
    assert base64.b64decode(image["src"].partition(",")[2]) == figure
    assert (image["width"], image["height"]) == ("192", "96")  # 2 × 1 inches of 96 CSS pixels
    assert image["alt"] == "p"


def test_a_headline_figure_is_apart_from_its_detail():
    page = Page(viz.render("t", summary=[("Test accuracy", "98.6 % (95 % interval 96.9–99.4, n = 360)"), ("n", "3")]))
    assert page.of("dt") == ["Test accuracy", "n"]
    assert page.of("dd") == ["98.6 %", "95 % interval 96.9–99.4, n = 360", "3"]


def test_a_table_without_heads_has_no_row_of_them():
    page = Page(viz.render("t", tables=[viz.Table("Data", ("", ""), [("train", "221 samples")])]))
    assert not page.of("th")
    assert not any(tag == "thead" for tag, _ in page.tags)
    assert page.of("td") == ["train", "221 samples"]


def test_numbers_stand_flush_right():
    rows = [("a", "1,000", "98.6 %", "", "1e-5"), ("2", "−3.5", "–", "7", "3")]
    assert viz.Table("t", tuple("abcde"), rows).numeric == (False, True, True, True, True)
    assert viz.Table("t", ("a",), []).numeric == (False,)


@pytest.mark.parametrize("text", ["", "\udcff", "a\nb", "\x00\x1b[31m", "\u202e", "x" * 5000])
def test_any_text_makes_a_page_that_can_be_written(text):
    html = report(text)
    html.encode("utf-8")
    assert "\x00" not in html
    Page(html)


def test_an_empty_report():
    page = Page(viz.render("A title"))
    assert page.of("h1") == ["A title"]
    assert not page.of("h2")
    with pytest.raises(OSError, match="identify"):
        viz.render("t", pictures=[viz.Picture("p", "", b"not a picture")])
