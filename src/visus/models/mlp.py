"""Multi-layer perceptron."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from visus.errors import ModelError
from visus.spec import Variant

if TYPE_CHECKING:
    from torch import nn

    from visus.nn import Pyramid


class MLP(Variant, frozen=True, tag="mlp"):
    """Fully connected layers, ŷ = f_{p+1}(…f_2(f_1(x))), f_i(z) = σ(Wᵀz + b) (Rumelhart et al. 1986).

    Vectors N×F, or images N×C×H×W taken as vectors, in; one N×hidden[i] vector a layer out.
    """

    hidden: tuple[Annotated[int, msgspec.Meta(ge=1)], ...] = (128, 128)
    activation: Literal["relu", "tanh", "logistic"] = "relu"
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0

    def build(self, shape: tuple[int, ...]) -> Pyramid:
        """shape: (F,) or C×H×W of one input."""
        from torch import nn

        from visus.nn import Pyramid

        if not self.hidden:
            raise ModelError("a perceptron needs at least one hidden layer", "--set model.spec.hidden=[128]")
        act = {"relu": nn.ReLU, "tanh": nn.Tanh, "logistic": nn.Sigmoid}[self.activation]
        stages, width = [], prod(shape)
        for index, units in enumerate(self.hidden):
            layers: list[nn.Module] = [nn.Flatten()] if index == 0 else []
            layers += [nn.Linear(width, units), act()]
            stages.append(nn.Sequential(*layers, *([nn.Dropout(self.dropout)] if self.dropout else [])))
            width = units
        return Pyramid(stages, self.hidden, ())

    def head(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The output layer, on features of this shape."""
        from torch import nn

        return nn.Linear(shape[0], classes)
