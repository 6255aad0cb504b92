"""LeNet-5."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from visus.models.parts import require_image
from visus.spec import Variant

if TYPE_CHECKING:
    from torch import nn

    from visus.nn import Pyramid

# Table I of the paper: which maps of S2 each map of C3 sees.
C3_TABLE = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip
LEAST_SIDE = 16


class LeNet5(Variant, frozen=True, tag="lenet5"):
    """LeNet-5 (LeCun et al. 1998, "Gradient-based learning applied to document recognition", Proc. IEEE 86(11)).

    N×1×32×32 in; maps 6×28×28 (C1), 16×10×10 (C3), 120×1×1 (C5) out; F6 and the output layer are the head.
    connect: C3 "sparse" by the paper's table, or "full". pool: "trainable" as in the paper, or plain "average".
    output: "codes", the paper's fixed prototypes, or "linear".

    Departs from the paper: C5 covers the whole map of S4 whatever the input's size (the paper: 5×5, of 32×32 inputs),
    the output codes are random and not drawn by hand (the paper names both), and the distances to them are divided by
    16 so that softmax cross-entropy learns well.
    """

    connect: Literal["sparse", "full"] = "sparse"
    pool: Literal["trainable", "average"] = "trainable"
    activation: Literal["scaled-tanh", "tanh", "relu"] = "scaled-tanh"
    output: Literal["codes", "linear"] = "codes"

    def build(self, shape: tuple[int, ...]) -> Pyramid:
        """shape: C×H×W of one image. Raises ModelError under 16×16."""
        from torch import nn

        from visus.nn import AveragePool, Pyramid, SparseConv2d, Subsample, WholeConv2d

        channels, *sides = require_image(self, shape, (LEAST_SIDE, LEAST_SIDE))

        def pool(maps: int) -> list[nn.Module]:
            return [Subsample(maps), self._act()] if self.pool == "trainable" else [AveragePool(maps)]

        rest = (((sides[0] - 4) // 2 - 4) // 2, ((sides[1] - 4) // 2 - 4) // 2)
        c3 = SparseConv2d(C3_TABLE, 6, 5) if self.connect == "sparse" else nn.Conv2d(6, 16, 5)
        stages = [
            nn.Sequential(nn.Conv2d(channels, 6, 5), self._act()),
            nn.Sequential(*pool(6), c3, self._act()),
            nn.Sequential(*pool(16), WholeConv2d(16, 120, rest), self._act()),
        ]
        return Pyramid(stages, (6, 16, 120), (1, 2, 4 * rest[0]))

    def head(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """F6 and the output layer, on features of this shape."""
        from torch import nn

        from visus.nn import Prototypes

        output = Prototypes(84, classes) if self.output == "codes" else nn.Linear(84, classes)
        return nn.Sequential(nn.Flatten(), nn.Linear(shape[0], 84), self._act(), output)

    def _act(self) -> nn.Module:
        from torch import nn

        from visus.nn import ScaledTanh, Tanh

        return {"scaled-tanh": ScaledTanh, "tanh": Tanh, "relu": nn.ReLU}[self.activation]()
