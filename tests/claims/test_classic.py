"""The facts that Visus is built on, of plain convolutional networks: SPEC §1 (response normalisation) and §3."""

import pytest
import torch
from torch import nn

from visus.explanation import Summary, summarize
from visus.models import CATALOG, FAMILIES, build_classifier
from visus.models.layers import ResponseNorm
from visus.models.vgg import VGG
from visus.nn.fire import Fire

VGGS = {
    "vgg11": "A", "vgg11_lrn": "A-LRN", "vgg13": "B", "vgg16_c": "C", "vgg16": "D", "vgg19": "E",
    "vgg11_bn": "A", "vgg13_bn": "B", "vgg16_bn": "D", "vgg19_bn": "E",
}  # fmt: skip
# The paper (arXiv:1409.1556), table 1: the convolutions of each configuration, and a mark for each max pooling;
# table 2: millions of parameters.
TABLE_1 = {
    "A": "64 | 128 | 256 256 | 512 512 | 512 512 |",
    "A-LRN": "64 LRN | 128 | 256 256 | 512 512 | 512 512 |",
    "B": "64 64 | 128 128 | 256 256 | 512 512 | 512 512 |",
    "C": "64 64 | 128 128 | 256 256 256-1 | 512 512 512-1 | 512 512 512-1 |",
    "D": "64 64 | 128 128 | 256 256 256 | 512 512 512 | 512 512 512 |",
    "E": "64 64 | 128 128 | 256 256 256 256 | 512 512 512 512 | 512 512 512 512 |",
}
TABLE_2 = {"A": 133, "A-LRN": 133, "B": 133, "C": 134, "D": 138, "E": 144}


def looked_into(name: str, classes: int | None = None, side: int | None = None) -> Summary:
    card = CATALOG[name]
    shape = (3, side, side) if side else card.input
    return summarize(card.spec, shape, classes or card.figures.classes)


def layers(name: str, kind: type[nn.Module] = nn.Module) -> list[nn.Module]:
    """Of the trunk and the head, in order."""
    card = CATALOG[name]
    with torch.device("meta"):
        model = build_classifier(card.spec, card.input, card.figures.classes)
    return [module for module in model.modules() if isinstance(module, kind)]


def shapes(found: Summary) -> list[tuple[str, tuple[int, ...]]]:
    """Kind and output of every layer that changes something: not of ReLU, dropout and what only flattens."""
    silent = ("ReLU", "Identity", "Dropout", "Flatten", "AdaptiveAvgPool2d")
    return [(row.kind, row.shape) for row in found.rows if row.kind not in silent]


def test_response_normalisation_is_the_papers():
    """§1: "Local response normalisation (AlexNet: k 2, n 5, α 1e-4, β 0.75; note that torch divides α by n)": against
    the sum over n neighbouring maps (NeurIPS 2012, §3.3)."""
    spec, a = ResponseNorm(), 200 * torch.randn(2, 9, 3, 4)
    assert (spec.k, spec.size, spec.alpha, spec.beta) == (2, 5, 1e-4, 0.75)
    found = spec.build(9)(a)
    for i in range(9):
        squares = sum(a[:, j].square() for j in range(max(0, i - 2), min(8, i + 2) + 1))
        assert torch.allclose(found[:, i], a[:, i] / (2 + 1e-4 * squares) ** 0.75, rtol=1e-4)


