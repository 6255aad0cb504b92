"""Images of any size, window by window: overlap-tile (Ronneberger et al. 2015, arXiv:1505.04597, figure 2).

A window is a core and a margin around it, which only lets the core's pixels see what is beside them. Beyond its edges
an image goes on as in a mirror.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from visus.errors import ModelError

TOGETHER = 8  # windows that a network gets at a time


def mirrored(start: int, count: int, length: int) -> Tensor:
    """Which of a side's `length` pixels stand at start … start + count − 1, where it goes on as in mirrors.

    >>> mirrored(-2, 8, 4).tolist()
    [2, 1, 0, 1, 2, 3, 2, 1]
    """
    period = max(1, 2 * (length - 1))
    at = torch.arange(start, start + count) % period
    return torch.minimum(at, period - at)


def window(x: Tensor, top: int, left: int, size: tuple[int, int]) -> Tensor:
    """A window of an image, mask or batch, which may reach over the edges: …×H×W → …×size."""
    rows, columns = (
        mirrored(start, count, length)
        for start, count, length in zip((top, left), size, x.shape[-2:], strict=True)
    )  # fmt: skip
    return x.index_select(-2, rows.to(x.device)).index_select(-1, columns.to(x.device))


def tiled(run: Callable[[Tensor], Tensor], x_NCHW: Tensor, size: tuple[int, int], margin: int) -> Tensor:
    """What a network says of images of any size: N×C×H×W → N×K×H×W, each pixel's answer from a window's core.

    run: N×C×size → N×K×h×w, the answers for the middle of each window: all of it, or without up to `margin` pixels at
    each edge. margin: at each edge of a window, less than half of it; where a pixel sees no farther than that, it makes
    no difference where the windows lie. Raises ModelError for other answers.
    """
    height, width = x_NCHW.shape[-2:]
    core_h, core_w = (side - 2 * margin for side in size)
    starts = list(product(range(0, height, core_h), range(0, width, core_w)))
    whole: Tensor | None = None
    for image in range(len(x_NCHW)):
        for first in range(0, len(starts), TOGETHER):
            some = starts[first : first + TOGETHER]
            found = run(torch.stack([window(x_NCHW[image], top - margin, left - margin, size) for top, left in some]))
            cores = _cores(found, size, (core_h, core_w))
            if whole is None:
                whole = cores.new_empty(len(x_NCHW), cores.shape[1], height, width)
            for (top, left), core in zip(some, cores, strict=True):
                seen = core[:, : height - top, : width - left]
                whole[image, :, top : top + core_h, left : left + core_w] = seen
    assert whole is not None
    return whole


def _cores(found: object, size: tuple[int, int], core: tuple[int, int]) -> Tensor:
    if not isinstance(found, Tensor) or found.ndim != 4:
        raise ModelError("this network doesn't answer pixel by pixel", "--set preprocess.fit=crop")
    (height, width), (core_h, core_w) = found.shape[-2:], core
    if height > size[0] or width > size[1] or (size[0] - height) % 2 or (size[1] - width) % 2:
        raise ModelError(f"windows of {size[0]}×{size[1]} pixels got answers for {height}×{width}")
    if height < core_h or width < core_w:
        least = max(size[0] - height, size[1] - width) // 2
        raise ModelError(
            f"of windows of {size[0]}×{size[1]} pixels this network answers for the inner {height}×{width}, fewer than "
            "their margin leaves",
            f"--set preprocess.margin={least}",
        )
    top, left = (height - core_h) // 2, (width - core_w) // 2
    return found[..., top : top + core_h, left : left + core_w]
