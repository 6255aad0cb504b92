"""From a name to a spec, from a spec to a network."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal, get_args

from msgspec.structs import replace

from visus.errors import NotFound, SpecError, nearest, require_count, require_known
from visus.models.cards import Card, WithAuxiliary, WithRectifiedScores
from visus.models.catalog import CATALOG, FAMILIES, Network

if TYPE_CHECKING:
    from visus.nn import Classifier

Bounds = float | tuple[float | None, float | None]
Order = Literal["name", "year", "parameters", "multiply-adds", "error"]
STANDARD = "ImageNet"  # the data whose errors are compared where no others are named


def list_models(
    pattern: str = "*",
    *,
    family: str | None = None,
    year: Bounds | None = None,
    parameters: Bounds | None = None,
    multiply_adds: Bounds | None = None,
    error: Bounds | None = None,
    data: str | None = None,
    sort: Order | None = None,
    descending: bool = False,
) -> list[str]:
    """The names in the catalog that match a shell pattern and everything else that is asked for.

    year, parameters, multiply_adds, error: one value, or (least, most), both included, None for an open end. error: the
    published top-1 error in percent on `data`; errors on other data aren't compared with it. data: only networks with
    a published error on it; "ImageNet" where errors are bounded. sort: by what, those of which it isn't known last; by
    default they stay in the order of the catalog. Raises NotFound for a family or data that no card has, and SpecError
    for another order and for bounds that nothing can lie in.

    >>> list_models("lenet*")
    ['lenet5', 'lenet5_full']
    >>> list_models("lenet*", parameters=(None, 60_000))
    ['lenet5']
    >>> list_models(family="lenet5", sort="multiply-adds", descending=True)
    ['lenet5_full', 'lenet5']
    """
    if family is not None and family not in FAMILIES:
        raise NotFound(f"there is no family named {family!r}", nearest(family, FAMILIES))
    measured = {card.published.data for card in CATALOG.values() if card.published}
    if data is not None and data not in measured:
        raise NotFound(f"no network has a published error on {data!r}", nearest(data, measured))
    if sort is not None:
        require_known("sort", sort, get_args(Order))
    bounds: dict[Order, Bounds | None] = {
        "year": year, "parameters": parameters, "multiply-adds": multiply_adds, "error": error,
    }  # fmt: skip
    for key, bound in bounds.items():
        _require_bounds(key, bound)
    names = [
        name
        for name, card in CATALOG.items()
        if fnmatchcase(name, pattern)
        and family in (None, card.family)
        and (data is None or card.error_on(data) is not None)
        and all(bound is None or _within(_figure(card, key, data), bound) for key, bound in bounds.items())
    ]
    if sort is None:
        return names[::-1] if descending else names
    if sort == "name":
        from natsort import natsorted

        return natsorted(names, reverse=descending)
    found = {name: figure for name in names if (figure := _figure(CATALOG[name], sort, data)) is not None}
    return [*sorted(found, key=found.__getitem__, reverse=descending), *(name for name in names if name not in found)]


def _figure(card: Card, key: Order, data: str | None) -> float | None:
    """What a network is bounded or sorted by; None where it isn't known."""
    if key == "year":
        return FAMILIES[card.family].year
    if key == "error":
        return card.error_on(data or STANDARD)
    if card.figures is None:
        return None
    return card.figures.parameters if key == "parameters" else card.figures.multiply_adds


def _require_bounds(key: str, bounds: object) -> None:
    """Raise SpecError for what isn't a number or a pair of them, the least first."""
    ends = bounds if isinstance(bounds, tuple) else (bounds, bounds)
    if len(ends) != 2 or not all(each is None or isinstance(each, int | float) for each in ends):
        raise SpecError(f"{key} can't be {bounds!r}", "give a number, or (least, most), None for an open end")
    least, most = ends
    if least is not None and most is not None and least > most:
        raise SpecError(f"{key} {bounds}: nothing lies between the two", f"{key.replace('-', '_')}=({most}, {least})")


def _within(value: float | None, bounds: Bounds) -> bool:
    """Whether a value is known and lies in the bounds."""
    least, most = bounds if isinstance(bounds, tuple) else (bounds, bounds)
    return value is not None and (least is None or value >= least) and (most is None or value <= most)


def find(name: str) -> Card:
    """The card of a name. Raises NotFound with the nearest names."""
    if name not in CATALOG:
        raise NotFound(f"there is no network named {name!r}", nearest(str(name), CATALOG))
    return CATALOG[name]


def build_classifier(spec: Network, shape: tuple[int, ...], classes: int) -> Classifier:
    """A network for inputs of `shape` (C×H×W, or F) with `classes` scores out.

    Raises SpecError for counts that aren't whole numbers from 1 up, and ModelError where the network can't take such
    inputs.
    """
    from visus.nn import Classifier

    require_count("classes", classes)
    for what, number in zip(("channels", "height", "width") if len(shape) == 3 else ("inputs",), shape, strict=False):
        require_count(what, number)
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
