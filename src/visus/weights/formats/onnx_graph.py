"""The nodes of an ONNX graph: what each computes, of what, with which settings.

The numbers of fields are those of onnx.proto of the ONNX project.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from itertools import islice
from typing import final

from visus.weights.formats.wire import Field, Walker

INPUT, OUTPUT, OPERATOR, ATTRIBUTE, DOMAIN = 1, 2, 4, 5, 7
ATTRIBUTE_NAME, FLOAT, INTEGER, TEXT, TENSOR, INTEGERS = 1, 2, 3, 4, 5, 8
STANDARD = ("", "ai.onnx")
MAX_SETTINGS = 1 << 16  # integers of one attribute
LONGEST = 256  # bytes of a text that is read

Setting = int | float | str | tuple[int, ...]


@final
@dataclass(frozen=True, slots=True)
class Node:
    """One operation of a graph.

    operator: its name, with its domain before it where that isn't ONNX's own. inputs: names, "" for one left out.
    settings: its numbers, texts and lists of integers. tensors: where the messages of its tensors lie.
    """

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: dict[str, Setting] = field(default_factory=dict)
    tensors: dict[str, Field] = field(default_factory=dict)

    def integers(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """A list of integers."""
        found = self.settings.get(name, default)
        return found if isinstance(found, tuple) else default

    def number(self, name: str, default: float) -> float:
        """A number."""
        found = self.settings.get(name, default)
        return float(found) if isinstance(found, int | float) else default


def read_node(walker: Walker, message: Field) -> Node:
    """The node that lies there. Raises WeightsError where it is damaged."""
    texts: dict[int, list[str]] = {INPUT: [], OUTPUT: [], OPERATOR: [], DOMAIN: []}
    settings: dict[str, Setting] = {}
    tensors: dict[str, Field] = {}
    for each in walker.message(message.offset, message.size):
        if each.number in texts:
            texts[each.number].append(walker.text(each))
        elif each.number == ATTRIBUTE:
            _attribute(walker, each, settings, tensors)
    operator, domain = "".join(texts[OPERATOR]), "".join(texts[DOMAIN])
    name = operator if domain in STANDARD else f"{domain}.{operator}"
    return Node(name, tuple(texts[INPUT]), tuple(texts[OUTPUT]), settings, tensors)


def _attribute(walker: Walker, message: Field, settings: dict[str, Setting], tensors: dict[str, Field]) -> None:
    parts: dict[int, list[Field]] = {}
    for each in walker.message(message.offset, message.size):
        parts.setdefault(each.number, []).append(each)
    if ATTRIBUTE_NAME not in parts:
        return
    name = walker.text(parts[ATTRIBUTE_NAME][0])
    if TENSOR in parts:
        tensors[name] = parts[TENSOR][0]
    elif INTEGERS in parts:
        settings[name] = tuple(islice((_signed(each) for each in _integers(walker, parts[INTEGERS])), MAX_SETTINGS))
    elif INTEGER in parts:
        settings[name] = _signed(parts[INTEGER][0].value or 0)
    elif FLOAT in parts and parts[FLOAT][0].size == 4:
        settings[name] = struct.unpack("<f", walker.source.take(parts[FLOAT][0].offset, 4))[0]
    elif TEXT in parts and parts[TEXT][0].size <= LONGEST:
        settings[name] = walker.text(parts[TEXT][0])


def _integers(walker: Walker, fields: list[Field]) -> list[int]:
    """Integers that were written one by one or packed together."""
    found: list[int] = []
    for each in fields:
        if each.value is not None:
            found.append(each.value)
        else:
            found += islice(walker.integers(each.offset, each.size), MAX_SETTINGS)
    return found


def _signed(value: int) -> int:
    """An int64 of its 64 bits."""
    return value - (1 << 64) if value >= 1 << 63 else value
