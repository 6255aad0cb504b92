"""GoogLeNet, Inception v3 and v4, Inception-ResNet v2 and Xception in torchvision, timm and Keras."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from visus.models import CATALOG, Network
from visus.models.googlenet import GoogLeNet
from visus.models.inception_resnet import InceptionResNet
from visus.models.inception_v3 import InceptionV3
from visus.models.inception_v4 import InceptionV4
from visus.models.parts import BatchNorm
from visus.models.xception import Xception
from visus.weights.peers.base import Library, Pair, Pairs, Peer, numbered

KERAS_NORM = BatchNorm(eps=1e-3, momentum=0.01, scale=False)
AT = "backbone.stages."

# Inside of a block: torchvision's name of a unit → branch and place in ours.
V1_BLOCK = {
    "branch1": "0.0", "branch2.0": "1.0", "branch2.1": "1.1", "branch3.0": "2.0", "branch3.1": "2.1",
    "branch4.1": "3.1",
}  # fmt: skip
V1_BLOCKS = {
    "3a": "2.1", "3b": "2.2", "4a": "3.1", "4b": "4.0", "4c": "4.1", "4d": "4.2", "4e": "5.0", "5a": "6.1", "5b": "6.2",
}  # fmt: skip
V3_A = {
    "branch1x1": "0.0", "branch5x5_1": "1.0", "branch5x5_2": "1.1", "branch3x3dbl_1": "2.0", "branch3x3dbl_2": "2.1",
    "branch3x3dbl_3": "2.2", "branch_pool": "3.1",
}  # fmt: skip
V3_B = {"branch3x3": "0.0", "branch3x3dbl_1": "1.0", "branch3x3dbl_2": "1.1", "branch3x3dbl_3": "1.2"}
V3_C = {
    "branch1x1": "0.0",
    **{f"branch7x7_{place + 1}": f"1.{place}" for place in range(3)},
    **{f"branch7x7dbl_{place + 1}": f"2.{place}" for place in range(5)},
    "branch_pool": "3.1",
}
V3_D = {
    "branch3x3_1": "0.0",
    "branch3x3_2": "0.1",
    **{f"branch7x7x3_{place + 1}": f"1.{place}" for place in range(4)},
}
V3_E = {
    "branch1x1": "0.0", "branch3x3_1": "1.0", "branch3x3_2a": "1.1.branches.0.0", "branch3x3_2b": "1.1.branches.1.0",
    "branch3x3dbl_1": "2.0", "branch3x3dbl_2": "2.1", "branch3x3dbl_3a": "2.2.branches.0.0",
    "branch3x3dbl_3b": "2.2.branches.1.0", "branch_pool": "3.1",
}  # fmt: skip
V3_BLOCKS: dict[str, tuple[str, Mapping[str, str]]] = {
    "5b": ("2.1", V3_A), "5c": ("2.2", V3_A), "5d": ("2.3", V3_A), "6a": ("3.0", V3_B), "6b": ("3.1", V3_C),
    "6c": ("3.2", V3_C), "6d": ("3.3", V3_C), "6e": ("3.4", V3_C), "7a": ("4.0", V3_D), "7b": ("4.1", V3_E),
    "7c": ("4.2", V3_E),
}  # fmt: skip
V4_STEM = {
    "0": "0.0", "1": "0.1", "2": "0.2", "3.conv": "1.0.branches.1.0", "5.conv": "2.0.branches.0.0",
    **{f"4.branch0.{place}": f"1.1.branches.0.{place}" for place in range(2)},
    **{f"4.branch1.{place}": f"1.1.branches.1.{place}" for place in range(4)},
}  # fmt: skip
V4_C = {
    "branch0": "0.0", "branch1_0": "1.0", "branch1_1a": "1.1.branches.0.0", "branch1_1b": "1.1.branches.1.0",
    "branch2_0": "2.0", "branch2_1": "2.1", "branch2_2": "2.2", "branch2_3a": "2.3.branches.0.0",
    "branch2_3b": "2.3.branches.1.0", "branch3.1": "3.1",
}  # fmt: skip


def googlenet(spec: GoogLeNet) -> Iterator[Pair]:
    """torchvision's names."""
    yield from _units({"conv1": f"{AT}0.0", "conv2": f"{AT}1.1", "conv3": f"{AT}1.2"})
    for name, place in V1_BLOCKS.items():
        yield from _units({f"inception{name}.{theirs}": f"{AT}{place}.branches.{o}" for theirs, o in V1_BLOCK.items()})
    if spec.auxiliary is not None:
        for head, stage in (("aux1", 3), ("aux2", 4)):
            yield from _units({f"{head}.conv": f"auxiliary.{stage}.2"})
            yield Pair(f"auxiliary.{stage}.4", f"{head}.fc1")
            yield Pair(f"auxiliary.{stage}.7", f"{head}.fc2")
    yield Pair("head.3", "fc")


