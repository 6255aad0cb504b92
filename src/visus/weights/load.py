"""Weights from anywhere, in our names: of what network they are, how to feed it, what its classes are called."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import torch
from msgspec.structs import replace as replace_spec
from torch import Tensor, nn

from visus.data.imagenet import imagenet_labels
from visus.data.preprocess import ImagePreprocess
from visus.errors import WeightsError
from visus.models import Cut, Network, build_classifier, find
from visus.models.cards import WithAuxiliary
from visus.nn import Classifier, Pyramid, load_state
from visus.weights.formats import Stored, read_weights
from visus.weights.graphs import Unlike, fit
from visus.weights.peers import PEERS, Peer
from visus.weights.releases import RELEASES
from visus.weights.sources import Located, Progress, locate
from visus.weights.translate import Entry, entries, laid_out, named, translate

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Weights:
    """Tensors of one of our networks, and what belongs to them.

    network: the spec that they are of, read as their makers read it. input: C×H×W. tensors: a whole state, float32.
    preprocess: what their makers feed the network with; None where nobody said. labels: of the classes; empty where
    nobody said. source: what the user named, and what it turned out to be.
    """

    network: Network
    input: Shape
    classes: int
    tensors: dict[str, Tensor]
    source: str
    preprocess: ImagePreprocess | None = None
    labels: tuple[str, ...] = ()
    folded: bool = False


def load_weights(
    text: str, network: str, *, size: tuple[int, int] | None = None, progress: Progress | None = None
) -> Weights:
    """The weights that `text` names (see `sources.locate`), for the network of that name in the catalog.

    size: height and width of the input, where the network's weights depend on it; those of the weights by default.
    Raises NotFound, DownloadError, and WeightsError where the file can't be read safely or isn't of this network.
    """
    located = locate(text, network, progress)
    stored = read_weights(located.file)
    peers = [located.peer] if located.peer else [peer for peer in PEERS.values() if peer.network == network]
    if stored.nodes and all(missing_names(peer, stored) for peer in peers):  # it has names of its own
        return _of_graph(stored, located, network, size, text)
    peer = located.peer or _recognized(stored, network, text)
    if peer is None:
        return _own(stored, network, size, text)
    classes = _classes(peer, stored)
    shape = _resized(peer.input, size)
    given = stored.tensors
    if stored.format == "onnx":  # a graph has constants besides
        known = {entry.theirs for entry in entries(peer, peer.classes)}
        given = {name: tensor for name, tensor in given.items() if name in known}
    tensors = translate(peer, given, classes, text, shape)
    default = RELEASES.get(peer.key, (None,))[0]
    release = located.release or (default if classes == peer.classes else None)
    labels = imagenet_labels() if classes == peer.classes else ()
    said = f"{text}: {peer.library}'s {peer.call}" + (f", {located.release.tag}" if located.release else "")
    return Weights(peer.spec, shape, classes, tensors, said, release.preprocess if release else None, labels)


def put(model: nn.Module, weights: Weights, *, new_head: bool) -> list[str]:
    """Copy weights into a network with the same backbone. Returns the names of the tensors that stayed as they were.

    new_head: leave the last layer as it is, and what else of the heads has other names or shapes in the weights; of
    what isn't a classifier everything but the backbone, which may be the first stages of the network's. Raises
    WeightsError that names the tensors that differ.
    """
    state = model.state_dict()
    if not isinstance(model, Classifier):
        where, backbone = next((name, each) for name, each in model.named_modules() if isinstance(each, Pyramid))
        left = [name for name in state if not name.startswith(f"{where}.")]
        kept = {
            name.replace("backbone", where, 1): tensor
            for name, tensor in weights.tensors.items()
            if not _of_head(name) and not _later(name, len(backbone.stages) - 1)
        }  # fmt: skip
        load_state(model, kept | {name: state[name] for name in left}, weights.source)
        depth = where.count(".") + 1
        return [f"{part}.*" for part in dict.fromkeys(".".join(name.split(".")[:depth]) for name in left)]
    if not new_head:
        load_state(model, weights.tensors, weights.source)
        return []
    kept = {name: tensor for name, tensor in weights.tensors.items() if not _of_head(name) or name in state}
    last = set(class_dependent(weights.network, weights.input))
    left = [
        name for name in state
        if _of_head(name) and (name in last or name not in kept or kept[name].shape != state[name].shape)
    ]  # fmt: skip
    load_state(model, kept | {name: state[name] for name in left}, weights.source)
    return left


def cut_down(weights: Weights, cut: Cut) -> Weights:
    """The weights of the first stages of a network, and nothing of its head."""
    kept = {
        name: tensor for name, tensor in weights.tensors.items() if not _of_head(name) and not _later(name, cut.stage)
    }
    return replace(weights, network=cut, tensors=kept, labels=())


def class_dependent(network: Network, shape: Shape) -> list[str]:
    """The tensors whose shapes depend on the number of classes: the last layer's, and those of auxiliary heads."""
    with torch.device("meta"):
        one, other = (build_classifier(network, shape, classes).state_dict() for classes in (2, 3))
    return [name for name, tensor in one.items() if tensor.shape != other[name].shape]


