"""Zip archives as PyTorch and Keras write them, and nothing else.

The members lie one after the other from the first byte to the table of contents, which ends the file. What deviates
could hold more than it shows, or be another kind of file as well, and is refused.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import cast, final

import torch
from torch import Tensor

from visus.data.image import printable
from visus.data.readers.tars import FREE, MAX_RATIO
from visus.weights.formats.source import MAX_PIECE, Seekable, Source

MAGIC, END_MAGIC = b"PK\3\4", b"PK\5\6"
END = struct.Struct("<4s4H2LH")
LOCAL = struct.Struct("<4s5H3L2H")
DESCRIPTORS = (0, 12, 16, 20, 24)  # bytes that may follow a member's data: its checksum and sizes
MAX_ENTRIES = 200_000
CHUNK = 1 << 20


@final
@dataclass(frozen=True, slots=True)
class Entry:
    """A member. offset: of its data. packed, size: its bytes in the archive, and unpacked."""

    name: str
    offset: int
    packed: int
    size: int
    crc: int
    deflated: bool


@final
@dataclass(frozen=True, slots=True)
class Zip:
    """An archive whose members were checked, by name; any can then be read."""

    source: Source
    entries: dict[str, Entry]

    def text(self, name: str) -> bytes:
        """A small member."""
        entry = self.entries[name]
        if entry.size > MAX_PIECE:
            raise self._refused(entry, f"has {entry.size:,} bytes; at most {MAX_PIECE:,} are read")
        return self.tensor(name).numpy().tobytes()

    def tensor(self, name: str) -> Tensor:
        """A member of any size, as uint8 values. Raises WeightsError if its checksum is wrong."""
        entry = self.entries[name]
        values = self._inflated(entry) if entry.deflated else self.source.tensor(entry.offset, entry.size)
        self._check(entry, zlib.crc32(values.numpy().data))
        return values

    def part(self, name: str) -> Source:
        """A member as a source; its checksum is compared first."""
        entry = self.entries[name]
        title = f"{self.source.name}: {printable(name)}"
        if entry.deflated:
            data = self.tensor(name).numpy().tobytes()
            return Source(io.BytesIO(data), title, 0, len(data))
        total = 0
        for place in range(0, entry.size, CHUNK):
            total = zlib.crc32(self.source.take(entry.offset + place, min(CHUNK, entry.size - place)), total)
        self._check(entry, total)
        return self.source.part(entry.offset, entry.size, title)

    def _inflated(self, entry: Entry) -> Tensor:
        values = torch.empty(entry.size, dtype=torch.uint8)
        place, done = values.numpy().data, 0
        stream = zlib.decompressobj(-zlib.MAX_WBITS)
        rest = b""
        read = 0
        try:
            while not stream.eof and (rest or read < entry.packed):
                if not rest:
                    rest = self.source.take(entry.offset + read, min(CHUNK, entry.packed - read))
                    read += len(rest)
                piece = stream.decompress(rest, min(CHUNK, entry.size - done + 1))
                rest = stream.unconsumed_tail
                if done + len(piece) > entry.size:
                    raise self._refused(entry, f"unpacks to more than the {entry.size:,} bytes it claims")
                place[done : done + len(piece)] = piece
                done += len(piece)
        except zlib.error as problem:
            raise self._refused(entry, f"is damaged: {problem}") from None
        if done != entry.size or not stream.eof or stream.unused_data or read < entry.packed:
            raise self._refused(entry, f"is damaged: {done:,} of {entry.size:,} bytes could be unpacked")
        return values

    def _check(self, entry: Entry, crc: int) -> None:
        # PyTorch writes 0 for all where it was told to leave checksums out
        if crc != entry.crc and entry.crc:
            raise self._refused(entry, "is damaged: its checksum is wrong")

    def _refused(self, entry: Entry, cause: str) -> Exception:
        return self.source.refused(f"the member {printable(entry.name)} {cause}")


def open_zip(source: Source) -> Zip:
    """The archive, if it is as PyTorch and Keras write them. Raises WeightsError."""
    ending = source.take(max(0, source.size - END.size), min(END.size, source.size))
    if ending[:4] != END_MAGIC or ending[-2:] != b"\0\0":
        raise source.refused("is a zip archive that is cut short, or that something follows")
    try:
        with zipfile.ZipFile(cast(io.BytesIO, Seekable(source))) as archive:
            members, end = archive.infolist(), archive.start_dir
    except (
        zipfile.BadZipFile, struct.error, ValueError, IndexError, OverflowError, NotImplementedError, OSError,
    ) as problem:  # fmt: skip
        raise source.refused(f"is a damaged zip archive: {problem}") from None
    if len(members) > MAX_ENTRIES:
        raise source.refused(f"has {len(members):,} members; at most {MAX_ENTRIES:,} are read")
    if len({member.filename for member in members}) < len(members):
        raise source.refused("has two members of one name", "don't trust this file")
    found = [_entry(source, member) for member in members]
    _check_places(source, members, found, end)
    _check_ratio(source, sum(each.size for each in found), sum(each.packed for each in found))
    return Zip(source, {entry.name: entry for entry in found})


def _entry(source: Source, member: zipfile.ZipInfo) -> Entry:
    name = printable(member.filename)
    if member.flag_bits & 1:
        raise source.refused(f"the member {name} is encrypted", "pack it without a password")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise source.refused(
            f"the member {name} is compressed by method {member.compress_type}", "pack it uncompressed"
        )
    deflated = member.compress_type == zipfile.ZIP_DEFLATED
    if not deflated and member.compress_size != member.file_size:
        raise source.refused(f"the member {name} isn't compressed, and claims two sizes")
    header = LOCAL.unpack(source.take(member.header_offset, LOCAL.size))
    length, extra = header[9], header[10]
    said = source.take(member.header_offset + LOCAL.size, length)
    written = member.orig_filename.encode("utf-8" if member.flag_bits & 0x800 else "cp437", "surrogateescape")
    if header[0] != MAGIC or header[3] != member.compress_type or said != written:
        raise source.refused(f"the member {name} is another one where it lies than in the table of contents")
    offset = member.header_offset + LOCAL.size + length + extra
    return Entry(member.filename, offset, member.compress_size, member.file_size, member.CRC, deflated)


def _check_places(source: Source, members: list[zipfile.ZipInfo], entries: list[Entry], end: int) -> None:
    """One member follows on the other, from the first byte to the table of contents."""
    place = 0
    gaps: tuple[int, ...] = (0,)
    for member, entry in sorted(zip(members, entries, strict=True), key=lambda pair: pair[0].header_offset):
        if member.header_offset - place not in gaps:
            raise source.refused(
                f"the member {printable(entry.name)} overlaps another, or something lies before it",
                "don't trust this file",
            )
        place, gaps = entry.offset + entry.packed, DESCRIPTORS if member.flag_bits & 8 else (0,)
    if end - place not in gaps:
        raise source.refused(
            "something lies between the last member and the table of contents", "don't trust this file"
        )


def _check_ratio(source: Source, unpacked: int, packed: int) -> None:
    if unpacked > FREE and unpacked > MAX_RATIO * packed:
        raise source.refused(
            f"unpacks from {packed:,} to {unpacked:,} bytes, more than {MAX_RATIO} times: a bomb?",
            "don't trust this file",
        )
