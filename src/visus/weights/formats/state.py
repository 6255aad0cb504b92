"""Named tensors out of nested containers, and the wrappings that people save around a network's weights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from visus.data.image import printable
from visus.weights.formats.source import Source
from visus.weights.formats.torch_values import Place

WRAPPINGS = ("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "weights", "params")
PREFIXES = ("module.", "_orig_mod.")  # of DataParallel, and of torch.compile
MAX_DEPTH = 32
MAX_NODES = 1_000_000
MAX_NAME = 4096
SHOWN = 20  # names in a note
Item = TypeVar("Item")
_average = re.compile(r"(^|_)ema(_|$)")


def named(source: Source, value: Any) -> tuple[dict[str, Place], dict[str, Any]]:
    """The tensors in a value, their names joined by dots, and notes on what was unwrapped or left out.

    A wrapping is taken off where there is one: {"state_dict": …, "epoch": …}. Where an average of the weights lies
    beside them ("state_dict_ema"), both stay, with the names of their wrappings. Raises WeightsError.
    """
    notes: dict[str, Any] = {}
    while isinstance(value, dict) and len(notes.get("unwrapped", ())) < MAX_DEPTH:
        _note_twins(value, notes)
        if "twins" in notes or (wrapping := _wrapping(value)) is None:
            break
        notes.setdefault("unwrapped", []).append(wrapping)
        notes["left_out"] = [*notes.get("left_out", ()), *(str(key) for key in value if key != wrapping)][:SHOWN]
        value = value[wrapping]
    places: dict[str, Place] = {}
    others = []
    for name, leaf in _leaves(source, value):
        if not isinstance(leaf, Place):
            others.append(name)
        elif not name:
            raise source.refused("is one tensor without a name", 'save a dict: torch.save({"weight": tensor}, …)')
        elif name in places:
            raise source.refused(f"has two tensors that are called {printable(name)}")
        else:
            places[name] = leaf
    if not places:
        raise source.refused("holds no tensors", "give the file with the network's weights")
    if others:
        notes["not_tensors"] = others[:SHOWN]
    return unprefixed(places, notes), {name: each for name, each in notes.items() if each}


def unprefixed(tensors: Mapping[str, Item], notes: dict[str, Any]) -> dict[str, Item]:
    """The tensors without what every name begins with that wrappers of modules put there; says so in `notes`."""
    found = dict(tensors)
    while prefix := next((each for each in PREFIXES if found and all(name.startswith(each) for name in found)), ""):
        found = {name[len(prefix) :]: value for name, value in found.items()}
        notes["prefix"] = notes.get("prefix", "") + prefix
    return found


def _wrapping(value: dict[Any, Any]) -> str | None:
    """The one entry that holds a network's weights, where the others are no tensors or not of a network."""
    if any(isinstance(each, Place) for each in value.values()):
        return None
    known = [key for key in value if key in WRAPPINGS and _holds_tensors(value[key])]
    return known[0] if len(known) == 1 else None


def _note_twins(value: dict[Any, Any], notes: dict[str, Any]) -> None:
    averages = [key for key in value if isinstance(key, str) and _average.search(key) and _holds_tensors(value[key])]
    known = [key for key in value if key in WRAPPINGS and _holds_tensors(value[key])]
    if averages and known:
        notes["twins"] = [*known, *averages]


def _holds_tensors(value: Any) -> bool:
    """Whether a dict has a tensor somewhere; each container is looked into once."""
    waiting, seen = [value] if isinstance(value, dict) else [], set[int]()
    while waiting:
        each = waiting.pop()
        if isinstance(each, Place):
            return True
        if isinstance(each, dict | list | tuple) and id(each) not in seen:
            seen.add(id(each))
            waiting += each.values() if isinstance(each, dict) else each
    return False


def _leaves(source: Source, value: Any) -> Iterator[tuple[str, Any]]:
    """Everything that isn't a container, by its dotted name, in the order of the file."""
    waiting: list[tuple[str, int, Any]] = [("", 0, value)]
    nodes = 0
    while waiting:
        name, depth, value = waiting.pop()
        if isinstance(value, dict):
            inner = [(str(key), each) for key, each in value.items()]
        elif isinstance(value, list | tuple):
            inner = [(str(place), each) for place, each in enumerate(value)]
        else:
            yield name, value
            continue
        nodes += len(inner)
        if nodes > MAX_NODES or depth > MAX_DEPTH:
            raise source.refused("nests its containers without end", "don't trust this file")
        if len(name) + max((len(key) for key, _ in inner), default=0) > MAX_NAME:
            raise source.refused(f"has a name of more than {MAX_NAME:,} characters")
        waiting += [(f"{name}.{key}" if name else key, depth + 1, each) for key, each in reversed(inner)]
