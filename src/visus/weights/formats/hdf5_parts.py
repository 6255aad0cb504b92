"""The small parts of HDF5 files: the records of an object's header, types, shapes and attributes."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Protocol, final

import torch

from visus.data.image import printable
from visus.errors import WeightsError

MAX_AXES = 32
# size → type, and where sign, exponent and mantissa lie (IEEE 754, lowest byte first)
FLOATS = {
    2: (torch.float16, bytes.fromhex("200f00 02000000 0000 1000 0a 05 00 0a 0f000000")),
    4: (torch.float32, bytes.fromhex("201f00 04000000 0000 2000 17 08 00 17 7f000000")),
    8: (torch.float64, bytes.fromhex("203f00 08000000 0000 4000 34 0b 00 34 ff030000")),
}
INTEGERS = {
    (1, True): torch.int8, (2, True): torch.int16, (4, True): torch.int32, (8, True): torch.int64,
    (1, False): torch.uint8, (2, False): torch.uint16, (4, False): torch.uint32, (8, False): torch.uint64,
}  # fmt: skip
OTHERS = {
    2: "times",
    4: "bit fields",
    6: "records",
    7: "references to objects",
    10: "arrays in arrays",
    11: "complex numbers",
}


class Reader(Protocol):
    """What the parts need of the file: its errors."""

    def refused(self, cause: str) -> WeightsError: ...

    def damaged(self, what: str) -> WeightsError: ...


@final
@dataclass(frozen=True, slots=True)
class Type:
    """kind: in words. size: of one value, in bytes. dtype: None if they aren't numbers."""

    kind: str
    size: int
    dtype: torch.dtype | None = None


@final
@dataclass(frozen=True, slots=True)
class Attribute:
    """count: of its values. data: their bytes."""

    name: str
    type: Type
    count: int
    data: bytes


@final
@dataclass(frozen=True, slots=True)
class Record:
    """A piece of an object's header. place: of its data in the file."""

    kind: int
    data: bytes
    place: int

    def numbers(self, offset: int, count: int) -> tuple[int, ...]:
        """Unsigned integers of eight bytes; zeros where the record is too short, which lead nowhere."""
        return struct.unpack(f"<{count}Q", self.data[offset : offset + 8 * count].ljust(8 * count, b"\0"))


def datatype(reader: Reader, data: bytes) -> Type:
    """The type that a record describes. Raises WeightsError for one that can't be of weights or of names."""
    if len(data) < 8:
        raise reader.damaged("a type is cut short")
    version, kind, size = data[0] >> 4, data[0] & 15, int.from_bytes(data[4:8], "little")
    if version not in (1, 2, 3) or not 0 < size < 1 << 31:
        raise reader.damaged("a type has an unknown form")
    found = None
    if kind == 0 and data[8:12] == struct.pack("<HH", 0, 8 * size) and not data[1] & 1:
        dtype = INTEGERS.get((size, bool(data[1] & 8)))
        found = Type("integers", size, dtype) if dtype else None
    elif kind == 1 and size in FLOATS and data[1:20] == FLOATS[size][1]:
        found = Type("numbers", size, FLOATS[size][0])
    elif kind == 3:
        found = Type("text", size)
    elif kind == 5 and size == 2:
        found = Type("bfloat16", size, torch.bfloat16)  # which HDF5 doesn't know; Keras writes no other of two bytes
    elif kind == 8 and size == 1 and data[1:3] == b"\2\0" and data[20:].replace(b"\0", b"").startswith(b"FALSETRUE\1"):
        found = Type("truth values", size, torch.bool)
    elif kind == 9 and size == 16 and data[1] & 15 == 1:
        found = Type("long text", size)
    if found is None:
        what = OTHERS.get(kind, "values of an unusual type, or with the highest byte first")
        raise reader.refused(f"holds {what}, which weights aren't")
    return found


def dataspace(reader: Reader, data: bytes) -> tuple[int, ...]:
    """The shape that a record describes."""
    version, axes = data[:2] if len(data) >= 4 else (0, 0)
    start = {1: 8, 2: 4}.get(version)
    if start is None or axes > MAX_AXES or len(data) < start + 8 * axes:
        raise reader.damaged("a shape has an unknown form")
    if version == 2 and data[3] == 2:
        return (0,)
    shape = struct.unpack_from(f"<{axes}Q", data, start)
    if max((0, *shape)) >= 1 << 62:
        raise reader.damaged("a shape is beyond all measure")
    return shape


def attribute(reader: Reader, record: Record) -> Attribute:
    """The attribute that a record holds."""
    data = record.data
    if len(data) < 8 or data[0] not in (1, 2, 3) or (data[0] > 1 and data[1]):
        raise reader.damaged("an attribute has an unknown form")
    lengths = struct.unpack_from("<3H", data, 2)
    place = 9 if data[0] == 3 else 8
    pieces = []
    for length in lengths:
        pieces.append(data[place : place + length])
        place += (length + 7) // 8 * 8 if data[0] == 1 else length
    try:
        name = pieces[0].split(b"\0")[0].decode("utf-8")
    except UnicodeDecodeError:
        raise reader.damaged("an attribute's name isn't UTF-8") from None
    kind, shape = datatype(reader, pieces[1]), dataspace(reader, pieces[2])
    count = math.prod(shape)
    if place + count * kind.size > len(data):
        raise reader.damaged(f"the attribute {printable(name)} is cut short")
    return Attribute(name, kind, count, data[place : place + count * kind.size])
