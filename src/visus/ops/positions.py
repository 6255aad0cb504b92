"""Learnt positions of tokens, for another grid of patches."""

from __future__ import annotations

import torch
from torch import Tensor

from visus.ops.resize import resize


def resize_positions(positions: Tensor, old_grid: tuple[int, int], new_grid: tuple[int, int], extra: int = 1) -> Tensor:
    """Learnt positions of one grid of patches for another grid: T×D or 1×T×D in, T'×D or 1×T'×D out.

    The first `extra` of them belong to no patch (class tokens) and are kept; the rest are a picture of rows×columns,
    row by row, and are resized as one: bicubic, antialiased. The grids are (rows, columns).
    Raises ValueError where the positions aren't extra + rows·columns of the old grid, or a side of the new one is
    under 1.
    """
    (rows, columns), count = old_grid, positions.shape[-2]
    if count != extra + rows * columns:
        raise ValueError(f"{count} positions aren't {extra} and a grid of {rows}×{columns}")
    kept, patches = positions[..., :extra, :], positions[..., extra:, :]
    map_1DHW = patches.mT.reshape(1, -1, rows, columns)
    resized = resize(map_1DHW, new_grid, "bicubic").flatten(2).mT
    return torch.cat([kept, resized.reshape(*positions.shape[:-2], *resized.shape[1:])], -2)
