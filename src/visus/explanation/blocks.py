"""What a stage is made of, in words: "3 × residual 1×1 · 3×3 · 1×1"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from visus.nn import AveragePool, ConvNormAct, Gate, Residual, SparseConv2d, WholeConv2d

_WINDOWED = (nn.Conv2d, SparseConv2d, WholeConv2d, nn.MaxPool2d, nn.AvgPool2d, AveragePool)
_MOST = 5  # a block of more windows than this is named by its kind alone
_TURNS = 3  # blocks that take turns are found in turns of up to as many


@dataclass(frozen=True, slots=True)
class Block:
    """So many equal blocks in a row.

    kind: what they are; empty where their windows say it all. windows: of the convolutions and poolings of each.
    """

    count: int
    kind: str
    windows: tuple[str, ...] = ()

    def __str__(self) -> str:
        words = " ".join(filter(None, (self.kind, " · ".join(self.windows))))
        if self.count == 1:
            return words
        unclear = not self.windows and re.search(r"^\d+ |, ", words)
        return f"{self.count} × ({words})" if unclear else f"{self.count} × {words}"


def blocks_of(stage: nn.Module) -> tuple[Block, ...]:
    """The blocks of a stage in order, equal ones counted. Normalisations, activations and the like aren't named.

    >>> [str(block) for block in blocks_of(nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.ReLU(), nn.MaxPool2d(2)))]
    ['5×5 conv, stride 2', '2×2 max pool, stride 2']
    >>> [str(block) for block in blocks_of(nn.Sequential(nn.Linear(9, 9), nn.ReLU(), nn.Linear(9, 9), nn.Dropout()))]
    ['2 × linear 9']
    """
    while type(stage) is nn.Sequential and len(stage) == 1:
        stage = stage[0]
    modules = stage.children() if type(stage) is nn.Sequential else [stage]
    return tuple(_runs([block for module in modules if (block := _block(module)) is not None]))


def _runs(blocks: Sequence[Block]) -> Iterator[Block]:
    start = 0
    while start < len(blocks):
        times, turns = 1, 1
        for length in range(1, _TURNS + 1):
            turn, found = blocks[start : start + length], 1
            while blocks[start + found * length : start + (found + 1) * length] == turn:
                found += 1
            if found > 1 and found * length > times * turns:
                times, turns = found, length
        if turns == 1:
            yield Block(times, blocks[start].kind, blocks[start].windows)
        else:
            yield Block(times, ", ".join(map(str, blocks[start : start + turns])))
        start += times * turns


def _block(module: nn.Module) -> Block | None:
    """One block; None for what only normalises, activates or reshapes."""
    if isinstance(module, Residual):
        return Block(1, "residual", _chain(module.branch))
    if type(module) is nn.Sequential:
        windows = _chain(module)
        return Block(1, "" if windows else "block", windows) if _stores(module) or windows else None
    kind = _kind(module)
    return Block(1, kind, () if _simple(module) else _chain(module)) if kind else None


def _kind(module: nn.Module) -> str:
    """What a block is that isn't made of others, or made of them in its own way."""
    match module:
        case ConvNormAct():
            kind = _kind(module.conv)
        case nn.Conv2d() | SparseConv2d() | WholeConv2d():
            size, _, how = _window(module).partition(" ")
            words = (size, "conv", how) if how.startswith("in ") else (size, how, "conv")
            kind = " ".join(filter(None, words)) + _stride(getattr(module, "stride", 1))
        case nn.MaxPool2d() | nn.AvgPool2d() | AveragePool():
            kind = _window(module) + _stride(module.stride)
        case nn.AdaptiveAvgPool2d():
            size = _size(module.output_size)
            kind = "global average pool" if size == "1×1" else f"average pool to {size}"
        case nn.Linear():
            kind = f"linear {module.out_features}"
        case nn.LocalResponseNorm():
            kind = "local response norm"
        case _ if _branches(module):
            kind = f"{_branches(module)} branches"
        case _:
            kind = _class(module) if _stores(module) and "Norm" not in type(module).__name__ else ""
    return kind


def _simple(module: nn.Module) -> bool:
    """Whether its kind says all of a module."""
    return isinstance(module, (*_WINDOWED, ConvNormAct, nn.Linear, Gate)) or _branches(module) > 0


def _chain(block: nn.Module) -> tuple[str, ...]:
    """The windows of a block in order; none where they are too many."""
    found = (*_windows(block),)
    return found if len(found) <= _MOST else ()


def _windows(module: nn.Module) -> Iterator[str]:
    if isinstance(module, _WINDOWED):
        yield _window(module)
    elif isinstance(module, nn.Linear | Gate) or _branches(module):
        yield _kind(module)
    else:
        for child in module.children():
            yield from _windows(child)


def _window(layer: nn.Module) -> str:
    """A layer's window: "3×3", "3×3 depthwise", "3×3 in 32 groups", "2×2 max pool"."""
    match layer:
        case SparseConv2d():
            return f"{_size(tuple(layer.kernels.shape[1:]))} sparse"
        case nn.Conv2d() if layer.groups > 1:
            how = "depthwise" if layer.groups == layer.in_channels else f"in {layer.groups} groups"
            return f"{_size(layer.kernel_size)} {how}"
        case nn.MaxPool2d() | nn.AvgPool2d() | AveragePool():
            return f"{_size(layer.kernel_size)} {'max' if isinstance(layer, nn.MaxPool2d) else 'average'} pool"
        case _:
            return _size(layer.kernel_size)


def _branches(module: nn.Module) -> int:
    """How many branches stand side by side in a module that keeps them as `branches`; 0 in others."""
    found = getattr(module, "branches", None)
    return len(found) if isinstance(found, nn.ModuleList) else 0


def _stores(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None or next(module.buffers(), None) is not None


def _stride(stride: int | tuple[int, ...]) -> str:
    size = _size(stride)
    first, _, second = size.partition("×")
    return "" if size == "1×1" else f", stride {first if first == second else size}"


def _size(size: Any) -> str:
    """One number or one an axis, as torch's layers have it."""
    return "×".join(map(str, size if isinstance(size, tuple) else (size, size)))


def _class(module: nn.Module) -> str:
    """The name of a module's class as words.

    >>> _class(nn.MultiheadAttention(4, 2))
    'multihead attention'
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", type(module).__name__).split()
    return " ".join(word if len(word) == 1 or word.isupper() else word.lower() for word in words)
