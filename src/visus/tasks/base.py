"""What a task is, and what it gives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from visus.data.degrade import Degradation
from visus.data.preprocess import Placement, Preprocess
from visus.data.types import Batch, Schema, Target, Targets
from visus.metrics import Score
from visus.models import Network
from visus.training import Player

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# How several outputs become one. "arithmetic": the mean of the probabilities, or of the values; "geometric": the mean
# of the probabilities' logarithms, brought to the sum of 1 again, which is low wherever one of them is low.
How = Literal["arithmetic", "geometric"]


class Prediction(Protocol):
    """What a model says of one sample, in the units and names of the data; its repr is one short line."""

    def row(self) -> dict[str, Any]:
        """Plain values, for JSON and tables."""

    def text(self) -> str:
        """One line for a person."""

    def plot(self, title: str = "Prediction") -> Figure:
        """A picture of it, on the image where there is one. title: such as the name of the file."""

    def on(self, image: np.ndarray, placement: Placement) -> Self:
        """The same, of this H×W×C uint8 image: pixel coordinates are moved from the network's frame to the image."""


class Meter(Protocol):
    """Figures gathered batch by batch."""

    def scores(self) -> dict[str, Score]:
        """All of them; the task's `goal` is among them."""


@dataclass(frozen=True, slots=True)
class Case:
    """One sample of an evaluation, kept to be looked at.

    image: H×W×C uint8, or None for vectors. error: how badly it went; the greatest are the worst.
    """

    name: str
    image: np.ndarray | None
    prediction: Prediction
    target: Target
    error: float


class Task(Protocol):
    """A job: what to build on a network, what is learnt, and how its output is read, measured and drawn.

    needs: alternatives, each some fields of `Target`: a data set must have all fields of one of them.
    exact: whether its outputs are values, which the three digits of bfloat16 would spoil.
    """

    needs: ClassVar[tuple[tuple[str, ...], ...]]
    exact: ClassVar[bool]

    def goal(self, schema: Schema) -> str:
        """The score that chooses the best epoch: high or low, as the Score says."""

    def fitted(self, schema: Schema, targets: Targets) -> Self:
        """The task with the settings filled in that depend on the training targets. Raises DataError."""

    def assemble(self, network: Network, schema: Schema) -> nn.Module:
        """The network with what this task puts on it; `schema` is as the network sees the data."""

    def players(self, model: nn.Module) -> tuple[Player, ...]:
        """Who learns, on the device where the model is; empty where nothing is learnt by gradients."""

    def calibrate(self, model: nn.Module, batches: Iterable[Batch], held: Iterable[Batch]) -> None:
        """Set what is found by looking at the data once, and not by gradients: after what is, with the best weights.

        batches: the training samples. held: those that weren't learnt from; the training samples where there are none.
        """

    def decode(self, output: Any, schema: Schema) -> list[Prediction]:
        """What the model's output, in evaluation mode, says of each sample of a batch."""

    def meter(self, schema: Schema) -> Meter:
        """An empty meter."""

    def measure(self, meter: Any, output: Any, target: Targets) -> None:
        """Take a batch's output and truth into the meter."""

    def errors(self, output: Any, target: Targets) -> Tensor:
        """How badly it went: N errors, by which cases are ranked; a fusion's weights make their mean small."""

    def fuse(self, outputs: Sequence[Any], weights: Tensor, how: How, schema: Schema) -> Any:
        """The output that says the weighted mean of what several say of the same samples; the weights' sum is 1.

        What is to be fitted by gradients of `errors` can be: it is differentiable in the weights.
        """

    def draw(self, meter: Any, worst: Sequence[Case], some: Sequence[Case], schema: Schema) -> dict[str, Figure]:
        """The pictures of an evaluation by file name, most telling first."""


@runtime_checkable
class GivesBack(Protocol):
    """A task whose outputs are what its inputs are: images of pixels 0…1, or vectors in the data's units.

    degrade: what is done to inputs first. copies: whether what is wanted is the input itself, as it was before that;
    else the data have it. windows: whether images stay as they are, neither resized nor cut, and are seen in windows.
    std: of the preprocessing.
    """

    windows: ClassVar[bool]

    @property
    def degrade(self) -> tuple[Degradation, ...]: ...

    @property
    def std(self) -> tuple[float, ...] | None: ...

    @property
    def copies(self) -> bool: ...

    def scaled(self, preprocess: Preprocess) -> Self:
        """The task with the scale of the network's input filled in. Raises DataError for inputs of another kind."""


@runtime_checkable
class InGroups(Protocol):
    """A task that learns from several samples of a class at a time. each: how many of a class a training batch has one
    after another; the batch is a multiple of it."""

    @property
    def each(self) -> int: ...


def in_windows(task: object) -> bool:
    """Whether images stay as they are, neither resized nor cut."""
    return isinstance(task, GivesBack) and task.windows


def degradations(task: object) -> tuple[Degradation, ...] | None:
    """What is done to inputs that are also what is wanted; None where the data have what is wanted."""
    return task.degrade if isinstance(task, GivesBack) and task.copies else None


def unit_of(task: object, schema: Schema) -> Tensor | None:
    """What the features of a task's vectors are measured in, F; None for images."""
    known = task.std if isinstance(task, GivesBack) else None
    return torch.tensor(known) if known is not None and schema.inputs == "vector" else None


def exact(output: Tensor) -> Tensor:
    """In float32, or in float64 where it is: for sums over samples and networks."""
    return output.to(torch.promote_types(output.dtype, torch.float32))
