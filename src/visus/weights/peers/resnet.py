"""Residual networks in torchvision, timm and Keras."""

from __future__ import annotations

from collections.abc import Iterator

from visus.models import CATALOG
from visus.models.resnet import Bottleneck, ResNet
from visus.weights.peers.base import Pair, Peer


def torchvision(spec: ResNet) -> Iterator[Pair]:
    """torchvision's names, which timm has too."""
    yield Pair("backbone.stages.0.0.conv", "conv1")
    yield Pair("backbone.stages.0.0.norm", "bn1")
    count = 3 if isinstance(spec.block, Bottleneck) else 2
    c_in = spec.stem.channels
    for stage, (depth, width) in enumerate(zip(spec.depths, spec.widths, strict=True), 1):
        c_out = width * spec.block.expansion
        for block in range(depth):
            ours, theirs = f"backbone.stages.{stage}.{block}", f"layer{stage}.{block}"
            for layer in range(count):
                yield Pair(f"{ours}.branch.{layer}.conv", f"{theirs}.conv{layer + 1}")
                yield Pair(f"{ours}.branch.{layer}.norm", f"{theirs}.bn{layer + 1}")
            if spec.gate:
                yield Pair(f"{ours}.branch.{count}.squeeze", f"{theirs}.se.fc1")
                yield Pair(f"{ours}.branch.{count}.excite", f"{theirs}.se.fc2")
            if block == 0 and (stage > 1 or c_in != c_out):
                yield Pair(f"{ours}.skip.conv", f"{theirs}.downsample.0")
                yield Pair(f"{ours}.skip.norm", f"{theirs}.downsample.1")
    yield Pair("head.2", "fc")


def _same(library: str, *names: str) -> Iterator[Peer]:
    for name in names:
        yield Peer(library, name, name, name, CATALOG[name].spec, torchvision)  # type: ignore[arg-type]


PEERS = (
    *_same(
        "torchvision", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2",
        "wide_resnet101_2", "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d",
    ),
    *_same(
        "timm", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2",
        "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "seresnet50", "seresnet101", "seresnet152",
        "seresnext50_32x4d",
    ),
)  # fmt: skip
