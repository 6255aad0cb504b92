"""RandAugment: a few operations for each image, drawn anew from fourteen (Cubuk et al., 2019, arXiv:1909.13719)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import radians
from typing import Annotated

import msgspec
import torch
from torch import Tensor

from visus.ops import colour
from visus.ops.warp import put_rows
from visus.spec import Spec

STRONGEST = 30  # the magnitude at which every operation is at its end
SHEAR, TURN, TRANSLATION = 0.3, 30.0, 150 / 331  # at the end: a tangent, degrees, a share of the side
ENHANCED = 0.9  # at the end colours, contrast, brightness and sharpness are 0.1 or 1.9 times what they were
COARSEST = 4  # bits of the 8 that posterizing leaves, at the end
MOVES = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")

# images, and how strongly each: −1 … 1
COLOURS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "autocontrast": lambda x, level: colour.autocontrast(x),
    "equalize": lambda x, level: colour.equalize(x),
    "posterize": lambda x, level: colour.posterize(x, 8 - ((8 - COARSEST) * level.abs()).round()),
    "solarize": lambda x, level: colour.solarize(x, (256 * (1 - level.abs())).round()),
    "colour": lambda x, level: colour.saturation(x, 1 + ENHANCED * level),
    "contrast": lambda x, level: colour.contrast(x, 1 + ENHANCED * level),
    "brightness": lambda x, level: colour.brightness(x, 1 + ENHANCED * level),
    "sharpness": lambda x, level: colour.sharpness(x, 1 + ENHANCED * level),
}
OPERATIONS = ("identity", *MOVES, *COLOURS)


class RandAugment(Spec, frozen=True):
    """Operations drawn for each image from the fourteen of the paper, one after the other.

    operations: how many. magnitude: how strong, 0 … 30: at 30 shears are by 0.3, turns by 30°, translations by 45 % of
    the side, colours 0.1 or 1.9 times as strong, 4 bits are left, all values are inverted.
    """

    operations: Annotated[int, msgspec.Meta(ge=1, le=14)] = 2
    magnitude: Annotated[float, msgspec.Meta(ge=0, le=STRONGEST)] = 9.0

    def draw(self, count: int, draws: torch.Generator) -> Drawn:
        """What is done to so many images."""
        kinds_NK = torch.randint(len(OPERATIONS), (count, self.operations), generator=draws)
        signs_NK = torch.randint(2, (count, self.operations), generator=draws) * 2 - 1
        return Drawn(kinds_NK, signs_NK * (self.magnitude / STRONGEST))


@dataclass(frozen=True)
class Drawn:
    """What was drawn for the images of a batch. kinds: N×K indices of OPERATIONS. levels: N×K, how strongly, −1 … 1.

    All of an image's moves are made at once, and before its colours are changed.
    """

    kinds: Tensor
    levels: Tensor

    def shift(self, height: int, width: int) -> Tensor:
        """N×2: whole pixels down and to the right, all translations of an image together."""
        pixels = [(self._levels(name) * TRANSLATION * side).round() for name, side in
                  (("translate_y", height), ("translate_x", width))]  # fmt: skip
        return torch.stack(pixels, -1).sum(1)

    def turned(self) -> Tensor:
        """N bool: which images take more than a shift."""
        return sum(self._levels(name).abs().sum(1) for name in ("shear_x", "shear_y", "rotate")) != 0  # type: ignore[return-value]

    def matrix(self, height: int, width: int) -> Tensor:
        """N×3×3: where the points of each image go; shears and turns are about the middle."""
        shear_x, shear_y = (self._levels(name) * SHEAR for name in ("shear_x", "shear_y"))
        angle_NK = self._levels("rotate") * radians(TURN)
        step_NK33 = torch.eye(3).repeat(*self.kinds.shape, 1, 1)
        step_NK33[..., 0, 0] = step_NK33[..., 1, 1] = torch.cos(angle_NK)
        step_NK33[..., 0, 1] = shear_x - torch.sin(angle_NK)
        step_NK33[..., 1, 0] = shear_y + torch.sin(angle_NK)
        middle_2 = torch.tensor([width / 2, height / 2])
        step_NK33[..., :2, 2] = middle_2 - step_NK33[..., :2, :2] @ middle_2
        step_NK33[..., 0, 2] += (self._levels("translate_x") * TRANSLATION * width).round()
        step_NK33[..., 1, 2] += (self._levels("translate_y") * TRANSLATION * height).round()
        whole_N33 = step_NK33[:, 0]
        for index in range(1, step_NK33.shape[1]):
            whole_N33 = step_NK33[:, index] @ whole_N33
        return whole_N33

    def colour(self, x_NCHW: Tensor) -> Tensor:
        """Values changed, in the order drawn: N×C×H×W uint8 in and out. Images with the same operation go together."""
        x_NCHW = x_NCHW.clone()
        for kind_N, level_N in zip(self.kinds.T, self.levels.T, strict=True):
            for name, change in COLOURS.items():
                rows = (kind_N == OPERATIONS.index(name)).nonzero()[:, 0]
                if len(rows):
                    changed = change(x_NCHW.index_select(0, rows.to(x_NCHW.device)), level_N[rows])
                    put_rows(x_NCHW, rows, changed)
        return x_NCHW

    def _levels(self, name: str) -> Tensor:
        """N×K: how strongly one operation is done, 0 where another is."""
        return torch.where(self.kinds == OPERATIONS.index(name), self.levels, 0.0)
