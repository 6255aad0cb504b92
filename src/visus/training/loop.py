"""The loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from visus.data.types import Batch
from visus.errors import TrainingError
from visus.training.divided import as_divided, divided, joined
from visus.training.optim import Optimizer, with_momenta
from visus.training.player import Player


class NotFinite(TrainingError):
    """A loss or gradient that isn't a number. rows: the samples of the batch."""

    def __init__(self, problem: str, rows: tuple[int, ...]) -> None:
        super().__init__(
            problem,
            "lower the learning rate (--set optim.lr=…), or find one with --lr-find; clip gradients "
            "(--set budget.clip=1); check the named samples with `visus data check`",
        )
        self.rows = rows


@dataclass(frozen=True, slots=True)
class Learner:
    """A player with its optimiser. rates: the highest learning rate of each of the optimiser's groups."""

    player: Player
    optimizer: torch.optim.Optimizer
    rates: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """What happened in one step.

    losses: player → part → scalar of its last turn, detached, on the device: reading one waits for it.
    rate: the first learner's; of its groups the highest, which is the one that the optimiser's settings name.
    skipped: whether a gradient wasn't finite, so that a player wasn't moved.
    """

    index: int
    losses: dict[str, dict[str, Tensor]]
    rate: float
    skipped: bool


def ready(players: Sequence[Player], optim: Optimizer) -> tuple[Learner, ...]:
    """Players with optimisers: their own, or `optim` where they have none."""
    built = [(player, (player.optim or optim).build(player.groups)) for player in players]
    return tuple(Learner(player, made, tuple(group["lr"] for group in made.param_groups)) for player, made in built)


def fit(
    learners: Sequence[Learner],
    batches: Iterable[Batch],
    *,
    steps: int,
    start: int = 0,
    rate: Callable[[float], float] = lambda done: 1.0,
    momentum: Callable[[float], float | None] = lambda done: None,
    clip: float | None = None,
    accumulate: int = 1,
    precision: torch.dtype = torch.float32,
    skips: int = 10,
) -> Iterator[Step]:
    """Train from step `start` to `steps`, one turn of every player a step; the caller logs, evaluates, saves and stops.

    rate, momentum: of the share of the run that is done. clip: the greatest norm of a player's gradient.
    accumulate: batches a player's step. precision: of autocast. skips: steps in a row that may be skipped for gradients
    that aren't finite. Raises NotFinite after that, or at once when a loss isn't; TrainingError when batches run out.
    """
    stream, skipped = iter(batches), 0
    for index in range(start, steps):
        losses, bad = {}, False
        for learner in learners:
            _move(learner, rate(index / steps), momentum(index / steps))
            player, device = learner.player, learner.player.parameters[0].device.type
            for _ in range(player.turns):
                learner.optimizer.zero_grad()
                sums: dict[str, Tensor] = {}
                for left in reversed(range(accumulate)):
                    try:
                        batch = next(stream)
                    except StopIteration:
                        ended = f"the batches ended at step {index + 1} of {steps}"
                        raise TrainingError(ended, "give an endless loader") from None
                    automatic = torch.autocast(device, precision, enabled=precision != torch.float32)
                    with automatic, player.apart() if left else nullcontext():
                        parts = player.loss(batch)
                    first, *others = (part.float() for part in parts.values())
                    total = sum(others, first)
                    total = total / accumulate if accumulate > 1 else total
                    if not isfinite(total.item()):
                        found = ", ".join(f"{name} {part.item():g}" for name, part in parts.items())
                        rows = tuple(batch.rows.tolist())
                        raise NotFinite(f"the loss isn't a number at step {index + 1}: {player.name}: {found}", rows)
                    for name, part in parts.items():
                        sums[name] = sums.get(name, 0) + part.detach() / accumulate
                    torch.autograd.backward(total, inputs=_learning(player))
                if clip is not None:
                    norm = nn.utils.clip_grad_norm_(player.parameters, clip)
                else:
                    norm = nn.utils.get_total_norm([p.grad for p in player.parameters if p.grad is not None])
                if isfinite(joined(norm).item()):
                    with_momenta(learner.optimizer)
                    learner.optimizer.step()
                else:
                    bad = True
            losses[player.name] = sums
        skipped = skipped + 1 if bad else 0
        if skipped > skips:
            rows = tuple(batch.rows.tolist())
            raise NotFinite(f"the gradient wasn't finite in {skipped} steps in a row, to step {index + 1}", rows)
        yield Step(index, losses, max(group["lr"] for group in learners[0].optimizer.param_groups), bad)


def _learning(player: Player) -> list[nn.Parameter] | None:
    """Those that learn, so that nobody else's gradients are touched; None where they are divided among ranks: then what
    the loss is made of are whole copies of them, and others' gradients are cleared before their turn."""
    found = [parameter for parameter in player.parameters if parameter.requires_grad]
    if not found:
        raise TrainingError(f"{player.name}: nothing can learn, all its parameters are frozen", "thaw some")
    return None if divided(found[0]) else found


def _move(learner: Learner, factor: float, momentum: float | None) -> None:
    for group, highest in zip(learner.optimizer.param_groups, learner.rates, strict=True):
        group["lr"] = highest * factor
        if momentum is not None:
            if "betas" in group:
                group["betas"] = (momentum, group["betas"][1])
            elif group.get("momentum"):
                group["momentum"] = momentum


def optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """An optimiser's state as named tensors ("3.exp_avg") and its groups as plain values."""
    state = optimizer.state_dict()
    tensors = {
        f"{index}.{name}": value if isinstance(value, Tensor) else torch.tensor(value)
        for index, each in state["state"].items()
        for name, value in each.items()
        if value is not None
    }
    return tensors, state["param_groups"]


def load_optimizer_state(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], groups: list[dict[str, Any]]
) -> None:
    """The inverse of `optimizer_state`."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    for parameter, each in optimizer.state.items():
        for name, value in each.items():  # lying in memory as the parameter does: other kernels round otherwise
            if isinstance(value, Tensor) and value.shape == parameter.shape and divided(parameter):
                each[name] = as_divided(value, parameter)
            elif isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                each[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
