"""MobileNet and EfficientNet in torchvision, timm, Keras and the package efficientnet_lite_pytorch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from msgspec.structs import replace

from visus.models import CATALOG, Network
from visus.models.efficientnet import EfficientNet
from visus.models.mobilenet_v1 import MobileNetV1
from visus.models.mobilenet_v2 import MobileNetV2
from visus.models.mobilenet_v3 import MobileNetV3
from visus.models.parts import BatchNorm
from visus.nn import Gate
from visus.weights.peers.base import Library, Pair, Pairs, Peer

USUAL = BatchNorm()
TENSORFLOW = BatchNorm(eps=1e-3, momentum=0.01)


@dataclass(frozen=True, slots=True)
class Block:
    """An inverted residual of ours. path: of its branch. stage: from 0, after the stem; place: in it; index: in all.

    gate: its number in the branch. expands: whether it has a 1×1 convolution before the depthwise one.
    """

    path: str
    stage: int
    place: int
    index: int
    gate: int | None
    expands: bool

    @property
    def depthwise(self) -> str:
        return f"{self.path}.{int(self.expands)}"

    @property
    def last(self) -> str:
        return f"{self.path}.{1 + self.expands + (self.gate is not None)}"


def blocks(spec: Network) -> tuple[list[Block], str]:
    """The inverted residuals of a network, and the path of the convolution after them."""
    with torch.device("meta"):
        stages = spec.build((3, 224, 224)).stages
    found: list[Block] = []
    for stage, module in enumerate(list(stages)[1:-1]):
        for place, block in enumerate(module.children()):
            branch = list(block.get_submodule("branch").children())
            gate = next((number for number, layer in enumerate(branch) if isinstance(layer, Gate)), None)
            expands = len(branch) - (gate is not None) == 3
            path = f"backbone.stages.{stage + 1}.{place}.branch"
            found.append(Block(path, stage, place, len(found), gate, expands))
    return found, f"backbone.stages.{len(stages) - 1}"


def _unit(ours: str, conv: str, norm: str) -> Iterator[Pair]:
    yield Pair(f"{ours}.conv", conv)
    yield Pair(f"{ours}.norm", norm)


def torchvision_v2(spec: MobileNetV2) -> Iterator[Pair]:
    """torchvision's MobileNet v2."""
    found, top = blocks(spec)
    yield from _unit("backbone.stages.0", "features.0.0", "features.0.1")
    for block in found:
        theirs, at = f"features.{block.index + 1}.conv", int(block.expands)
        if block.expands:
            yield from _unit(f"{block.path}.0", f"{theirs}.0.0", f"{theirs}.0.1")
        yield from _unit(block.depthwise, f"{theirs}.{at}.0", f"{theirs}.{at}.1")
        yield from _unit(block.last, f"{theirs}.{at + 1}", f"{theirs}.{at + 2}")
    yield from _unit(top, f"features.{len(found) + 1}.0", f"features.{len(found) + 1}.1")
    yield Pair("head.3", "classifier.1")


def torchvision_v3(spec: MobileNetV3) -> Iterator[Pair]:
    """torchvision's MobileNet v3."""
    found, top = blocks(spec)
    yield from _unit("backbone.stages.0", "features.0.0", "features.0.1")
    for block in found:
        yield from _torchvision_block(block, f"features.{block.index + 1}.block")
    yield from _unit(top, f"features.{len(found) + 1}.0", f"features.{len(found) + 1}.1")
    yield Pair("head.2", "classifier.0")
    yield Pair("head.5", "classifier.3")


def torchvision_efficientnet(spec: EfficientNet) -> Iterator[Pair]:
    """torchvision's EfficientNet."""
    found, top = blocks(spec)
    yield from _unit("backbone.stages.0", "features.0.0", "features.0.1")
    for block in found:
        yield from _torchvision_block(block, f"features.{block.stage + 1}.{block.place}.block")
    yield from _unit(top, "features.8.0", "features.8.1")
    yield Pair("head.3", "classifier.1")


