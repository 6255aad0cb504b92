"""What is known of a network before it is built: its paper, its input, its published figures."""

from __future__ import annotations

from visus.spec import Spec


class Family(Spec, frozen=True):
    """What the variants of a family share.

    reference: arXiv number, or journal and year. departs: where our reading leaves the paper, and why.
    """

    title: str
    authors: str
    year: int
    reference: str
    departs: str = ""


class Published(Spec, frozen=True):
    """An error that somebody published, in percent, on a test or validation set. source: who measured which weights."""

    data: str
    source: str
    top1_error: float
    top5_error: float | None = None


class Figures(Spec, frozen=True):
    """Counts at the card's input size and number of classes.

    parameters: trainable scalars. multiply_adds: of convolutions, linear layers and matrix products, for one image,
    without biases, normalisations and activations.
    """

    parameters: int
    multiply_adds: int
    classes: int = 1000