def test_alexnet_stage_by_stage():
    """§3: "227×227×3 → conv1 96@11×11/4 p0 → 55×55×96 → maxpool 3×3/2 → 27×27×96 → LRN → conv2 256@5×5 p2 (two groups)
    → 27×27×256 → pool → 13×13×256 → LRN → conv3 384@3×3 p1 → conv4 384@3×3 p1 (two groups) → conv5 256@3×3 p1 (two
    groups) → 13×13×256 → pool → 6×6×256 → 4096 → 4096 → 1000". The paper, §3.5, has normalisation before pooling:
    "Max-pooling layers follow both response-normalization layers as well as the fifth convolutional layer"."""
    assert shapes(looked_into("alexnet")) == [
        ("Conv2d", (96, 55, 55)), ("LocalResponseNorm", (96, 55, 55)), ("MaxPool2d", (96, 27, 27)),
        ("Conv2d", (256, 27, 27)), ("LocalResponseNorm", (256, 27, 27)), ("MaxPool2d", (256, 13, 13)),
        ("Conv2d", (384, 13, 13)), ("Conv2d", (384, 13, 13)), ("Conv2d", (256, 13, 13)), ("MaxPool2d", (256, 6, 6)),
        ("Linear", (4096,)), ("Linear", (4096,)), ("Linear", (1000,)),
    ]  # fmt: skip
    windows = [(each.kernel_size[0], each.stride[0], each.padding[0]) for each in layers("alexnet", nn.Conv2d)]
    assert windows == [(11, 4, 0), (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1)]
    assert {(each.kernel_size, each.stride) for each in layers("alexnet", nn.MaxPool2d)} == {(3, 2)}


def test_filters_of_alexnet_see_what_the_paper_says():
    """The paper, §3.5: kernels of 11×11×3, 5×5×48, 3×3×256, 3×3×192 and 3×3×192; one tower: all maps."""
    seen = {name: [tuple(each.weight.shape[:2]) for each in layers(name, nn.Conv2d)]
            for name in ("alexnet", "alexnet_one_tower")}  # fmt: skip
    assert seen["alexnet"] == [(96, 3), (256, 48), (384, 256), (384, 192), (256, 192)]
    assert seen["alexnet_one_tower"] == [(96, 3), (256, 96), (384, 256), (384, 384), (256, 384)]


def test_neurons_of_alexnet():
    """The paper, §3.5: the layers have 253,440–186,624–64,896–64,896–43,264–4096–4096–1000 neurons. The first is
    printed so, but 96 maps of 55×55 have 290,400."""
    found = [shape for kind, shape in shapes(looked_into("alexnet")) if kind in ("Conv2d", "Linear")]
    counts = [torch.Size(shape).numel() for shape in found]
    assert counts == [290_400, 186_624, 64_896, 64_896, 43_264, 4096, 4096, 1000]


def test_alexnet_has_dropout_of_a_half_after_each_hidden_layer():
    """§3: "ReLU, dropout 0.5"; the paper, §4.2: "in the first two fully-connected layers"; VGG, §3.1, the same."""
    for name in ("alexnet", "zfnet", "vgg16"):
        card = CATALOG[name]
        with torch.device("meta"):
            head = card.spec.head((256, 6, 6), 10)
        assert [type(layer).__name__ for layer in head[2:]] == [
            "Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear",
        ]  # fmt: skip
        assert [layer.p for layer in head if isinstance(layer, nn.Dropout)] == [0.5, 0.5]


def test_counts_of_alexnet_layer_by_layer():
    """derivations.md: f·f·c/groups·n_f + n_f, and a·b + b."""
    found = [row.parameters for row in looked_into("alexnet").rows if row.parameters]
    assert found == [34_944, 307_456, 885_120, 663_936, 442_624, 37_752_832, 16_781_312, 4_097_000]
    assert sum(found) == 60_965_224
    whole = [row.parameters for row in looked_into("alexnet_one_tower").rows if row.parameters]
    assert whole[:5] == [34_944, 2 * 307_456 - 256, 885_120, 2 * 663_936 - 384, 2 * 442_624 - 256]


def test_one_weird_trick():
    """derivations.md: "64,192,384,256,256; no LRN; 224", torchvision's."""
    assert [each.out_channels for each in layers("alexnet_owt", nn.Conv2d)] == [64, 192, 384, 256, 256]
    assert layers("alexnet_owt", nn.LocalResponseNorm) == []
    maps = [shape for kind, shape in shapes(looked_into("alexnet_owt")) if kind == "MaxPool2d"]
    assert maps == [(64, 27, 27), (192, 13, 13), (256, 6, 6)]


