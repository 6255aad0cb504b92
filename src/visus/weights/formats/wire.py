"""Messages of Protocol Buffers, walked through where they lie: no object is made of what isn't asked for.

The library would make objects of a whole file first: of some bytes each, a hundred times as large in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, final

from visus.weights.formats.source import Source

MAX_FIELDS = 2_000_000
AHEAD = 1 << 12  # bytes read at a time; fields are short, but for the values


class Field(NamedTuple):
    """number: of the field. value: of an integer. offset, size: of the bytes of anything else."""

    number: int
    value: int | None
    offset: int
    size: int


@final
class Walker:
    """The fields of a file's messages. The number of fields that are walked through in all is limited."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.fields = 0
        self._start, self._buffer = 0, b""

    def message(self, offset: int, size: int) -> Iterator[Field]:
        """The fields of the message that lies there, in order."""
        end = offset + size
        while offset < end:
            self.fields += 1
            if self.fields > MAX_FIELDS:
                raise self.source.refused(f"has more than {MAX_FIELDS:,} fields")
            key, offset = self._integer(offset, end)
            number, wire = key >> 3, key & 7
            if wire == 0:
                value, offset = self._integer(offset, end)
                yield Field(number, value, offset, 0)
                continue
            if wire == 2:
                length, offset = self._integer(offset, end)
            elif wire in (1, 5):
                length = 8 if wire == 1 else 4
            else:
                raise self.source.refused(f"is damaged: there is no field at byte {offset:,}")
            if offset + length > end:
                raise self.source.refused(
                    f"is damaged or cut short: a field at byte {offset:,} leads out of its message"
                )
            yield Field(number, None, offset, length)
            offset += length

    def integers(self, offset: int, size: int) -> Iterator[int]:
        """Integers that lie one after the other."""
        end = offset + size
        while offset < end:
            value, offset = self._integer(offset, end)
            yield value

    def text(self, field: Field) -> str:
        try:
            return self.source.take(field.offset, field.size).decode("utf-8")
        except UnicodeDecodeError:
            raise self.source.refused(f"is damaged: a name at byte {field.offset:,} isn't UTF-8") from None

    def _integer(self, offset: int, end: int) -> tuple[int, int]:
        """An unsigned integer of up to 64 bits, seven in a byte, and where it ends."""
        value = shift = 0
        while True:
            place = offset - self._start
            if not 0 <= place < len(self._buffer):
                if offset >= end:
                    raise self.source.refused("is damaged or cut short: a number has no end")
                self._start, place = offset, 0
                self._buffer = self.source.take(offset, min(AHEAD, self.source.size - offset))
            if offset >= end:
                raise self.source.refused("is damaged or cut short: a number has no end")
            byte = self._buffer[place]
            value |= (byte & 127) << shift
            offset += 1
            if byte < 128:
                return value & 0xFFFFFFFFFFFFFFFF, offset
            shift += 7
            if shift > 63:
                raise self.source.refused(f"is damaged: a number at byte {offset:,} is too long")