def _torchvision_block(block: Block, theirs: str) -> Iterator[Pair]:
    parts = [f"{block.path}.0", block.depthwise] if block.expands else [block.depthwise]
    parts += [""] * (block.gate is not None) + [block.last]
    for number, ours in enumerate(parts):
        if ours:
            yield from _unit(ours, f"{theirs}.{number}.0", f"{theirs}.{number}.1")
        else:
            yield Pair(f"{block.path}.{block.gate}.squeeze", f"{theirs}.{number}.fc1")
            yield Pair(f"{block.path}.{block.gate}.excite", f"{theirs}.{number}.fc2")


def timm_v1(spec: MobileNetV1) -> Iterator[Pair]:
    """timm's MobileNet v1."""
    yield from _unit("backbone.stages.0", "conv_stem", "bn1")
    for stage, depth in enumerate(spec.depths):
        for place in range(depth):
            ours, theirs = f"backbone.stages.{stage + 1}.{place}", f"blocks.{stage}.{place}"
            yield from _unit(f"{ours}.0", f"{theirs}.conv_dw", f"{theirs}.bn1")
            yield from _unit(f"{ours}.1", f"{theirs}.conv_pw", f"{theirs}.bn2")
    yield Pair("head.3", "classifier")


def timm(spec: MobileNetV2 | EfficientNet) -> Iterator[Pair]:
    """timm's MobileNet v2 and EfficientNet."""
    found, top = blocks(spec)
    yield from _unit("backbone.stages.0", "conv_stem", "bn1")
    for block in found:
        yield from _timm_block(block)
    yield from _unit(top, "conv_head", "bn2")
    yield Pair("head.3", "classifier")


def timm_v3(spec: MobileNetV3) -> Iterator[Pair]:
    """timm's MobileNet v3."""
    found, top = blocks(spec)
    yield from _unit("backbone.stages.0", "conv_stem", "bn1")
    for block in found:
        yield from _timm_block(block)
    after = found[-1].stage + 1
    yield from _unit(top, f"blocks.{after}.0.conv", f"blocks.{after}.0.bn1")
    yield Pair("head.2", "conv_head")
    yield Pair("head.5", "classifier")


def _timm_block(block: Block) -> Iterator[Pair]:
    theirs = f"blocks.{block.stage}.{block.place}"
    if block.expands:
        yield from _unit(f"{block.path}.0", f"{theirs}.conv_pw", f"{theirs}.bn1")
        yield from _unit(block.depthwise, f"{theirs}.conv_dw", f"{theirs}.bn2")
        yield from _unit(block.last, f"{theirs}.conv_pwl", f"{theirs}.bn3")
    else:
        yield from _unit(block.depthwise, f"{theirs}.conv_dw", f"{theirs}.bn1")
        yield from _unit(block.last, f"{theirs}.conv_pw", f"{theirs}.bn2")
    if block.gate is not None:
        yield Pair(f"{block.path}.{block.gate}.squeeze", f"{theirs}.se.conv_reduce")
        yield Pair(f"{block.path}.{block.gate}.excite", f"{theirs}.se.conv_expand")


def keras_v1(spec: MobileNetV1) -> Iterator[Pair]:
    """Keras's MobileNet."""
    yield from _unit("backbone.stages.0", "conv1", "conv1_bn")
    places = [(stage, place) for stage, depth in enumerate(spec.depths, 1) for place in range(depth)]
    for number, (stage, place) in enumerate(places, 1):
        ours = f"backbone.stages.{stage}.{place}"
        yield from _unit(f"{ours}.0", f"conv_dw_{number}", f"conv_dw_{number}_bn")
        yield from _unit(f"{ours}.1", f"conv_pw_{number}", f"conv_pw_{number}_bn")
    yield Pair("head.3", "conv_preds")


