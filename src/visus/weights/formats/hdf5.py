"""HDF5 files as Keras writes them: a strict reader of that part of the format.

The reader of the HDF Group is made for every kind of HDF5 file, and a few changed bytes make it crash or run on without
end. This one knows groups, attributes and arrays that lie in one piece in the file itself, and refuses what leads out
of the file (links, external and virtual arrays), what could unfold (chunks, filters) and what is read twice.

The layout is that of version 0 of the superblock in the "HDF5 File Format Specification", which h5py writes
unless it is told to write the latest.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import final

from torch import Tensor

from visus.data.image import printable
from visus.data.readers.arrays import times
from visus.errors import WeightsError
from visus.weights.formats.hdf5_parts import Attribute, Record, Type, attribute, dataspace, datatype
from visus.weights.formats.source import Source, overlap, product

MAGIC = b"\x89HDF\r\n\x1a\n"
NOWHERE = 0xFFFFFFFFFFFFFFFF
MAX_OBJECTS = 200_000
MAX_RECORDS = 2_000_000
MAX_DEPTH = 32
MAX_NAME = 1024
SAVE_AGAIN = "load it with Keras where you trust it, and save it again: model.save_weights('….weights.h5')"
(SPACE, LINKS, TYPE, LINK, EXTERNAL, LAYOUT, FILTERS, ATTRIBUTE, CONTINUED, TABLE, MANY) = (
    0x01, 0x02, 0x03, 0x06, 0x07, 0x08, 0x0B, 0x0C, 0x10, 0x11, 0x15,
)  # fmt: skip
UNIMPORTANT = frozenset({0x00, 0x04, 0x05, 0x0A, 0x0D, 0x0E, 0x12, 0x13, 0x16})  # fill values, times, comments, …


@final
@dataclass(frozen=True, slots=True)
class Array:
    """A data set. offset, size: of its bytes in the file."""

    type: Type
    shape: tuple[int, ...]
    offset: int
    size: int
    attributes: dict[str, Attribute]


@final
@dataclass(slots=True)
class Group:
    """attributes, groups, arrays: by name."""

    attributes: dict[str, Attribute]
    groups: dict[str, Group] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)

    def at(self, path: str) -> Group | Array | None:
        """What lies at a path of names joined by slashes."""
        *parts, last = path.split("/")
        group = self
        for part in parts:
            if part not in group.groups:
                return None
            group = group.groups[part]
        return group.groups.get(last) or group.arrays.get(last)


@final
class File:
    """A file whose objects are looked at. records, bytes: how many headers and texts were read of it so far."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.records = self.bytes = 0
        self.seen: set[int] = set()
        self.heaps: dict[int, dict[int, tuple[int, int]]] = {}

    def texts(self, found: Attribute, longest: int = MAX_NAME) -> list[str]:
        """The texts of an attribute; numbers are refused, an array of none is fine. longest: in bytes."""
        if not found.count:
            return []
        if found.type.kind == "text":
            size = found.type.size
            pieces = [found.data[place * size : (place + 1) * size] for place in range(found.count)]
        elif found.type.kind == "long text":
            pieces = [self._text(found.data[place * 16 : (place + 1) * 16]) for place in range(found.count)]
        else:
            raise self.refused(f"the attribute {printable(found.name)} isn't of texts")
        if max(map(len, pieces)) > longest:
            raise self.refused(f"the attribute {printable(found.name)} has a text of more than {longest:,} bytes")
        try:
            return [piece.split(b"\0")[0].decode("utf-8") for piece in pieces]
        except UnicodeDecodeError:
            raise self.refused(f"the attribute {printable(found.name)} isn't UTF-8") from None

    def tensor(self, array: Array) -> Tensor:
        """The values of an array."""
        dtype = array.type.dtype
        if dtype is None:
            raise self.refused(f"has an array of {array.type.kind}: weights are numbers")
        return self.source.tensor(array.offset, array.size).view(dtype).reshape(array.shape)

    def refused(self, cause: str, remedy: str = SAVE_AGAIN) -> WeightsError:
        return self.source.refused(cause, remedy)

    def damaged(self, what: str) -> WeightsError:
        return self.source.refused(f"is damaged: {what}")

    def root(self) -> Group:
        """All groups and arrays, every one of which was looked at. Raises WeightsError; is asked once."""
        header = self.source.take(0, 96)
        if header[8] not in (0, 1):
            raise self.refused(
                f"is written in a newer layout of HDF5 (superblock {header[8]}), which Keras doesn't write"
            )
        if header[13:15] != b"\x08\x08":
            raise self.refused("has addresses that aren't of eight bytes")
        start = 24 if header[8] == 0 else 28
        base, _, end, driver, _, address = struct.unpack_from("<6Q", self.source.take(start, 48))
        if base or driver != NOWHERE:
            raise self.refused("is one of several files, or begins within another")
        if end != self.source.size:
            raise self.damaged(f"it says that it ends at byte {end:,}, and it does at {self.source.size:,}")
        return self._walk(address)

    def _walk(self, address: int) -> Group:
        root = self._object("", address)
        if not isinstance(root, tuple):
            raise self.damaged("its root isn't a group")
        top, links = root
        waiting = [(top, "", name, place) for name, place in reversed(links)]
        spans = []
        while waiting:
            group, path, name, place = waiting.pop()
            path = f"{path}/{name}"
            if path.count("/") > MAX_DEPTH:
                raise self.refused(f"nests groups more than {MAX_DEPTH} deep")
            found = self._object(path, place)
            if isinstance(found, Array):
                group.arrays[name] = found
                spans.append((found.offset, found.size))
            else:
                group.groups[name], links = found
                waiting += [(found[0], path, inner, each) for inner, each in reversed(links)]
        if overlap(spans):
            raise self.refused("has arrays that lie in the same place", "don't trust this file")
        return top

    def _object(self, path: str, address: int) -> Array | tuple[Group, list[tuple[str, int]]]:
        where = printable(path or "/")
        if address in self.seen:
            raise self.refused(f"{where} is linked twice, or in a circle", "don't trust this file")
        if len(self.seen) >= MAX_OBJECTS:
            raise self.refused(f"has more than {MAX_OBJECTS:,} objects")
        self.seen.add(address)
        records = list(self._records(address))
        attributes = {
            each.name: each for each in (attribute(self, record) for record in records if record.kind == ATTRIBUTE)
        }
        kinds = {record.kind for record in records}
        if kinds & {EXTERNAL, FILTERS}:
            raise self.refused(f"{where} is stored in another file, or filtered")
        if LAYOUT in kinds:
            return self._array(where, records, attributes)
        links: list[tuple[str, int]] = []
        for record in records:
            if record.kind == TABLE:
                links += self._table(record)
            elif record.kind == LINK:
                links.append(self._link(where, record))
        if len({name for name, _ in links}) < len(links):
            raise self.damaged(f"{where} has two objects of one name")
        return Group(attributes), links

    def _records(self, address: int) -> Iterator[Record]:
        """The records of an object's header, in all of its pieces."""
        version, _, count, _, size = struct.unpack("<BBHII", self.source.take(address, 12))
        if version != 1:
            raise self.damaged(f"there is no object at byte {address:,}, or one in a newer layout")
        pieces, seen = [(address + 16, size)], {address + 16}
        while pieces and count:
            place, size = pieces.pop(0)
            end = place + size
            while place + 8 <= end and count:
                count -= 1
                kind, length, flags = struct.unpack("<HHB", self.source.take(place, 5))
                self._spend(1, 8 + length)
                if place + 8 + length > end:
                    raise self.damaged(f"a record at byte {place:,} leads out of its header")
                record = Record(kind, self.source.take(place + 8, length), place + 8)
                place += 8 + length
                if flags & 2:
                    raise self.refused("shares a description between objects")
                if kind == CONTINUED:
                    following = record.numbers(0, 2)
                    if following[0] in seen:
                        raise self.damaged("an object's header runs in a circle")
                    seen.add(following[0])
                    pieces.append((following[0], following[1]))
                elif kind in (MANY, LINKS):
                    self._check_compact(record)
                elif kind in (SPACE, TYPE, LINK, EXTERNAL, LAYOUT, FILTERS, ATTRIBUTE, TABLE):
                    yield record
                elif kind not in UNIMPORTANT:
                    raise self.refused(f"has a record of kind {kind:#x}, which Keras doesn't write")

    def _check_compact(self, record: Record) -> None:
        """Attributes or links that are so many that they lie in a heap of another kind."""
        flags = record.data[1] if len(record.data) > 1 else 0
        skipped = 2 + (8 if record.kind == LINKS else 2) * (flags & 1)
        if record.numbers(skipped, 1)[0] != NOWHERE:
            raise self.refused("has a group or attributes in a newer layout of HDF5")

    def _array(self, where: str, records: list[Record], attributes: dict[str, Attribute]) -> Array:
        by_kind = {record.kind: record for record in records}
        if not {SPACE, TYPE} <= set(by_kind):
            raise self.damaged(f"{where} has no shape or no type")
        shape, kind = dataspace(self, by_kind[SPACE].data), datatype(self, by_kind[TYPE].data)
        record = by_kind[LAYOUT]
        if len(record.data) < 4 or record.data[0] != 3 or record.data[1] > 1:
            raise self.refused(f"{where} doesn't lie in one piece: it is in chunks, or of several data sets (virtual)")
        if record.data[1] == 1:
            offset, size = record.numbers(2, 2)
        else:
            offset, size = record.place + 4, int.from_bytes(record.data[2:4], "little")
            if 4 + size > len(record.data):
                raise self.damaged(f"{where} leads out of its header")
        count = product(self.source, shape)
        if not count:
            return Array(kind, shape, 0, 0, attributes)
        if offset == NOWHERE or count * kind.size != size:
            stored = 0 if offset == NOWHERE else size
            raise self.refused(
                f"{where} claims {times(shape) or '1'} values of {kind.size} bytes, and stores {stored:,} bytes",
                "the file is damaged, or a bomb: don't trust it",
            )
        self.source.part(offset, size)  # refuses what isn't there
        return Array(kind, shape, offset, size, attributes)

    def _link(self, where: str, record: Record) -> tuple[str, int]:
        """A link in a record of its own, as a group has them once there was one that isn't plain."""
        data = record.data + bytes(4)
        flags, place, kind = data[1], 2, 0
        if flags & 8:
            kind, place = data[2], 3
        place += 8 * bool(flags & 4) + bool(flags & 16)
        width = 1 << (flags & 3)
        length = int.from_bytes(data[place : place + width], "little")
        name = record.data[place + width : place + width + length]
        if kind:
            what = {1: "a soft link", 64: "a link to another file"}.get(kind, "a link of an unknown kind")
            raise self.refused(f"{where} has {what}, {printable(name.decode('utf-8', 'replace')[:MAX_NAME])}")
        return self._name(name), record.numbers(place + width + length, 1)[0]

    def _table(self, record: Record) -> Iterator[tuple[str, int]]:
        """The names and addresses of a group's objects: a tree whose leaves list them, and a heap of their names."""
        tree, heap = record.numbers(0, 2)
        head = self.source.take(heap, 32)
        if head[:4] != b"HEAP":
            raise self.damaged("a group has no names")
        size, _, start = struct.unpack_from("<3Q", head, 8)
        names = self.source.part(start, size)
        waiting, seen = [tree], set[int]()
        while waiting:
            place = waiting.pop()
            if place in seen:
                raise self.damaged("a group's tree runs in a circle")
            seen.add(place)
            signature = self.source.take(place, 8)
            if signature[:4] == b"TREE" and signature[4] == 0:
                used = int.from_bytes(signature[6:8], "little")
                self._spend(used, 16 * used)
                waiting += struct.unpack(f"<{2 * used + 1}Q", self.source.take(place + 24, 16 * used + 8))[1::2][::-1]
            elif signature[:4] == b"SNOD":
                count = int.from_bytes(signature[6:8], "little")
                self._spend(count, 40 * count)
                for name, address, kind in struct.iter_unpack("<QQI20x", self.source.take(place + 8, 40 * count)):
                    text = self._heap_name(names, name)
                    if kind == 2:
                        raise self.refused(f"has a soft link, {printable(text)}")
                    yield text, address
            else:
                raise self.damaged(f"there is no list of a group's objects at byte {place:,}")

    def _heap_name(self, names: Source, place: int) -> str:
        data = names.take(place, max(0, min(MAX_NAME + 1, names.size - place)))
        if b"\0" not in data:
            raise self.damaged("an object's name has no end")
        return self._name(data.split(b"\0")[0])

    def _name(self, data: bytes) -> str:
        try:
            name = data.decode("utf-8")
        except UnicodeDecodeError:
            raise self.damaged("an object's name isn't UTF-8") from None
        if not name or "/" in name or len(name) > MAX_NAME:
            raise self.damaged("an object has no proper name")
        return name

    def _text(self, reference: bytes) -> bytes:
        """A text in a collection: from its length, the collection's address, and its number there."""
        length, address, number = struct.unpack("<IQI", reference)
        if not length:
            return b""
        if address not in self.heaps:
            self.heaps[address] = self._collection(address)
        place, size = self.heaps[address].get(number, (0, 0))
        if length > size:
            raise self.damaged("a text leads out of its place")
        self._spend(1, length)
        return self.source.take(place, length)

    def _collection(self, address: int) -> dict[int, tuple[int, int]]:
        head = self.source.take(address, 16)
        size = int.from_bytes(head[8:], "little")
        if head[:4] != b"GCOL":
            raise self.damaged(f"there are no texts at byte {address:,}")
        self.source.part(address, size)
        found, place = dict[int, tuple[int, int]](), address + 16
        while place + 16 <= address + size:
            self._spend(1, 16)
            number, length = struct.unpack("<H6xQ", self.source.take(place, 16))
            if not number:
                break
            if place + 16 + length > address + size:
                raise self.damaged("a text leads out of its collection")
            found[number] = (place + 16, length)
            place += 16 + (length + 7) // 8 * 8
        return found

    def _spend(self, count: int, size: int) -> None:
        """So that what points to the same place again and again comes to an end."""
        self.records += count
        self.bytes += size
        if self.records > MAX_RECORDS or self.bytes > self.source.size:
            raise self.refused("unfolds to more records than it has room for", "don't trust this file")
