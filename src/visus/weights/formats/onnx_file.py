"""ONNX: a graph's nodes, its initializers and the values of its Constant nodes, in the file or in others beside it.

The numbers of fields and types are those of onnx.proto of the ONNX project.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from visus.data.image import printable
from visus.data.readers.arrays import times
from visus.errors import WeightsError
from visus.weights.formats.onnx_graph import Node, read_node
from visus.weights.formats.source import Source, opened, overlap, product
from visus.weights.formats.wire import Field, Walker

MODEL = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26})
GRAPH = 7
NODE, INITIALIZER, SPARSE = 1, 5, 15
DIMS, TYPE, SEGMENT, FLOATS, INTS, TEXTS, LONGS, NAME, RAW, DOUBLES, ULONGS, EXTERNAL, LOCATION = (
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14,
)  # fmt: skip
DTYPES = {
    1: torch.float32, 2: torch.uint8, 3: torch.int8, 4: torch.uint16, 5: torch.int16, 6: torch.int32, 7: torch.int64,
    9: torch.bool, 10: torch.float16, 11: torch.float64, 12: torch.uint32, 13: torch.uint64, 16: torch.bfloat16,
    17: torch.float8_e4m3fn, 18: torch.float8_e4m3fnuz, 19: torch.float8_e5m2, 20: torch.float8_e5m2fnuz,
}  # fmt: skip
STRINGS = 8
CONSTANTS = ("Constant", "ConstantOfShape")
# where the values lie if not as raw bytes: the field, and the type of NumPy that its numbers are turned to
PLACES = {
    **dict.fromkeys((torch.float32,), FLOATS), **dict.fromkeys((torch.float64,), DOUBLES),
    **dict.fromkeys((torch.int64,), LONGS), **dict.fromkeys((torch.uint32, torch.uint64), ULONGS),
}  # fmt: skip
MAX_AXES = 64
MAX_TENSORS = 200_000
MAX_INTEGERS = 1 << 22
SHOWN = 20  # names in a note


@final
@dataclass(slots=True)
class _Described:
    """A tensor as its message describes it."""

    name: str = ""
    type: int = 0
    shape: list[int] = field(default_factory=list)
    values: list[Field] = field(default_factory=list)
    external: dict[str, str] = field(default_factory=dict)
    outside: bool = False
    segmented: bool = False


def read_onnx(source: Source, path: Path) -> tuple[dict[str, Tensor], dict[str, Any], tuple[Node, ...]]:
    """The tensors of a model's graph, notes, and its nodes in order. path: of the file, beside which others may lie.

    Raises WeightsError.
    """
    walker = Walker(source)
    graphs = []
    for each in walker.message(0, source.size):
        if each.number not in MODEL:
            raise source.refused(f"has a field that ONNX doesn't know, {each.number}, or something follows its end")
        if each.number == GRAPH:
            graphs.append(each)
    if len(graphs) != 1 or graphs[0].value is not None:
        raise source.refused("isn't an ONNX model: it needs one graph")
    found: dict[str, _Described] = {}
    left_out = []
    nodes: list[Node] = []
    for described in _described(walker, graphs[0], nodes):
        name = described.name
        if described.type == STRINGS:
            left_out.append(name)
        elif not name or name in found:
            raise source.refused(
                f"has two tensors that are called {printable(name)}" if name else "has a nameless tensor"
            )
        elif len(found) >= MAX_TENSORS:
            raise source.refused(f"has more than {MAX_TENSORS:,} tensors")
        else:
            found[name] = described
    if not found:
        raise source.refused("holds no tensors", "give the file with the network's weights")
    with ExitStack() as files:
        beside = _Beside(source, path.parent.resolve(), files)
        for described in found.values():
            if described.outside:
                beside.add(described)
        beside.check()
        tensors = {name: _tensor(walker, described, beside) for name, described in found.items()}
    return tensors, {"left_out": left_out[:SHOWN]} if left_out else {}, tuple(nodes)


def _described(walker: Walker, graph: Field, nodes: list[Node]) -> Iterator[_Described]:
    """Its tensors; the nodes are added to those given."""
    for each in walker.message(graph.offset, graph.size):
        if each.number == SPARSE:
            raise walker.source.refused("has sparse tensors, which aren't read", "save it with dense ones")
        if each.number == INITIALIZER:
            yield _message(walker, each)
        elif each.number == NODE:
            nodes.append(read_node(walker, each))
            yield from _constant(walker, nodes[-1])


def _constant(walker: Walker, node: Node) -> Iterator[_Described]:
    """The value of a Constant node, or the one that a ConstantOfShape repeats, by the name of its output."""
    if node.operator in CONSTANTS and len(node.outputs) == 1 and "value" in node.tensors:
        described = _message(walker, node.tensors["value"])
        described.name = node.outputs[0]
        yield described


def _message(walker: Walker, message: Field) -> _Described:
    found = _Described()
    for each in walker.message(message.offset, message.size):
        if each.number == DIMS:
            found.shape += (
                [each.value]
                if each.value is not None
                else [*islice(walker.integers(each.offset, each.size), MAX_AXES + 1)]
            )
            if len(found.shape) > MAX_AXES:
                raise walker.source.refused(f"has a tensor of more than {MAX_AXES} axes")
        elif each.number == TYPE:
            found.type = each.value or 0
        elif each.number == NAME:
            found.name = walker.text(each)
        elif each.number == LOCATION:
            found.outside = each.value == 1
        elif each.number == SEGMENT:
            found.segmented = True
        elif each.number == EXTERNAL:
            parts = {inner.number: inner for inner in walker.message(each.offset, each.size)}
            if {1, 2} <= parts.keys():
                found.external[walker.text(parts[1])] = walker.text(parts[2])
        elif each.number in (FLOATS, INTS, LONGS, RAW, DOUBLES, ULONGS):
            found.values.append(each)
    return found


def _dtype(source: Source, described: _Described) -> torch.dtype:
    dtype = DTYPES.get(described.type)
    if dtype is None or described.segmented:
        raise source.refused(
            f"{printable(described.name)} is of a type ({described.type}) or in segments that aren't read"
        )
    return dtype


def _tensor(walker: Walker, described: _Described, beside: _Beside) -> Tensor:
    source, name = walker.source, printable(described.name)
    dtype = _dtype(source, described)
    count = product(source, described.shape)
    kinds = {each.number for each in described.values}
    if len(kinds) + described.outside > 1:
        raise source.refused(f"{name} has its values in two places")
    if described.outside:
        values = beside.values(described)
    elif kinds <= {RAW}:
        values = _raw(source, name, described, count * dtype.itemsize)
    else:
        values = _typed(walker, name, described, dtype, count)
    return values.view(dtype).reshape(described.shape)


def _raw(source: Source, name: str, described: _Described, size: int) -> Tensor:
    there = sum(each.size for each in described.values)
    if len(described.values) > 1 or there != size:
        raise source.refused(
            f"{name} claims {times(described.shape) or '1'} values ({size:,} bytes), and {there:,} bytes are there"
        )
    return source.tensor(described.values[0].offset, size) if size else torch.empty(0, dtype=torch.uint8)


def _typed(walker: Walker, name: str, described: _Described, dtype: torch.dtype, count: int) -> Tensor:
    """Values as numbers of the message: floats of fixed size, or integers of few bytes, each or packed together."""
    source, place = walker.source, described.values[0].number
    if place != PLACES.get(dtype, INTS):
        raise source.refused(f"{name} has values of another type than it says")
    if place in (FLOATS, DOUBLES):
        if any(each.value is not None or each.size % dtype.itemsize for each in described.values):
            raise source.refused(f"{name} has damaged values")
        pieces = [source.tensor(each.offset, each.size) for each in described.values]
        values = torch.cat(pieces) if len(pieces) > 1 else pieces[0]
        there = len(values) // dtype.itemsize
    else:
        if count > MAX_INTEGERS:
            raise source.refused(
                f"{name} has {count:,} integers one by one; {MAX_INTEGERS:,} are read, more as raw bytes"
            )
        numbers = np.fromiter(islice(_integers(walker, described), count + 1), np.uint64)
        there = len(numbers)
        # the lowest bytes of each are the value, as signed numbers and as bits
        values = torch.from_numpy(numbers.view(np.uint8).reshape(-1, 8)[:, : dtype.itemsize].copy()).reshape(-1)
    if there != count:
        raise source.refused(f"{name} claims {times(described.shape) or '1'} values, and {there:,} or more are there")
    return values


def _integers(walker: Walker, described: _Described) -> Iterator[int]:
    for each in described.values:
        if each.value is not None:
            yield each.value
        else:
            yield from walker.integers(each.offset, each.size)


@final
class _Beside:
    """Files beside a model that hold values of its tensors."""

    def __init__(self, source: Source, folder: Path, files: ExitStack) -> None:
        self.source, self.folder, self.files = source, folder, files
        self.sources: dict[str, Source] = {}
        self.places: dict[str, tuple[str, int, int]] = {}
        self.read: dict[tuple[str, int, int], Tensor] = {}

    def add(self, described: _Described) -> None:
        """Note where a tensor's bytes lie, and look whether they are there."""
        name, said = printable(described.name), described.external
        location = said.get("location", "")
        size = product(self.source, described.shape) * _dtype(self.source, described).itemsize
        offset, length = self._number(name, said, "offset", 0), self._number(name, said, "length", size)
        if length != size:
            raise self.source.refused(f"{name} claims {size:,} bytes, and {length:,} in {printable(location)}")
        if location not in self.sources:
            self.sources[location] = self._open(name, location)
        self.sources[location].part(offset, size)  # refuses what isn't there
        self.places[described.name] = (location, offset, size)

    def check(self) -> None:
        """Raise WeightsError where two tensors share some of their bytes; they may share all."""
        distinct = set(self.places.values())
        for location in self.sources:
            if overlap((offset, size) for there, offset, size in distinct if there == location):
                raise self.source.refused(f"has tensors that overlap in {printable(location)}", "don't trust this file")

    def values(self, described: _Described) -> Tensor:
        """The bytes of a tensor; those of two that share them are read once."""
        place = self.places[described.name]
        if place not in self.read:
            self.read[place] = self.sources[place[0]].tensor(place[1], place[2])
        return self.read[place]

    def _number(self, name: str, said: dict[str, str], key: str, default: int) -> int:
        text = said.get(key, "")
        if text and not re.fullmatch(r"[0-9]{1,18}", text):
            raise self.source.refused(f"{name} lies at {key} {printable(text[:40])}, which isn't a natural number")
        return int(text or default)

    def _open(self, name: str, location: str) -> Source:
        parts = re.split(r"[/\\]", location)
        if not location or not all(parts) or {".", ".."} & set(parts) or ":" in location or "\0" in location:
            raise self._outside(name, location, "leads out of the model's folder")
        path = self.folder.joinpath(*parts)
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError) as problem:
            raise self.source.refused(
                f"{name} lies in {printable(location)}, which can't be read: {problem}",
                "put the files that belong together in one folder",
            ) from None
        if real != path:
            raise self._outside(name, location, "is a link")
        found = opened(path)
        self.files.callback(found.file.close)
        return found

    def _outside(self, name: str, location: str, why: str) -> WeightsError:
        return self.source.refused(
            f"{name} lies in {printable(location[:200])}, which {why}", "put the files themselves beside the model"
        )