def keras_v2(spec: MobileNetV2) -> Iterator[Pair]:
    """Keras's MobileNetV2."""
    found, top = blocks(spec)
    yield from _unit("backbone.stages.0", "Conv1", "bn_Conv1")
    for block in found:
        theirs = f"block_{block.index}" if block.index else "expanded_conv"
        if block.expands:
            yield from _unit(f"{block.path}.0", f"{theirs}_expand", f"{theirs}_expand_BN")
        yield from _unit(block.depthwise, f"{theirs}_depthwise", f"{theirs}_depthwise_BN")
        yield from _unit(block.last, f"{theirs}_project", f"{theirs}_project_BN")
    yield from _unit(top, "Conv_1", "Conv_1_bn")
    yield Pair("head.3", "predictions")


def keras_v3(spec: MobileNetV3) -> Iterator[Pair]:
    """Keras's MobileNetV3."""
    found, top = blocks(spec)
    yield from _unit("backbone.stages.0", "conv", "conv_bn")
    for block in found:
        theirs = f"expanded_conv_{block.index}" if block.index else "expanded_conv"
        if block.expands:
            yield from _unit(f"{block.path}.0", f"{theirs}_expand", f"{theirs}_expand_bn")
        yield from _unit(block.depthwise, f"{theirs}_depthwise", f"{theirs}_depthwise_bn")
        if block.gate is not None:
            yield Pair(f"{block.path}.{block.gate}.squeeze", f"{theirs}_squeeze_excite_conv")
            yield Pair(f"{block.path}.{block.gate}.excite", f"{theirs}_squeeze_excite_conv_1")
        yield from _unit(block.last, f"{theirs}_project", f"{theirs}_project_bn")
    yield from _unit(top, "conv_1", "conv_1_bn")
    yield Pair("head.2", "conv_2")
    yield Pair("head.5", "logits")


def keras_efficientnet(spec: EfficientNet) -> Iterator[Pair]:
    """Keras's EfficientNet; the normalisation of its input is ours to do before."""
    found, top = blocks(spec)
    yield from _unit("backbone.stages.0", "stem_conv", "stem_bn")
    for block in found:
        theirs = f"block{block.stage + 1}{chr(ord('a') + block.place)}"
        if block.expands:
            yield from _unit(f"{block.path}.0", f"{theirs}_expand_conv", f"{theirs}_expand_bn")
        yield from _unit(block.depthwise, f"{theirs}_dwconv", f"{theirs}_bn")
        yield Pair(f"{block.path}.{block.gate}.squeeze", f"{theirs}_se_reduce")
        yield Pair(f"{block.path}.{block.gate}.excite", f"{theirs}_se_expand")
        yield from _unit(block.last, f"{theirs}_project_conv", f"{theirs}_project_bn")
    yield from _unit(top, "top_conv", "top_bn")
    yield Pair("head.3", "predictions")


def lite_pytorch(spec: EfficientNet) -> Iterator[Pair]:
    """The package efficientnet_lite_pytorch."""
    found, top = blocks(spec)
    yield from _unit("backbone.stages.0", "_conv_stem", "_bn0")
    for block in found:
        theirs = f"_blocks.{block.index}"
        if block.expands:
            yield from _unit(f"{block.path}.0", f"{theirs}._expand_conv", f"{theirs}._bn0")
        yield from _unit(block.depthwise, f"{theirs}._depthwise_conv", f"{theirs}._bn1")
        yield from _unit(block.last, f"{theirs}._project_conv", f"{theirs}._bn2")
    yield from _unit(top, "_conv_head", "_bn1")
    yield Pair("head.3", "_fc")


def _peer(
    library: Library, name: str, network: str, pairs: Pairs, reading: dict[str, Any] | None = None, **more: Any
) -> Peer:
    card = CATALOG[network]
    spec = replace(card.spec, **(reading or {}))
    return Peer(library, name, more.pop("call", name), network, spec, pairs, more.pop("input", card.input), **more)


_KERAS: dict[str, Any] = {"padding": "tensorflow", "norm": TENSORFLOW}
_PLAIN: dict[str, Any] = {"norm": USUAL}
_SIZES = (224, 240, 260, 300, 380, 456, 528, 600)  # of B0 … B7
_TIMM_SIZES = (224, 240, 256, 288, 320, 448, 528, 600)
_LITE_SIZES = (224, 240, 260, 300, 380)


