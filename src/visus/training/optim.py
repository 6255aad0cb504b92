"""Optimisers as settings; the work is done by torch's own, fused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import torch

from visus.spec import Variant
from visus.training.divided import divided

if TYPE_CHECKING:
    from visus.training.player import Group

Rate = Annotated[float, msgspec.Meta(gt=0)]
Decay = Annotated[float, msgspec.Meta(ge=0)]
Beta = Annotated[float, msgspec.Meta(ge=0, lt=1)]


class SGD(Variant, frozen=True, tag="sgd"):
    """Stochastic gradient descent with momentum, Nesterov's by default.

    lr: the highest learning rate of the schedule. momentum: the share of the last step that goes on.
    nesterov: look ahead by it. weight_decay: of weights; biases and normalisations have none.
    """

    lr: Rate = 0.1
    momentum: Beta = 0.9
    nesterov: bool = True
    weight_decay: Decay = 5e-4

    def build(self, groups: Sequence[Group]) -> torch.optim.Optimizer:
        """The optimiser of these parameters."""
        tables = _tables(groups, self.lr, self.weight_decay)
        fused = not any(divided(parameter) for group in groups for parameter in group.parameters)  # torch has no other
        return torch.optim.SGD(
            tables, self.lr, momentum=self.momentum, nesterov=self.nesterov and self.momentum > 0, fused=fused
        )


class AdamW(Variant, frozen=True, tag="adamw"):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2017, arXiv:1711.05101).

    lr: the highest learning rate of the schedule. betas: the decays of the averages of gradients and of their squares.
    eps: added to the denominator. weight_decay: of weights; biases and normalisations have none.
    """

    lr: Rate = 1e-3
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    eps: Rate = 1e-8
    weight_decay: Decay = 0.01

    def build(self, groups: Sequence[Group]) -> torch.optim.Optimizer:
        """The optimiser of these parameters."""
        tables = _tables(groups, self.lr, self.weight_decay)
        return torch.optim.AdamW(tables, self.lr, betas=self.betas, eps=self.eps, fused=True)


Optimizer = SGD | AdamW


def with_momenta(optimizer: torch.optim.Optimizer) -> None:
    """Give parameters that have none a momentum of zero, with which their first step is that of a new optimiser.

    torch's fused SGD takes the momenta of all or of none, and leaves new ones undefined where it skips the first step.
    """
    for group in optimizer.param_groups:
        if not (group.get("fused") and group.get("momentum")):
            continue
        for each in group["params"]:
            if each.grad is not None and "momentum_buffer" not in optimizer.state.get(each, {}):
                optimizer.state[each]["momentum_buffer"] = torch.zeros_like(each)


def _tables(groups: Sequence[Group], lr: float, decay: float) -> list[dict[str, Any]]:
    """torch's parameter groups: weights with decay, vectors and scalars (biases, normalisations) without."""
    tables = []
    for group in groups:
        for params, each in (
            ([p for p in group.parameters if p.ndim > 1], decay),
            ([p for p in group.parameters if p.ndim <= 1], 0.0),
        ):
            if params:
                tables.append({"params": params, "lr": lr * group.rate, "weight_decay": each})
    return tables
