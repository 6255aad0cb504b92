"""The graph of the layers of an ONNX file, whichever program wrote it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from visus.weights.formats.onnx_graph import Node
from visus.weights.graphs.constants import computed
from visus.weights.graphs.layers import Drawing, Kind, Layer, Margins, Part, Sides, Unlike, Window

SIZES = ("Shape", "Size")
AFFINE = ("Mul", "Div", "Add", "Sub")
RENAMING = ("Transpose", "Identity", "Cast", "Dropout")  # of values that come from the images
QUANTISED = (
    "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "ConvInteger", "MatMulInteger",
)  # fmt: skip
AUTOMATIC: dict[str, Margins] = {"SAME_UPPER": "last", "SAME_LOWER": "first"}
LEAST = {"Conv": 2, "Gemm": 2, "MatMul": 2, "BatchNormalization": 5, "LayerNormalization": 2}  # inputs
SYMMETRIC = ("MatMul", "Concat", *AFFINE)  # the images' path may come in anywhere
CHANNELS_LAST, CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def layers_of(nodes: Sequence[Node], tensors: Mapping[str, Tensor]) -> list[Layer[Tensor]]:
    """The layers of a graph with their weights as float32: factors and offsets that follow one are folded into it.

    Raises Unlike where there is something that no network of ours has.
    """
    reading = _Reading(nodes, tensors)
    for node in nodes:
        reading.take(node)
    return reading.drawing.graph()


class _Reading:
    def __init__(self, nodes: Sequence[Node], tensors: Mapping[str, Tensor]) -> None:
        self.drawing: Drawing[Tensor] = Drawing()
        self.tensors = dict(tensors)
        self.sizes: set[str] = set()  # numbers that are computed from shapes
        self.last: set[str] = set()  # values with their channels last
        self.uses = Counter(name for node in nodes for name in node.inputs)
        produced = {name for node in nodes for name in node.outputs}
        for name in self.uses:
            if name and name not in produced and name not in tensors:
                self.drawing.begin(name)
        self.rules: dict[str, Callable[[Node], None]] = {
            "Conv": self._convolution, "Gemm": self._gemm, "MatMul": self._product, "BatchNormalization": self._norm,
            "LayerNormalization": self._layer_norm, "Concat": self._concat, "Pad": self._pad,
            **dict.fromkeys(RENAMING, self._rename), **dict.fromkeys(AFFINE, self._affine),
        }  # fmt: skip

    def take(self, node: Node) -> None:
        """One more node."""
        known = self._known(node)
        if node.operator in QUANTISED:
            raise Unlike(f"its weights are quantised ({node.operator}): give the file that they were made of")
        if node.operator in SIZES or (not known and set(node.inputs) & self.sizes):
            self._constant(node)
            self.sizes |= set(node.outputs) - set(self.tensors)
        elif not known:
            self._constant(node)
        elif self._of_input(node, known):
            what = f"{node.operator} {node.outputs[0]}"
            raise Unlike(f"it prepares its images itself ({what}): export it without its preprocessing")
        elif node.operator in self.rules:
            if not node.outputs or len(node.inputs) < LEAST.get(node.operator, 1):
                raise Unlike(f"it is damaged: a {node.operator} lacks inputs or outputs")
            if node.operator not in SYMMETRIC and node.inputs[0] not in known:
                raise Unlike(f"the weights of {node.operator} {node.outputs[0]} are computed, not stored")
            self.rules[node.operator](node)
        else:
            self._follow(node, known)

    def _of_input(self, node: Node, known: Sequence[str]) -> bool:
        """Whether a node changes the values of the images before the first layer."""
        first = all(self.drawing.source[name] == 0 for name in known)
        return first and node.operator in (*AFFINE, "BatchNormalization")

    def _known(self, node: Node) -> list[str]:
        return [name for name in node.inputs if name in self.drawing.source]

    def _constant(self, node: Node) -> None:
        """Note what becomes of stored tensors."""
        value = self.tensors.pop(node.outputs[0], None) if node.outputs else None
        found = computed(node, [self.tensors.get(name) for name in node.inputs], value)
        if found is not None:
            self.tensors[node.outputs[0]] = found

    def _follow(self, node: Node, known: Sequence[str]) -> None:
        for name in node.inputs:
            tensor = self.tensors.get(name)
            if tensor is not None and tensor.numel() > 1 and tensor.is_floating_point() and node.operator != "Resize":
                raise Unlike(f"it has weights in {node.operator} {node.outputs[0]}, which isn't read")
        self.drawing.follow(known, [name for name in node.outputs if name])
        if any(name in self.last for name in known):
            self.last |= set(node.outputs)

    def _weight(self, node: Node, place: int) -> Tensor | None:
        """A stored tensor among the inputs; None where it was left out. Raises Unlike where it is computed."""
        if len(node.inputs) <= place or not node.inputs[place]:
            return None
        name = node.inputs[place]
        if name not in self.tensors:
            raise Unlike(f"the weights of {node.operator} {node.outputs[0]} are computed, not stored")
        return self.tensors[name].float()

    def _convolution(self, node: Node) -> None:
        weight = self._weight(node, 1)
        if weight is None or weight.ndim != 4:
            raise Unlike(f"{node.outputs[0]} isn't a convolution of images")
        groups = int(node.number("group", 1))
        if not weight.numel() or groups < 1 or weight.shape[0] % groups:
            raise Unlike(f"it is damaged: {node.outputs[0]} has {groups} groups of {weight.shape[0]} channels")
        margins = AUTOMATIC.get(str(node.settings.get("auto_pad", "")), _four(node.integers("pads", (0, 0, 0, 0))))
        stride, dilation = _two(node.integers("strides", (1, 1))), _two(node.integers("dilations", (1, 1)))
        margins = self.drawing.around(node.inputs[0], margins)
        window = Window(stride, dilation, margins, _two(weight.shape[2:]))
        self._layer(node, weight, (*weight.shape, groups), self._weight(node, 2), window)

    def _gemm(self, node: Node) -> None:
        weight, bias = self._weight(node, 1), self._weight(node, 2)
        if weight is None or weight.ndim != 2 or node.number("transA", 0):
            raise Unlike(f"{node.outputs[0]} isn't a linear layer")
        weight = (weight if node.number("transB", 0) else weight.T) * node.number("alpha", 1)
        self._linear(node, weight, None if bias is None else bias.reshape(-1) * node.number("beta", 1))

    def _product(self, node: Node) -> None:
        if node.inputs[0] not in self.drawing.source or node.inputs[1] not in self.tensors:
            self._follow(node, self._known(node))
            return
        weight = self._weight(node, 1)
        if weight is None or weight.ndim != 2:
            raise Unlike(f"{node.outputs[0]} isn't a linear layer")
        self._linear(node, weight.T, None)

    def _linear(self, node: Node, weight: Tensor, bias: Tensor | None) -> None:
        source = self.drawing.layers[self.drawing.source[node.inputs[0]]]
        if node.inputs[0] in self.last and source.kind == "weights" and source.shape[0] != weight.shape[1]:
            raise Unlike(f"{node.outputs[0]} takes a map whose channels are last")
        self._layer(node, weight, (*weight.shape, 1, 1, 1), bias, None)

    def _layer(
        self, node: Node, weight: Tensor, shape: tuple[int, ...], bias: Tensor | None, window: Window | None
    ) -> None:
        parts: dict[Part, Tensor] = {"weight": weight}
        if bias is not None:
            parts["bias"] = self._vector(node, bias, weight.shape[0])
        source = (self.drawing.source[node.inputs[0]],)
        self.drawing.add(Layer("weights", shape, source, node.outputs[0], parts, None, window), node.outputs[0])

    def _norm(self, node: Node) -> None:
        parts = self._vectors(node, "scale", "shift", "mean", "variance")
        before = self._alone(node.inputs[0])
        eps = node.number("epsilon", 1e-5)
        together = before is not None and before.kind == "weights" and before.eps is None
        if before is not None and together and before.shape[0] == parts["scale"].numel():
            before.parts |= parts
            before.eps = eps
            self.drawing.merge(node.inputs[0], node.outputs[0])
        else:
            self._add("norm", parts, node, eps)

    def _layer_norm(self, node: Node) -> None:
        parts = self._vectors(node, "scale", "shift")
        self._add("layer norm", parts, node, node.number("epsilon", 1e-5))

    def _vectors(self, node: Node, *names: Part) -> dict[Part, Tensor]:
        """The weights of a normalisation, in the order of its inputs: one number for each channel."""
        found = {name: value for place, name in enumerate(names, 1) if (value := self._weight(node, place)) is not None}
        if "scale" not in found:
            raise Unlike(f"{node.operator} {node.outputs[0]} has no scale")
        return {name: self._vector(node, value, found["scale"].numel()) for name, value in found.items()}

    def _vector(self, node: Node, value: Tensor, length: int) -> Tensor:
        if value.numel() != length:
            what = f"{node.operator} {node.outputs[0]}"
            raise Unlike(f"it is damaged: {what} has {value.numel():,} numbers for {length:,} channels")
        return value.reshape(-1)

    def _add(self, kind: Kind, parts: dict[Part, Tensor], node: Node, eps: float) -> None:
        source = (self.drawing.source[node.inputs[0]],)
        length = (next(iter(parts.values())).numel(),)
        self.drawing.add(Layer(kind, length, source, node.outputs[0], parts, eps), node.outputs[0])

    def _affine(self, node: Node) -> None:
        """A factor or an offset for each channel, of the layer before it; or a table of values that is added."""
        known, stored = self._known(node), [name for name in node.inputs if name in self.tensors]
        if len(known) != 1 or not stored or self.tensors[stored[0]].numel() == 1:
            self._follow(node, known)
            return
        value = self.tensors[stored[0]].float()
        before, length = self._alone(known[0]), value.numel()
        if node.inputs[0] != known[0] and node.operator in ("Div", "Sub"):
            raise Unlike(f"it has weights in {node.operator} {node.outputs[0]}, which isn't read")
        if length == max(value.shape):  # one for each channel
            if before is None or _length(before) != length:
                parts: dict[Part, Tensor] = {"scale": torch.ones(length), "shift": torch.zeros(length)}
                source = (self.drawing.source[known[0]],)
                before = Layer("norm", (length,), source, node.outputs[0], parts)
                self.drawing.add(before, known[0])
            _fold(before, node.operator, value.reshape(-1))
            self.drawing.merge(known[0], node.outputs[0])
        elif node.operator == "Add":
            source = (self.drawing.source[known[0]],)
            table = Layer("table", (length,), source, node.outputs[0], {"weight": value})
            self.drawing.add(table, node.outputs[0])
        else:
            raise Unlike(f"it has weights in {node.operator} {node.outputs[0]}, which isn't read")

    def _alone(self, name: str) -> Layer[Tensor] | None:
        """The layer whose very output a value is, where nothing else takes it."""
        return self.drawing.direct(name) if self.uses[name] == 1 else None

    def _concat(self, node: Node) -> None:
        sources = []
        for name in node.inputs:
            if name in self.tensors:
                value = self.tensors[name].float()
                key = f"{name} in {node.outputs[0]}"
                self.drawing.add(Layer("table", (value.numel(),), (), name, {"weight": value}), key)
                sources.append(self.drawing.source[key])
            elif name in self.drawing.source:
                sources.append(self.drawing.source[name])
            else:
                raise Unlike(f"{node.outputs[0]} joins values that are computed from shapes")
        self.drawing.concatenate(sources, node.outputs[0])

    def _pad(self, node: Node) -> None:
        name, result = node.inputs[0], node.outputs[0]
        stored = self.tensors.get(node.inputs[1]) if len(node.inputs) > 1 else None
        pads = node.integers("pads", ()) if stored is None else tuple(int(each) for each in stored.reshape(-1).tolist())
        if len(node.inputs) > 1 and node.inputs[1] in self.sizes:
            self.drawing.pad(name, result, "last")  # computed from the size: as TensorFlow does, and nobody else
        elif not pads:
            raise Unlike(f"the zeros of {result} are computed")
        elif len(pads) == 8:
            channels_last = name in self.last or pads[1] or pads[5]  # nobody puts zeros around channels
            rows, columns = (1, 2) if channels_last else (2, 3)
            self.drawing.pad(name, result, (pads[rows], pads[columns], pads[4 + rows], pads[4 + columns]))
        else:
            self.drawing.follow([name], [result])
        if name in self.last:
            self.last.add(result)

    def _rename(self, node: Node) -> None:
        """The same values, maybe with their axes in another order."""
        order, name, result = node.integers("perm", ()), node.inputs[0], node.outputs[0]
        self.drawing.rename(name, result)
        self.uses[result] = max(self.uses[result], self.uses[name])
        if order == CHANNELS_LAST or (name in self.last and order != CHANNELS_FIRST):
            self.last.add(result)


def _fold(layer: Layer[Tensor], operator: str, value: Tensor) -> None:
    """A factor or an offset for each channel into a layer, or into its normalisation."""
    normed = layer.kind != "weights" or layer.eps is not None
    factors: tuple[Part, ...] = ("scale", "shift") if normed else ("weight", "bias")
    if operator in ("Mul", "Div"):
        factor = value if operator == "Mul" else 1 / value
        for part in factors:
            if part in layer.parts:
                tensor = layer.parts[part]
                layer.parts[part] = tensor * factor.reshape(-1, *[1] * (tensor.ndim - 1))
        return
    offset = value if operator == "Add" else -value
    layer.parts[factors[1]] = layer.parts.get(factors[1], torch.zeros_like(offset)) + offset


def _length(layer: Layer[Tensor]) -> int:
    """The number of channels of a layer's output; 0 for what has none."""
    return layer.shape[0] if layer.kind in ("weights", "norm", "layer norm") else 0


def _two(values: Iterable[int]) -> tuple[int, int]:
    one, other, *_ = (*values, 1, 1)
    return one, other


def _four(values: Iterable[int]) -> Sides:
    top, left, bottom, right, *_ = (*values, 0, 0, 0, 0)
    return top, left, bottom, right
