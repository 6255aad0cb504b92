"""Walking through a tar, and what any archive may hold.

An archive is refused as a whole, when it is listed, if a member would climb out of a folder, is a link or a device,
is larger than any image that is read, or expands as only a bomb does.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, final

from visus.data.image import MAX_FILE_BYTES, printable
from visus.errors import DataError

Parts = tuple[str, ...]

MAX_ENTRIES = 2_000_000
MAX_RATIO = 200  # of bytes unpacked to bytes packed; photographs reach about 1, drawings and masks some dozens
FREE = 10 << 20  # bytes that may be unpacked at any ratio
MAX_HEADER = 1 << 20  # bytes of one tar header: long names and PAX records
MAX_NAME = 4096  # characters of a member's path

UNPACK = "unpack it, and give the folder"


class _Bytes(Protocol):
    """An open file, or one that is unpacked as it is read."""

    def read(self, size: int, /) -> bytes: ...

    def seek(self, offset: int, /) -> int: ...


@final
class _Stream:
    """What tarfile reads: forwards only, and so much at most.

    file: the bytes, unpacked. skips: whether they can be skipped unread. limit: how many there may be.
    last: what was read last.
    """

    def __init__(self, root: str, file: _Bytes, skips: bool, limit: int) -> None:
        self.root, self.file, self.skips, self.limit = root, file, skips, limit
        self.position, self.last = 0, b""

    def tell(self) -> int:
        return self.position

    def read(self, size: int) -> bytes:
        """Of a header."""
        if not 0 <= size <= MAX_HEADER:
            raise DataError(f"{self.root}: has a header of {size:,} bytes; {MAX_HEADER:,} are read", UNPACK)
        return self.take(size)

    def take(self, size: int) -> bytes:
        """Of anything."""
        self.last = self.file.read(min(size, max(0, self.limit + 1 - self.position)))
        self._advance(len(self.last))
        return self.last

    def seek(self, position: int) -> None:
        if position < self.position:
            raise tarfile.ReadError("a member of negative size")
        if self.skips:
            self.file.seek(position)
            self.position = position
        while self.position < position and self.take(min(position - self.position, MAX_HEADER)):
            pass

    def _advance(self, size: int) -> None:
        self.position += size
        if self.position > self.limit:
            raise DataError(
                f"{self.root}: unpacks to more than {self.limit:,} bytes, {MAX_RATIO} times its size: a bomb?", UNPACK
            )


def too_many(root: str) -> DataError:
    """The error for an archive of more entries than are read."""
    return DataError(f"{root}: has more than {MAX_ENTRIES:,} entries", UNPACK)


@contextmanager
def damage(root: str) -> Iterator[None]:
    """Turns what the libraries raise on a damaged archive into DataError."""
    try:
        yield
    except PermissionError as problem:
        raise DataError(f"{root}: {(problem.strerror or '').lower()}", "check its permissions") from None
    except (
        tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, IndexError,
        OverflowError, NotImplementedError,
    ) as problem:  # fmt: skip
        raise DataError(f"{root}: the archive is damaged: {problem}", "fetch or make it again") from None


def parts_of(root: str, name: str, backslashes: bool) -> Parts:
    """The parts of a member's path. Raises DataError if they lead out of the folder that it would be unpacked in.

    backslashes: whether they separate, as in the zips of some programs on Windows.
    """
    pieces = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in pieces or re.match("[A-Za-z]:", name):
        raise DataError(f"{root}: the member {printable(name)} leads out of the archive", "don't trust this archive")
    if len(name) > MAX_NAME:
        raise DataError(f"{root}: the member {printable(name[:80])}… has a name of {len(name):,} characters", UNPACK)
    return tuple(piece for piece in (pieces if backslashes else name.split("/")) if piece not in ("", "."))


def check_member(root: str, name: str, mode: int, size: int) -> None:
    """mode: as `stat` gives it, 0 if unknown."""
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        kind = "a link" if stat.S_ISLNK(mode) else "neither a file nor a folder"
        raise DataError(f"{root}: the member {printable(name)} is {kind}", "pack the files themselves")
    if not 0 <= size <= MAX_FILE_BYTES:
        raise DataError(
            f"{root}: the member {printable(name)} claims {size:,} bytes; at most {MAX_FILE_BYTES:,} are read", UNPACK
        )


@final
@dataclass(frozen=True, slots=True)
class Member:
    """A file or folder in a tar.

    name: its path. parts: of the path. offset, size: where its bytes lie, in the tar as it is unpacked.
    """

    name: str
    parts: Parts
    offset: int
    size: int
    is_folder: bool
    _stream: _Stream

    def read(self) -> bytes:
        """Its bytes, until the next member is asked for. Raises EOFError where the tar ends before they do."""
        data = self._stream.take(self.size)
        if len(data) != self.size:
            raise EOFError(f"it ends inside {printable(self.name)}")
        return data


def is_packed(path: Path) -> bool:
    """Whether a tar is compressed, by its name."""
    return path.suffix.lower() != ".tar"


def members(root: str, path: Path) -> Iterator[Member]:
    """The members of a tar, in order. To be used within `damage`, which names what the library raises."""
    packed = is_packed(path)
    entries = 0
    with open(path, "rb") as raw:
        size = path.stat().st_size
        stream = _Stream(root, _unpacked(path, raw), not packed, max(FREE, MAX_RATIO * size))
        tar = tarfile.open(  # type: ignore[call-overload]  # noqa: SIM115 — the stream is all that it holds
            fileobj=stream, mode="r:", encoding="utf-8", errors="surrogateescape"
        )
        while (member := tar.next()) is not None:
            tar.members = []  # or tarfile keeps a record of each
            entries += 1
            if entries > MAX_ENTRIES:
                raise too_many(root)
            parts = parts_of(root, member.name, backslashes=False)
            check_member(root, member.name, _mode(member), member.size)
            yield Member(member.name, parts, member.offset_data, member.size, member.isdir(), stream)
        if stream.last != bytes(tarfile.BLOCKSIZE):
            raise EOFError("it ends, or isn't a tar any more, before its end mark")
        if packed:
            while stream.take(MAX_HEADER):  # to where the checksum of all is
                pass


def _unpacked(path: Path, raw: IO[bytes]) -> _Bytes:
    """What a tar is read from."""
    ending = path.suffix.lower()
    if ending in (".gz", ".tgz"):
        return gzip.GzipFile(fileobj=raw)
    if ending in (".xz", ".txz"):
        return lzma.LZMAFile(raw)
    return bz2.BZ2File(raw) if ending == ".bz2" else raw


def _mode(member: tarfile.TarInfo) -> int:
    if member.issparse():
        return stat.S_IFBLK  # its bytes don't lie in one piece
    if member.issym() or member.islnk():
        return stat.S_IFLNK
    return stat.S_IFDIR if member.isdir() else stat.S_IFREG if member.isreg() else stat.S_IFCHR