@pytest.mark.parametrize(("name", "filters"), [("zfnet", (384, 384, 256)), ("zfnet_512", (512, 1024, 512))])
def test_zfnet_stage_by_stage(name, filters):
    """§3: "conv1 7×7/2; conv3,4,5 with 512, 1024, 512 filters (the deck's variant); the paper's 384/384/256 too".
    Sizes: arXiv:1311.2901, figure 3: 110, pooled 55; 26, pooled 13; 13, 13, 13, pooled 6."""
    found = looked_into(name)
    assert shapes(found) == [
        ("Conv2d", (96, 110, 110)), ("MaxPool2d", (96, 55, 55)), ("LocalResponseNorm", (96, 55, 55)),
        ("Conv2d", (256, 26, 26)), ("MaxPool2d", (256, 13, 13)), ("LocalResponseNorm", (256, 13, 13)),
        *(("Conv2d", (each, 13, 13)) for each in filters), ("MaxPool2d", (filters[-1], 6, 6)),
        ("Linear", (4096,)), ("Linear", (4096,)), ("Linear", (1000,)),
    ]  # fmt: skip
    windows = [(each.kernel_size[0], each.stride[0]) for each in layers(name, nn.Conv2d)]
    assert windows == [(7, 2), (5, 2), (3, 1), (3, 1), (3, 1)]
    widths = (256, *filters)
    inner = [9 * c_in * c_out + c_out for c_in, c_out in zip(widths[:-1], filters, strict=True)]
    dense = [36 * filters[-1] * 4096 + 4096, 4096 * 4096 + 4096, 4096 * 1000 + 1000]
    assert [row.parameters for row in found.rows if row.parameters] == [14_208, 614_656, *inner, *dense]


@pytest.mark.parametrize(("name", "blocks"), [("nin", 4), ("nin_cifar", 3)])
def test_network_in_network_is_made_of_mlpconv_layers(name, blocks):
    """§3: "mlpconv = conv + two 1×1 convs; global average pooling instead of fully connected layers"; arXiv:1312.4400,
    §3.1, equation 2: each of them with ReLU, the last one's too."""
    assert layers(name, nn.Linear) == []
    sizes = [each.kernel_size[0] for each in layers(name, nn.Conv2d)]
    assert len(sizes) == 3 * blocks
    assert all(size > 1 for size in sizes[::3])
    assert set(sizes[1::3] + sizes[2::3]) == {1}
    assert len(layers(name, nn.ReLU)) == 3 * blocks
    assert [layer.output_size for layer in layers(name, nn.AdaptiveAvgPool2d)] == [1]


@pytest.mark.parametrize(("classes", "parameters", "macs"), [(10, 966_986, 222_486_528), (100, 984_356, 223_592_448)])
def test_network_in_network_for_cifar(classes, parameters, macs):
    """architectures.csv, rows NiN CIFAR-10 and CIFAR-100; derivations.md: layer by layer."""
    found = looked_into("nin_cifar", classes)
    assert (found.parameters, found.multiply_adds) == (parameters, macs)
    assert [row.parameters for row in found.rows if row.parameters] == [
        14_592, 30_880, 15_456, 460_992, 37_056, 37_056, 331_968, 37_056, 193 * classes,
    ]  # fmt: skip
    maps = [shape for kind, shape in shapes(found) if kind == "Conv2d"]
    assert [shape[1] for shape in maps] == [32] * 3 + [16] * 3 + [8] * 3


def test_network_in_network_for_imagenet():
    """architectures.csv: "4 mlpconv 96/256/384/1024-1024-1000", class maps of 6×6."""
    found = [shape for kind, shape in shapes(looked_into("nin")) if kind == "Conv2d"]
    assert found == [
        *[(96, 55, 55)] * 3, *[(256, 27, 27)] * 3, *[(384, 13, 13)] * 3, *[(1024, 6, 6)] * 2, (1000, 6, 6),
    ]  # fmt: skip


