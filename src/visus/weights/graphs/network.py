"""The graph of one of our networks, drawn while it runs on tensors without values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from visus.weights.graphs.layers import NONE, Drawing, Kind, Layer, Margins, Part, Unlike, Window

ARGUMENTS = {
    "conv2d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "linear": ("input", "weight", "bias"),
    "batch_norm": ("input", "mean", "variance", "weight", "bias", "training", "momentum", "eps"),
    "layer_norm": ("input", "shape", "weight", "bias", "eps"),
    "pad": ("input", "pad"),
    "add": ("input", "other"),
    "cat": ("tensors", "dim"),
}
NAMES = {"running_mean": "mean", "running_var": "variance", "normalized_shape": "shape"}
SAME = {"__add__": "add", "__radd__": "add", "add_": "add", "concat": "cat", "concatenate": "cat"}


def layers_of(model: nn.Module, shape: tuple[int, ...]) -> list[Layer[str]]:
    """The layers of a network on the meta device, for one input of `shape`. Raises Unlike where one has weights that no
    layer of other frameworks has."""
    tracing = _Tracing(model)
    x = torch.empty(1, *shape, device="meta")
    tracing.drawing.begin(id(x))
    with torch.no_grad(), tracing:
        model.eval()(x)
    return tracing.drawing.graph()


class _Tracing(TorchFunctionMode):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.drawing: Drawing[str] = Drawing()
        self.names = {id(tensor): name for name, tensor in (*model.named_parameters(), *model.named_buffers())}
        self.stored = set(model.state_dict())
        self.alive: list[Any] = [model]  # so that no other tensor gets the same number
        self.rules: dict[str, Callable[[dict[str, Any], Tensor], None]] = {
            "conv2d": self._convolution, "linear": self._linear, "batch_norm": self._norm,
            "layer_norm": self._layer_norm, "pad": self._pad, "add": self._add, "cat": self._cat,
        }  # fmt: skip

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        given = _tensors((args, kwargs))
        results = _tensors(output)
        self.alive += results
        known = [id(each) for each in given if id(each) in self.drawing.source]
        weights = [id(each) for each in given if id(each) in self.names]
        name = SAME.get(func.__name__, func.__name__)
        if not results:
            return output
        if not known:
            if len(weights) == 1:  # a table, expanded to the batch
                self.names[id(results[0])] = self.names[weights[0]]
        elif name in self.rules and (weights or name in ("pad", "cat")):
            named = {NAMES.get(key, key): value for key, value in kwargs.items()}
            self.rules[name](dict(zip(ARGUMENTS[name], args, strict=False)) | named, results[0])
        elif weights:
            raise Unlike(f"{self.names[weights[0]]} is used in a way that other frameworks have no layer for")
        else:
            self.drawing.follow(known, [id(each) for each in results])
        return output

    def _convolution(self, given: dict[str, Any], result: Tensor) -> None:
        x, weight = given["input"], given["weight"]
        vertical, horizontal = _pair(given.get("padding", 0))
        groups = given.get("groups", 1)
        window = Window(
            _pair(given.get("stride", 1)), _pair(given.get("dilation", 1)),
            self.drawing.around(id(x), (vertical, horizontal, vertical, horizontal)), _pair(weight.shape[2:]),
            _inner(x, self.drawing.around(id(x), NONE)),
        )  # fmt: skip
        self._weights(given, (*weight.shape, groups), window, result)

    def _linear(self, given: dict[str, Any], result: Tensor) -> None:
        self._weights(given, (*given["weight"].shape, 1, 1, 1), None, result)

    def _weights(self, given: dict[str, Any], shape: tuple[int, ...], window: Window | None, result: Tensor) -> None:
        parts, sources = self._parts(given), (self.drawing.source[id(given["input"])],)
        layer = Layer("weights", shape, sources, parts["weight"].removesuffix(".weight"), parts, None, window)
        self.drawing.add(layer, id(result))

    def _norm(self, given: dict[str, Any], result: Tensor) -> None:
        before = self.drawing.direct(id(given["input"]))
        parts = self._parts(given, weight="scale", bias="shift", mean="mean", variance="variance")
        eps = given.get("eps", 1e-5)
        if before is not None and before.kind == "weights" and before.eps is None:
            before.parts |= parts
            before.eps = eps
            self.drawing.merge(id(given["input"]), id(result))
        else:
            self._plain("norm", parts, eps, given, result)

    def _layer_norm(self, given: dict[str, Any], result: Tensor) -> None:
        parts = self._parts(given, weight="scale", bias="shift")
        self._plain("layer norm", parts, given.get("eps", 1e-5), given, result)

    def _plain(self, kind: Kind, parts: dict[Part, str], eps: float, given: dict[str, Any], result: Tensor) -> None:
        name = next(iter(parts.values())).rpartition(".")[0]
        sources = (self.drawing.source[id(given["input"])],)
        length = next(each.shape[0] for each in given.values() if isinstance(each, Tensor) and each.ndim == 1)
        self.drawing.add(Layer(kind, (length,), sources, name, parts, eps), id(result))

    def _pad(self, given: dict[str, Any], result: Tensor) -> None:
        left, right, top, bottom = (*given["pad"], 0, 0)[:4]
        self.drawing.pad(id(given["input"]), id(result), (top, left, bottom, right))

    def _add(self, given: dict[str, Any], result: Tensor) -> None:
        x, table = given["input"], given["other"]
        if id(x) in self.names:
            x, table = table, x
        self.drawing.add(self._table(table, (self.drawing.source[id(x)],)), id(result))

    def _cat(self, given: dict[str, Any], result: Tensor) -> None:
        sources = []
        for each in given["tensors"]:
            if id(each) in self.names:
                self.drawing.add(self._table(each, ()), id(each))
            sources.append(self.drawing.source[id(each)])
        self.drawing.concatenate(sources, id(result))

    def _table(self, table: Tensor, inputs: tuple[int, ...]) -> Layer[str]:
        name = self.names[id(table)]
        return Layer("table", (table.numel(),), inputs, name, {"weight": name} if name in self.stored else {})

    def _parts(self, given: dict[str, Any], **parts: Part) -> dict[Part, str]:
        parts = parts or {"weight": "weight", "bias": "bias"}
        return {
            part: self.names[id(given[name])]
            for name, part in parts.items()
            if isinstance(given.get(name), Tensor)
        }  # fmt: skip


def _tensors(values: Any) -> list[Tensor]:
    return [each for each in tree_leaves(values) if isinstance(each, Tensor)]


def _pair(value: int | Iterable[int]) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    one, other, *_ = (*value, *value)
    return one, other


def _inner(x: Tensor, margins: Margins) -> tuple[int, int]:
    """The size of a map without the zeros around it."""
    assert not isinstance(margins, str)  # our networks name them
    top, left, bottom, right = margins
    return x.shape[2] - top - bottom, x.shape[3] - left - right
