"""Names of Keras' weights that are the same from all of its files: LAYER/WEIGHT, as in conv1_conv/kernel.

An .h5 file names each weight. A .weights.h5 or .keras file only numbers the weights of a layer: what they are called
follows from the layer's class, in the order in which Keras creates them. What lies inside of a layer or an inner model
is called TOP/LAYER/WEIGHT, with the names between only where two layers would be called alike: an .h5 file doesn't have
all of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, final

from visus.weights.formats.hdf5 import Array

KERNEL = ("kernel", "bias")
SEPARABLE = ("depthwise_kernel", "pointwise_kernel", "bias")
AFFINE = ("gamma", "beta")
RECURRENT = ("kernel", "recurrent_kernel", "bias")
MAX_NAME = 4096
WRAPPED = ""  # the wrapped layer's own kernel, which is there already
# The weights of Keras' layers, in order. The last ones may be absent; of the affine ones any may.
CLASSES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("dense", "einsum_dense", "depthwise_conv1d", "depthwise_conv2d"), KERNEL),
    **dict.fromkeys((f"conv{axes}d{kind}" for axes in (1, 2, 3) for kind in ("", "_transpose")), KERNEL),
    **dict.fromkeys(("query_dense", "key_dense", "value_dense", "output_dense"), KERNEL),  # of attention
    **dict.fromkeys(("separable_conv1d", "separable_conv2d"), SEPARABLE),
    **dict.fromkeys(("lstm_cell", "gru_cell", "simple_rnn_cell"), RECURRENT),
    **dict.fromkeys((f"conv_lstm_cell{axes}d" for axes in (1, 2, 3)), RECURRENT),
    "embedding": ("embeddings",),
    "normalization": ("mean", "variance", "count"),
    "rms_normalization": ("scale",),
    "p_re_lu": ("alpha",),
    "spectral_normalization": (WRAPPED, "vector_u"),
}
NORMS: dict[str, tuple[str, ...]] = {  # what follows gamma and beta
    "batch_normalization": ("moving_mean", "moving_variance"),
    "layer_normalization": (),
    "group_normalization": (),
}
# Keras 1 had these names for what is called otherwise since; its running_std is the variance
KERAS_1 = {
    "W": "kernel", "b": "bias", "gamma": "gamma", "beta": "beta", "running_mean": "moving_mean",
    "running_std": "moving_variance", "depthwise_kernel": "depthwise_kernel", "pointwise_kernel": "pointwise_kernel",
}  # fmt: skip
_keras_1 = re.compile(rf"(?:(?P<layer>.+)_)?(?P<name>{'|'.join(KERAS_1)})(?:_\d+)?")
_unnamed = re.compile(r"variable(_\d+)?", re.IGNORECASE)


@final
@dataclass(frozen=True, slots=True)
class Weight:
    """An array, and its place in the model. inner: the layers that it lies in inside of `top`, outermost first."""

    top: str
    inner: tuple[str, ...]
    name: str
    array: Array


def class_of(name: str) -> str:
    """A class's name as Keras files have it.

    >>> class_of("SeparableConv2D"), class_of("PReLU")
    ('separable_conv2d', 'p_re_lu')
    """
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def numbered(kind: str, count: int, config: Mapping[str, Any]) -> tuple[tuple[str, ...] | None, bool]:
    """What the weights of a layer are called, None if its class isn't known; and whether that is a guess.

    kind: the layer's class. count: of its weights. config: its settings, where the file has them.
    """
    if kind in NORMS:
        tail = NORMS[kind]
        affine = count - len(tail)
        given = [config.get("scale"), config.get("center")]
        if all(isinstance(each, bool) for each in given):
            names = (*(name for name, there in zip(AFFINE, given, strict=True) if there), *tail)
            return (names, False) if len(names) == count else (None, False)
        # of one alone Keras' own networks leave gamma out in batch normalization, and beta in the others
        one = AFFINE[1:] if tail else AFFINE[:1]
        return {0: (tail, False), 1: ((*one, *tail), True), 2: ((*AFFINE, *tail), False)}.get(affine, (None, False))
    known = CLASSES.get(kind, ())
    whole = count == len(known) or (known in (KERNEL, SEPARABLE, RECURRENT) and count == len(known) - 1)
    return (known[:count] if whole else None), False


def spelled(top: str, names: Iterable[str]) -> list[tuple[tuple[str, ...], str]]:
    """The inner layers and the name of each weight of a layer, from what an .h5 file calls them.

    >>> spelled("conv1", ["conv1/kernel:0", "conv1/bias:0"])
    [((), 'kernel'), ((), 'bias')]
    >>> spelled("block1_conv1", ["block1_conv1_W_1:0", "block1_conv1_b_1:0"])
    [((), 'kernel'), ((), 'bias')]
    >>> spelled("mid", ["inner/bn/gamma", "dense/kernel"])
    [(('inner', 'bn'), 'gamma'), (('dense',), 'kernel')]
    >>> spelled("scale", ["scale/variable_17"])  # which nobody named
    [((), '0')]
    """
    names = list(names)
    found = [_spelled(top, name) for name in names]
    if all("/" not in name for name in names) and len({inner for inner, _ in found}) == 1:
        found = [((), name) for _, name in found]  # the layer was given another name when the model was saved
    alone = {inner for inner, name in found if name == "depthwise_kernel"}
    alone -= {inner for inner, name in found if name == "pointwise_kernel"}
    places = Counter[tuple[str, ...]]()
    final = []
    for inner, name in found:
        # Keras 3 calls a kernel that is the only one so
        called = "kernel" if inner in alone and name == "depthwise_kernel" else name
        final.append((inner, str(places[inner]) if _unnamed.fullmatch(called) else called))
        places[inner] += 1
    return final


def _spelled(top: str, text: str) -> tuple[tuple[str, ...], str]:
    old = text.endswith(":0")
    *inner, name = text.removesuffix(":0").split("/")
    if not inner:
        match = _keras_1.fullmatch(name)
        if match is None:
            return (), name
        layer = match["layer"]
        return () if layer in (None, top) else (layer,), KERAS_1[match["name"]]
    own = top.split("/")
    for place in range(len(inner) - len(own) + 1):
        there = inner[place : place + len(own)]
        again = old and re.fullmatch(rf"{re.escape('/'.join(own))}_\d+", "/".join(there))
        if there == own or again:
            return tuple(inner[place + len(own) :]), name
    return tuple(inner), name


def canonical(weights: Iterable[Weight]) -> dict[str, Array] | str:
    """The arrays by name; or the name that two would have, or that is too long."""
    weights = list(weights)
    layers = {(weight.top, weight.inner) for weight in weights}
    endings = Counter((top, inner[place:]) for top, inner in layers for place in range(len(inner)))
    found: dict[str, Array] = {}
    for weight in weights:
        inner = weight.inner
        short = next(
            (inner[place:] for place in reversed(range(len(inner))) if endings[weight.top, inner[place:]] == 1), inner
        )
        name = "/".join((weight.top, *short, weight.name))
        if name in found or len(name) > MAX_NAME:
            return name
        found[name] = weight.array
    return found
