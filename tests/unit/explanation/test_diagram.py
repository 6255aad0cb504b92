"""The drawing of a network's stages."""

import xml.etree.ElementTree as ET

import pytest

from visus.explanation import Block, Stage, Summary, diagram, summarize
from visus.models import CATALOG

SVG = "{http://www.w3.org/2000/svg}"


def drawn(name: str) -> ET.Element:
    card = CATALOG[name]
    return ET.fromstring(diagram(summarize(card.spec, card.input, card.outputs), name))


def texts(root: ET.Element) -> list[str]:
    return ["".join(each.itertext()) for each in root.iter(f"{SVG}text")]


def front(group: ET.Element) -> tuple[float, float]:
    """Width and height of the front of a box: its last polygon."""
    points = [tuple(map(float, each.split(","))) for each in group.findall(f"{SVG}polygon")[-1].get("points").split()]
    (left, top), (right, bottom) = min(points), max(points)
    return right - left, bottom - top


def many(count: int) -> Summary:
    """A network of so many stages, with texts that are long, or not safe in XML."""
    blocks = (Block(12, "squeeze & <excite>", ("3×3 in 32 groups",) * 5), Block(1, "a" * 60))
    stages = [Stage(f"stages.{n}", (8, 9, 9), (8, 9, 9), 2, blocks, 10**9, 10**12) for n in range(count)]
    head = Stage("head", (5,), (5,), None, (Block(1, "linear 5"),), 45, 40)
    return Summary((1, 9, 400), (), (*stages, head), 0, 0, 0, 0)


def test_it_says_what_the_stages_are():
    root = drawn("resnet50")
    found = texts(root)
    for shape in ("3×224×224", "64×56×56", "256×56×56", "512×28×28", "1024×14×14", "2048×7×7", "1000"):
        assert shape in found
    for word in ("input", "stage 0", "stage 4", "head", "stride 32", "6 × residual", "1×1 · 3×3 · 1×1", "linear 1000"):
        assert word in found
    assert root.get("role") == "img"
    assert "2048×7×7" in root.get("aria-label")
    tips = [each.text for each in root.iter(f"{SVG}title")]
    assert tips[2] == (
        "stage 1: 256×56×56; stride 4; 3 × residual 1×1 · 3×3 · 1×1; 216 k parameters; 668 M multiply-adds"
    )


def test_boxes_shrink_with_the_map_and_thicken_with_the_channels():
    boxes = [front(group) for group in drawn("resnet50").findall(f"{SVG}g")]
    widths, heights = zip(*boxes[1:-1], strict=True)
    assert list(widths) == sorted(widths)
    assert heights[0] == heights[1]  # 56 rows both
    assert list(heights[1:]) == sorted(set(heights), reverse=True)


@pytest.mark.parametrize("count", [1, 5, 6, 7, 13, 40])
def test_all_of_it_lies_on_the_page(count):
    root = ET.fromstring(diagram(many(count), "a <b> & c"))
    width, height = float(root.get("width")), float(root.get("height"))
    assert root.get("viewBox") == f"0 0 {width:.0f} {height:.0f}"
    assert width <= 760
    for polygon in root.iter(f"{SVG}polygon"):
        for point in polygon.get("points").split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= height
    rows = [(float(each.get("x")), float(each.get("y"))) for each in root.iter(f"{SVG}text")]
    assert all(0 < x < width and 0 < y < height for x, y in rows)
    assert len(set(rows)) == len(rows)
    assert len(root.findall(f"{SVG}g")) == count + 2


def test_windows_that_take_too_much_room_are_left_to_the_table():
    found = texts(ET.fromstring(diagram(many(6), "x")))
    assert "12 × squeeze & <excite>" in found
    assert not any("32 groups" in each for each in found)


def test_it_takes_the_colour_of_its_page_or_brings_paper():
    summary = many(2)
    plain, paper = (ET.fromstring(diagram(summary, "x", paper=paper)) for paper in (False, True))
    assert (plain.get("color"), plain.find(f"{SVG}rect")) == (None, None)
    assert {each.get("fill") for each in plain.iter(f"{SVG}text")} == {"currentColor"}
    assert paper.get("color") is not None
    assert paper.find(f"{SVG}rect").get("fill") == "#ffffff"
