"""Another library's network: built, filled by a formula or from a file, and asked. Needs that library, and not Visus.

Run as a program it reads a request from its standard input and writes the answer where the request says, so that it can
be run by the Python of another environment:

    {"library": "torchvision", "call": "resnet50", "arguments": {}, "input": [3, 224, 224], "file": null,
     "layers": ["conv1", …], "images": null, "count": 1, "damping": 1.0, "out": "answer.npz"}

Only NumPy is imported at the top; `visus.weights` uses the formulas from here.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import sys
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

Array = np.ndarray
PERIOD = 1_000_003
SAMPLED = 4096  # values of a layer's output that are compared


def uniform(name: str, count: int) -> Array:
    """`count` float64 values in [0, 1) that depend on a name and on nothing else.

    Value i is the 32-bit finaliser of MurmurHash3 over i·0x9E3779B9 + CRC-32(name), over 2³²; from PERIOD on, a prime,
    the values come again, so that large tensors are filled as quickly as they can be copied.
    """
    if count > PERIOD:
        return np.resize(uniform(name, PERIOD), count)
    x = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B9) + np.uint32(zlib.crc32(name.encode()))
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x ^= x >> np.uint32(shift)
        x *= np.uint32(factor)
    x ^= x >> np.uint32(16)
    return x / 2.0**32


def filled(name: str, shape: tuple[int, ...], channels_last: bool = False, damping: float = 1.0) -> Array:
    """The values that a formula gives to a stored tensor of a name and shape: float32.

    Scales are such that values neither die out nor grow through a network: kernels by their fan-in, factors near 1,
    offsets near 0, variances in 0.5…1.5. channels_last: kernels are stored as Keras does, inputs before outputs.
    damping: a factor on the factors, below 1 where a deep network with gates would else be so steep that no two
    computers agree.
    """
    last = name.replace("/", ".").rpartition(".")[2]
    u = uniform(name, math.prod(shape)).astype(np.float32).reshape(shape)
    if last in ("num_batches_tracked", "count") or name.endswith("normalization/mean"):
        value = np.zeros(shape, np.float32)
    elif name.endswith("normalization/variance"):
        value = np.full(shape, 255.0**-2)  # with the mean and Keras's division by 255: the input is left as it is
    elif last in ("running_var", "moving_variance", "variance"):
        value = 0.5 + u
    elif any(part in name for part in ("pos_embed", "class_token", "cls_token", "pos_embedding")):
        value = 0.4 * u - 0.2
    elif len(shape) >= 2:
        depthwise = channels_last and len(shape) == 4 and shape[3] == 1
        fan_in = math.prod(shape[:2] if depthwise else shape[:-1] if channels_last else shape[1:])
        value = (2 * u - 1) * np.float32(math.sqrt(5 / fan_in))
    elif last in ("weight", "gamma"):
        value = (0.6 + 0.6 * u) * np.float32(damping)
    else:
        value = 0.2 * u - 0.1
    return np.asarray(value, np.float32)


def question(shape: tuple[int, ...], count: int = 1) -> Array:
    """The inputs that networks are compared on: count×C×H×W float32 in −2…2."""
    return (4 * uniform("input", count * math.prod(shape)) - 2).astype(np.float32).reshape(count, *shape)


def sampled(value: Array) -> Array:
    """Up to SAMPLED values of an output, spread over it evenly."""
    flat = value.reshape(-1)
    return flat[np.linspace(0, flat.size - 1, min(SAMPLED, flat.size)).astype(np.int64)]


def main() -> None:
    """Answer the request on the standard input."""
    request = json.load(sys.stdin)
    answer = (_keras if request["library"] == "keras" else _torch)(request)
    np.savez(request["out"], **answer)  # type: ignore[arg-type]


def _torch(request: dict[str, Any]) -> dict[str, Array]:
    import torch

    torch.manual_seed(0)
    library, names = request["library"], request["call"]
    if library == "torchvision":
        import torchvision

        model = torchvision.models.get_model(names, weights=None, **request["arguments"])
    else:
        import timm

        model = timm.create_model(names, pretrained=False, **request["arguments"])
    if request["file"] is not None:
        stored = torch.load(request["file"], map_location="cpu", weights_only=True)
        model.load_state_dict(stored)
    else:
        with torch.no_grad():
            for name, tensor in model.state_dict().items():
                tensor.copy_(torch.from_numpy(filled(name, tuple(tensor.shape), damping=request["damping"])))
    model.eval()
    found: dict[str, Array] = {}

    def keep(name: str) -> Callable[[Any, Any, Any], None]:
        def hook(_: Any, __: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple) else output
            found[f"layer:{name}"] = sampled(first.detach().float().numpy()).copy()  # it may be written over

        return hook

    modules = dict(model.named_modules())
    for name in request["layers"]:
        if name in modules:
            modules[name].register_forward_hook(keep(name))
    with torch.inference_mode():
        x = request_input(request)
        found["logits"] = model(torch.from_numpy(x)).numpy()
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    # timm's normalisations with an activation inside: what comes out of them is activated
    fused = [name for name in request["layers"] if name in modules and hasattr(modules[name], "act") and name != ""]
    return {**found, "facts": _facts(shapes, library, "torch", fused=fused)}


def _keras(request: dict[str, Any]) -> dict[str, Array]:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    build = getattr(keras.applications, request["call"])
    model = build(weights=None, classifier_activation=None, **request["arguments"])
    if request["file"] is not None:
        model.load_weights(request["file"])
    shapes: dict[str, list[int]] = {}
    for layer in model.layers:
        for variable in layer.weights:
            name = f"{layer.name}/{variable.name}"
            shapes[name] = list(variable.shape)
            if request["file"] is None:
                variable.assign(filled(name, tuple(variable.shape), channels_last=True))
    found: dict[str, Array] = {}

    def keep(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*given: Any, **named: Any) -> Any:
            output = call(*given, **named)
            value = keras.ops.convert_to_numpy(output)
            found[f"layer:{name}"] = sampled(value.transpose(0, 3, 1, 2) if value.ndim == 4 else value)
            return output

        return wrapper

    wanted = set(request["layers"])
    for layer in model.layers:
        if layer.name in wanted:
            layer.call = keep(layer.name, layer.call)
    x = request_input(request).transpose(0, 2, 3, 1)
    found["logits"] = keras.ops.convert_to_numpy(model(x, training=False))
    # layers with an activation inside: what comes out of them is activated
    inside = {layer.name: getattr(getattr(layer, "activation", None), "__name__", "linear") for layer in model.layers}
    fused = [name for name in request["layers"] if inside.get(name, "linear") != "linear"]
    return {**found, "facts": _facts(shapes, "keras", "torch", fused=fused)}


def request_input(request: dict[str, Any]) -> Array:
    """The array that the request names, or so many questions of its shape."""
    if request["images"]:
        return np.asarray(np.load(request["images"]), np.float32)
    return question(tuple(request["input"]), request["count"])


def _facts(shapes: dict[str, list[int]], *parts: str, fused: Iterable[str] = ()) -> Array:
    versions = {part: importlib.metadata.version(part) for part in _unique(parts)}
    return np.frombuffer(json.dumps({"tensors": shapes, "versions": versions, "fused": list(fused)}).encode(), np.uint8)


def _unique(parts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(parts))


if __name__ == "__main__":
    main()
