"""Where the samples of one shard lie, and what is said of them: read from the tar's headers once, and kept.

An index is kept in the cache folder, bound to the shard's path, size and time of change, so that a set of millions of
samples opens again without its headers being read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

import msgspec
import numpy as np

from visus.data.download import cache_folder
from visus.data.image import printable
from visus.data.readers import tars
from visus.data.readers.listing import is_hidden, is_image
from visus.data.readers.members import Archive
from visus.data.shards import Said
from visus.data.types import Skipped
from visus.errors import DataError, DownloadError
from visus.files import write_atomic

VERSION = 1  # of what is kept
UNKNOWN = -1  # no label; from -2 down: a name, words[-2 - label]
LONGEST = {"cls": 1 << 10, "txt": 1 << 20, "json": 16 << 20}  # bytes of what is said of one image
SUM = 16  # bytes of the checksum before it
MOST_CLASSES = 1 << 31
FIELDS = ("label", "labels", "values", "captions", "boxes", "mask")


@final
@dataclass(frozen=True)
class Texts:
    """Many short texts in one piece of memory. ends: N int64, where each one ends."""

    data: bytes
    ends: np.ndarray

    @staticmethod
    def of(texts: Sequence[bytes]) -> Texts:
        """These."""
        return Texts(b"".join(texts), np.cumsum([len(text) for text in texts], dtype=np.int64))

    @staticmethod
    def joined(parts: Sequence[Texts]) -> Texts:
        """One after the other."""
        starts = np.cumsum([0, *(len(part.data) for part in parts)])
        ends = [part.ends + start for part, start in zip(parts, starts, strict=False)]
        return Texts(b"".join(part.data for part in parts), np.concatenate([*ends, np.zeros(0, np.int64)]))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, row: int) -> bytes:
        return self.data[0 if row == 0 else int(self.ends[row - 1]) : int(self.ends[row])]


@final
@dataclass(frozen=True)
class Index:
    """The samples of a shard, by row.

    names: of the image members. offsets, sizes: N int64, of the images. labels: N int64, UNKNOWN, or a class by number
    or name. words: the names of classes that are there. said: the `.json`, texts: the `.txt`, of each, or b"".
    known: N uint8, a bit for each of FIELDS that is said. tops: N int64, the highest class in labels and boxes, or -1.
    widths: N int64, how many values there are. skipped: what is no sample.
    """

    archive: Archive
    names: Texts
    offsets: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray
    words: tuple[str, ...]
    said: Texts
    texts: Texts
    known: np.ndarray
    tops: np.ndarray
    widths: np.ndarray
    skipped: tuple[Skipped, ...]

    def title(self, row: int) -> str:
        """What a person calls a sample."""
        return printable(f"{self.archive.path.name}/{self.names[row].decode('utf-8', 'surrogateescape')}")


def index_of(path: Path) -> tuple[Index, str]:
    """The index of a shard, and why it couldn't be kept, or "".

    Raises DataError for a tar that is damaged or hostile, and for a label that is no class.
    """
    archive = Archive.at(path)
    try:
        place = hashlib.blake2b(os.fsencode(path.resolve()), digest_size=16).hexdigest()
        kept = cache_folder() / "shards" / f"{place}.index"
    except DownloadError as problem:
        return _walked(path, archive), problem.problem
    known = _kept(kept, archive)
    if known is not None:
        return known, ""
    index = _walked(path, archive)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        data = msgspec.msgpack.encode(_Kept.of(index))
        write_atomic(kept, _sum(data) + data)
    except OSError as problem:
        return index, f"{printable(kept.parent)}: {(problem.strerror or str(problem)).lower()}"
    return index, ""


class _Kept(msgspec.Struct, array_like=True):
    """An index as it is kept."""

    version: int
    size: int
    modified: int
    columns: list[bytes]  # int64: offsets, sizes, labels, tops, widths; uint8: known
    texts: list[tuple[bytes, bytes]]  # names, said, texts, each with its ends
    words: tuple[str, ...]
    skipped: list[tuple[str, str]]

    @staticmethod
    def of(index: Index) -> _Kept:
        numbers = (index.offsets, index.sizes, index.labels, index.tops, index.widths, index.known)
        return _Kept(
            VERSION, index.archive.size, index.archive.modified,
            [column.tobytes() for column in numbers],
            [(texts.data, texts.ends.tobytes()) for texts in (index.names, index.said, index.texts)],
            index.words,
            [(each.name, each.cause) for each in index.skipped],
        )  # fmt: skip

    def index(self, archive: Archive) -> Index:
        offsets, sizes, labels, tops, widths = (np.frombuffer(each, np.int64) for each in self.columns[:5])
        names, said, texts = (Texts(data, np.frombuffer(ends, np.int64)) for data, ends in self.texts)
        skipped = tuple(Skipped(name, cause) for name, cause in self.skipped)
        known = np.frombuffer(self.columns[5], np.uint8)
        return Index(archive, names, offsets, sizes, labels, self.words, said, texts, known, tops, widths, skipped)


def _kept(path: Path, archive: Archive) -> Index | None:
    """What was kept of this very file; None where nothing was, or where it can't be used: then it is read anew."""
    try:
        kept = path.read_bytes()
        if _sum(data := kept[SUM:]) != kept[:SUM]:  # a bit that was flipped could be in a label
            return None
        found = msgspec.msgpack.decode(data, type=_Kept)
        if (found.version, found.size, found.modified) != (VERSION, archive.size, archive.modified):
            return None
        return found.index(archive)
    except (OSError, msgspec.DecodeError, ValueError):
        return None


