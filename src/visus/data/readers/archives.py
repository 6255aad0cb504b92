"""Class folders inside a .zip or .tar, read where they lie: nothing is ever unpacked to disk.

A plain tar and a zip are read member by member, when a sample is wanted. A compressed tar can only be read from its
beginning: it is decompressed once, and its images are kept in memory.

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
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, final

from visus.data.dataset import Data, Dataset
from visus.data.image import MAX_FILE_BYTES, printable
from visus.data.readers.base import Reader
from visus.data.readers.folders import SPLITS, Listing, Parts, arrange, few, is_hidden, is_image
from visus.data.readers.members import Archive, InMemory, Span, Zipped
from visus.data.samples import Stored
from visus.errors import DataError

ENDINGS = (".tar.gz", ".tar.xz", ".tar.bz2", ".tgz", ".txz", ".tar", ".zip")
_ending = re.compile(f"({'|'.join(map(re.escape, ENDINGS))})$", re.IGNORECASE)
MAX_ENTRIES = 2_000_000
MAX_MEMORY = 2 << 30  # bytes of images kept of a compressed tar
MAX_RATIO = 200  # of bytes unpacked to bytes packed; photographs reach about 1, drawings and masks some dozens
FREE = 10 << 20  # bytes that may be unpacked at any ratio
MAX_HEADER = 1 << 20  # bytes of one tar header: long names and PAX records
MAX_CONTENTS = 1 << 30  # bytes of a zip's table of contents
MAX_NAME = 4096  # characters of a member's path
DEPTH = 3  # levels of folders that can mean something: one that holds all, a split, a class

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


@final
class _Directory:
    """What zipfile reads: refuses a table of contents of too many entries before a record is made of each."""

    def __init__(self, root: str, file: IO[bytes]) -> None:
        self.root, self.file = root, file
        self.seek, self.tell = file.seek, file.tell

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(min(size, MAX_CONTENTS + 1))
        if len(data) > MAX_CONTENTS or (len(data) >= 46 * MAX_ENTRIES and data.count(b"PK\1\2") > MAX_ENTRIES):
            raise _too_many(self.root)
        return data


def _too_many(root: str) -> DataError:
    return DataError(f"{root}: has more than {MAX_ENTRIES:,} entries", UNPACK)


@contextmanager
def _damage(root: str) -> Iterator[None]:
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


def _parts(root: str, name: str, backslashes: bool) -> Parts:
    """The parts of a member's path. Raises DataError if they lead out of the folder that it would be unpacked in.

    backslashes: whether they separate, as in the zips of some programs on Windows.
    """
    pieces = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in pieces or re.match("[A-Za-z]:", name):
        raise DataError(f"{root}: the member {printable(name)} leads out of the archive", "don't trust this archive")
    if len(name) > MAX_NAME:
        raise DataError(f"{root}: the member {printable(name[:80])}… has a name of {len(name):,} characters", UNPACK)
    return tuple(piece for piece in (pieces if backslashes else name.split("/")) if piece not in ("", "."))


def _check_member(root: str, name: str, mode: int, size: int) -> None:
    """mode: as `stat` gives it, 0 if unknown."""
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        kind = "a link" if stat.S_ISLNK(mode) else "neither a file nor a folder"
        raise DataError(f"{root}: the member {printable(name)} is {kind}", "pack the files themselves")
    if not 0 <= size <= MAX_FILE_BYTES:
        raise DataError(
            f"{root}: the member {printable(name)} claims {size:,} bytes; at most {MAX_FILE_BYTES:,} are read", UNPACK
        )


def _wanted(parts: Parts, is_folder: bool, listing: Listing) -> bool:
    """Note a member; whether it is an image."""
    if not parts or any(is_hidden(part) for part in parts):
        return False
    listing.folders.update(parts[:depth] for depth in range(1, min(len(parts) + is_folder, DEPTH + 1)))
    if not is_folder and not is_image(parts[-1]):
        listing.others[PurePosixPath(parts[-1]).suffix.lower()] += 1
    return not is_folder and is_image(parts[-1])


def _tar(root: str, path: Path, listing: Listing) -> dict[Parts, Stored]:
    archive = Archive.at(path)
    packed = path.suffix.lower() != ".tar"
    twice = []
    files: dict[Parts, Stored] = {}
    entries = kept = 0
    with open(path, "rb") as raw:
        stream = _Stream(root, _unpacked(path, raw), not packed, max(FREE, MAX_RATIO * archive.size))
        tar = tarfile.open(  # type: ignore[call-overload]  # noqa: SIM115 — the stream is all that it holds
            fileobj=stream, mode="r:", encoding="utf-8", errors="surrogateescape"
        )
        while (member := tar.next()) is not None:
            tar.members = []  # or tarfile keeps a record of each
            entries += 1
            if entries > MAX_ENTRIES:
                raise _too_many(root)
            parts = _parts(root, member.name, backslashes=False)
            _check_member(root, member.name, _mode(member), member.size)
            if not _wanted(parts, member.isdir(), listing):
                continue
            if parts in files:
                twice.append(member.name)
            name = "/".join(parts)
            if not packed:
                files[parts] = Span(archive, name, member.offset_data, member.size)
                continue
            kept += member.size + len(name)
            if kept > MAX_MEMORY:
                raise DataError(
                    f"{root}: its images need more than {MAX_MEMORY:,} bytes of memory, as it is compressed",
                    "unpack it and give the folder, or give it as a plain .tar",
                )
            data = stream.take(member.size)
            if len(data) != member.size:
                raise EOFError(f"it ends inside {printable(member.name)}")
            files[parts] = InMemory(name, data)
        if stream.last != bytes(tarfile.BLOCKSIZE):
            raise EOFError("it ends, or isn't a tar any more, before its end mark")
        if packed:
            while stream.take(MAX_HEADER):  # to where the checksum of all is
                pass
    _note_twice(listing, twice)
    return files


def _note_twice(listing: Listing, twice: list[str]) -> None:
    if twice:
        listing.notes.append(f"packed more than once, the last one counts: {few(twice)}")


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


def _zip(root: str, path: Path, listing: Listing) -> dict[Parts, Stored]:
    archive = Archive.at(path)
    with open(path, "rb") as file, zipfile.ZipFile(_Directory(root, file)) as contents:
        members, end = contents.infolist(), contents.start_dir
    _check_zip(root, members, end)
    files: dict[Parts, Stored] = {}
    twice = []
    for member in members:
        name = _decoded(member)
        parts = _parts(root, name, backslashes=True)
        _check_member(root, name, member.external_attr >> 16, member.file_size)
        if not _wanted(parts, name.endswith(("/", "\\")), listing):
            continue
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(
                f"{root}: the member {printable(name)} is compressed by method {member.compress_type}",
                "pack it with the usual method, deflate",
            )
        if parts in files:
            twice.append(name)
        files[parts] = Zipped(
            archive, "/".join(parts), member.header_offset, member.compress_size, member.file_size, member.CRC,
            member.compress_type == zipfile.ZIP_DEFLATED,
        )  # fmt: skip
    _note_twice(listing, twice)
    return files


def _check_zip(root: str, members: list[zipfile.ZipInfo], end: int) -> None:
    """Raises DataError for encryption, and for what only bombs have. end: of the last member, in bytes."""
    following = end
    for member in sorted(members, key=lambda member: member.header_offset, reverse=True):
        name = printable(member.filename)
        if member.flag_bits & 1:
            raise DataError(f"{root}: the member {name} is encrypted", "pack it without a password")
        encoding = "utf-8" if member.flag_bits & 0x800 else "cp437"
        least = 30 + len(member.orig_filename.encode(encoding)) + member.compress_size
        if member.header_offset < 0 or member.header_offset + least > following:
            raise DataError(f"{root}: the member {name} overlaps what follows it: a bomb?", "don't trust this archive")
        following = member.header_offset
        _check_ratio(root, f"the member {name}", member.file_size, member.compress_size)
    _check_ratio(
        root, "all of it", sum(each.file_size for each in members), sum(each.compress_size for each in members)
    )


def _check_ratio(root: str, what: str, unpacked: int, packed: int) -> None:
    if unpacked > FREE and unpacked > MAX_RATIO * packed:
        raise DataError(
            f"{root}: {what} unpacks from {packed:,} to {unpacked:,} bytes, more than {MAX_RATIO} times its size: "
            "a bomb?",
            UNPACK,
        )


def _decoded(member: zipfile.ZipInfo) -> str:
    """A member's path. Some programs write UTF-8 without saying so, which zipfile reads as the letters of MS-DOS."""
    if not member.flag_bits & 0x800:
        with suppress(UnicodeError):
            return member.filename.encode("cp437").decode("utf-8")
    return member.filename


def _read(path: Path, data: Data) -> Dataset:
    root, listing = printable(path), Listing()
    with _damage(root):
        files = (_zip if path.suffix.lower() == ".zip" else _tar)(root, path, listing)
    tops = {parts[0] for parts in files} | {folder[0] for folder in listing.folders}
    if (
        len(tops) == 1
        and SPLITS.keys().isdisjoint(top.casefold() for top in tops)
        and any(len(parts) > 2 for parts in files)
    ):
        # all was packed in one folder, which isn't a class
        files = {parts[1:]: file for parts, file in files.items()}
        folders = {folder[1:] for folder in listing.folders if len(folder) > 1}
        listing = replace(listing, folders=folders)
    listing.files.extend(files.items())
    try:
        return arrange(root, printable(_ending.sub("", path.name)), listing, data)
    except DataError as problem:
        raise DataError(
            problem.problem, f"{problem.remedy}; an archive holds class folders: unpack it if its layout is another"
        ) from None


def _recognises(path: Path) -> bool:
    try:
        return _ending.search(path.name) is not None and path.is_file()
    except OSError:
        return False


ARCHIVES = Reader(
    "archives", f"class folders in an archive ({', '.join(ENDINGS)}), which is never unpacked", _recognises, _read
)
