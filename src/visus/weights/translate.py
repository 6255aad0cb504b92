"""From another library's tensors to ours, by the pairs of layers of a peer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from visus.errors import WeightsError
from visus.models import Network, build_classifier
from visus.models.vit import ViT
from visus.nn.state import listed, sides
from visus.ops.positions import resize_positions
from visus.weights.peers.base import Library, Pair, Pairs, Peer

COUNTER = "num_batches_tracked"  # of batches that a normalisation has seen: libraries store it or don't
NUMBERED = ("conv2d", "batch_normalization")
KERAS_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of ours: its name and shape, and where it comes from."""

    ours: str
    shape: tuple[int, ...]
    theirs: str
    pair: Pair
    module: nn.Module | None  # None where the pair names a single tensor


def entries(peer: Peer, classes: int, shape: tuple[int, ...] | None = None) -> list[Entry]:
    """All tensors of our network with their counterparts, in order. shape: of the input; the peer's by default."""
    return list(_entries(peer.library, peer.pairs, peer.spec, classes, shape or peer.input))


@lru_cache(maxsize=32)  # a file is held against the same few networks several times, and building one takes a second
def _entries(library: Library, pairs: Pairs, spec: Network, classes: int, shape: tuple[int, ...]) -> tuple[Entry, ...]:
    with torch.device("meta"):
        model = build_classifier(spec, shape, classes)
    state, modules = model.state_dict(), dict(model.named_modules())
    found: list[Entry] = []
    for pair in pairs(spec):
        if pair.ours in state:
            found.append(Entry(pair.ours, tuple(state[pair.ours].shape), pair.theirs, pair, None))
            continue
        module = modules[pair.ours]
        for name in (name for name in module.state_dict() if "." not in name and name != COUNTER):
            ours = f"{pair.ours}.{name}"
            found.append(Entry(ours, tuple(state[ours].shape), _their_name(library, pair, module, name), pair, module))
    missing = {name for name in state if not name.endswith(COUNTER)} - {entry.ours for entry in found}
    assert not missing, f"{library}: no pair for {sorted(missing)}"
    return tuple(found)


def translate(
    peer: Peer, stored: Mapping[str, Tensor], classes: int, source: str, shape: tuple[int, ...] | None = None
) -> dict[str, Tensor]:
    """Our network's state of another library's tensors, float32.

    Raises WeightsError that names the tensors that are missing, too many, or of another shape.
    """
    stored = named(peer, stored)
    wanted = entries(peer, classes, shape)
    problems = [f"{entry.theirs}: not in {source}" for entry in wanted if entry.theirs not in stored]
    known = {entry.theirs for entry in wanted}
    problems += [f"{name}: not known" for name in stored if name not in known and not _ignored(name, peer)]
    found: dict[str, Tensor] = {}
    for entry in wanted if not problems else ():
        value = laid_out(peer, entry, stored[entry.theirs])
        if isinstance(peer.spec, ViT) and value.ndim == 3 and entry.ours.endswith(".table"):
            value = _positions(peer.spec, value, peer.input, shape or peer.input)
        if tuple(value.shape) != entry.shape:
            there = sides(stored[entry.theirs].shape)
            problems.append(f"{entry.theirs}: {there} in {source}, {sides(entry.shape)} wanted")
        found[entry.ours] = value
    if problems:
        raise WeightsError(
            f"{source} isn't {peer.library}'s {peer.call}:{listed(problems)}",
            "give the weights of the network that was asked for",
        )
    norms = {entry.ours.rpartition(".")[0] for entry in wanted if entry.ours.endswith(".running_mean")}
    return found | {f"{norm}.{COUNTER}": torch.zeros((), dtype=torch.int64) for norm in norms}


def named(peer: Peer, stored: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """A file's tensors by the names that the peer's pairs have."""
    return renumbered(stored) if peer.library == "keras" else stored


def renumbered(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Keras's tensors with the layers that it numbers, conv2d_94, counted from nought: the numbers in a file go on from
    those of other networks that were made before it."""
    layers = {name.partition("/")[0] for name in stored}
    found: dict[str, str] = {}
    for kind in NUMBERED:
        numbers = sorted(
            (int(match[1] or 0), layer) for layer in layers if (match := re.fullmatch(rf"{kind}(?:_(\d+))?", layer))
        )
        found |= {layer: f"{kind}_{place}" if place else kind for place, (_, layer) in enumerate(numbers)}
    return {
        f"{found.get(name.partition('/')[0], name.partition('/')[0])}/{name.partition('/')[2]}": tensor
        for name, tensor in stored.items()
    }


def laid_out(peer: Peer, entry: Entry, value: Tensor) -> Tensor:
    """A tensor of another library, its axes in our order."""
    value = value.float()
    if peer.library == "keras" and entry.module is not None:
        value = _from_keras(entry.module, value)
    if entry.pair.change is not None and value.ndim > 1:
        value = entry.pair.change(value)
    squeezed = [each for each in value.shape if each > 1]
    return value.reshape(entry.shape) if squeezed == [each for each in entry.shape if each > 1] else value


def _positions(spec: ViT, table_1TD: Tensor, old: tuple[int, ...], new: tuple[int, ...]) -> Tensor:
    """Learnt positions of one grid of patches for another."""
    was, wanted = ((rows // spec.patch, columns // spec.patch) for _, rows, columns in (old, new))
    return table_1TD if was == wanted else resize_positions(table_1TD, was, wanted)


def _their_name(library: Library, pair: Pair, module: nn.Module, name: str) -> str:
    if library != "keras":
        return f"{pair.theirs}.{name}"
    layer, _, half = pair.theirs.partition("@")
    if isinstance(module, nn.modules.batchnorm._BatchNorm | nn.LayerNorm):
        return f"{layer}/{KERAS_NORM[name]}"
    if name == "bias":
        return f"{layer}/bias"
    return f"{layer}/{half}_kernel" if half else f"{layer}/kernel"


def _from_keras(module: nn.Module, value: Tensor) -> Tensor:
    """Keras's axes: H×W×in×out of a convolution, H×W×C×1 of a depthwise one, in×out of a dense layer."""
    if isinstance(module, nn.Conv2d) and value.ndim == 4:
        return value.permute(2, 3, 0, 1) if module.groups > 1 else value.permute(3, 2, 0, 1)
    if isinstance(module, nn.Linear) and value.ndim == 4:  # a 1×1 convolution there
        return value.permute(3, 2, 0, 1).flatten(1)
    return value.T if isinstance(module, nn.Linear) and value.ndim == 2 else value


def _ignored(name: str, peer: Peer) -> bool:
    return name.endswith((COUNTER, *peer.ignored))


def layer_names(peer: Peer) -> Iterator[tuple[str, str]]:
    """Pairs of whole layers, ours and theirs, whose outputs can be compared."""
    for pair in peer.pairs(peer.spec):
        if "@depthwise" not in pair.theirs:
            yield pair.ours, pair.theirs.partition("@")[0]
