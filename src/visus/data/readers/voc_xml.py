"""What an XML file of Pascal VOC says of its image. Entities are refused: a small file with them can fill memory."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn, final
from xml.parsers import expat

from visus.data.image import printable
from visus.data.readers.finder import read_bytes_of
from visus.data.samples import Stored
from visus.errors import DataError, UnreadableImage

MAX_XML = 64 << 20  # bytes
DEEPEST = 100  # elements in one another
SIDES = ("xmin", "ymin", "xmax", "ymax")


class Thing(NamedTuple):
    """An object as it is written. sides: left, top, right, bottom, as numbers in the file's own counting."""

    name: str
    sides: tuple[float, float, float, float]
    difficult: bool
    truncated: bool


@dataclass
class Annotation:
    """filename: of the image, "" if it isn't said. width, height: 0 likewise. bad: objects that can't be used: why."""

    filename: str = ""
    width: float = 0
    height: float = 0
    objects: list[Thing] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)


@final
class _Parser:
    """Collects the texts of elements by their path below the root."""

    def __init__(self, where: str) -> None:
        self.where, self.path = where, list[str]()
        self.text: list[str] = []
        self.fields: dict[tuple[str, ...], str] = {}
        self.one: dict[tuple[str, ...], str] = {}
        self.objects: list[dict[tuple[str, ...], str]] = []

    def start(self, tag: str, _: object) -> None:
        self.path.append(tag)
        self.text.clear()
        if len(self.path) > DEEPEST:
            raise UnreadableImage(self.where, f"has elements in one another more than {DEEPEST} times")
        if self.path[1:] == ["object"]:
            self.one = {}
            self.objects.append(self.one)

    def data(self, text: str) -> None:
        self.text.append(text)

    def end(self, _: str) -> None:
        inside = self.path[1:2] == ["object"]
        key = tuple(self.path[2:] if inside else self.path[1:])
        (self.one if inside else self.fields).setdefault(key, "".join(self.text).strip())
        self.text.clear()
        self.path.pop()

    def entity(self, name: str, *_: object) -> NoReturn:
        raise DataError(
            f"{self.where}: declares the entity {printable(name)[:40]}: a bomb?",
            "annotations need none: don't trust this file, or write it without",
        )


def read_annotation(file: Stored) -> Annotation:
    """Raises UnreadableImage for what is no such file, DataError for one that declares entities."""
    where = printable(file.name)
    data = read_bytes_of(file, MAX_XML).lstrip()
    try:
        parser = _parsed(data, where, None)
    except (LookupError, ValueError):  # an encoding that expat doesn't know, as GBK
        parser = _decoded(data, where)
    except expat.ExpatError:
        try:
            parser = _parsed(data, where, "iso-8859-1")  # written in it, without saying so
        except expat.ExpatError as problem:
            raise UnreadableImage(where, f"isn't XML: {problem}") from None
    fields = parser.fields
    found = Annotation(fields.get(("filename",), ""))
    found.width, found.height = (_number(fields.get(("size", side), "")) or 0 for side in ("width", "height"))
    for number, each in enumerate(parser.objects, 1):
        name = each.get(("name",), "")
        sides = [_number(each.get(("bndbox", side), "")) for side in SIDES]
        if not name:
            found.bad.append(f"object {number} has no name: left out")
        elif missing := [side for side, value in zip(SIDES, sides, strict=True) if value is None]:
            said = each.get(("bndbox", missing[0]))
            cause = f"has no {missing[0]}" if said is None else f"says {printable(said)[:40]!r} for {missing[0]}"
            found.bad.append(f"object {number} ({printable(name)}) {cause}: left out")
        else:
            left, top, right, bottom = (float("nan") if value is None else value for value in sides)
            flags = [_flag(each.get((kind,), "")) for kind in ("difficult", "truncated")]
            found.objects.append(Thing(name, (left, top, right, bottom), flags[0], flags[1]))
    return found


def _decoded(data: bytes, where: str) -> _Parser:
    """What a file says in an encoding that Python knows. Raises UnreadableImage."""
    said = re.search(rb"""encoding\s*=\s*["']([\w.:-]+)""", data[:200])
    encoding = said[1].decode() if said else "utf-8"
    try:
        return _parsed(data.decode(encoding), where, None)
    except (LookupError, ValueError, expat.ExpatError) as problem:
        raise UnreadableImage(where, f"isn't XML in {printable(encoding)}: {problem}") from None


def _parsed(data: bytes | str, where: str, encoding: str | None) -> _Parser:
    parser, collector = expat.ParserCreate(encoding), _Parser(where)
    parser.StartElementHandler, parser.EndElementHandler = collector.start, collector.end
    parser.CharacterDataHandler, parser.EntityDeclHandler = collector.data, collector.entity
    parser.Parse(data, True)
    return collector


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _flag(text: str) -> bool:
    return text.casefold() in ("1", "1.0", "true", "yes")
