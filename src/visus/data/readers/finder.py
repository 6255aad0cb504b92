"""Which file a name means that stands in an annotation, and what such files say as text."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from itertools import takewhile
from typing import final

from visus.data.image import printable
from visus.data.readers.listing import SPLITS, Parts
from visus.data.samples import Stored
from visus.errors import DataError, UnreadableImage

MAX_TEXT = 64 << 20  # bytes of a file that says what one image shows, or names classes


@final
class Finder:
    """Files by the names that people and programs give them.

    A name may be absolute on another machine, have backslashes, or say too little: the file whose path ends like it is
    meant, in the nearest folder if there are several.
    """

    def __init__(self, files: Iterable[tuple[Parts, Stored]]) -> None:
        self.by_name: dict[str, list[int]] = defaultdict(list)
        self.by_stem: dict[str, list[int]] = defaultdict(list)
        self.paths: list[Parts] = []
        for row, (parts, _) in enumerate(files):
            path = tuple(map(alike, parts))
            self.paths.append(path)
            self.by_name[path[-1]].append(row)
            self.by_stem[stem(path[-1])].append(row)

    def find(self, name: str, near: Parts = (), split: str = "", *, ending: bool = True) -> int | str:
        """The row of a file; or why there is none. near: the folder of what names it. ending: whether it has one."""
        wanted = parts_of(name)
        if not wanted:
            return "names no file"
        rows = self.by_name.get(wanted[-1], []) if ending else self.by_stem.get(wanted[-1], [])
        if len(rows) < 2:
            return rows[0] if rows else "there is no such image"
        where = tuple(map(alike, near))

        def rank(row: int) -> tuple[int, bool, int, int]:
            folders = self.paths[row][:-1]
            same = _common(reversed(wanted[:-1]), reversed(folders))
            return same, bool(split) and split_of(folders) == split, _common(where, folders), -len(folders)

        best = max(map(rank, rows))
        found = [row for row in rows if rank(row) == best]
        return found[0] if len(found) == 1 else f"several images are called so, as {printable('/'.join(wanted))}"


def _common(one: Iterable[str], other: Iterable[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def parts_of(name: str) -> Parts:
    """The parts of a path that somebody wrote, on whatever system."""
    parts = re.split(r"[/\\]+", name.strip())
    return tuple(alike(each) for each in parts if each not in ("", ".", "..") and not re.fullmatch("[A-Za-z]:", each))


def alike(name: str) -> str:
    """A name in one form: composed, and with letters where bytes were stored that aren't UTF-8.

    >>> alike("cafe\\u0301.jpg") == alike("caf\\udce9.jpg") == "café.jpg"
    True
    """
    if any("\udc80" <= each <= "\udcff" for each in name):
        name = name.encode("utf-8", "surrogateescape").decode("latin-1")
    return unicodedata.normalize("NFC", name)


def stem(name: str) -> str:
    """A file's name without its ending."""
    return name.rpartition(".")[0] or name


def split_of(words: Iterable[str]) -> str:
    """The split that the innermost of some folders names, a year or a number after it set aside; "" if none does.

    >>> split_of(("images", "train2017"))
    'train'
    """
    known = [found for each in words if (found := SPLITS.get(each.casefold().rstrip("0123456789")))]
    return known[-1] if known else ""


def read_text(file: Stored, most: int = MAX_TEXT) -> str:
    """The text of a file, in whichever encoding: with a mark at its begin, UTF-8, or else Latin-1.

    Raises UnreadableImage, as reading an image does.
    """
    return decoded(read_bytes_of(file, most))


def read_bytes_of(file: Stored, most: int) -> bytes:
    """The bytes of a file that has at most so many. Raises UnreadableImage."""
    if file.size > most:
        raise UnreadableImage(printable(file.name), f"has {file.size:,} bytes, more than the {most:,} that are read")
    return file.read()


def decoded(data: bytes) -> str:
    """Text in whichever encoding, without a mark at its begin."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def read_names(file: Stored) -> list[str]:
    """The lines of a file that names classes, by number. Raises DataError if it can't be read."""
    try:
        lines = [line.strip() for line in read_text(file).splitlines()]
    except UnreadableImage as problem:
        raise DataError(problem.problem, "mend it, or remove it") from None
    while lines and not lines[-1]:
        lines.pop()
    return lines
