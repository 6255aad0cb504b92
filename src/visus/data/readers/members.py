"""Files that lie in archives, as `Stored`: read by position from any thread or process, or kept in memory."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import final

from visus.data.identity import Identity, identify
from visus.data.image import printable
from visus.errors import UnreadableImage


@final
@dataclass(frozen=True, slots=True)
class Archive:
    """An archive as it was listed. size: in bytes. modified: in nanoseconds."""

    path: Path
    size: int
    modified: int

    @staticmethod
    def at(path: Path) -> Archive:
        """The archive as it is now."""
        status = path.stat()
        return Archive(path, status.st_size, status.st_mtime_ns)

    def span(self, member: str, offset: int, size: int) -> bytes:
        """Some of its bytes. Every read opens it anew: that takes microseconds, and threads share no position."""
        try:
            with open(self.path, "rb") as file:
                status = os.fstat(file.fileno())
                if (status.st_size, status.st_mtime_ns) != (self.size, self.modified):
                    raise UnreadableImage(self.named(member), "the archive changed since it was listed")
                file.seek(offset)
                data = file.read(size)
        except OSError as problem:
            raise UnreadableImage(self.named(member), (problem.strerror or str(problem)).lower()) from None
        if len(data) != size:
            raise UnreadableImage(self.named(member), f"ends after {len(data):,} of {size:,} bytes")
        return data

    def fetch_ahead(self, piece: int) -> None:
        """Ask the system to fetch all of it, in order; reads that follow find it in memory. Only advice: it may not."""
        if not hasattr(os, "posix_fadvise"):
            return
        try:
            with open(self.path, "rb") as file:
                for offset in range(0, self.size, piece):
                    os.posix_fadvise(file.fileno(), offset, piece, os.POSIX_FADV_WILLNEED)
        except OSError as problem:
            raise UnreadableImage(printable(self.path), (problem.strerror or str(problem)).lower()) from None

    def place(self, member: str) -> str:
        """Where a member lies: other for any other member and archive on this machine."""
        return f"{self.path.absolute()}\n{member}"

    def identity(self, offset: int) -> Identity | None:
        """Of a member as it is now; None if the archive isn't the one that was listed."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        same = (status.st_size, status.st_mtime_ns) == (self.size, self.modified)
        return identify(status, offset) if same else None

    def named(self, member: str) -> str:
        """What a person calls a member."""
        return f"{printable(self.path)}: {printable(member)}"


@final
@dataclass(frozen=True, slots=True)
class Span:
    """A file that lies unpacked in an archive: a member of a plain tar."""

    archive: Archive
    name: str
    offset: int
    size: int

    def read(self) -> bytes:
        return self.archive.span(self.name, self.offset, self.size)

    def place(self) -> str:
        return self.archive.place(self.name)

    def identity(self) -> Identity | None:
        return self.archive.identity(self.offset)


@final
@dataclass(frozen=True, slots=True)
class InMemory:
    """A file that is kept in memory: a member of a compressed tar."""

    name: str
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self) -> bytes:
        return self.data

    def place(self) -> str:
        return self.name

    def identity(self) -> None:
        return None


@final
@dataclass(frozen=True, slots=True)
class Zipped:
    """A member of a zip. offset: of its local header. packed, size: bytes as stored and as promised. crc: of these."""

    archive: Archive
    name: str
    offset: int
    packed: int
    size: int
    crc: int
    deflated: bool

    def read(self) -> bytes:
        header = self.archive.span(self.name, self.offset, 30)
        if not header.startswith(b"PK\3\4"):
            raise UnreadableImage(self.archive.named(self.name), "is damaged: no header where the archive says")
        skip = 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        data = self.archive.span(self.name, self.offset + skip, self.packed)
        if self.deflated:
            try:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, self.size + 1)
            except zlib.error as problem:
                raise UnreadableImage(self.archive.named(self.name), f"is damaged: {problem}") from None
        if len(data) != self.size:
            more = "more" if len(data) > self.size else "less"
            raise UnreadableImage(self.archive.named(self.name), f"holds {more} than the {self.size:,} bytes it claims")
        if zlib.crc32(data) != self.crc:
            raise UnreadableImage(self.archive.named(self.name), "is damaged: its checksum is wrong")
        return data

    def place(self) -> str:
        return self.archive.place(self.name)

    def identity(self) -> Identity | None:
        return self.archive.identity(self.offset)