def _sum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=SUM).digest()


@dataclass
class _Sample:
    """The members of one key, as far as they were met."""

    key: str
    image: tars.Member | None = None
    images: int = 0
    said: dict[str, bytes] = field(default_factory=dict)
    problem: str = ""


def _walked(path: Path, archive: Archive) -> Index:
    root = printable(path)
    rows: list[tuple[bytes, int, int, int, bytes, bytes, int, int, int]] = []
    words: dict[str, int] = {}
    skipped: list[Skipped] = []
    with tars.damage(root):
        for sample in _samples(root, path):
            name = f"{printable(path.name)}/{printable(sample.key)}"
            cause = sample.problem or ("has no image" if sample.image is None else "")
            said = Said()
            if not cause:
                try:
                    said = _decoded(sample.said)
                    said.target(None, ())  # masks that are none raise now, not in training
                except (msgspec.MsgspecError, ValueError) as problem:
                    cause = f"what is said of it can't be read: {problem}"
            if cause or sample.image is None:
                skipped.append(Skipped(name, cause))
                continue
            used = [*(said.labels or ()), *(thing.label for thing in said.boxes or ())]
            for number in (*used, said.label if isinstance(said.label, int) else 0):
                if not 0 <= number < MOST_CLASSES:
                    raise DataError(f"{name}: has the label {number}", "classes are numbered from 0")
            label = UNKNOWN if said.label is None else said.label
            if isinstance(label, str):
                label = -2 - words.setdefault(label, len(words))
            text = sample.said.get("txt", b"")
            captions = said.captions or said.caption or text
            present = (said.label, said.labels, said.values, captions or None, said.boxes, said.mask)
            known = sum(1 << bit for bit, each in enumerate(present) if each is not None)
            member = sample.image.name.encode("utf-8", "surrogateescape")
            rows.append(
                (member, sample.image.offset, sample.image.size, label, sample.said.get("json", b""), text, known,
                 max(used, default=-1), len(said.values or ()))
            )  # fmt: skip
    columns = list(zip(*rows, strict=True)) or [()] * 9
    numbers = [np.array(columns[at], np.int64) for at in (1, 2, 3, 7, 8)]
    offsets, sizes, labels, tops, widths = numbers
    return Index(
        archive, Texts.of(columns[0]), offsets, sizes, labels, tuple(words), Texts.of(columns[4]), Texts.of(columns[5]),
        np.array(columns[6], np.uint8), tops, widths, tuple(skipped),
    )  # fmt: skip


def _decoded(said: dict[str, bytes]) -> Said:
    """What a `.json` and a `.cls` say; the second wins. Raises MsgspecError and ValueError."""
    found = msgspec.json.decode(said["json"], type=Said) if "json" in said else Said()
    if "cls" in said:
        word = said["cls"].decode("utf-8").strip()
        if not word:
            raise ValueError("the .cls is empty")
        found.label = int(word) if word.lstrip("+-").isdecimal() else word
    said.get("txt", b"").decode("utf-8")
    return found


def _samples(root: str, path: Path) -> Iterator[_Sample]:
    """Members that follow one another and share a key."""
    sample: _Sample | None = None
    for member in tars.members(root, path):
        if member.is_folder or not member.parts or any(is_hidden(part) for part in member.parts):
            continue
        key, ending = parted(member.parts)
        if sample is None or sample.key != key:
            if sample is not None:
                yield sample
            sample = _Sample(key)
        if is_image(f"_.{ending}") and "." not in ending:
            sample.images += 1
            sample.image = member
            if sample.images > 1:
                sample.problem = "has several images"
        elif ending in LONGEST:
            if member.size > LONGEST[ending]:
                sample.problem = f"its .{ending} has {member.size:,} bytes; {LONGEST[ending]:,} are read"
            else:
                sample.said[ending] = member.read()
    if sample is not None:
        yield sample


def parted(parts: Sequence[str]) -> tuple[str, str]:
    """Key and ending of a member, as WebDataset has them: up to the first dot of the last part, and from there on.

    >>> parted(("a.b", "7.seg.PNG"))
    ('a.b/7', 'seg.png')
    """
    stem, _, ending = parts[-1].partition(".")
    return "/".join((*parts[:-1], stem)), ending.lower()
