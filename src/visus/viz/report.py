"""The report of a run: one HTML file that holds its pictures, needs no script and asks nothing of the network."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from PIL import Image

_Part = TypeVar("_Part")
_NUMBER = re.compile(r"[-+−]?[\d,. ]*\d(e[-+−]?\d+)?( ?%)?|[–—-]?")
_CONTROLS = {code: None for code in range(32) if chr(code) not in "\t\n\r"}


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts.

    columns: the heads; where all are empty, there is no row of them. rows: as many cells each. note: what the reader
    should know of it.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    note: str = ""

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns hold numbers alone; they are set flush right."""
        return tuple(
            any(row[place] for row in self.rows) and all(_NUMBER.fullmatch(row[place]) for row in self.rows)
            for place in range(len(self.columns))
        )


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture. note: what it shows, which is its alternative text too. png: the bytes of a PNG file."""

    title: str
    note: str
    png: bytes

    @property
    def data(self) -> str:
        """The picture as a data: address."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in CSS pixels, of which there are 96 an inch."""
        with Image.open(io.BytesIO(self.png), formats=["PNG"]) as image:
            dpi = image.info.get("dpi", (96, 96))[0] or 96
            return round(image.width * 96 / dpi), round(image.height * 96 / dpi)


@dataclass(frozen=True, slots=True)
class Text:
    """A text. kind: "note" and "warning" stand in a box on top; "code" stands folded at the end, set as it is."""

    title: str
    body: str
    kind: Literal["note", "warning", "code"] = "note"


def render(
    title: str,
    subtitle: str = "",
    summary: Sequence[tuple[str, str]] = (),
    *,
    tables: Sequence[Table] = (),
    pictures: Sequence[Picture] = (),
    texts: Sequence[Text] = (),
) -> str:
    """The report as one HTML page; every text in it is escaped.

    summary: the headline figures, as ("Test accuracy", "98.6 % (95 % interval 96.9–99.4, n = 360)"); what stands in
    brackets at the end is set small. The page reads: figures, notes and warnings, pictures, tables, code.
    """
    page = _template().render(
        title=title,
        subtitle=subtitle,
        tiles=[(name, *_split(value)) for name, value in summary],
        boxes=[text for text in texts if text.kind != "code"],
        codes=_anchored("code", (text for text in texts if text.kind == "code")),
        pictures=_anchored("picture", pictures),
        tables=_anchored("table", tables),
    )
    return page.translate(_CONTROLS).encode("utf-8", "backslashreplace").decode("utf-8")


@cache
def _template() -> Template:
    loader = PackageLoader("visus.viz", package_path="")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html.jinja")


def _anchored(kind: str, parts: Iterable[_Part]) -> list[tuple[str, _Part]]:
    return [(f"{kind}-{number}", part) for number, part in enumerate(parts, 1)]


def _split(value: str) -> tuple[str, str]:
    """A figure and what stands in brackets behind it.

    >>> _split("98.6 % (n = 360)"), _split("3 min 20 s")
    (('98.6 %', 'n = 360'), ('3 min 20 s', ''))
    """
    figure, bracket, detail = value.partition(" (")
    return (figure, detail.removesuffix(")")) if bracket and value.endswith(")") else (value, "")
