"""AlexNet, VGG and SqueezeNet in torchvision, timm and Keras."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from visus.models import CATALOG
from visus.models.alexnet import AlexNet
from visus.models.layers import Convolution
from visus.models.squeezenet import SqueezeNet
from visus.models.vgg import VGG
from visus.weights.peers.base import Pair, Pairs, Peer


def alexnet(spec: AlexNet) -> Iterator[Pair]:
    """torchvision's names: layers are numbered, their activations and pools too."""
    index = 0
    for stage, row in enumerate(spec.stages):
        for place, layer in enumerate(row):
            if isinstance(layer, Convolution):
                yield Pair(f"backbone.stages.{stage}.{place}.conv", f"features.{index}")
                index += 1  # its ReLU
            index += 1
    for ours, theirs in ((2, 1), (5, 4), (8, 6)):
        yield Pair(f"head.{ours}", f"classifier.{theirs}")


def vgg(spec: VGG) -> Iterator[Pair]:
    """torchvision's names."""
    yield from _features(spec)
    for ours, theirs in ((2, 0), (5, 3), (8, 6)):
        yield Pair(f"head.{ours}", f"classifier.{theirs}")


def timm_vgg(spec: VGG) -> Iterator[Pair]:
    """timm's names: the first two layers of the head are convolutions there."""
    yield from _features(spec)
    for ours, theirs in ((2, "pre_logits.fc1"), (5, "pre_logits.fc2"), (8, "head.fc")):
        yield Pair(f"head.{ours}", theirs, _flattened if ours != 8 else None)


def keras_vgg(spec: VGG) -> Iterator[Pair]:
    """Keras's names. Its flattened map runs over channels last."""
    for ours, stage, place in _convolutions(spec):
        yield Pair(f"{ours}.conv", f"block{stage + 1}_conv{place + 1}")
    yield Pair("head.2", "fc1", _channels_first)
    yield Pair("head.5", "fc2")
    yield Pair("head.8", "predictions")


def squeezenet(spec: SqueezeNet) -> Iterator[Pair]:
    """torchvision's names."""
    yield Pair("backbone.stages.0.conv", "features.0")
    index = 3
    for stage, depth in enumerate(spec.depths, 1):
        for place in range(1, depth + 1):
            for ours, theirs in (("squeeze", "squeeze"), ("small", "expand1x1"), ("large", "expand3x3")):
                yield Pair(f"backbone.stages.{stage}.{place}.{ours}.conv", f"features.{index}.{theirs}")
            index += 1
        index += 1  # the pool
    yield Pair("head.1.conv", "classifier.1")


def _features(spec: VGG) -> Iterator[Pair]:
    index = last = 0
    for ours, stage, _ in _convolutions(spec):
        index, last = index + (stage > last), stage  # a pool
        yield Pair(f"{ours}.conv", f"features.{index}")
        if spec.norm is not None:
            index += 1
            yield Pair(f"{ours}.norm", f"features.{index}")
        index += 2  # the ReLU, and the next


def _convolutions(spec: VGG) -> Iterator[tuple[str, int, int]]:
    """Ours, with the numbers of its stage and place; all stages but the first begin with a pool."""
    for stage, row in enumerate(spec.kernels):
        for place in range(len(row)):
            yield f"backbone.stages.{stage}.{place + (stage > 0)}", stage, place


def _flattened(weight: Tensor) -> Tensor:
    return weight.flatten(1)


def _channels_first(weight: Tensor) -> Tensor:
    """Columns of a 7×7×512 map, channels last → of a 512×7×7 one."""
    return weight.reshape(-1, 7, 7, 512).permute(0, 3, 1, 2).flatten(1)


def _peer(library: str, name: str, network: str, pairs: Pairs, call: str = "") -> Peer:
    return Peer(library, name, call or name, network, CATALOG[network].spec, pairs)  # type: ignore[arg-type]


_VGGS = ("vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn")
PEERS = (
    _peer("torchvision", "alexnet", "alexnet_owt", alexnet),
    *(_peer("torchvision", name, name, vgg) for name in _VGGS),
    *(_peer("timm", name, name, timm_vgg) for name in _VGGS),
    _peer("keras", "vgg16", "vgg16", keras_vgg, "VGG16"),
    _peer("keras", "vgg19", "vgg19", keras_vgg, "VGG19"),
    _peer("torchvision", "squeezenet1_0", "squeezenet1_0", squeezenet),
    _peer("torchvision", "squeezenet1_1", "squeezenet1_1", squeezenet),
)
