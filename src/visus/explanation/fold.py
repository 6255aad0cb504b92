"""Layers as a table that repeats nothing: of equal blocks in a row only the first is shown in full."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from visus.explanation.summary import Row


@dataclass(frozen=True, slots=True)
class Line:
    """A layer, or blocks that are equal to the one before them.

    like: the name of that one; empty for a layer. count: of the blocks. parameters, multiply_adds: of all of them.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    like: str = ""
    count: int = 1


def folded(rows: Sequence[Row]) -> list[Line]:
    """The layers, and a line for each run of blocks that are like the one before: nothing is left out of the sums.

    Blocks are equal where they stand side by side in a list and their layers have the same names, kinds, shapes and
    counts.

    >>> block = [Row("0.conv", "Conv2d", (8, 4, 4), 584, 9216), Row("0.act", "ReLU", (8, 4, 4), 0, 0)]
    >>> rows = [replace(row, name=f"{number}{row.name[1:]}") for number in range(4) for row in block]
    >>> [(line.name, line.like, line.count, line.parameters) for line in folded(rows)]
    [('0.conv', '', 1, 584), ('0.act', '', 1, 0), ('1 … 3', '0', 3, 1752)]
    """
    return list(_lines(rows, 0))


def _lines(rows: Sequence[Row], depth: int) -> Iterator[Line]:
    """depth: how many of the words of the names all these rows share."""
    groups = [list(group) for _, group in groupby(rows, key=lambda row: row.name.split(".")[: depth + 1])]
    at = 0
    while at < len(groups):
        first = groups[at]
        if len(first) == 1:
            row = first[0]
            yield Line(row.name, row.kind, row.shape, row.parameters, row.multiply_adds)
        else:
            yield from _lines(first, depth + 1)
        end = at + 1
        while len(first) > 1 and end < len(groups) and _equal(first, groups[end], depth):
            end += 1
        if end > at + 1:
            rest = [row for group in groups[at + 1 : end] for row in group]
            names = [_prefix(group[0], depth) for group in groups[at:end]]
            yield Line(
                name=names[1] if len(names) == 2 else f"{names[1]} … {names[-1].rpartition('.')[2]}",
                kind="",
                shape=rest[-1].shape,
                parameters=sum(row.parameters for row in rest),
                multiply_adds=sum(row.multiply_adds for row in rest),
                like=names[0],
                count=len(names) - 1,
            )
        at = end


def _prefix(row: Row, depth: int) -> str:
    return ".".join(row.name.split(".")[: depth + 1])


def _equal(one: Sequence[Row], other: Sequence[Row], depth: int) -> bool:
    """Whether two blocks of a list differ in nothing but their numbers."""
    first, second = (rows[0].name.split(".")[depth] for rows in (one, other))
    return first.isdecimal() and second.isdecimal() and _without_number(one, depth) == _without_number(other, depth)


def _without_number(rows: Sequence[Row], depth: int) -> list[Row]:
    return [replace(row, name=".".join(row.name.split(".")[depth + 1 :])) for row in rows]
