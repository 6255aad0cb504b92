"""Which networks a file of weights may be of, whoever made it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch

from visus.models import CATALOG
from visus.models.cards import Card, WithAuxiliary
from visus.nn import WithoutRandomStart
from visus.weights.formats import Stored
from visus.weights.graphs import Unlike, fit
from visus.weights.load import missing_names, readings_of
from visus.weights.peers import PEERS, Peer
from visus.weights.translate import named

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
NEAR = (0.75, 1.33)  # how many numbers a file may have of those that a network of as many classes has


def fits(stored: Stored) -> list[str]:
    """The networks that a file may be of: ours by our names of their tensors; or LIBRARY:NAME of other
    libraries by their names; or ours by the places of the layers of an ONNX graph."""
    with WithoutRandomStart():
        if ours := [name for name in _near(stored) if _same_backbone(CATALOG[name], stored)]:
            return ours
        peers = [peer.key for peer in PEERS.values() if _rough(peer, stored) and not missing_names(peer, stored)]
        if peers or not stored.nodes:
            return peers
        return list(islice((name for name in _near(stored) if _same_graph(name, stored)), 1))


def not_finite(stored: Stored) -> dict[str, int]:
    """The tensors with values that are NaN or infinite, and how many."""
    counts = {
        name: tensor.numel() - int(tensor.isfinite().sum())
        for name, tensor in stored.tensors.items()
        if tensor.is_floating_point()
    }
    return {name: count for name, count in counts.items() if count}


def _near(stored: Stored) -> Iterator[str]:
    """The networks of about that size, so that few have to be built; those of an unknown size come last."""
    unknown = [name for name, card in CATALOG.items() if card.figures is None or isinstance(card.spec, WithAuxiliary)]
    kernels = [tensor.shape for tensor in stored.tensors.values() if tensor.ndim > 1]
    total = sum(tensor.numel() for name, tensor in stored.tensors.items() if not name.endswith(STATISTICS))
    for name, card in CATALOG.items():
        if kernels and card.figures is not None and name not in unknown:
            last = kernels[-1]
            wanted = card.figures.parameters + (last[0] - card.outputs) * (last[1:].numel() + 1)
            if NEAR[0] * wanted <= total <= NEAR[1] * wanted:
                yield name
    yield from unknown


def _same_backbone(card: Card, stored: Stored) -> bool:
    """Whether the tensors of our backbone are there, and no more of one; other channels or another image size may
    change the inputs of a layer or two."""
    there = {name: tensor.shape for name, tensor in stored.tensors.items() if name.startswith("backbone.")}
    if not there:
        return False
    with torch.device("meta"):
        state = {f"backbone.{name}": each.shape for name, each in card.spec.build(card.input).state_dict().items()}
    if state.keys() != there.keys():
        return False
    other = [name for name, shape in state.items() if there[name] != shape]
    return len(other) <= 2 and all(
        len(there[name]) == len(state[name]) > 1
        and (*there[name][:1], *there[name][2:]) == (*state[name][:1], *state[name][2:])
        for name in other
    )


def _same_graph(name: str, stored: Stored) -> bool:
    try:
        fit(stored, readings_of(name), CATALOG[name].input)
    except Unlike:
        return False
    return True


def _rough(peer: Peer, stored: Stored) -> bool:
    """Whether the first and the last layer of a peer are there; quick, as nothing is built."""
    pairs = list(peer.pairs(peer.spec))
    names = [pairs[index].theirs.partition("@")[0] for index in (0, -1)]
    there = named(peer, stored.tensors)
    return all(any(name == each or name.startswith((f"{each}.", f"{each}/")) for name in there) for each in names)
