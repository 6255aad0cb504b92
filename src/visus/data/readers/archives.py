"""A tree of images inside a .zip or .tar, read where it lies: nothing is ever unpacked to disk.

A plain tar and a zip are read member by member, when a sample is wanted. A compressed tar can only be read from its
beginning: it is decompressed once, and its images and texts are kept in memory.

An archive is refused as a whole, when it is listed, if a member would climb out of a folder, is a link or a device,
is larger than any image that is read, or expands as only a bomb does.
"""

from __future__ import annotations

import re
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO, final

from visus.data.dataset import Data, Dataset
from visus.data.image import printable
from visus.data.readers import tars
from visus.data.readers.base import Reader
from visus.data.readers.layouts import arranged
from visus.data.readers.listing import SPLITS, Listing, Parts, few, is_hidden, is_image, is_text
from visus.data.readers.members import Archive, InMemory, Span, Zipped
from visus.data.readers.tars import FREE, MAX_RATIO, UNPACK, check_member, damage, parts_of, too_many
from visus.data.samples import Stored
from visus.errors import DataError

ENDINGS = (".tar.gz", ".tar.xz", ".tar.bz2", ".tgz", ".txz", ".tar", ".zip")
_ending = re.compile(f"({'|'.join(map(re.escape, ENDINGS))})$", re.IGNORECASE)
MAX_MEMORY = 2 << 30  # bytes of images kept of a compressed tar
MAX_CONTENTS = 1 << 30  # bytes of a zip's table of contents
DEPTH = 3  # levels of folders that can mean something: one that holds all, a split, a class


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
        most = tars.MAX_ENTRIES
        if len(data) > MAX_CONTENTS or (len(data) >= 46 * most and data.count(b"PK\1\2") > most):
            raise too_many(self.root)
        return data


def _wanted(parts: Parts, is_folder: bool, listing: Listing) -> bool:
    """Note a member; whether it is an image, or may say what images show."""
    if not parts or any(is_hidden(part) for part in parts):
        return False
    listing.folders.update(parts[:depth] for depth in range(1, min(len(parts) + is_folder, DEPTH + 1)))
    wanted = is_image(parts[-1]) or is_text(parts[-1])
    if not is_folder and not wanted:
        listing.others[PurePosixPath(parts[-1]).suffix.lower()] += 1
    return not is_folder and wanted


def _tar(root: str, path: Path, listing: Listing) -> dict[Parts, Stored]:
    archive = Archive.at(path)
    packed = tars.is_packed(path)
    twice = []
    files: dict[Parts, Stored] = {}
    kept = 0
    for member in tars.members(root, path):
        if not _wanted(member.parts, member.is_folder, listing):
            continue
        if member.parts in files:
            twice.append(member.name)
        name = "/".join(member.parts)
        if not packed:
            files[member.parts] = Span(archive, name, member.offset, member.size)
            continue
        kept += member.size + len(name)
        if kept > MAX_MEMORY:
            raise DataError(
                f"{root}: its images need more than {MAX_MEMORY:,} bytes of memory, as it is compressed",
                "unpack it and give the folder, or give it as a plain .tar",
            )
        files[member.parts] = InMemory(name, member.read())
    _note_twice(listing, twice)
    return files


def _note_twice(listing: Listing, twice: list[str]) -> None:
    if twice:
        listing.notes.append(f"packed more than once, the last one counts: {few(twice)}")


def _zip(root: str, path: Path, listing: Listing) -> dict[Parts, Stored]:
    archive = Archive.at(path)
    with open(path, "rb") as file, zipfile.ZipFile(_Directory(root, file)) as contents:
        members, end = contents.infolist(), contents.start_dir
    _check_zip(root, members, end)
    files: dict[Parts, Stored] = {}
    twice = []
    for member in members:
        name = _decoded(member)
        parts = parts_of(root, name, backslashes=True)
        check_member(root, name, member.external_attr >> 16, member.file_size)
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


def list_archive(path: Path) -> Listing:
    """What lies in an archive, in order. Raises DataError where it is damaged, or not to be trusted."""
    root, listing = printable(path), Listing()
    with damage(root):
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
    listing.files.extend((parts, file) for parts, file in files.items() if is_image(parts[-1]))
    listing.texts.extend((parts, file) for parts, file in files.items() if is_text(parts[-1]))
    listing.sort()
    return listing


def _read(path: Path, data: Data) -> Dataset:
    listing = list_archive(path)
    try:
        return arranged(printable(path), printable(_ending.sub("", path.name)), listing, data)
    except DataError as problem:
        raise DataError(problem.problem, f"{problem.remedy}; unpack it if its layout is another") from None


def _recognises(path: Path) -> bool:
    try:
        return _ending.search(path.name) is not None and path.is_file()
    except OSError:
        return False


ARCHIVES = Reader(
    "archives", f"the same in an archive ({', '.join(ENDINGS)}), which is never unpacked", _recognises, _read
)