def _v1_peers() -> Iterator[Peer]:
    for width in (100, 75, 50, 25):
        for side in (224, 192, 160, 128):
            ours = ("" if (width, side) == (100, 224) else f"_{width:03d}") + ("" if side == 224 else f"_{side}")
            arguments = {"alpha": width / 100, "input_shape": [side, side, 3]}
            read = {**_KERAS, "activation": "relu6"}
            yield _peer(
                "keras", f"mobilenet_{width:03d}_{side}", f"mobilenet_v1{ours}", keras_v1, read,
                call="MobileNet", arguments=arguments,
            )  # fmt: skip


def _v2_peers() -> Iterator[Peer]:
    for width in (35, 50, 75, 100, 130, 140):
        ours = "mobilenet_v2" + ("" if width == 100 else f"_{width:03d}")
        arguments = {"alpha": width / 100, "input_shape": [224, 224, 3]}
        yield _peer(
            "keras", f"mobilenetv2_{width:03d}", ours, keras_v2, _KERAS, call="MobileNetV2", arguments=arguments
        )
        if width != 130:
            yield _peer("timm", f"mobilenetv2_{width:03d}", ours, timm, _PLAIN)


def _v3_peers() -> Iterator[Peer]:
    for size in ("small", "large"):
        yield _peer("torchvision", f"mobilenet_v3_{size}", f"mobilenet_v3_{size}", torchvision_v3)
        for theirs, ours, arguments in (
            ("", "", {}), ("_075", "_075", {"alpha": 0.75}), ("_minimalistic", "_minimal", {"minimalistic": True}),
        ):  # fmt: skip
            yield _peer(
                "keras", f"mobilenetv3{size}{theirs}", f"mobilenet_v3_{size}{ours}", keras_v3, _KERAS,
                call=f"MobileNetV3{size.title()}", arguments={**arguments, "include_preprocessing": False},
            )  # fmt: skip
        for theirs, ours in (("100", ""), ("075", "_075"), ("minimal_100", "_minimal")):
            yield _peer("timm", f"tf_mobilenetv3_{size}_{theirs}", f"mobilenet_v3_{size}{ours}", timm_v3, _KERAS)
        for theirs, ours in (("100", ""), ("075", "_075")):
            yield _peer("timm", f"mobilenetv3_{size}_{theirs}", f"mobilenet_v3_{size}{ours}", timm_v3, _PLAIN)


def _efficientnet_peers() -> Iterator[Peer]:
    for number, (side, smaller) in enumerate(zip(_SIZES, _TIMM_SIZES, strict=True)):
        ours = f"efficientnet_b{number}"
        reading = _PLAIN if number < 5 else {"norm": TENSORFLOW}
        size = 288 if number == 2 else side
        yield _peer("torchvision", ours, ours, torchvision_efficientnet, reading, input=(3, size, size))
        yield _peer("timm", ours, ours, timm, _PLAIN, input=(3, smaller, smaller))
        yield _peer("timm", f"tf_{ours}", ours, timm, _KERAS)
        yield _peer(
            "keras", f"efficientnetb{number}", ours, keras_efficientnet, _KERAS, call=f"EfficientNetB{number}",
            ignored=("normalization/mean", "normalization/variance", "normalization/count"),
        )  # fmt: skip
    for number in range(5):
        ours = f"efficientnet_lite{number}"
        yield _peer("timm", ours, ours, timm, _PLAIN)
        yield _peer("timm", f"tf_{ours}", ours, timm, _KERAS)
        yield _peer(
            "efficientnet_lite_pytorch", f"lite{number}", ours, lite_pytorch, _KERAS, call=f"efficientnet-lite{number}"
        )


PEERS = (
    _peer("torchvision", "mobilenet_v2", "mobilenet_v2", torchvision_v2, _PLAIN),
    _peer("timm", "mobilenetv1_100", "mobilenet_v1", timm_v1, {**_PLAIN, "activation": "relu6"}),
    *_v1_peers(),
    *_v2_peers(),
    *_v3_peers(),
    *_efficientnet_peers(),
)
