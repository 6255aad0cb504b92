"""What changes while a run goes on, into a checkpoint and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from visus.nn import load_state
from visus.training import Learner
from visus.training.checkpoint import Checkpoint, random_state, set_random_state
from visus.training.loop import load_optimizer_state, optimizer_state


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


def to_checkpoint(
    state: State, model: nn.Module, average: nn.Module | None, learners: Sequence[Learner], facts: Mapping[str, Any]
) -> Checkpoint:
    """All that it takes to go on as if nothing had been. average: the averaged network. facts: more, of the run."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    groups = []
    for index, learner in enumerate(learners):
        found, settings = optimizer_state(learner.optimizer)
        tensors |= {f"optimizer{index}.{name}": value for name, value in found.items()}
        groups.append(settings)
    tensors |= {f"random.{name}": value for name, value in random_state().items()}
    return Checkpoint(tensors, {**vars(state), "optimizers": groups, **facts})


def from_checkpoint(
    checkpoint: Checkpoint, model: nn.Module, average: nn.Module | None, learners: Sequence[Learner]
) -> State:
    """Put everything where a checkpoint was, the random numbers too."""
    facts = dict(checkpoint.facts)
    load_state(model, checkpoint.part("model"), "the checkpoint")
    if average is not None:
        load_state(average, checkpoint.part("average"), "the checkpoint")
    for index, learner in enumerate(learners):
        load_optimizer_state(learner.optimizer, checkpoint.part(f"optimizer{index}"), facts["optimizers"][index])
    set_random_state(checkpoint.part("random"))
    return State(**{name: facts[name] for name in vars(State())})


def averaging(decay: float) -> Any:
    """torch's exponential moving average."""
    return get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
