"""The facts of the Inception networks: SPEC §3, and their papers' tables and figures."""

from functools import cache
from itertools import pairwise

import pytest
import torch
from msgspec.structs import replace
from torch import nn

from visus.errors import ModelError
from visus.explanation import Summary, summarize
from visus.models import CATALOG, FAMILIES, Network, build_classifier
from visus.models.parts import BatchNorm
from visus.nn import Residual
from visus.nn.inception import Concatenate, Scale

# arXiv:1409.4842, table 1: #1×1, #3×3 reduce, #3×3, #5×5 reduce, #5×5, pool proj; pixels a side; millions of operations
GOOGLENET = {
    "3a": ((64, 96, 128, 16, 32, 32), 28, 128),
    "3b": ((128, 128, 192, 32, 96, 64), 28, 304),
    "4a": ((192, 96, 208, 16, 48, 64), 14, 73),
    "4b": ((160, 112, 224, 24, 64, 64), 14, 88),
    "4c": ((128, 128, 256, 24, 64, 64), 14, 100),
    "4d": ((112, 144, 288, 32, 64, 64), 14, 119),
    "4e": ((256, 160, 320, 32, 128, 128), 14, 170),
    "5a": ((256, 160, 320, 32, 128, 128), 7, None),  # printed as 54, which its own numbers don't give
    "5b": ((384, 192, 384, 48, 128, 128), 7, 71),
}
KERAS = BatchNorm(eps=1e-3, scale=False)
CHAPTER = [
    name for name, card in CATALOG.items()
    if card.family.startswith(("googlenet", "bn_inception", "inception", "xception"))
]  # fmt: skip


def counted(spec: Network, shape: tuple[int, ...]) -> Summary:
    return summarize(spec, shape, 1000)


@cache
def whole(name: str) -> nn.Module:
    """The network of a card for images of its native size, without memory."""
    with torch.device("meta"):
        return build_classifier(CATALOG[name].spec, CATALOG[name].input, 1000).eval()


