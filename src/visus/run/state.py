"""What changes while a run goes on, into a checkpoint and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from visus.training import Learner, Step
from visus.training.checkpoint import Checkpoint, random_state, set_random_state
from visus.training.divided import put, whole
from visus.training.loop import load_optimizer_state, optimizer_state
from visus.training.ranks import ALONE, Ranks


@dataclass
class State:
    """How far a run is. step: steps done. sums: of the losses of the epoch under way."""

    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    ranks: list[list[float]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    best: int | None = None  # index into history
    skipped: int = 0

    def add(self, steps: list[Step]) -> None:
        """Wait for steps, add what they found, and forget them. Raises NotFinite."""
        if not steps:
            return
        steps[-1].check()
        self.skipped += sum(torch.stack([step.skipped for step in steps]).tolist())
        for player, parts in steps[0].losses.items():
            for name in parts:
                key = name if len(steps[0].losses) == 1 else f"{player}/{name}"
                for value in torch.stack([step.losses[player][name] for step in steps]).tolist():
                    self.sums[key] = self.sums.get(key, 0.0) + value
        steps.clear()

    def stale(self, patience: int | None) -> bool:
        """Whether the best epoch is more than this many epochs ago; None: never."""
        return patience is not None and self.best is not None and len(self.history) - 1 - self.best > patience


def to_checkpoint(
    state: State, model: nn.Module, average: nn.Module | None, learners: Sequence[Learner], facts: Mapping[str, Any],
    ranks: Ranks = ALONE,
) -> Checkpoint:  # fmt: skip
    """All that it takes to go on as if nothing had been. average: the averaged network. facts: more, of the run.

    The same whatever the ranks: tensors divided among them are put together, and each adds its random numbers.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    groups = []
    for index, learner in enumerate(learners):
        found, settings = optimizer_state(learner.optimizer)
        tensors |= {f"optimizer{index}.{name}": value for name, value in found.items()}
        groups.append(settings)
    for rank, states in enumerate(ranks.gather(random_state())):
        tensors |= {f"{_random(rank)}.{name}": value for name, value in states.items()}
    return Checkpoint(whole(tensors), {**vars(state), "optimizers": groups, **facts})


def from_checkpoint(
    checkpoint: Checkpoint, model: nn.Module, average: nn.Module | None, learners: Sequence[Learner],
    ranks: Ranks = ALONE,
) -> State:  # fmt: skip
    """Put everything where a checkpoint was, the random numbers too; a rank that it doesn't know keeps its own."""
    facts = dict(checkpoint.facts)
    put(model, checkpoint.part("model"), "the checkpoint")
    if average is not None:
        put(average, checkpoint.part("average"), "the checkpoint")
    for index, learner in enumerate(learners):
        load_optimizer_state(learner.optimizer, checkpoint.part(f"optimizer{index}"), facts["optimizers"][index])
    if states := checkpoint.part(_random(ranks.rank)):
        set_random_state(states)
    return State(**{name: facts[name] for name in vars(State())})


def _random(rank: int) -> str:
    return f"random{rank or ''}"