def inception_v3(spec: InceptionV3) -> Iterator[Pair]:
    """torchvision's names, which timm has too."""
    stem = {"1a_3x3": "0.0", "2a_3x3": "0.1", "2b_3x3": "0.2", "3b_1x1": "1.1", "4a_3x3": "1.2"}
    yield from _units({f"Conv2d_{name}": f"{AT}{place}" for name, place in stem.items()})
    for name, (place, block) in V3_BLOCKS.items():
        yield from _units({f"Mixed_{name}.{theirs}": f"{AT}{place}.branches.{o}" for theirs, o in block.items()})
    if spec.auxiliary is not None:
        yield from _units({"AuxLogits.conv0": "auxiliary.3.2", "AuxLogits.conv1": "auxiliary.3.3"})
        yield Pair("auxiliary.3.5", "AuxLogits.fc")
    yield Pair("head.3", "fc")


def inception_v4(_: InceptionV4) -> Iterator[Pair]:
    """timm's names."""
    yield from _units({f"features.{theirs}": f"{AT}{ours}" for theirs, ours in V4_STEM.items()})
    for index in range(4):
        yield from _branches(f"features.{6 + index}", f"{AT}2.{1 + index}.branches", (1, 2, 3, "pool"))
    yield from _branches("features.10", f"{AT}3.0.branches", (1, 3))
    for index in range(7):
        yield from _branches(f"features.{11 + index}", f"{AT}3.{1 + index}.branches", (1, 3, 5, "pool"))
    yield from _branches("features.18", f"{AT}4.0.branches", (2, 4))
    for index in range(3):
        ours = f"{AT}4.{1 + index}.branches"
        yield from _units({f"features.{19 + index}.{theirs}": f"{ours}.{place}" for theirs, place in V4_C.items()})
    yield Pair("head.3", "last_linear")


def inception_resnet_v2(_: InceptionResNet) -> Iterator[Pair]:
    """timm's names."""
    stem = {"1a": "0.0", "2a": "0.1", "2b": "0.2", "3b": "1.1", "4a": "1.2", "7b": "4.11"}
    yield from _units({f"conv2d_{name}": f"{AT}{place}" for name, place in stem.items()})
    yield from _branches("mixed_5b", f"{AT}2.1.branches", (1, 2, 3, "pool"))
    yield from _branches("mixed_6a", f"{AT}3.0.branches", (1, 3))
    yield from _branches("mixed_7a", f"{AT}4.0.branches", (2, 2, 3))
    rows = (("repeat.", 2, 2, 10, (1, 2, 3)), ("repeat_1.", 3, 1, 20, (1, 3)), ("repeat_2.", 4, 1, 9, (1, 3)))
    blocks = [
        (f"{name}{index}", f"{AT}{stage}.{first + index}.branch", shape)
        for name, stage, first, count, shape in rows
        for index in range(count)
    ]
    for theirs, ours, shape in [*blocks, ("block8", f"{AT}4.10.branch", (1, 3))]:
        yield from _branches(theirs, f"{ours}.0.branches", shape)
        yield Pair(f"{ours}.1.conv", f"{theirs}.conv2d")
    yield Pair("head.3", "classif")


def timm_xception(_: Xception) -> Iterator[Pair]:
    """timm's legacy_xception."""
    for index in (1, 2):
        yield Pair(f"{AT}0.{index - 1}.conv", f"conv{index}")
        yield Pair(f"{AT}0.{index - 1}.norm", f"bn{index}")
    for number, ours, count in _xception_blocks():
        theirs = f"block{number}"
        if count == 2:
            yield Pair(f"{ours}.skip.conv", f"{theirs}.skip")
            yield Pair(f"{ours}.skip.norm", f"{theirs}.skipbn")
        for index in range(count):
            at = 3 * index + (0 if number == 1 else 1)  # the first block has no ReLU before it
            yield Pair(f"{ours}.branch.{3 * index + 1}.conv", f"{theirs}.rep.{at}.conv1")
            yield Pair(f"{ours}.branch.{3 * index + 2}.conv", f"{theirs}.rep.{at}.pointwise")
            yield Pair(f"{ours}.branch.{3 * index + 2}.norm", f"{theirs}.rep.{at + 1}")
    for number, at in ((3, 1), (4, 4)):
        yield Pair(f"{AT}4.{at}.conv", f"conv{number}.conv1")
        yield Pair(f"{AT}4.{at + 1}.conv", f"conv{number}.pointwise")
        yield Pair(f"{AT}4.{at + 1}.norm", f"bn{number}")
    yield Pair("head.3", "fc")


def keras_inception_v3(spec: InceptionV3) -> Iterator[Pair]:
    """Keras numbers the layers in the order of their making, which is that of ours."""
    yield from numbered(spec, (3, 299, 299))
    yield Pair("head.3", "predictions")


