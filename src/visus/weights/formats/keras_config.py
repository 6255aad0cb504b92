"""The description of a model that Keras files carry: looked through for code, and asked for the classes of layers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from visus.data.image import printable
from visus.weights.formats.keras_names import class_of
from visus.weights.formats.source import Source

MAX_BYTES = 8 << 20
CODE = frozenset({"Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"})
OWN = ("keras", "tf_keras", "tensorflow.keras", "tensorflow.python.keras")
ALONE = "load it with Keras where you trust it, and save the weights alone: model.save_weights('….weights.h5')"

Config = Mapping[str, Any]


def read_config(source: Source, text: bytes) -> Config:
    """A model's description. Nothing in it is ever built.

    Raises WeightsError where it holds code, or names classes or functions that aren't of Keras: what the weights
    of such are called can't be told.
    """
    if len(text) > MAX_BYTES:
        raise source.refused(f"has a description of {len(text):,} bytes; at most {MAX_BYTES:,} are read", ALONE)
    try:
        config = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as problem:
        raise source.refused(f"has a damaged description: {problem}") from None
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            _check(source, value)
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return config if isinstance(config, dict) else {}


def _check(source: Source, config: Config) -> None:
    kind, module, registered = config.get("class_name"), config.get("module"), config.get("registered_name")
    if kind is None:
        return
    if isinstance(kind, str) and kind in CODE:
        raise source.refused(f"has a layer of the class {kind}, which holds code or another program", ALONE)
    own = module is None or (isinstance(module, str) and any(f"{module}.".startswith(f"{each}.") for each in OWN))
    if not own or (isinstance(registered, str) and ">" in registered):
        name = registered if isinstance(registered, str) else kind
        raise source.refused(
            f"names {printable(str(name)[:80])}, which isn't of Keras ({printable(str(module)[:80])})", ALONE
        )


def inside(config: Config) -> dict[str, Config]:
    """The layers that a model or wrapper is of, by what the groups of its weights are called: "layers/conv2d_1"."""
    settings = config.get("config")
    if not isinstance(settings, Mapping):
        return {}
    found: dict[str, Config] = {}
    if isinstance(settings.get("layer"), Mapping):
        found["layer"] = settings["layer"]
    counts: dict[str, int] = {}
    layers = settings.get("layers")
    for layer in layers if isinstance(layers, list) else ():
        if not isinstance(layer, Mapping) or not isinstance(layer.get("class_name"), str):
            continue
        if str(layer.get("module")).startswith("keras.src.ops."):
            continue  # an operation, not a layer
        kind = class_of(layer["class_name"])
        number = counts[kind] = counts.get(kind, -1) + 1
        found[f"layers/{kind}_{number}" if number else f"layers/{kind}"] = layer
    return found