@pytest.mark.parametrize("name", VGGS)
def test_vgg_is_table_1(name):
    """§3: "A 11, A-LRN, B 13, C 16 with 1×1, D 16, E 19 weight layers; 3×3/1 p1; 2×2/2 max pooling; 4096-4096-1000;
    with and without batch norm"."""
    table = []
    for layer in layers(name):
        if isinstance(layer, nn.Conv2d):
            size = layer.kernel_size[0]
            assert (layer.stride, layer.padding) == ((1, 1), (size // 2, size // 2))
            table.append(f"{layer.out_channels}{'' if size == 3 else f'-{size}'}")
        elif isinstance(layer, nn.LocalResponseNorm):
            table.append("LRN")
        elif isinstance(layer, nn.MaxPool2d):
            assert (layer.kernel_size, layer.stride) == (2, 2)
            table.append("|")
    configuration = VGGS[name]
    assert " ".join(table) == TABLE_1[configuration]
    dense = [layer.out_features for layer in layers(name, nn.Linear)]
    assert dense == [4096, 4096, 1000]
    convolutions = layers(name, nn.Conv2d)
    weights = {"A": 11, "A-LRN": 11, "B": 13, "C": 16, "D": 16, "E": 19}
    assert len(convolutions) + len(dense) == weights[configuration]
    assert len(layers(name, nn.BatchNorm2d)) == (len(convolutions) if name.endswith("_bn") else 0)
    parameters = looked_into(name).parameters
    assert round(parameters / 1e6) == TABLE_2[configuration]
    # by hand: kernels and biases, two numbers a map of each normalisation, the fully connected layers on 7×7 maps
    kernels, c_in = 0, 3
    for word in TABLE_1[configuration].replace("|", "").replace("LRN", "").split():
        width, _, size = word.partition("-")
        kernels += int(size or 3) ** 2 * c_in * int(width) + int(width) * (3 if name.endswith("_bn") else 1)
        c_in = int(width)
    assert parameters == kernels + 7 * 7 * 512 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 1000 + 1000


def test_vgg19_has_143667240_parameters():
    """§3: "VGG-19: 143,667,240 parameters"."""
    assert looked_into("vgg19").parameters == 143_667_240


@pytest.mark.parametrize("name", VGGS)
def test_maps_of_vgg(name):
    """The paper, table 1 and §2.1: each pooling halves a 224×224 image, so that its stages are 224 … 14 pixels a side,
    and 7 after the last pooling."""
    card = CATALOG[name]
    with torch.device("meta"):
        backbone = card.spec.build(card.input).eval()
        maps = backbone.maps(torch.empty(1, *card.input))
    assert [tuple(each.shape[1:]) for each in maps] == [
        (64, 224, 224), (128, 112, 112), (256, 56, 56), (512, 28, 28), (512, 14, 14), (512, 7, 7),
    ]  # fmt: skip
    assert backbone.strides == (1, 2, 4, 8, 16, 32)


def test_three_small_filters_see_as_much_as_a_large_one_with_fewer_weights():
    """The paper, §2.3: a stack of three 3×3 layers "has a 7×7 effective receptive field" and 3(3²C²) = 27C² weights; a
    single 7×7 layer has 49C², "i.e. 81% more"."""
    with torch.device("meta"):
        stack = [layer for layer in VGG(kernels=((3, 3, 3),), widths=(8,)).build((8, 8, 8)).modules()
                 if isinstance(layer, nn.Conv2d)]  # fmt: skip
    weights = sum(layer.weight.numel() for layer in stack)
    assert weights == 27 * 8 * 8
    assert int(100 * (49 * 8 * 8 / weights - 1)) == 81
    backbone = VGG(kernels=((3, 3, 3),), widths=(2,)).build((1, 16, 16))
    for each in backbone.parameters():
        nn.init.ones_(each)  # nothing is cut off by a ReLU
    x = torch.ones(1, 1, 16, 16, requires_grad=True)
    backbone.maps(x)[0][0, 0, 8, 7].backward()
    seen = x.grad[0, 0].nonzero()
    assert seen.min(0).values.tolist() == [5, 4]
    assert seen.max(0).values.tolist() == [11, 10]


def test_squeezenet_is_table_1():
    """arXiv:1602.07360, table 1: sizes of the maps (those of 227×227 images, as its 111 shows) and parameters before
    pruning."""
    found = looked_into("squeezenet1_0", side=227)
    own: dict[str, int] = {}
    for row in found.rows:
        if row.parameters:
            module = row.name.removeprefix("backbone.").partition(".conv")[0].rpartition(".")
            key = module[0] if module[2] in ("squeeze", "small", "large") else row.name
            own[key] = own.get(key, 0) + row.parameters
    assert list(own.values()) == [
        14_208, 11_920, 12_432, 45_344, 49_440, 104_880, 111_024, 188_992, 197_184, 513_000,
    ]  # fmt: skip
    assert found.parameters == 1_248_424
    with torch.device("meta"):
        maps = CATALOG["squeezenet1_0"].spec.build((3, 227, 227)).eval().maps(torch.empty(1, 3, 227, 227))
    assert [tuple(each.shape[1:]) for each in maps] == [(96, 111, 111), (256, 55, 55), (512, 27, 27), (512, 13, 13)]


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_fire_modules(name):
    """The paper, table 1: s₁ₓ₁, e₁ₓ₁ and e₃ₓ₃ of fire2 to fire9; §3.1: fewer filters squeeze than expand."""
    fires = CATALOG[name].spec.fires()
    assert fires == [
        (16, 64, 64), (16, 64, 64), (32, 128, 128), (32, 128, 128),
        (48, 192, 192), (48, 192, 192), (64, 256, 256), (64, 256, 256),
    ]  # fmt: skip
    assert all(squeezed < small + large for squeezed, small, large in fires)
    assert layers(name, nn.Linear) == []
    assert [layer.p for layer in layers(name, nn.Dropout)] == [0.5]  # §3.3: "after the fire9 module"


def test_squeezenet_has_50_times_fewer_parameters_than_alexnet():
    """The paper's title: "50x fewer parameters"; to ten."""
    assert round(looked_into("alexnet").parameters / looked_into("squeezenet1_0").parameters, -1) == 50


def test_squeezenet_1_1_has_a_smaller_stem_and_pools_earlier():
    """Its authors' release (DeepScale/SqueezeNet, SqueezeNet_v1.1), as in torchvision: 64 filters of 3×3 first, and
    pooling after conv1, fire3 and fire5."""
    first = layers("squeezenet1_1", nn.Conv2d)[0]
    assert (first.out_channels, first.kernel_size, first.stride, first.padding) == (64, (3, 3), (2, 2), (0, 0))
    order = [type(each).__name__ for each in layers("squeezenet1_1", nn.MaxPool2d | Fire)]
    assert order == ["MaxPool2d", "Fire", "Fire", "MaxPool2d", "Fire", "Fire", "MaxPool2d", *["Fire"] * 4]


@pytest.mark.parametrize(
    ("name", "strides", "sides"),
    [
        ("alexnet", (4, 8, 16, 32), (55, 27, 13, 6)),
        ("alexnet_owt", (4, 8, 16, 32), (55, 27, 13, 6)),
        ("zfnet", (2, 8, 16, 32), (110, 26, 13, 6)),
        ("nin", (4, 8, 16, 32), (55, 27, 13, 6)),
        ("nin_cifar", (1, 2, 4), (32, 16, 8)),
        ("squeezenet1_0", (2, 4, 8, 16), (109, 54, 27, 13)),
        ("squeezenet1_1", (2, 4, 8, 16), (111, 55, 27, 13)),
    ],
)
def test_maps_are_those_before_each_pooling(name, strides, sides):
    """Strides are products of the papers' strides; sides follow from §1's ⌊(n + 2p − f)/s⌋ + 1, rounded up in
    Caffe's pooling."""
    card = CATALOG[name]
    with torch.device("meta"):
        backbone = card.spec.build(card.input).eval()
        maps = backbone.maps(torch.empty(1, *card.input))
    assert backbone.strides == strides
    assert tuple(each.shape[2] for each in maps) == sides


def test_the_years_of_the_lineage():
    """§3: AlexNet (2012), ZFNet (2013), Network in Network (2013), VGG (2014); SqueezeNet's paper: 2016."""
    years = {name: FAMILIES[name].year for name in ("alexnet", "zfnet", "nin", "vgg", "squeezenet")}
    assert years == {"alexnet": 2012, "zfnet": 2013, "nin": 2013, "vgg": 2014, "squeezenet": 2016}
