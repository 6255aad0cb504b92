"""What is known of a network before it is built: its paper, its input, its published figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from visus.spec import Spec

if TYPE_CHECKING:
    from torch import nn

    from visus.models.catalog import Network


class Family(Spec, frozen=True):
    """What the variants of a family share.

    reference: arXiv number, or journal and year. doi: of a paper that isn't on arXiv. idea: what was new in it, in a
    sentence or two. departs: where our reading leaves the paper, and why.
    """

    title: str
    authors: str
    year: int
    reference: str
    doi: str = ""
    idea: str = ""
    departs: str = ""

    @property
    def link(self) -> str:
        """Where the paper is found; empty where neither an arXiv number nor a DOI is known."""
        if self.reference.startswith("arXiv:"):
            return "https://arxiv.org/abs/" + self.reference.removeprefix("arXiv:").split()[0].rstrip(",;")
        return f"https://doi.org/{self.doi}" if self.doi else ""


class Published(Spec, frozen=True):
    """An error that somebody published, in percent, on a test or validation set. source: who measured which weights."""

    data: str
    source: str
    top1_error: float | None = None
    top5_error: float | None = None


class Figures(Spec, frozen=True):
    """Counts at the card's input size and number of classes.

    parameters: trainable scalars. multiply_adds: of convolutions, linear layers and matrix products, for one image,
    without biases, normalisations and activations.
    """

    parameters: int
    multiply_adds: int
    classes: int = 1000


class Card(Spec, frozen=True):
    """One named network.

    family: a key of FAMILIES. spec: builds it. input: C×H×W for which the figures hold and that is used where the
    data don't say otherwise. fixed: whether it is made for that size, so that other images are fitted to it.
    figures: proven by a test. crop: the usual share of the image that evaluation keeps.
    """

    family: str
    spec: Network
    input: tuple[int, int, int]
    figures: Figures | None = None
    published: Published | None = None
    crop: float = 1.0
    fixed: bool = False
    about: str = ""

    @property
    def outputs(self) -> int:
        """The classes that the figures are of."""
        return self.figures.classes if self.figures else 1000

    def error_on(self, data: str) -> float | None:
        """The published top-1 error on a data set, in percent; None where there is none on it."""
        return self.published.top1_error if self.published and self.published.data == data else None


@runtime_checkable
class WithAuxiliary(Protocol):
    """A family whose networks have more heads while they are trained."""

    def auxiliary_heads(self, shapes: Sequence[tuple[int, ...]], classes: int) -> tuple[dict[int, nn.Module], float]:
        """Heads by the number of the stage on whose output each stands, and the share of the loss of each.

        shapes: of the stages' outputs for one image, without the batch.
        """


@runtime_checkable
class WithRectifiedScores(Protocol):
    """A family whose scores, as published, are never negative."""

    @property
    def scores(self) -> Literal["rectified", "linear"]:
        """Whether a ReLU is the last layer before they are averaged."""
