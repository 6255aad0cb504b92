"""The loop."""

from __future__ import annotations

from collections import deque
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

AHEAD = 2  # steps that the processor goes ahead of a CUDA device before it looks at what was found


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
    skipped: bool scalar on the device: whether a gradient wasn't finite, so that a player wasn't moved.
    check: waits for this step and those before it; raises NotFinite as `fit` does, which may notice some steps later.
    """

    index: int
    losses: dict[str, dict[str, Tensor]]
    rate: float
    skipped: Tensor
    check: Callable[[], None]


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
    ahead: int | None = None,
) -> Iterator[Step]:
    """Train from step `start` to `steps`, one turn of every player a step; the caller logs, evaluates, saves and stops.

    rate, momentum: of the share of the run that is done. clip: the greatest norm of a player's gradient.
    accumulate: batches a player's step. precision: of autocast. skips: steps in a row that may be skipped for gradients
    that aren't finite. ahead: steps that may be under way before the numbers of one are looked at; None: AHEAD of a
    CUDA device, else 0. Nobody is moved by a number that isn't finite, looked at or not.
    Raises NotFinite when a loss isn't finite, or after too many skips; TrainingError when batches run out.
    """
    stream, late = iter(batches), _Late(skips)
    for index in range(start, steps):
        losses, found, skipped = {}, list[_Number](), list[Tensor]()
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
                    known = {name: part.detach() for name, part in parts.items()}
                    found.append(_Number(total.detach(), player.name, batch.rows, known))
                    for name, part in known.items():
                        sums[name] = sums.get(name, 0) + part / accumulate
                    torch.autograd.backward(total, inputs=_learning(player))
                if clip is not None:
                    norm = nn.utils.clip_grad_norm_(player.parameters, clip)
                else:
                    norm = nn.utils.get_total_norm([p.grad for p in player.parameters if p.grad is not None])
                found.append(_Number(joined(norm), player.name, batch.rows))
                turn = torch.stack([number.value for number in found[-accumulate - 1 :]])
                skipped.append(_step_unless(~turn.isfinite().all(), learner.optimizer))
            losses[player.name] = sums
        late.add(index, found)
        if ahead is None:
            ahead = AHEAD if skipped[0].is_cuda else 0
        late.look(ahead)
        highest = max(group["lr"] for group in learners[0].optimizer.param_groups)
        yield Step(index, losses, highest, torch.stack(skipped).any(), late.look)
    late.look()


@dataclass(frozen=True, slots=True)
class _Number:
    """A scalar that must be finite: the loss of a batch, with its parts, or the norm of a gradient."""

    value: Tensor
    player: str
    rows: Tensor
    parts: dict[str, Tensor] | None = None


class _Late:
    """Looks at numbers some steps after they were asked for, so that an accelerator always has work waiting."""

    def __init__(self, skips: int) -> None:
        self.skips, self.row = skips, 0
        self.waiting: deque[tuple[int, Tensor, torch.cuda.Event | None, list[_Number]]] = deque()

    def add(self, index: int, found: list[_Number]) -> None:
        values, event = torch.stack([number.value for number in found]), None
        if values.is_cuda:
            values = torch.empty_like(values, device="cpu", pin_memory=True).copy_(values, non_blocking=True)
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
        self.waiting.append((index, values, event, found))

    def look(self, left: int = 0) -> None:
        """At all steps but the last `left`. Raises NotFinite."""
        while len(self.waiting) > left:
            index, values, event, found = self.waiting.popleft()
            if event is not None:
                event.synchronize()
            bad = [number for value, number in zip(values.tolist(), found, strict=True) if not isfinite(value)]
            for number in bad:
                if number.parts is not None:
                    told = ", ".join(f"{name} {part.item():g}" for name, part in number.parts.items())
                    rows = tuple(number.rows.tolist())
                    raise NotFinite(f"the loss isn't a number at step {index + 1}: {number.player}: {told}", rows)
            self.row = self.row + 1 if bad else 0
            if self.row > self.skips:
                problem = f"the gradient wasn't finite in {self.row} steps in a row, to step {index + 1}"
                raise NotFinite(problem, tuple(found[-1].rows.tolist()))


def _step_unless(bad: Tensor, optimizer: torch.optim.Optimizer) -> Tensor:
    """Move, unless `bad` (bool scalar) is true, which is returned.

    torch's fused optimisers look at it on the device, where it is; for others it has to be waited for.
    """
    with_momenta(optimizer)
    group = optimizer.param_groups[0]
    if group.get("fused") and bad.device.type in ("cpu", "cuda") and not divided(group["params"][0]):
        optimizer.found_inf, optimizer.grad_scale = bad.float(), None  # type: ignore[attr-defined]
        optimizer.step()
    elif not bad.item():
        optimizer.step()
    return bad


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
