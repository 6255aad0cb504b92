"""Residual and densely connected networks in torchvision, timm and Keras."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from visus.models import CATALOG
from visus.models.densenet import DenseNet
from visus.models.parts import BatchNorm
from visus.models.resnet import Bottleneck, ResNet
from visus.models.stems import DeepStem, LargeStem
from visus.weights.peers.base import Library, Pair, Pairs, Peer

KERAS_NORM = BatchNorm(eps=1.001e-5, momentum=0.01)


def torchvision(spec: ResNet) -> Iterator[Pair]:
    """torchvision's names, which timm has too."""
    if isinstance(spec.stem, DeepStem):
        for layer, (conv, norm) in enumerate((("conv1.0", "conv1.1"), ("conv1.3", "conv1.4"), ("conv1.6", "bn1"))):
            yield from _closed(f"backbone.stages.0.{layer}", conv, norm)
    else:
        yield from _closed("backbone.stages.0.0", "conv1", "bn1")
    yield from _units(spec, "se")
    yield Pair(f"head.{3 if spec.dropout else 2}", "fc")


def legacy(spec: ResNet) -> Iterator[Pair]:
    """timm's legacy_se* names."""
    if isinstance(spec.stem, DeepStem):
        for layer in range(3):
            yield from _closed(f"backbone.stages.0.{layer}", f"layer0.conv{layer + 1}", f"layer0.bn{layer + 1}")
    else:
        yield from _closed("backbone.stages.0.0", "layer0.conv1", "layer0.bn1")
    yield from _units(spec, "se_module")
    yield Pair(f"head.{3 if spec.dropout else 2}", "last_linear")


def timm_preact(spec: ResNet) -> Iterator[Pair]:
    """timm's resnetv2_* names."""
    yield Pair("backbone.stages.0.0.conv", "stem.conv")
    for stage, unit in _places(spec.depths):
        theirs = f"stages.{stage - 1}.blocks.{unit}"
        norms, convolutions, skip = _preactivated(stage, unit)
        for layer in range(3):
            yield Pair(norms[layer], f"{theirs}.norm{layer + 1}")
            yield Pair(convolutions[layer], f"{theirs}.conv{layer + 1}")
        if unit == 0:
            yield Pair(skip, f"{theirs}.downsample.conv")
    yield Pair(f"backbone.stages.4.{spec.depths[-1]}.norm", "norm")
    yield Pair("head.2", "head.fc")


def keras(spec: ResNet) -> Iterator[Pair]:
    """Keras's names of the first ResNet."""
    yield from _closed("backbone.stages.0.0", "conv1_conv", "conv1_bn")
    for stage, unit in _places(spec.depths):
        ours, theirs = f"backbone.stages.{stage}.{unit}", f"conv{stage + 1}_block{unit + 1}"
        for layer in range(3):
            yield from _closed(f"{ours}.branch.{layer}", f"{theirs}_{layer + 1}_conv", f"{theirs}_{layer + 1}_bn")
        if unit == 0:
            yield from _closed(f"{ours}.skip", f"{theirs}_0_conv", f"{theirs}_0_bn")
    yield Pair("head.2", "predictions")


def keras_preact(spec: ResNet) -> Iterator[Pair]:
    """Keras's names of the second ResNet."""
    yield Pair("backbone.stages.0.0.conv", "conv1_conv")
    for stage, unit in _places(spec.depths):
        theirs = f"conv{stage + 1}_block{unit + 1}"
        norms, convolutions, skip = _preactivated(stage, unit)
        for norm, name in zip(norms, ("preact_bn", "1_bn", "2_bn"), strict=True):
            yield Pair(norm, f"{theirs}_{name}")
        for layer in range(3):
            yield Pair(convolutions[layer], f"{theirs}_{layer + 1}_conv")
        if unit == 0:
            yield Pair(skip, f"{theirs}_0_conv")
    yield Pair(f"backbone.stages.4.{spec.depths[-1]}.norm", "post_bn")
    yield Pair("head.2", "predictions")


def densenet(spec: DenseNet) -> Iterator[Pair]:
    """torchvision's names, which timm has too."""
    yield from _closed("backbone.stages.0.0", "features.conv0", "features.norm0")
    for stage, depth in enumerate(spec.depths, 1):
        if stage > 1:
            theirs = f"features.transition{stage - 1}"
            yield from _before(f"backbone.stages.{stage}.0.0", f"{theirs}.norm", f"{theirs}.conv")
        for layer in range(depth):
            theirs = f"features.denseblock{stage}.denselayer{layer + 1}"
            for part in (0, 1):
                ours = f"backbone.stages.{stage}.{layer + (stage > 1)}.branch.{part}"
                yield from _before(ours, f"{theirs}.norm{part + 1}", f"{theirs}.conv{part + 1}")
    yield Pair(f"backbone.stages.{len(spec.depths)}.{spec.depths[-1] + 1}.norm", "features.norm5")
    yield Pair("head.2", "classifier")


