"""Following what the elements of every tensor see of the image, from operation to operation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, NamedTuple

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from visus.errors import ModelError

LOST = "receptive fields can't be followed through {}"


@dataclass(frozen=True, slots=True)
class Span:
    """Along one side of the image, what the pixels of a map see, in pixels of the image.

    size: how many. stride: from the field of one pixel to the next one's. start: where the field of the first one
    begins; below 0 in the padding, so that minus start is what the literature calls the effective padding.
    """

    size: int
    stride: float
    start: float


class Part(NamedTuple):
    """A stretch of a dimension, and the sides of the image (0 rows, 1 columns) along which one moves in it."""

    length: int
    sides: frozenset[int] = frozenset()


Dim = tuple[Part, ...]  # slowest first; several where dimensions were made one


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a tensor: its dimensions, and the spans of its elements along rows and columns; None: all."""

    dims: tuple[Dim, ...]
    spans: tuple[Span | None, ...]

    def whole(self, sides: Iterable[int]) -> State:
        """Its elements see all of these sides."""
        spans = tuple(None if side in set(sides) else span for side, span in enumerate(self.spans))
        return replace(self, spans=spans)

    def shaped(self, shape: Sequence[int]) -> State:
        """The same with dimensions of other lengths."""
        dims = tuple(
            dim if length_of(dim) == length else (Part(length, sides_of(dim)),)
            for dim, length in zip(self.dims, shape, strict=True)
        )
        return replace(self, dims=dims)


class Call:
    """One operation: its arguments by name, what is known of them, and the shape of what it gives."""

    def __init__(self, name: str, given: dict[str, Any], states: dict[int, State], shape: Sequence[int]) -> None:
        self.name, self.given, self.states, self.shape = name, given, states, shape

    def __getitem__(self, name: str) -> Any:
        return self.given[name]

    def state(self, name: str) -> State | None:
        """Of one tensor; None for a weight or a constant."""
        return self.states.get(id(self.given[name]))

    def main(self) -> State:
        """Of the first argument."""
        state = self.states.get(id(next(iter(self.given.values()))))
        if state is None:
            raise self.lost()
        return state

    def known(self, name: str | None = None) -> list[State]:
        """Of all tensors, or of those in one argument."""
        leaves = tree_leaves(self.given if name is None else self.given[name])
        return [self.states[id(leaf)] for leaf in leaves if id(leaf) in self.states]

    def dim(self, count: int) -> int:
        """The dimension that is named, of so many."""
        return int(self.given["dim"]) % count

    def lost(self) -> ModelError:
        """The error of a call that no rule covers."""
        return ModelError(LOST.format(self.name))


Rule = Callable[[Call], State]


class Following(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Carries states from tensor to tensor while a network runs.

    rule_of: for an operation, what makes the state of its output from a call; None for one that isn't known.
    """

    def __init__(self, rule_of: Callable[[Any], Rule | None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rule_of = rule_of
        self.states: dict[int, State] = {}
        self.alive: list[Tensor] = []  # so that no other tensor gets the same id

    def begin(self, x: Tensor) -> None:
        """Take x for the images N×C×H×W; anything else is a vector, whose elements have no place."""
        if x.ndim == 4:
            rows, columns = (Part(x.shape[2], frozenset({0})),), (Part(x.shape[3], frozenset({1})),)
            dims = ((Part(x.shape[0]),), (Part(x.shape[1]),), rows, columns)
            self._note(x, State(dims, (Span(1, 1, 0), Span(1, 1, 0))))
        else:
            self._note(x, State(tuple((Part(length),) for length in x.shape), (None, None)))

    def spans(self, x: Tensor) -> tuple[Span | None, ...]:
        """What the elements of a tensor see, along rows and columns."""
        return self.states[id(x)].spans if id(x) in self.states else (None, None)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not any(id(leaf) in self.states for leaf in tree_leaves((args, kwargs))):
            return func(*args, **kwargs)
        rule = self.rule_of(func)
        if rule is None:
            with self:
                found = func.decompose(*args, **kwargs)
            if found is NotImplemented:
                raise ModelError(LOST.format(func))
            return found
        output = func(*args, **kwargs)
        outputs = output if isinstance(output, list) else tree_leaves(output)[:1]  # the first is what counts
        arguments = func._schema.arguments
        given = {each.name: each.default_value for each in arguments if each.has_default_value()}
        given |= kwargs | {each.name: value for each, value in zip(arguments, args, strict=False)}
        given = {each.name: given[each.name] for each in arguments}
        state = rule(Call(str(func), given, self.states, outputs[0].shape))
        for each in outputs:
            self._note(each, state.shaped(each.shape))
        return output

    def _note(self, x: Tensor, state: State) -> None:
        self.alive.append(x)
        self.states[id(x)] = state


def length_of(dim: Dim) -> int:
    """The length of a dimension."""
    return prod(part.length for part in dim)


def sides_of(*dims: Dim) -> frozenset[int]:
    """The sides of the image along which one moves in these dimensions."""
    return frozenset(side for dim in dims for part in dim for side in part.sides)