def _of_head(name: str) -> bool:
    return name.startswith(("head.", "auxiliary."))


def _later(name: str, stage: int) -> bool:
    """Whether a tensor is of a stage after this one."""
    found = re.match(r"backbone\.stages\.(\d+)\.", name)
    return found is not None and int(found[1]) > stage


def missing_names(peer: Peer, stored: Stored) -> list[str]:
    """The names that a peer's network needs and a file hasn't."""
    there = named(peer, stored.tensors)
    return [entry.theirs for entry in entries(peer, peer.classes) if entry.theirs not in there]


def _recognized(stored: Stored, network: str, text: str) -> Peer | None:
    """The peer whose names of tensors the file has; None where the names are our own.

    Raises WeightsError where none fits, and where several fit that read the network differently.
    """
    with torch.device("meta"):
        own = build_classifier(find(network).spec, find(network).input, 2).state_dict()
    if all(name in stored.tensors for name in own):
        return None
    missing = {peer.key: missing_names(peer, stored) for peer in PEERS.values() if peer.network == network}
    fits = [PEERS[key] for key, names in missing.items() if not names]
    if not fits:
        nearest = min(missing, key=lambda key: len(missing[key]), default=None)
        why = f"the nearest is {nearest}, of which it lacks {', '.join(missing[nearest][:4])}" if nearest else ""
        raise WeightsError(
            f"{text} has the names of no library's {network}" + (f"; {why}" if why else ""),
            "name the network that the file is of with --model, or its layout: --weights LIBRARY:NAME=FILE",
        )
    if any(peer.spec != fits[0].spec for peer in fits):
        raise WeightsError(
            f"{text} fits {' and '.join(peer.key for peer in fits)}, which read the network differently",
            f"say which it is: --weights {fits[0].key}={text}",
        )
    return fits[0]


def _of_graph(stored: Stored, located: Located, network: str, size: tuple[int, int] | None, text: str) -> Weights:
    """The weights of an ONNX graph, by the places of its layers: read as the library that was named reads them, or as
    any does."""
    card, peer = find(network), located.peer
    try:
        found = fit(stored, readings_of(network, peer), _resized(peer.input if peer else card.input, size))
    except Unlike as why:
        raise WeightsError(
            f"{text} isn't the graph of {network}: {why}",
            "name the network that it is of with --model, or give the weights that it was exported from",
        ) from None
    release = RELEASES.get(peer.key, (None,))[0] if peer else None
    labels = imagenet_labels() if peer and found.classes == peer.classes else ()
    said = f"{text}: an ONNX graph" + (", with its normalisations folded" if found.folded else "")
    preprocess = release.preprocess if release and labels else None
    return Weights(found.spec, found.input, found.classes, found.tensors, said, preprocess, labels, found.folded)


def readings_of(network: str, peer: Peer | None = None) -> list[Network]:
    """The networks that a graph of that name may be of, ours first: as a library reads it, or as any does, and without
    the heads that are only used while training."""
    others = (each.spec for each in PEERS.values() if each.network == network)
    known = [peer.spec] if peer else [find(network).spec, *others]
    plain = [replace_spec(spec, auxiliary=None) for spec in known if isinstance(spec, WithAuxiliary)]
    return list(dict.fromkeys([*known, *plain]))


def _own(stored: Stored, network: str, size: tuple[int, int] | None, text: str) -> Weights:
    card = find(network)
    shape = _resized(card.input, size)
    counted = [name for name in class_dependent(card.spec, shape) if name.startswith("head.")]
    classes = stored.tensors[counted[-1]].shape[0] if counted else card.outputs
    shape = (_channels(card.spec, shape, stored), *shape[1:])
    return Weights(card.spec, shape, classes, dict(stored.tensors), text)


def _channels(network: Network, shape: Shape, stored: Stored) -> int:
    """1 or 3, whichever the tensors that depend on it are of; those of `shape` where neither fits."""
    with torch.device("meta"):
        grey, colour = (build_classifier(network, (each, *shape[1:]), 2).state_dict() for each in (1, 3))
    names = [name for name, tensor in grey.items() if tensor.shape != colour[name].shape]
    for channels, state in ((1, grey), (3, colour)):
        if names and all(stored.tensors[name].shape == state[name].shape for name in names):
            return channels
    return shape[0]


def _resized(shape: Shape, size: tuple[int, int] | None) -> Shape:
    return shape if size is None else (shape[0], *size)


def _classes(peer: Peer, stored: Stored) -> int:
    """How many classes the file is of: the first side of the last layer of the head."""
    found: list[Entry] = [entry for entry in entries(peer, peer.classes) if entry.ours.startswith("head")]
    last = found[-1]
    there = named(peer, stored.tensors)
    return int(laid_out(peer, last, there[last.theirs]).shape[0]) if last.theirs in there else peer.classes
