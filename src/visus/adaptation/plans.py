"""What of a trained network stays, and what learns: plans as data."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from visus.errors import SpecError, nearest
from visus.models import Cut, Network
from visus.models.parts import Count
from visus.spec import Variant

Decay = Annotated[float, msgspec.Meta(gt=0, le=1)]


class Linear(Variant, frozen=True, tag="linear"):
    """A new last layer on the features of the whole network, which stay as they are.

    For a small set that is like the one that the weights were trained on. The features are computed once an image.
    """


class Stage(Variant, frozen=True, tag="stage"):
    """A linear classifier on the features of an earlier stage, pooled; the stages after it are left out.

    For a small set that is unlike the first one: early features are more general (Yosinski et al. 2014,
    arXiv:1411.1792). stage: from 0, the stem. The features are computed once an image.
    """

    stage: Annotated[int, msgspec.Meta(ge=0)]


class Partial(Variant, frozen=True, tag="partial"):
    """The last stages and a new last layer learn; what is before them is frozen, its running statistics too.

    stages: how many learn. decay: each stage learns at so much of the rate of the one above it.
    """

    stages: Count = 1
    decay: Decay = 1.0


class Full(Variant, frozen=True, tag="full"):
    """All of the network learns, from the weights, with a new last layer.

    decay: each stage learns at so much of the rate of the one above it (Howard & Ruder 2018, arXiv:1801.06146, §3.2).
    thaw: epochs until one more stage learns, from the top; 0: all at once. norm: "frozen" leaves the running statistics
    of normalisations as the weights have them, for batches that are too small to give good ones.
    """

    decay: Decay = 1.0
    thaw: Annotated[int, msgspec.Meta(ge=0)] = 0
    norm: Literal["learn", "frozen"] = "learn"


class Scratch(Variant, frozen=True, tag="scratch"):
    """All of the network learns, from random weights: what the other plans are compared with."""


Plan = Linear | Stage | Partial | Full | Scratch
NAMES = ("linear", "stage:K", "partial:K", "full", "scratch")


def parse_plan(text: str) -> Plan:
    """A plan from its short name. Raises SpecError.

    >>> parse_plan("partial:2")
    Partial(stages=2, decay=1.0)
    """
    name, colon, count = text.partition(":")
    plain: dict[str, Plan] = {"linear": Linear(), "full": Full(), "scratch": Scratch()}
    if name in plain and not colon:
        return plain[name]
    least = {"stage": 0, "partial": 1}
    if name in least and count.isascii() and count.isdigit() and int(count) >= least[name]:
        return Stage(stage=int(count)) if name == "stage" else Partial(stages=int(count))
    if name in least:
        what = "stages are counted from 0, the stem" if name == "stage" else "it says how many stages learn, from 1 up"
        raise SpecError(f"the plan can't be {text!r}: {what}", f"{name}:{least[name]}, {name}:{least[name] + 1}, …")
    raise SpecError(f"there is no plan {text!r}", nearest(name, NAMES))


def network_of(plan: Plan | None, network: Network) -> Network:
    """The network that a plan trains: all of it, or its first stages."""
    if not isinstance(plan, Stage):
        return network
    return Cut(network=network.network if isinstance(network, Cut) else network, stage=plan.stage)