def maps(name: str, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    return [tuple(each.shape[1:]) for each in whole(name).backbone.maps(torch.empty(1, *shape, device="meta"))]


def stages_out(name: str) -> list[tuple[int, ...]]:
    return maps(name, CATALOG[name].input)


def modules_out(name: str) -> list[tuple[int, ...]]:
    """The output of every outermost module of side-by-side branches, of an image of native size."""
    found: list[tuple[int, ...]] = []
    outermost = [layer for stage in whole(name).backbone.stages for layer in stage if isinstance(layer, Concatenate)]
    hooks = [m.register_forward_hook(lambda _, __, out: found.append(tuple(out.shape[1:]))) for m in outermost]
    stages_out(name)
    for hook in hooks:
        hook.remove()
    return found


def depth(module: nn.Module) -> int:
    """Layers with parameters on the longest way through."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        return 1
    ways = [depth(each) for each in module.branches] if isinstance(module, Concatenate) else []
    return max(ways) if ways else sum(depth(each) for each in module.children())


# --- GoogLeNet ---


def test_googlenet_stage_by_stage():
    """Table 1, column "output size"."""
    assert stages_out("googlenet") == [
        (64, 112, 112), (192, 56, 56), (480, 28, 28), (512, 14, 14), (528, 14, 14), (832, 14, 14), (1024, 7, 7),
    ]  # fmt: skip
    wanted = [(a + b + c + d, side, side) for (a, _, b, _, c, d), side, _ in GOOGLENET.values()]
    assert modules_out("googlenet") == modules_out("googlenet_bn") == wanted


def test_googlenet_is_22_layers_deep_with_nine_modules_and_two_auxiliary_classifiers():
    """§3: "22 layers, 9 inception modules, two auxiliary classifiers while training, global average pooling, one linear
    layer"; the paper, §5: "22 layers deep when counting only layers with parameters"."""
    model = whole("googlenet")
    assert depth(nn.Sequential(model.backbone, model.head)) == 22
    assert sum(isinstance(m, Concatenate) for m in model.modules()) == 9
    assert [type(m).__name__ for m in model.head] == ["AdaptiveAvgPool2d", "Flatten", "Dropout", "Linear"]
    assert model.head[2].p == 0.4  # table 1: "dropout (40%)"
    assert list(model.auxiliary) == ["3", "4"]
    assert [stages_out("googlenet")[int(stage)] for stage in model.auxiliary] == [(512, 14, 14), (528, 14, 14)]
    assert model.share == 0.3  # §5: "the losses of the auxiliary classifiers were weighted by 0.3"
    for head in model.auxiliary.values():
        assert (head[0].kernel_size, head[0].stride) == ((5, 5), 3)
        assert head[2].conv.out_channels == 128
        assert (head[4].in_features, head[4].out_features, head[6].p) == (4 * 4 * 128, 1024, 0.7)


def test_googlenets_operations_are_those_of_table_1():
    """Column "ops", multiply-adds in millions, cut or rounded; the second convolution has 360."""
    by_module: dict[str, int] = {}
    for row in counted(CATALOG["googlenet"].spec, (3, 224, 224)).rows:
        place = ".".join(row.name.split(".")[2:4])
        by_module[place] = by_module.get(place, 0) + row.multiply_adds
    places = ["2.1", "2.2", "3.1", "4.0", "4.1", "4.2", "5.0", "6.1", "6.2"]
    for place, (_, _, millions) in zip(places, GOOGLENET.values(), strict=True):
        assert millions is None or abs(by_module[place] / 1e6 - millions) < 1
    assert round((by_module["1.2"] + by_module["1.3"]) / 1e6) == 360


def googlenet_by_hand(large: int, per_channel: int) -> int:
    """Weights of the table's convolutions, so many numbers a channel beside them, and the linear layer."""
    weights, channels, c = 49 * 3 * 64 + 64 * 64 + 9 * 64 * 192, 64 + 64 + 192, 192
    for (one, reduce3, three, reduce5, five, pool), _, _ in GOOGLENET.values():
        weights += c * (one + reduce3 + reduce5 + pool) + 9 * reduce3 * three + large**2 * reduce5 * five
        channels += one + reduce3 + three + reduce5 + five + pool
        c = one + three + five + pool
    return weights + per_channel * channels + 1024 * 1000 + 1000


def test_googlenets_parameters_by_hand():
    """Derived from table 1: with biases and 5×5; with two numbers of normalisation and 3×3, torchvision's reading."""
    paper, torchvision = CATALOG["googlenet"].spec, CATALOG["googlenet_bn"].spec
    assert googlenet_by_hand(5, 1) == 6_998_552
    assert googlenet_by_hand(3, 2) == 6_624_904
    assert counted(replace(paper, auxiliary=None), (3, 224, 224)).parameters == 6_998_552
    assert counted(replace(torchvision, auxiliary=None), (3, 224, 224)).parameters == 6_624_904
    heads = [c * 128 + 128 + 2048 * 1024 + 1024 + 1024 * 1000 + 1000 for c in (512, 528)]
    assert heads == [3_188_840, 3_190_888]
    assert counted(paper, (3, 224, 224)).parameters == 6_998_552 + sum(heads)


def test_googlenet_is_small():
    """§3: "about 5 M parameters in the trunk (12× fewer than AlexNet, 27× fewer than VGG-16)". By table 1 the trunk has
    5,973,552, a tenth of AlexNet's 60,965,224 and a 23rd of VGG-16's 138,357,544; the factors are of 5 M."""
    trunk = counted(replace(CATALOG["googlenet"].spec, auxiliary=None), (3, 224, 224)).parameters - 1_025_000
    assert 5_000_000 < trunk < 6_000_000
    assert (60_965_224 // trunk, 138_357_544 // trunk) == (10, 23)
    assert (60_965_224 // 5_000_000, 138_357_544 // 5_000_000) == (12, 27)


# --- BN-Inception ---


def test_bn_inception_stage_by_stage():
    """arXiv:1502.03167, figure 5, column "output size"; three modules at 28×28 in place of two, the third of which and
    4e have stride 2."""
    assert stages_out("bn_inception")[:2] == [(64, 112, 112), (192, 56, 56)]
    assert modules_out("bn_inception") == [
        (256, 28, 28), (320, 28, 28), (576, 14, 14),
        (576, 14, 14), (576, 14, 14), (576, 14, 14), (576, 14, 14), (1024, 7, 7), (1024, 7, 7), (1024, 7, 7),
    ]  # fmt: skip


def test_the_other_reading_of_bn_inception():
    """The column of projections has 128 in 4c and 4d, which gives 608 channels, and 1056 after 4e."""
    outputs = [channels for channels, _, _ in modules_out("bn_inception_128")]
    assert outputs == [256, 320, 576, 576, 576, 608, 608, 1056, 1024, 1024]


def test_bn_inception_has_no_5x5_and_pools_by_means_but_where_it_says_max():
    """Appendix: "the 5×5 convolutional layers are replaced by two consecutive layers of 3×3 convolutions"; figure 5:
    "max" in 3c, 4e and 5b, means in the other seven."""
    backbone = whole("bn_inception").backbone
    windows = {m.kernel_size for m in backbone.modules() if isinstance(m, nn.Conv2d)}
    assert windows == {(7, 7), (3, 3), (1, 1)}
    modules = [m for m in backbone.modules() if isinstance(m, Concatenate)]
    means = [any(isinstance(m, nn.AvgPool2d) for m in each.modules()) for each in modules]
    assert means == [True, True, False, True, True, True, True, False, True, False]


# --- Inception v3 ---


def test_inception_v3_stage_by_stage():
    """arXiv:1512.00567, table 1: three modules at 35×35×288, then 17×17×768 and 8×8×2048; outputs as in the release."""
    assert stages_out("inception_v3") == [
        (64, 147, 147), (192, 71, 71), (288, 35, 35), (768, 17, 17), (2048, 8, 8)
    ]  # fmt: skip
    channels = [channels for channels, _, _ in modules_out("inception_v3")]
    assert channels == [256, 288, 288, *[768] * 5, 1280, 2048, 2048]


@pytest.mark.parametrize("name", ["inception_v3", "inception_v4", "inception_resnet_v1", "inception_resnet_v2"])
def test_any_size_from_75_on(name):
    """§3: "any size ≥ 75, native 299"."""
    spec = CATALOG[name].spec
    assert [maps(name, (3, *sides))[-1][1:] for sides in ((75, 75), (75, 200), (332, 299))] == [(1, 1), (1, 4), (9, 8)]
    for sides in ((74, 75), (299, 74)):
        with pytest.raises(ModelError, match="at least 75×75"):
            spec.build((3, *sides))
    assert CATALOG[name].input == (3, 299, 299)


def test_inception_v3_factorises():
    """§3.2: 7×7 as 1×7 and 7×1 at 17×17, "one 192 wide module" last; §6 and figure 7: 1×3 beside 3×1 at 8×8. What is
    saved: 14 weights in place of 49."""
    backbone = whole("inception_v3").backbone
    windows = [[m.kernel_size for m in stage.modules() if isinstance(m, nn.Conv2d)] for stage in backbone.stages]
    assert [(1, 7) in stage for stage in windows] == [False, False, False, True, True]  # the last in its reduction
    assert windows[3].count((1, 7)) == windows[3].count((7, 1)) == 4 * 3
    assert windows[4].count((1, 3)) == windows[4].count((3, 1)) == 2 * 2
    inner = [module.branches[1][0].conv.out_channels for module in backbone.stages[3][1:]]
    assert inner == [128, 160, 160, 192]


# --- Inception v4 ---


def test_inception_v4_stage_by_stage():
    """arXiv:1602.07261, figures 3 and 9: 4 blocks A at 35×35×384, 7 B at 17×17×1024, 3 C at 8×8×1536; dropout keeps
    0.8."""
    assert stages_out("inception_v4") == [
        (64, 147, 147), (192, 71, 71), (384, 35, 35), (1024, 17, 17), (1536, 8, 8)
    ]  # fmt: skip
    assert modules_out("inception_v4") == [
        (160, 73, 73), (192, 71, 71), *[(384, 35, 35)] * 5, *[(1024, 17, 17)] * 8, *[(1536, 8, 8)] * 4,
    ]  # fmt: skip
    assert whole("inception_v4").head[2].p == pytest.approx(0.2)


def test_the_decks_block_a():
    """§3: "four branches of 96 channels on a 384-channel input: avgpool→1×1; 1×1; 1×1(64)→3×3; 1×1(64)→3×3→3×3;
    concatenated 384": the block A of Inception v4 (figure 4)."""
    backbone = whole("inception_v4").backbone
    blocks = backbone.stages[2][1:]
    assert len(blocks) == 4
    for block in blocks:
        found = []
        for branch in block.branches:
            pooled = isinstance(branch[0], nn.AvgPool2d)
            layers = [each.conv for each in branch if not isinstance(each, nn.AvgPool2d)]
            assert layers[0].in_channels == 384
            found.append((pooled, [(layer.kernel_size[0], layer.out_channels) for layer in layers]))
        assert sorted(found) == [
            (False, [(1, 64), (3, 96)]), (False, [(1, 64), (3, 96), (3, 96)]), (False, [(1, 96)]), (True, [(1, 96)])
        ]  # fmt: skip


# --- Inception-ResNet ---


@pytest.mark.parametrize(
    ("name", "depths", "shapes"),
    [
        ("inception_resnet_v1", (5, 10, 5), [(256, 35, 35), (896, 17, 17), (1792, 8, 8)]),
        ("inception_resnet_v2", (10, 20, 10), [(320, 35, 35), (1088, 17, 17), (1536, 8, 8)]),
    ],
)
def test_inception_resnets_stage_by_stage(name, depths, shapes):
    """Version 1: figures 10–15; version 2: the authors' release, whose blocks Keras and timm have as well. §3.3:
    residuals scaled by factors between 0.1 and 0.3 before they are added."""
    assert stages_out(name) == [(64, 147, 147), (192, 71, 71), *shapes]
    backbone = whole(name).backbone
    blocks = [[m for m in stage if isinstance(m, Residual)] for stage in backbone.stages[2:]]
    assert tuple(map(len, blocks)) == depths
    for stage, factor in zip(blocks, (0.17, 0.10, 0.20), strict=True):
        for number, block in enumerate(stage):
            mixed, linear, scale = block.branch
            assert isinstance(mixed, Concatenate)
            assert isinstance(linear.norm, nn.Identity)  # §3.2: a 1×1 convolution "without activation"
            assert isinstance(linear.act, nn.Identity)
            assert linear.conv.bias is not None
            last = name.endswith("v2") and stage is blocks[-1] and number == len(stage) - 1
            assert isinstance(scale, Scale)
            assert scale.factor == (1.0 if last else factor)
            assert isinstance(block.act, nn.Identity) == last


def test_the_reductions_of_inception_resnet():
    """Table 1: k, l, m, n of reduction A are 192, 192, 256, 384 in version 1 and 256, 256, 384, 384 in version 2."""
    for name, row in (("inception_resnet_v1", [384, 192, 192, 256]), ("inception_resnet_v2", [384, 256, 256, 384])):
        reduction = whole(name).backbone.stages[3][0]
        assert [m.out_channels for m in reduction.modules() if isinstance(m, nn.Conv2d)] == row


# --- Xception ---


def test_xception_stage_by_stage():
    """arXiv:1610.02357, figure 5, and §3: "36 convolutional layers … structured into 14 modules, all of which have
    linear residual connections around them, except for the first and last"."""
    assert stages_out("xception") == [
        (64, 147, 147), (128, 74, 74), (256, 37, 37), (728, 19, 19), (2048, 10, 10)
    ]  # fmt: skip
    model = whole("xception")
    layers = [m for m in model.backbone.modules() if isinstance(m, nn.Conv2d)]
    separable = [m for m in layers if m.groups == m.in_channels > 1]
    assert all((m.kernel_size, m.bias) == ((3, 3), None) for m in separable)
    assert len(separable) + 2 == 36
    blocks = [m for m in model.backbone.modules() if isinstance(m, Residual)]
    assert len(blocks) == 14 - 2
    assert sum(isinstance(m.skip, nn.Identity) for m in blocks) == 8  # the middle flow
    assert model.head[2].p == 0.5  # §4.4


def test_xceptions_parameters_by_hand():
    """A separable convolution a → b: 9a + ab, and 2b of its normalisation; a projection ab + 2b."""

    def separable(*widths: int) -> int:
        return sum(9 * a + a * b + 2 * b for a, b in pairwise(widths))

    def projection(a: int, b: int) -> int:
        return a * b + 2 * b

    stem = 9 * 3 * 32 + 64 + 9 * 32 * 64 + 128
    entry = separable(64, 128, 128) + separable(128, 256, 256) + separable(256, 728, 728)
    entry += projection(64, 128) + projection(128, 256) + projection(256, 728)
    middle = 8 * separable(728, 728, 728, 728)
    exits = separable(728, 728, 1024) + projection(728, 1024) + separable(1024, 1536, 2048)
    assert stem + entry + middle + exits + 2048 * 1000 + 1000 == 22_855_952
    assert sum(p.numel() for p in whole("xception").parameters()) == 22_855_952


# --- all of them ---


@pytest.mark.parametrize(
    ("name", "changes", "parameters", "buffers"),
    [
        # as counted in torchvision 0.29, timm 1.0 and Keras 3.15, or derived by hand (SPEC §3: exact counts)
        ("googlenet", {"auxiliary": None}, 6_998_552, 0),
        ("googlenet_bn", {"auxiliary": None}, 6_624_904, 14_560),
        ("bn_inception", {"bias": True}, 11_204_936, 19_904),
        ("bn_inception_128", {"bias": False}, 11_285_224, 20_032),
        ("inception_v3", {"auxiliary": None}, 23_834_568, 34_432),
        ("inception_resnet_v1", {"norm": KERAS}, 22_742_808, 27_040),
        ("xception", {"padding": "symmetric", "norm": BatchNorm()}, 22_855_952, 54_528),
    ],
)
def test_counts_of_other_readings(name, changes, parameters, buffers):
    spec, card = replace(CATALOG[name].spec, **changes), CATALOG[name]
    found = counted(spec, card.input)
    assert (found.parameters, found.buffers) == (parameters, buffers)
    assert found.multiply_adds == card.figures.multiply_adds


def test_keras_totals():
    """§3: "v3 (… Keras total 23,851,784)", "Inception-ResNet v1, v2 (Keras total 55,873,736)": trainable and moving
    statistics. They differ from timm's counts by one scale a normalised channel, which Keras leaves out: the layer has
    two moving statistics a channel."""
    v3, v2 = (replace(CATALOG[name].spec, norm=KERAS) for name in ("inception_v3", "inception_resnet_v2"))
    for spec, trainable, total, timm in (
        (replace(v3, auxiliary=None), 23_817_352, 23_851_784, 23_834_568),
        (v2, 55_813_192, 55_873_736, 55_843_464),
    ):
        found = counted(spec, (3, 299, 299))
        assert (found.parameters, found.parameters + found.buffers) == (trainable, total)
        assert timm - found.parameters == found.buffers // 2


@pytest.mark.parametrize("name", CHAPTER)
def test_what_an_image_grows_by_a_map_grows_by_over_its_stride(name):
    channels, height, width = CATALOG[name].input
    small, large = maps(name, (channels, height, width)), maps(name, (channels, height + 32, width + 96))
    strides = whole(name).backbone.strides
    for one, other, stride in zip(small, large, strides, strict=True):
        assert (other[1] - one[1], other[2] - one[2]) == (32 // stride, 96 // stride)


def test_the_years_of_the_inception_networks():
    """§3: GoogLeNet 2014; and of the papers: BN-Inception and v3 2015, v4, Inception-ResNet and Xception 2016."""
    years = {name: FAMILIES[name].year for name in FAMILIES}
    assert (years["googlenet"], years["bn_inception"], years["inception_v3"]) == (2014, 2015, 2015)
    assert years["inception_v4"] == years["inception_resnet"] == years["xception"] == 2016
