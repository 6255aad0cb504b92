"""Operations of a graph on what is stored in it: weights that are transposed first, paddings made of numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from visus.weights.formats.onnx_graph import Node

MANY = 1 << 16  # values that a graph may make of a shape
Given = Sequence[Tensor | None]


def computed(node: Node, given: Given, value: Tensor | None) -> Tensor | None:
    """What an operation makes of stored tensors; None where it isn't one of those that are known here.

    given: its inputs, None for one that isn't stored. value: what the node itself holds.
    """
    if node.operator == "Constant":
        return value
    if not given or given[0] is None:
        return None
    try:
        if node.operator == "ConstantOfShape":
            return _repeated(given[0], value)
        return RULES[node.operator](node, given[0], given[1:]) if node.operator in RULES else None
    except (IndexError, RuntimeError, TypeError, ValueError):  # of a graph that doesn't hold together
        return None


def _same(node: Node, x: Tensor, more: Given) -> Tensor:
    return x


def _transpose(node: Node, x: Tensor, more: Given) -> Tensor:
    return x.permute(node.integers("perm", tuple(reversed(range(x.ndim)))))


def _reshape(node: Node, x: Tensor, more: Given) -> Tensor:
    if not more or more[0] is None:
        return x  # the same numbers in the same order
    shape = [x.shape[place] if side == 0 else side for place, side in enumerate(_list(more[0]))]
    return x.reshape(shape)


def _concat(node: Node, x: Tensor, more: Given) -> Tensor | None:
    parts = [x, *(each for each in more if each is not None)]
    return torch.cat(parts, int(node.number("axis", 0))) if len(parts) == 1 + len(more) else None


def _slice(node: Node, x: Tensor, more: Given) -> Tensor | None:
    rows = [None if each is None else _list(each) for each in more]
    if len(rows) < 2 or rows[0] is None or rows[1] is None:
        return None
    axes = rows[2] if len(rows) > 2 and rows[2] is not None else list(range(len(rows[0])))
    steps = rows[3] if len(rows) > 3 and rows[3] is not None else [1] * len(rows[0])
    for start, end, axis, step in zip(rows[0], rows[1], axes, steps, strict=True):
        length = x.shape[axis]
        last = None if step < 0 and end < -length else end  # beyond the beginning
        x = x.index_select(axis, torch.tensor(range(length)[start:last:step], dtype=torch.int64))
    return x


def _repeated(shape: Tensor, value: Tensor | None) -> Tensor | None:
    """One value in a shape; of few values, as nothing but numbers for other operations is made so."""
    if shape.prod() > MANY:
        return None
    return (torch.zeros(1) if value is None else value.reshape(1)).expand(_list(shape))


def _list(x: Tensor) -> list[int]:
    return [int(each) for each in x.reshape(-1).tolist()]


RULES: dict[str, Callable[[Node, Tensor, Given], Tensor | None]] = {
    **dict.fromkeys(("Identity", "Cast", "Dropout", "Expand", "Squeeze", "Unsqueeze", "Flatten"), _same),
    "Transpose": _transpose, "Reshape": _reshape, "Concat": _concat, "Slice": _slice,
}  # fmt: skip