def keras_densenet(spec: DenseNet) -> Iterator[Pair]:
    """Keras's names."""
    yield from _closed("backbone.stages.0.0", "conv1_conv", "conv1_bn")
    for stage, depth in enumerate(spec.depths, 1):
        if stage > 1:
            yield from _before(f"backbone.stages.{stage}.0.0", f"pool{stage}_bn", f"pool{stage}_conv")
        for layer in range(depth):
            theirs = f"conv{stage + 1}_block{layer + 1}"
            for part in (0, 1):
                ours = f"backbone.stages.{stage}.{layer + (stage > 1)}.branch.{part}"
                yield from _before(ours, f"{theirs}_{part}_bn", f"{theirs}_{part + 1}_conv")
    yield Pair(f"backbone.stages.4.{spec.depths[-1] + 1}.norm", "bn")
    yield Pair("head.2", "predictions")


def _closed(ours: str, conv: str, norm: str) -> Iterator[Pair]:
    """A convolution, and the normalisation after it."""
    yield Pair(f"{ours}.conv", conv)
    yield Pair(f"{ours}.norm", norm)


def _before(ours: str, norm: str, conv: str) -> Iterator[Pair]:
    """A normalisation, and the convolution after it."""
    yield Pair(f"{ours}.0.norm", norm)
    yield Pair(f"{ours}.1.conv", conv)


def _places(depths: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    return ((stage, unit) for stage, depth in enumerate(depths, 1) for unit in range(depth))


def _units(spec: ResNet, gate: str) -> Iterator[Pair]:
    """The units of a post-activation network; `gate`: what a squeeze-and-excitation is called."""
    layers, widens = (3, True) if isinstance(spec.block, Bottleneck) else (2, False)
    for stage, unit in _places(spec.depths):
        ours, theirs = f"backbone.stages.{stage}.{unit}", f"layer{stage}.{unit}"
        for layer in range(layers):
            yield from _closed(f"{ours}.branch.{layer}", f"{theirs}.conv{layer + 1}", f"{theirs}.bn{layer + 1}")
        if spec.gate:
            yield Pair(f"{ours}.branch.{layers}.squeeze", f"{theirs}.{gate}.fc1")
            yield Pair(f"{ours}.branch.{layers}.excite", f"{theirs}.{gate}.fc2")
        if unit == 0 and (stage > 1 or widens):
            yield from _closed(f"{ours}.skip", f"{theirs}.downsample.0", f"{theirs}.downsample.1")


def _preactivated(stage: int, unit: int) -> tuple[list[str], list[str], str]:
    """The normalisations, the convolutions and the projection of a pre-activation bottleneck.

    In the first of a stage the branch and the projection share the first normalisation, which stands before both.
    """
    ours = f"backbone.stages.{stage}.{unit}"
    if unit == 0:
        norms = [f"{ours}.0.norm", f"{ours}.1.branch.1.norm", f"{ours}.1.branch.3.norm"]
        return norms, [f"{ours}.1.branch.{place}.conv" for place in (0, 2, 4)], f"{ours}.1.skip.conv"
    return (
        [f"{ours}.branch.{place}.norm" for place in (0, 2, 4)],
        [f"{ours}.branch.{place}.conv" for place in (1, 3, 5)],
        "",
    )


def _peer(library: Library, name: str, network: str, pairs: Pairs, call: str = "", **reading: Any) -> Peer:
    spec = replace(CATALOG[network].spec, **reading)
    damping = 0.5 if isinstance(spec, ResNet) and spec.gate is not None and sum(spec.depths) > 30 else 1.0
    return Peer(library, name, call or name, network, spec, pairs, damping=damping)


_BOTH = (
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2",
    "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d",
)  # fmt: skip
_TIMM = (
    "resnet200", "resnext101_32x4d", "seresnet50", "seresnet101", "seresnet152", "seresnext50_32x4d",
    "seresnext101_32x4d", "seresnext101_32x8d", "senet154",
)  # fmt: skip
_DENSE = ("densenet121", "densenet161", "densenet169", "densenet201")
PEERS = (
    *(_peer("torchvision", name, name, torchvision) for name in _BOTH),
    *(_peer("timm", name, name, torchvision) for name in (*_BOTH, *_TIMM)),
    *(
        _peer("timm", f"resnetv2_{depth}", f"preact_resnet{depth}", timm_preact, stem=LargeStem(end="bare"))
        for depth in (50, 101, 152)
    ),
    *(_peer("timm", f"legacy_seresnet{depth}", f"seresnet{depth}_caffe", legacy) for depth in (50, 101, 152)),
    *(
        _peer("timm", f"legacy_{name}", name, legacy, stem=LargeStem(pool="ceil"))
        for name in ("seresnext50_32x4d", "seresnext101_32x4d")
    ),
    _peer("timm", "legacy_senet154", "senet154", legacy, stem=DeepStem(pool="ceil")),
    *(_peer("keras", f"resnet{depth}", f"resnet{depth}_keras", keras, f"ResNet{depth}") for depth in (50, 101, 152)),
    *(
        _peer("keras", f"resnet{depth}v2", f"preact_resnet{depth}_keras", keras_preact, f"ResNet{depth}V2")
        for depth in (50, 101, 152)
    ),
    *(_peer(library, name, name, densenet) for library in ("torchvision", "timm") for name in _DENSE),
    *(
        _peer("keras", f"densenet{depth}", f"densenet{depth}", keras_densenet, f"DenseNet{depth}", norm=KERAS_NORM)
        for depth in (121, 169, 201)
    ),
)
