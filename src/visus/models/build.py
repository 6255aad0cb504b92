"""From a name to a spec, from a spec to a network."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from msgspec.structs import replace

from visus.errors import ModelError, NotFound, nearest
from visus.models.cards import Card, WithAuxiliary, WithRectifiedScores
from visus.models.catalog import CATALOG, Network

if TYPE_CHECKING:
    from visus.nn import Classifier


def list_models(pattern: str = "*") -> list[str]:
    """The names in the catalog that match a shell pattern.

    >>> list_models("lenet*")
    ['lenet5', 'lenet5_full']
    """
    return [name for name in CATALOG if fnmatchcase(name, pattern)]


def find(name: str) -> Card:
    """The card of a name. Raises NotFound with the nearest names."""
    if name not in CATALOG:
        raise NotFound(f"there is no network named {name!r}", nearest(name, CATALOG))
    return CATALOG[name]


def build_classifier(spec: Network, shape: tuple[int, ...], classes: int) -> Classifier:
    """A network for inputs of `shape` (C×H×W, or F) with `classes` scores out.

    Raises ModelError where the network can't take such inputs.
    """
    from visus.nn import Classifier

    if classes < 1:
        raise ModelError(f"a network can't have {classes} outputs", "give at least 1")
    shapes = stage_shapes(spec, shape)
    backbone, head = spec.build(shape), spec.head(shapes[-1], classes)
    if isinstance(spec, WithAuxiliary):
        return Classifier(backbone, head, *spec.auxiliary_heads(shapes, classes))
    return Classifier(backbone, head)


def signed(spec: Network) -> Network:
    """The same network with scores of either sign: softmax can do without negative ones, a logistic function or a
    value that is predicted can't."""
    return replace(spec, scores="linear") if isinstance(spec, WithRectifiedScores) else spec


def stage_shapes(spec: Network, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The shape of each stage's output for one input of `shape`; no memory is taken and nothing computed."""
    import torch

    with torch.device("meta"), torch.no_grad():
        return [tuple(x.shape[1:]) for x in spec.build(shape).eval().outputs(torch.empty(1, *shape))]
