"""Who learns: a classifier is one player, a GAN is two."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from torch import Tensor, nn

from visus.data.types import Batch
from visus.training.optim import Optimizer


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters that learn at `rate` times the player's learning rate."""

    parameters: tuple[nn.Parameter, ...]
    rate: float = 1.0


@dataclass(frozen=True, slots=True)
class Player:
    """Parameters, and the loss that moves them.

    loss: a batch → its parts by name, scalars whose sum is lowered.
    optim: how; None for the recipe's. turns: how many steps it takes while the others take theirs.
    weight: what a batch weighs in the mean over several, on several ranks: what the loss divides by.
    apart: entered for all but the last batch of a step, whose gradients may wait to be sent to other ranks.
    """

    name: str
    groups: tuple[Group, ...]
    loss: Callable[[Batch], dict[str, Tensor]]
    optim: Optimizer | None = None
    turns: int = 1
    weight: Callable[[Batch], float | Tensor] = len
    apart: Callable[[], AbstractContextManager[object]] = nullcontext

    @staticmethod
    def of(name: str, module: nn.Module, loss: Callable[[Batch], dict[str, Tensor]]) -> Player:
        """A player that moves all of a module's parameters that aren't frozen."""
        return Player(name, (Group(tuple(p for p in module.parameters() if p.requires_grad)),), loss)

    @property
    def parameters(self) -> tuple[nn.Parameter, ...]:
        """All of them, group after group."""
        return tuple(parameter for group in self.groups for parameter in group.parameters)
