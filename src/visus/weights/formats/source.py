"""The bytes of a file that isn't trusted: read by position, never past their end, never as many as a header says."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, final

import torch
from torch import Tensor

from visus.data.image import printable
from visus.data.readers.arrays import open_regular
from visus.errors import DataError, WeightsError

MAX_PIECE = 32 << 20  # bytes that are taken at once; the values of tensors are read straight to where they stay
DAMAGED = "fetch or copy the file anew"


@final
class Source:
    """A file, or a part of one. name: for errors. start, size: of the part, in bytes."""

    def __init__(self, file: BinaryIO, name: str, start: int, size: int) -> None:
        self.file, self.name, self.start, self.size = file, name, start, size

    def refused(self, cause: str, remedy: str = DAMAGED) -> WeightsError:
        """The error to raise."""
        return WeightsError(f"{self.name}: {cause}", remedy)

    def part(self, offset: int, size: int, name: str = "") -> Source:
        """Some of it, as a source of its own."""
        self._check(offset, size)
        return Source(self.file, name or self.name, self.start + offset, size)

    def take(self, offset: int, size: int) -> bytes:
        """A few bytes, copied."""
        self._check(offset, size)
        if size > MAX_PIECE:
            raise self.refused(f"has a record of {size:,} bytes at {offset:,}; at most {MAX_PIECE:,} are read")
        self.file.seek(self.start + offset)
        data = self.file.read(size)
        if len(data) != size:
            raise self._shrunk()
        return data

    def tensor(self, offset: int, size: int) -> Tensor:
        """Any number of bytes, as uint8 values in memory of their own."""
        self._check(offset, size)
        try:
            values = torch.empty(size, dtype=torch.uint8)
        except RuntimeError:
            raise self.refused(f"{size:,} bytes of values don't fit in memory", "free some memory") from None
        place, done = values.numpy().data, 0
        self.file.seek(self.start + offset)
        while done < size:
            count = self.file.readinto(place[done:])  # type: ignore[attr-defined]
            if not count:
                raise self._shrunk()
            done += count
        return values

    def _check(self, offset: int, size: int) -> None:
        if offset < 0 or size < 0 or offset + size > self.size:
            raise self.refused(
                f"is damaged or cut short: {size:,} bytes should lie at {offset:,}, and it has {self.size:,} in all"
            )

    def _shrunk(self) -> WeightsError:
        return self.refused("became shorter while it was read")


@final
class Seekable(io.RawIOBase):
    """A source as the file object that `zipfile` and `tarfile` want; it refuses to give too much at once."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source, self.position = source, 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.source.size}[whence]
        if base + offset < 0:
            raise OSError("a position before the beginning")
        self.position = base + offset
        return self.position

    def read(self, size: int = -1) -> bytes:
        rest = max(0, self.source.size - self.position)
        data = self.source.take(min(self.position, self.source.size), rest if size < 0 else min(size, rest))
        self.position += len(data)
        return data


def opened(path: Path) -> Source:
    """A regular file. The caller closes its `file`. Raises WeightsError where there is none that can be read."""
    name = printable(path)
    try:
        file = open_regular(path)
    except DataError as problem:
        raise WeightsError(problem.problem, "give the path of a file that you may read") from None
    return Source(file, name, 0, file.seek(0, io.SEEK_END))


def product(source: Source, shape: Iterable[int]) -> int:
    """How many values a shape is of. Raises WeightsError beyond all measure, even if one axis is empty."""
    total, empty = 1, False
    for length in shape:
        total, empty = total * (length or 1), empty or not length
        if not 0 <= length <= total < 1 << 60:
            raise source.refused("has a tensor with a shape beyond all measure")
    return 0 if empty else total


def overlap(spans: Iterable[tuple[int, int]]) -> bool:
    """Whether any two of the spans (offset, size) share a byte."""
    end = 0
    for offset, size in sorted(span for span in spans if span[1]):
        if offset < end:
            return True
        end = offset + size
    return False
