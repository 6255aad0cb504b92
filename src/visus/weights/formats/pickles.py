"""Reading the pickles that PyTorch writes, without unpickling.

A pickle is a program for a machine with a stack. This one knows the instructions that `torch.save` writes for
containers, numbers and texts. It imports nothing and calls nothing of what a file names: a name stands for what
`names` says, and any other is refused. Nothing nests or grows by more than the instructions that a file really has.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pickletools import opcodes
from typing import Any, final

from visus.data.image import printable
from visus.errors import WeightsError
from visus.weights.formats.source import Source

SAVE_AGAIN = (
    "load it where you trust it, and save the weights alone: safetensors.torch.save_file(model.state_dict(), …) "
    "or torch.save(model.state_dict(), …)"
)
MAX_BYTES = 32 << 20  # of one pickle, without the values of tensors; a large network's has about one million
MAX_CONTAINERS = 2_000_000
MAX_NAME = 512
MAX_INTEGER = 16  # bytes
CHUNK = 1 << 16


@final
class Cursor:
    """A place in a source that moves on with what is read."""

    def __init__(self, source: Source, position: int = 0) -> None:
        self.source, self.position = source, position
        self._buffer, self._start = b"", 0

    def read(self, size: int) -> bytes:
        offset = self.position - self._start
        if not 0 <= offset <= offset + size <= len(self._buffer):
            wanted = max(size, min(CHUNK, self.source.size - self.position))
            self._buffer, self._start, offset = self.source.take(self.position, wanted), self.position, 0
        self.position += size
        return self._buffer[offset : offset + size]

    def number(self, code: str) -> int:
        """A number as `struct` writes it."""
        return int(struct.unpack(code, self.read(struct.calcsize(code)))[0])

    def line(self) -> str:
        """A short text that a line break ends."""
        text = bytearray()
        while (letter := self.read(1)) != b"\n":
            text += letter
            if len(text) > MAX_NAME:
                raise self.source.refused(f"has a name of more than {MAX_NAME} characters in its pickle")
        return self.text(bytes(text))

    def text(self, data: bytes) -> str:
        try:
            return data.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise self.source.refused("has a text in its pickle that isn't UTF-8") from None


@final
@dataclass(frozen=True, slots=True)
class Function:
    """What stands for a function of a file: `call` gets its arguments, and returns None where they make no sense."""

    name: str
    call: Callable[[tuple[Any, ...]], Any]


@final
class _Mark:
    """Where the items of a container begin on the stack."""


_MARK = _Mark()


@final
class _Machine:
    def __init__(self, cursor: Cursor, names: Mapping[str, Any], persistent: Callable[[Any], Any]) -> None:
        self.cursor, self.names, self.persistent = cursor, names, persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.containers = 0
        self.end = cursor.position + MAX_BYTES

    def run(self) -> Any:
        while (code := self.cursor.read(1)) != b".":
            instruction = INSTRUCTIONS.get(code)
            if instruction is None:
                raise self.refused(_why_not(code), SAVE_AGAIN)
            instruction(self)
            if self.cursor.position > self.end:
                raise self.refused(f"has a pickle of more than {MAX_BYTES:,} bytes")
        value = self.pop()
        if self.stack:
            raise self.damaged()
        return value

    def refused(self, cause: str, remedy: str = "") -> WeightsError:
        return self.cursor.source.refused(cause, remedy) if remedy else self.cursor.source.refused(cause)

    def damaged(self) -> WeightsError:
        return self.refused(f"has a damaged pickle, at byte {self.cursor.position:,}")

    def push(self, value: Any) -> None:
        if isinstance(value, list | tuple | dict):
            self.containers += 1
            if self.containers > MAX_CONTAINERS:
                raise self.refused(f"has more than {MAX_CONTAINERS:,} containers in its pickle")
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise self.damaged()
        return self.stack.pop()

    def top(self, kind: type) -> Any:
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise self.damaged()
        return self.stack[-1]

    def items(self) -> list[Any]:
        """What lies on the stack above the last mark, which goes with it."""
        place = len(self.stack) - 1
        while place >= 0 and self.stack[place] is not _MARK:
            place -= 1
        if place < 0:
            raise self.damaged()
        found = self.stack[place + 1 :]
        del self.stack[place:]
        return found

    def sized(self, code: str) -> bytes:
        return self.cursor.read(self.cursor.number(code))

    def tuple(self, length: int) -> None:
        self.push(tuple(reversed([self.pop() for _ in range(length)])))

    def append(self, values: list[Any]) -> None:
        self.top(list).extend(values)

    def set(self, items: list[Any]) -> None:
        target = self.top(dict)
        if len(items) % 2:
            raise self.damaged()
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | int | None):
                raise self.refused(f"has a key of type {type(key).__name__} in a dict; names and numbers are read")
            if key in target:
                raise self.refused(f"has the key {printable(str(key)[:MAX_NAME])} twice in one dict")
            target[key] = value

    def keep(self, place: int) -> None:
        if not self.stack or self.stack[-1] is _MARK:
            raise self.damaged()
        self.memo[place] = self.stack[-1]

    def recall(self, place: int) -> None:
        if place not in self.memo:
            raise self.damaged()
        self.stack.append(self.memo[place])

    def integer(self) -> None:
        size = self.cursor.number("B")
        if size > MAX_INTEGER:
            raise self.refused(f"has an integer of {size} bytes in its pickle")
        self.push(int.from_bytes(self.cursor.read(size), "little", signed=True))

    def name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise self.damaged()
        full = f"{module}.{name}"
        if full not in self.names:
            raise self.refused(
                f"holds the Python object {printable(full[:MAX_NAME])}: to restore it, code would have to run; such "
                "objects are never loaded",
                SAVE_AGAIN,
            )
        self.push(self.names[full])

    def named_by_stack(self) -> None:
        name = self.pop()
        self.name(self.pop(), name)

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Function) or not isinstance(arguments, tuple):
            raise self.refused("calls in its pickle what isn't a function", SAVE_AGAIN)
        value = function.call(arguments)
        if value is None:
            raise self.refused(f"calls {function.name} with arguments that make no sense")
        self.push(value)

    def build(self) -> None:
        """The attributes of a state dict, which are versions of modules, are dropped."""
        self.pop()
        if not self.stack or not isinstance(self.stack[-1], dict):
            raise self.refused("sets the attributes of an object", SAVE_AGAIN)

    def refer(self) -> None:
        value = self.persistent(self.pop())
        if value is None:
            raise self.refused("refers to something that isn't the values of a tensor", SAVE_AGAIN)
        self.push(value)


def read_pickle(cursor: Cursor, names: Mapping[str, Any], persistent: Callable[[Any], Any]) -> Any:
    """The value that a pickle is of: dict, list, tuple, str, bytes, numbers, None, and values of `names`.

    cursor: at its first byte; moves behind its last. names: what a dotted name stands for: a `Function`, or a value.
    persistent: gives the object that an identifier stands for, or None. OrderedDict comes out as dict. A container may
    hold itself. Raises WeightsError.
    """
    return _Machine(cursor, names, persistent).run()


def _why_not(code: bytes) -> str:
    known = next((each.name for each in opcodes if each.code == code.decode("latin-1")), None)
    if known is None:
        return f"has a damaged pickle: {code!r} is no instruction"
    return f"uses the instruction {known} in its pickle, which weights don't need and which could run code"


def _float(data: bytes) -> float:
    return float(struct.unpack(">d", data)[0])


INSTRUCTIONS: dict[bytes, Callable[[_Machine], object]] = {
    b"\x80": lambda m: m.cursor.read(1),  # the protocol's version
    b"\x95": lambda m: m.cursor.read(8),  # the length of a frame
    b"(": lambda m: m.stack.append(_MARK),
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"J": lambda m: m.push(m.cursor.number("<i")),
    b"K": lambda m: m.push(m.cursor.number("B")),
    b"M": lambda m: m.push(m.cursor.number("<H")),
    b"\x8a": _Machine.integer,
    b"G": lambda m: m.push(_float(m.cursor.read(8))),
    b"X": lambda m: m.push(m.cursor.text(m.sized("<I"))),
    b"\x8c": lambda m: m.push(m.cursor.text(m.sized("B"))),
    b"\x8d": lambda m: m.push(m.cursor.text(m.sized("<Q"))),
    b"T": lambda m: m.push(m.sized("<I").decode("latin-1")),  # texts of Python 2
    b"U": lambda m: m.push(m.sized("B").decode("latin-1")),
    b"B": lambda m: m.push(m.sized("<I")),
    b"C": lambda m: m.push(m.sized("B")),
    b"\x8e": lambda m: m.push(m.sized("<Q")),
    b"}": lambda m: m.push({}),
    b"]": lambda m: m.push([]),
    b")": lambda m: m.push(()),
    b"t": lambda m: m.push(tuple(m.items())),
    b"\x85": lambda m: m.tuple(1),
    b"\x86": lambda m: m.tuple(2),
    b"\x87": lambda m: m.tuple(3),
    b"a": lambda m: m.append([m.pop()]),
    b"e": lambda m: m.append(m.items()),
    b"s": lambda m: m.set([m.pop(), m.pop()][::-1]),
    b"u": lambda m: m.set(m.items()),
    b"q": lambda m: m.keep(m.cursor.number("B")),
    b"r": lambda m: m.keep(m.cursor.number("<I")),
    b"\x94": lambda m: m.keep(len(m.memo)),
    b"h": lambda m: m.recall(m.cursor.number("B")),
    b"j": lambda m: m.recall(m.cursor.number("<I")),
    b"c": lambda m: m.name(m.cursor.line(), m.cursor.line()),
    b"\x93": _Machine.named_by_stack,
    b"R": _Machine.call,
    b"b": _Machine.build,
    b"Q": _Machine.refer,
}
