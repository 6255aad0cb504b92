"""A network as the graph of its layers, whoever wrote it down: what has weights, and where several paths meet.

All between is left out: activations, pooling, reshaping. So one network looks the same in two frameworks, and each
layer of one is found in the other by the shape of its weights and its place.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Literal, TypeVar

from visus.text import counted

Kind = Literal["input", "weights", "norm", "layer norm", "table", "concat", "join"]
Part = Literal["weight", "bias", "scale", "shift", "mean", "variance"]
Sides = tuple[int, int, int, int]  # top, left, bottom, right
Margins = Sides | Literal["last", "first"]
V = TypeVar("V")
T = TypeVar("T")
NONE: Sides = (0, 0, 0, 0)
MANY = 4096  # maps in one concatenation


class Unlike(Exception):
    """Two graphs aren't those of one network: why."""


@dataclass(frozen=True, slots=True)
class Window:
    """How a kernel moves over a map.

    margins: of zeros around it; or so many that the size is divided by the stride and rounded up, the odd one at the
    end ("last") or at the beginning ("first"). size: of the map, where it is known.
    """

    stride: tuple[int, int]
    dilation: tuple[int, int]
    margins: Margins
    kernel: tuple[int, int]
    size: tuple[int, int] | None = None

    def on(self, size: tuple[int, int] | None) -> tuple[object, ...]:
        """What can be compared, on a map of that size."""
        margins = self.margins
        if isinstance(margins, str) and size is not None:
            sums = [
                max((-(-side // stride) - 1) * stride + dilation * (kernel - 1) + 1 - side, 0)
                for side, stride, dilation, kernel in zip(size, self.stride, self.dilation, self.kernel, strict=True)
            ]
            less, more = [each // 2 for each in sums], [each - each // 2 for each in sums]
            first, last = (less, more) if margins == "last" else (more, less)
            margins = (first[0], first[1], last[0], last[1])
        return self.stride, self.dilation, margins


@dataclass(slots=True)
class Layer(Generic[V]):
    """One place in the graph.

    shape: of the weights, O×I×H×W of a convolution, O×I×1×1 of a linear layer, both with the number of groups last; C
    of a normalisation; the number of values of a table. inputs: layers by their number, in order for a concatenation.
    name: for people. parts: the weights, or what they are called. A normalisation that follows directly is part of the
    layer: scale, shift, mean, variance and eps are its.
    """

    kind: Kind
    shape: tuple[int, ...]
    inputs: tuple[int, ...]
    name: str
    parts: dict[Part, V] = field(default_factory=dict)
    eps: float | None = None
    window: Window | None = None

    @property
    def label(self) -> str:
        """Of what kind and shape it is, for people."""
        if self.kind != "weights":
            return self.kind + (f" of {self.shape[0]}" if self.shape else "")
        *sides, groups = self.shape
        return f"layer of {'×'.join(map(str, sides))}" + (f" in {groups} groups" if groups > 1 else "")


class Drawing(Generic[V]):
    """A graph while it is drawn. Values of the network have keys of any kind: names, or numbers of objects."""

    def __init__(self) -> None:
        self.layers: list[Layer[V]] = [Layer("input", (), (), "the input")]
        self.source: dict[Hashable, int] = {}  # of a value: the layer that it comes from
        self.own: set[Hashable] = set()  # values that are the very output of their layer
        self.margins: dict[Hashable, Margins] = {}  # zeros that were put around a value

    def begin(self, key: Hashable) -> None:
        """A value that is the network's input."""
        self.source[key] = 0

    def add(self, layer: Layer[V], key: Hashable) -> None:
        """A layer, and the value that it gives."""
        self.layers.append(layer)
        self.source[key] = len(self.layers) - 1
        self.own.add(key)
        self.margins.pop(key, None)

    def direct(self, key: Hashable) -> Layer[V] | None:
        """The layer whose very output a value is."""
        return self.layers[self.source[key]] if key in self.own else None

    def merge(self, key: Hashable, result: Hashable) -> None:
        """A value that is now the output of the layer that gave `key`."""
        self.source[result] = self.source[key]
        self.own.add(result)

    def rename(self, key: Hashable, result: Hashable) -> None:
        """The same value once more, or with its axes in another order."""
        self.source[result] = self.source[key]
        if key in self.own:
            self.own.add(result)
        if key in self.margins:
            self.margins[result] = self.margins[key]

    def graph(self) -> list[Layer[V]]:
        """The layers, without places where paths meet that nothing goes on from, but for the last."""
        needed = {len(self.layers) - 1}
        for index in reversed(range(len(self.layers))):
            if index in needed or self.layers[index].kind not in ("concat", "join"):
                needed |= {index, *self.layers[index].inputs}
        kept = sorted(needed)
        places = {index: place for place, index in enumerate(kept)}
        return [
            replace(self.layers[index], inputs=tuple(places[each] for each in self.layers[index].inputs))
            for index in kept
        ]

    def follow(self, given: Sequence[Hashable], results: Sequence[Hashable]) -> None:
        """An operation without weights: the path goes on, or paths meet."""
        sources = sorted({self.source[key] for key in given})
        if len(sources) > 1:
            self.layers.append(Layer("join", (), tuple(sources), "a sum or product"))
            sources = [len(self.layers) - 1]
        for key in results:
            self._put(key, sources[0])

    def concatenate(self, sources: Sequence[int], result: Hashable) -> None:
        """Maps or tokens side by side; what was a concatenation already is taken apart."""
        if len(set(sources)) == 1:
            self._put(result, sources[0])
            return
        flat: list[int] = []
        for each in sources:
            flat += self.layers[each].inputs if self.layers[each].kind == "concat" else (each,)
            if len(flat) > MANY:
                raise Unlike(f"it has a concatenation of more than {MANY:,} maps")
        self.layers.append(Layer("concat", (), tuple(flat), "a concatenation"))
        self._put(result, len(self.layers) - 1)

    def pad(self, key: Hashable, result: Hashable, margins: Margins) -> None:
        """Zeros around a map."""
        around = self.around(key, margins)
        self._put(result, self.source[key])
        self.margins[result] = around

    def around(self, key: Hashable, margins: Margins) -> Margins:
        """The zeros around a value and those that a layer adds."""
        before = self.margins.get(key, NONE)
        if NONE in (before, margins):
            return margins if before == NONE else before
        if isinstance(before, str) or isinstance(margins, str):
            raise Unlike("it has zeros around zeros")
        return before[0] + margins[0], before[1] + margins[1], before[2] + margins[2], before[3] + margins[3]

    def _put(self, key: Hashable, source: int) -> None:
        self.source[key] = source
        self.own.discard(key)
        self.margins.pop(key, None)


def matched(ours: Sequence[Layer[V]], theirs: Sequence[Layer[T]]) -> list[tuple[Layer[V], Layer[T]]]:
    """Each layer with the one in the same place of the other graph. Raises Unlike where there is none."""
    places: dict[str, list[int]] = defaultdict(list)
    for index, digest in enumerate(_digests(theirs)):
        places[digest].append(index)
    found: dict[int, int] = {}
    for index, digest in enumerate(_digests(ours)):
        if not places[digest]:
            raise Unlike(_difference(ours, theirs, index))
        found[index] = places[digest].pop(0)
    if len(ours) != len(theirs):
        raise Unlike(_difference(ours, theirs, 0))
    for index, other in found.items():  # of places that look alike, those that belong together were taken together
        inputs = [found[each] for each in ours[index].inputs]
        wanted = list(theirs[other].inputs)
        if inputs != wanted if ours[index].kind == "concat" else sorted(inputs) != sorted(wanted):
            raise Unlike(f"{ours[index].name} can't be told from another layer")
    return [(ours[index], theirs[other]) for index, other in found.items()]


def _digests(layers: Sequence[Layer[V]]) -> list[str]:
    """Of each layer what tells its place: everything on the paths to it, and everything on those that it goes on by."""
    before: list[str] = []
    after: list[list[tuple[str, int]]] = [[] for _ in layers]
    for layer in layers:
        inputs = [before[each] for each in layer.inputs]
        before.append(_digest(layer.kind, layer.shape, inputs if layer.kind == "concat" else sorted(inputs)))
    found = [""] * len(layers)
    for index in reversed(range(len(layers))):
        found[index] = _digest(before[index], sorted(after[index]))
        for place, each in enumerate(layers[index].inputs):
            after[each].append((found[index], place if layers[index].kind == "concat" else 0))
    return found


def _digest(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def _difference(ours: Sequence[Layer[V]], theirs: Sequence[Layer[T]], index: int) -> str:
    """What two graphs differ in: a shape that one lacks, or the first layer that has another place."""
    here, there = Counter(each.label for each in ours), Counter(each.label for each in theirs)
    missing = next((each for each in ours if there[each.label] < here[each.label]), None)
    besides = next((each for each in theirs if here[each.label] < there[each.label]), None)
    if missing is not None:
        kind, _, rest = missing.label.partition(" of ")
        many = f"{counted(here[missing.label], kind)} of {rest}" if rest else counted(here[missing.label], kind)
        return f"it has {there[missing.label] or 'none'} of the {many} ({missing.name})"
    if besides is not None:
        return f"it has a {besides.label} too many ({besides.name})"
    return f"{ours[index].name} stands in another place"