def keras_inception_resnet_v2(spec: InceptionResNet) -> Iterator[Pair]:
    """Keras's names: numbers, but for the layers that end the blocks."""
    named = [
        (f"{AT}{stage}.{first + index}.branch.1", f"{name}_{index + 1}_conv")
        for name, stage, first, count in (("block35", 2, 2, 10), ("block17", 3, 1, 20), ("block8", 4, 1, 10))
        for index in range(count)
    ]
    yield from numbered(spec, (3, 299, 299), without=(*(ours for ours, _ in named), f"{AT}4.11"))
    for ours, theirs in named:
        yield Pair(f"{ours}.conv", theirs)
    yield Pair(f"{AT}4.11.conv", "conv_7b")
    yield Pair(f"{AT}4.11.norm", "conv_7b_bn")
    yield Pair("head.3", "predictions")


def keras_xception(_: Xception) -> Iterator[Pair]:
    """Keras's names; only the shortcuts are numbered."""
    for index in (0, 1):
        yield Pair(f"{AT}0.{index}.conv", f"block1_conv{index + 1}")
        yield Pair(f"{AT}0.{index}.norm", f"block1_conv{index + 1}_bn")
    skip = 0
    for number, ours, count in _xception_blocks():
        if count == 2:
            ending = f"_{skip}" if skip else ""
            yield Pair(f"{ours}.skip.conv", f"conv2d{ending}")
            yield Pair(f"{ours}.skip.norm", f"batch_normalization{ending}")
            skip += 1
        for index in range(count):
            yield from _separable(f"{ours}.branch", 3 * index + 1, f"block{number + 1}_sepconv{index + 1}")
    for index, at in ((1, 1), (2, 4)):
        yield from _separable(f"{AT}4", at, f"block14_sepconv{index}")
    yield Pair("head.3", "predictions")


def _xception_blocks() -> Iterator[tuple[int, str, int]]:
    """The twelve blocks with a shortcut: number, ours, separable convolutions (two where the shortcut learns)."""
    places = ["1.0", "2.0", "3.0", *(f"3.{1 + index}" for index in range(8)), "4.0"]
    for number, place in enumerate(places, 1):
        yield number, f"{AT}{place}", 3 if 4 <= number <= 11 else 2


def _separable(ours: str, at: int, theirs: str) -> Iterator[Pair]:
    yield Pair(f"{ours}.{at}.conv", f"{theirs}@depthwise")
    yield Pair(f"{ours}.{at + 1}.conv", f"{theirs}@pointwise")
    yield Pair(f"{ours}.{at + 1}.norm", f"{theirs}_bn")


def _branches(theirs: str, ours: str, shape: tuple[int | str, ...]) -> Iterator[Pair]:
    """Branches of 1, 2, … units; a single one has no number in timm's names, and one behind a pool has 1."""
    for branch, count in enumerate(shape):
        if count == 1:
            yield from _units({f"{theirs}.branch{branch}": f"{ours}.{branch}.0"})
        elif count == "pool":
            yield from _units({f"{theirs}.branch{branch}.1": f"{ours}.{branch}.1"})
        else:
            rows = range(int(count))
            yield from _units({f"{theirs}.branch{branch}.{unit}": f"{ours}.{branch}.{unit}" for unit in rows})


def _units(names: Mapping[str, str]) -> Iterator[Pair]:
    """Convolutions with their normalisations: theirs → ours."""
    for theirs, ours in names.items():
        yield Pair(f"{ours}.conv", f"{theirs}.conv")
        yield Pair(f"{ours}.norm", f"{theirs}.bn")


def _peer(library: Library, name: str, network: str, pairs: Pairs, call: str = "", **more: Any) -> Peer:
    spec: Network = more.pop("spec", CATALOG[network].spec)
    return Peer(library, name, call or name, network, spec, pairs, more.pop("input", (3, 299, 299)), **more)


_V3 = CATALOG["inception_v3"].spec
PEERS = (
    _peer(
        "torchvision", "googlenet", "googlenet_bn", googlenet, input=(3, 224, 224),
        arguments={"aux_logits": True, "init_weights": False},
    ),
    _peer(
        "torchvision", "inception_v3", "inception_v3", inception_v3, spec=replace(_V3, average="padded"),
        arguments={"aux_logits": True, "init_weights": False},
    ),
    _peer(
        "timm", "inception_v3", "inception_v3", inception_v3, spec=replace(_V3, average="padded", auxiliary=None)
    ),
    _peer("timm", "inception_v4", "inception_v4", inception_v4),
    _peer("timm", "inception_resnet_v2", "inception_resnet_v2", inception_resnet_v2),
    _peer(
        "timm", "legacy_xception", "xception", timm_xception,
        spec=replace(CATALOG["xception"].spec, padding="symmetric", norm=BatchNorm()),
    ),
    _peer(
        "keras", "inceptionv3", "inception_v3", keras_inception_v3, "InceptionV3",
        spec=replace(_V3, auxiliary=None, norm=KERAS_NORM),
    ),
    _peer(
        "keras", "inceptionresnetv2", "inception_resnet_v2", keras_inception_resnet_v2, "InceptionResNetV2",
        spec=replace(CATALOG["inception_resnet_v2"].spec, norm=KERAS_NORM),
    ),
    _peer("keras", "xception", "xception", keras_xception, "Xception"),
)  # fmt: skip
