"""The three ways in which Keras stores weights: .h5 with names, .weights.h5 with numbers, .keras with a description."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, final

from torch import Tensor

from visus.data.image import printable
from visus.weights.formats.hdf5 import Array, File, Group
from visus.weights.formats.keras_config import MAX_BYTES, Config, inside, read_config
from visus.weights.formats.keras_names import CLASSES, NORMS, WRAPPED, Weight, canonical, class_of, numbered, spelled
from visus.weights.formats.source import Source
from visus.weights.formats.zips import Zip

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
NOT_OF_THE_NETWORK = ("optimizer", "optimizer_weights", "metrics", "loss")
SHOWN = 20  # names in a note

Found = tuple[dict[str, Tensor], dict[str, Any]]


def read_keras_zip(archive: Zip) -> Found:
    """A .keras file. Raises WeightsError."""
    source = archive.source
    if WEIGHTS not in archive.entries:
        raise source.refused(
            f"is a Keras file without {WEIGHTS}: its weights are in several files, or of another kind",
            "load it with Keras, and save the weights in one: model.save_weights('….weights.h5')",
        )
    config = read_config(source, archive.text(CONFIG))
    file = File(archive.part(WEIGHTS))
    return _by_number(file, file.root(), config)


def read_keras_hdf5(source: Source) -> tuple[str, Found]:
    """What kind of an .h5 file it is, and what it holds. Raises WeightsError."""
    file = File(source)
    root = file.root()
    for name in ("model_config", "training_config"):
        if name in root.attributes:
            read_config(source, "".join(file.texts(root.attributes[name], MAX_BYTES)).encode())
    named = root.groups.get("model_weights", root)
    if _texts(file, named, "layer_names") is not None:
        return "keras-h5", _by_name(file, root, named)
    if not any(True for _ in _variables(root)):
        raise source.refused("is an HDF5 file that Keras didn't write: its groups aren't layers")
    return "keras-weights", _by_number(file, root, {})


def _by_name(file: File, root: Group, group: Group) -> Found:
    weights = []
    tops = _texts(file, group, "layer_names") or []
    own = "top_level_model_weights"
    for top in dict.fromkeys([*tops, *([own] if own in group.groups else ())]):
        layer = group.at(top)
        names = _texts(file, layer, "weight_names") if isinstance(layer, Group) else None
        if not isinstance(layer, Group) or names is None:
            raise file.damaged(f"the layer {printable(top)} isn't there, or has no names of weights")
        if len(set(names)) < len(names):
            raise file.damaged(f"the layer {printable(top)} has two weights of one name")
        for name, (inner, short) in zip(names, spelled(top, names), strict=True):
            array = layer.at(name)
            if not isinstance(array, Array):
                raise file.damaged(f"the weight {printable(name)} isn't there")
            # what lies in the model itself, not in a layer, is called after the model
            if top != own:
                weights.append(Weight(top, inner, short, array))
            else:
                weights.append(Weight(inner[0] if inner else "model", inner[1:], short, array))
    notes = {"left_out": [each for each in NOT_OF_THE_NETWORK if each in root.groups]}
    return _tensors(file, weights, notes)


@final
@dataclass(slots=True)
class _Notes:
    left_out: list[str] = field(default_factory=list)
    numbered: list[str] = field(default_factory=list)
    guessed: list[str] = field(default_factory=list)


def _by_number(file: File, root: Group, config: Config) -> Found:
    notes = _Notes()
    weights = list(_numbered(file, root, config, notes))
    said = {"left_out": notes.left_out, "numbered": notes.numbered[:SHOWN], "guessed": notes.guessed[:SHOWN]}
    return _tensors(file, weights, said)


def _numbered(file: File, root: Group, config: Config, notes: _Notes) -> Iterator[Weight]:
    """The weights of all layers, in the order of the file."""
    if "vars" in root.groups:
        model = _name(file, root.groups["vars"]) or "model"
        yield from _own(model, (), root.groups["vars"], "", {}, notes)
    # what a group lies in: its path since the last layer, the layers' names, and the last layer's description
    waiting: list[tuple[Group, str, tuple[str, ...], dict[str, Config]]] = [(root, "", (), inside(config))]
    while waiting:
        group, path, layers, known = waiting.pop()
        following = []
        for key, each in group.groups.items():
            if key == "vars" or _kind(key) == "seed_generator":
                continue
            if not layers and not path and key in NOT_OF_THE_NETWORK:
                notes.left_out.append(key)
                continue
            here = f"{path}/{key}" if path else key.replace("_layer_checkpoint_dependencies", "layers")
            if "vars" not in each.groups:
                following.append((each, here, layers, known))
                continue
            described = known.get(here, {})
            given = described.get("config")
            settings: Config = given if isinstance(given, dict) else {}
            name = _name(file, each.groups["vars"]) or str(settings.get("name") or key)
            said = described.get("class_name")
            kind = class_of(said) if isinstance(said, str) else _known(key, name)
            names = (*layers, name)
            yield from _own(names[0], names[1:], each.groups["vars"], kind, settings, notes)
            following.append((each, "", names, inside(described)))
        waiting += reversed(following)


def _own(
    top: str, inner: tuple[str, ...], group: Group, kind: str, settings: Config, notes: _Notes
) -> Iterator[Weight]:
    """The weights of one layer, without those of layers inside of it."""
    keys = sorted(group.arrays, key=lambda key: (len(key), key))
    in_order = keys == [str(number) for number in range(len(keys))]
    names, guess = numbered(kind, len(keys), settings) if in_order else (None, False)
    where = "/".join((top, *inner))
    if keys and guess:
        notes.guessed.append(where)
    if keys and names is None:
        notes.numbered.append(where)
    for key, name in zip(keys, names or keys, strict=True):
        if name != WRAPPED:
            yield Weight(top, inner, name, group.arrays[key])


def _known(key: str, name: str) -> str:
    """A layer's class, from what its group is called, or from its name where Keras chose that."""
    return next((kind for kind in map(_kind, (key, name)) if kind in CLASSES or kind in NORMS), _kind(key))


def _kind(key: str) -> str:
    return re.sub(r"_\d+$", "", key).lstrip("_")


def _name(file: File, group: Group) -> str:
    """The layer's name, which newer versions of Keras write."""
    found = group.attributes.get("name")
    return "".join(file.texts(found)).replace("/", "_") if found else ""


def _texts(file: File, group: Group, name: str) -> list[str] | None:
    """The texts of an attribute, which Keras divides in pieces when it is large; None if there is none."""
    if name in group.attributes:
        return file.texts(group.attributes[name])
    pieces: list[list[str]] = []
    while (piece := group.attributes.get(f"{name}{len(pieces)}")) is not None:
        pieces.append(file.texts(piece))
    return [text for piece in pieces for text in piece] if pieces else None


def _variables(group: Group) -> Iterator[Group]:
    """The groups of numbered weights."""
    waiting = [group]
    while waiting:
        each = waiting.pop()
        if "vars" in each.groups:
            yield each.groups["vars"]
        waiting += each.groups.values()


def _tensors(file: File, weights: list[Weight], notes: dict[str, Any]) -> Found:
    found = canonical(weights)
    if isinstance(found, str):
        raise file.damaged(f"two weights are called {printable(found[:200])}, or one is called longer than that")
    if not found:
        raise file.refused("holds no weights", "give the file with the network's weights")
    return {name: file.tensor(array) for name, array in found.items()}, {
        name: each for name, each in notes.items() if each
    }
