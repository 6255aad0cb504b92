"""The facts that Visus is built on, of the networks that it has: SPEC §1 (operators) and §3 (the lineage)."""

import pytest
import torch
from torch import nn

from visus.explanation import Summary, summarize
from visus.models import CATALOG, FAMILIES
from visus.models.lenet import C3_TABLE
from visus.models.resnet import Bottleneck, SqueezeExcite
from visus.nn import ConvNormAct


def looked_into(name: str) -> Summary:
    card = CATALOG[name]
    return summarize(card.spec, card.input, card.figures.classes)


def output_size(n: int, f: int, s: int, p: int) -> int:
    """§1: ⌊(n + 2p − f)/s⌋ + 1."""
    return (n + 2 * p - f) // s + 1


@pytest.mark.parametrize("name", ["lenet5", "lenet5_full", "resnet18", "resnet50", "resnet20", "seresnext50_32x4d"])
def test_output_size_of_every_convolution_and_pooling_window(name):
    """§1: "Output size of a convolution or pooling window f, stride s, padding p on n: ⌊(n + 2p − f)/s⌋ + 1, per axis
    (images need not be square)"."""
    card, seen = CATALOG[name], []
    shape = (card.input[0], card.input[1], card.input[2] + 9)

    def check(layer: nn.Module, given: tuple[torch.Tensor], found: torch.Tensor) -> None:
        f, s, p = (each if isinstance(each, tuple) else (each, each) for each in
                   (layer.kernel_size, layer.stride, layer.padding))  # fmt: skip
        wanted = tuple(output_size(given[0].shape[2 + axis], f[axis], s[axis], p[axis]) for axis in (0, 1))
        seen.append(tuple(found.shape[2:]) == wanted)

    with torch.device("meta"):
        model = card.spec.build(shape)
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
                layer.register_forward_hook(check)
        model(torch.empty(1, *shape))
    assert seen
    assert all(seen)


@pytest.mark.parametrize("name", ["lenet5_full", "resnet18", "resnet50", "resnext50_32x4d"])
def test_weights_of_a_convolution(name):
    """§1: "Weights f·f·c·n_f, biases n_f" (in g groups a filter sees c/g channels)."""
    card = CATALOG[name]
    with torch.device("meta"):
        layers = [m for m in card.spec.build(card.input).modules() if isinstance(m, nn.Conv2d)]
    for layer in layers:
        f, c, filters = layer.kernel_size, layer.in_channels, layer.out_channels
        assert layer.weight.numel() == f[0] * f[1] * (c // layer.groups) * filters
        assert layer.bias is None or layer.bias.numel() == filters


def test_same_padding_keeps_the_size():
    """§1: "same" at s = 1 is p = (f−1)/2, f odd: as the 1×1 and 3×3 convolutions of a residual branch have it."""
    with torch.device("meta"):
        layers = [m for m in CATALOG["resnet50"].spec.build((3, 224, 224)).modules() if isinstance(m, nn.Conv2d)]
    kept = [layer for layer in layers if layer.stride == (1, 1)]
    assert kept
    assert all(layer.padding == tuple((f - 1) // 2 for f in layer.kernel_size) for layer in kept)


def test_a_one_by_one_convolution_mixes_channels_only():
    """§1: "28×28×192 with 32 filters 1×1×192 gives 28×28×32"."""
    x, layer = torch.randn(1, 192, 28, 28), ConvNormAct(192, 32).conv
    assert layer(x).shape == (1, 32, 28, 28)
    assert torch.allclose(layer(x)[0, :, 3, 5], layer.weight[:, :, 0, 0] @ x[0, :, 3, 5], atol=1e-4)


def test_lenet5_stage_by_stage():
    """§3: "LeNet-5 (1998): 1×32×32, conv-pool-conv-pool-fc-fc-output, 5×5 kernels at stride 1, 2×2 average pooling at
    stride 2, tanh-like activations; C3 sparsely connected (the paper's table of 16 maps)". Maps of the paper, figure 2:
    C1 6@28×28, S2 6@14×14, C3 16@10×10, S4 16@5×5, C5 120, F6 84, OUTPUT 10."""
    rows = [row for row in looked_into("lenet5").rows if row.kind not in ("ScaledTanh", "Flatten")]
    assert [(row.kind, row.shape) for row in rows] == [
        ("Conv2d", (6, 28, 28)), ("Subsample", (6, 14, 14)), ("SparseConv2d", (16, 10, 10)),
        ("Subsample", (16, 5, 5)), ("WholeConv2d", (120, 1, 1)), ("Linear", (84,)), ("Prototypes", (10,)),
    ]  # fmt: skip


def test_lenet5_has_60000_trainable_parameters():
    """§3 and the paper, §II.B: C1 156, S2 12, C3 1,516, S4 32, C5 48,120, F6 10,164; the output's codes are fixed."""
    found = looked_into("lenet5")
    counts = [row.parameters for row in found.rows if row.parameters]
    assert counts == [156, 12, 1_516, 32, 48_120, 10_164]
    assert found.parameters == sum(counts) == 60_000
    assert found.buffers == 840  # 10 codes of 84


def test_lenet5_has_the_papers_connections():
    """The paper, §II.B: C1 122,304 connections, S2 5,880, C3 151,600 (as printed: 1,516 × 100), S4 2,000, C5 48,120,
    F6 10,164; with the output's 840 they are 340,908, "340,908 connections". A connection is a use of a weight or bias:
    for each pixel of a map of a convolution its weights and bias, of subsampling four inputs and a bias."""
    by_kind: dict[str, list[int]] = {}
    for row in looked_into("lenet5").rows:
        pixels = row.shape[1] * row.shape[2] if len(row.shape) == 3 else 1
        if row.kind in ("Conv2d", "SparseConv2d", "WholeConv2d", "Linear"):
            by_kind.setdefault(row.kind.removeprefix("Whole"), []).append(row.parameters * pixels)
        elif row.kind == "Subsample":
            by_kind.setdefault(row.kind, []).append(row.shape[0] * pixels * (4 + 1))
        elif row.kind == "Prototypes":
            by_kind.setdefault(row.kind, []).append(84 * row.shape[0])
    assert by_kind == {
        "Conv2d": [122_304, 48_120], "Subsample": [5_880, 2_000], "SparseConv2d": [151_600], "Linear": [10_164],
        "Prototypes": [840],
    }  # fmt: skip
    assert sum(sum(each) for each in by_kind.values()) == 340_908


def test_c3_sees_as_many_maps_as_the_paper_says():
    """The paper, §II.B: the first six take every contiguous subset of three, the next six of four, the next three
    discontinuous subsets of four, the last all six."""
    assert [len(row) for row in C3_TABLE] == [3] * 6 + [4] * 9 + [6]
    for width, rows in ((3, C3_TABLE[:6]), (4, C3_TABLE[6:12])):
        assert {frozenset(row) for row in rows} == {
            frozenset((start + each) % 6 for each in range(width)) for start in range(6)
        }
    assert len({frozenset(row) for row in C3_TABLE}) == 16


def test_lenet5_in_its_common_form_has_61706():
    """§3: "full in the common one"; 156 + 2,416 + 48,120 + 10,164 + 850."""
    found = looked_into("lenet5_full")
    assert [row.parameters for row in found.rows if row.parameters] == [156, 2_416, 48_120, 10_164, 850]
    assert found.parameters == 61_706


@pytest.mark.parametrize(
    ("name", "depths", "expansion", "layers"),
    [
        ("resnet18", (2, 2, 2, 2), 1, 18),
        ("resnet34", (3, 4, 6, 3), 1, 34),
        ("resnet50", (3, 4, 6, 3), 4, 50),
        ("resnet101", (3, 4, 23, 3), 4, 101),
        ("resnet152", (3, 8, 36, 3), 4, 152),
    ],
)
def test_resnets_stage_by_stage(name, depths, expansion, layers):
    """§3: "ResNet (2015) 18, 34, 50, 101, 152; shortcut every 2–3 layers; bottleneck 1×1–3×3–1×1 from 50 on; global
    average pooling, one linear layer, no dropout". Sizes: the paper (arXiv:1512.03385), table 1."""
    spec = CATALOG[name].spec
    assert spec.depths == depths
    assert isinstance(spec.block, Bottleneck) == (layers >= 50)
    with torch.device("meta"):
        backbone = spec.build((3, 224, 224)).eval()
        maps = backbone.maps(torch.empty(1, 3, 224, 224))
        head = spec.head(maps[-1].shape[1:], 1000)
    assert [tuple(each.shape[1:]) for each in maps] == [
        (64, 56, 56), (64 * expansion, 56, 56), (128 * expansion, 28, 28), (256 * expansion, 14, 14),
        (512 * expansion, 7, 7),
    ]  # fmt: skip
    with_weights = [m for m in [*backbone.named_modules(), *head.named_modules()] if hasattr(m[1], "weight")]
    counted = [m for path, m in with_weights if isinstance(m, nn.Conv2d | nn.Linear) and ".skip." not in path]
    assert len(counted) == layers  # projections aren't counted
    assert [type(m).__name__ for m in head] == ["AdaptiveAvgPool2d", "Flatten", "Linear"]
    assert not any(isinstance(m, nn.Dropout) for m in backbone.modules())


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_cifar_resnets(depth):
    """§3; the paper, §4.2: 6n + 2 layers, 3×3 on 32×32, 16×16 and 8×8 with 16, 32 and 64 filters, identity shortcuts
    "in all cases (i.e., option A)", so that depth 20 … 110 has exactly as many parameters as the plain net."""
    spec = CATALOG[f"resnet{depth}"].spec
    with torch.device("meta"):
        backbone = spec.build((3, 32, 32)).eval()
        maps = backbone.maps(torch.empty(1, 3, 32, 32))
    assert [tuple(each.shape[1:]) for each in maps[1:]] == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]
    convolutions = [m for m in backbone.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) + 1 == depth == 6 * spec.depths[0] + 2
    assert {m.kernel_size for m in convolutions} == {(3, 3)}
    found = looked_into(f"resnet{depth}")
    n = spec.depths[0]
    # by hand: the stem, 2n convolutions a stage, the first of the later two from half the channels; two numbers a map
    # of each normalisation; the linear layer
    kernels = 9 * (3 * 16 + 2 * n * 16 * 16 + 16 * 32 + (2 * n - 1) * 32 * 32 + 32 * 64 + (2 * n - 1) * 64 * 64)
    norms = 2 * (16 + 2 * n * (16 + 32 + 64))
    assert found.parameters == kernels + norms + 64 * 10 + 10


@pytest.mark.parametrize(
    ("name", "groups", "width", "gated"),
    [
        ("wide_resnet50_2", 1, 128, False),
        ("wide_resnet101_2", 1, 128, False),
        ("resnext50_32x4d", 32, 128, False),
        ("resnext101_32x8d", 32, 256, False),
        ("resnext101_64x4d", 64, 256, False),
        ("seresnet50", 1, 64, True),
        ("seresnext50_32x4d", 32, 128, True),
    ],
)
def test_the_family_of_resnet_are_other_blocks(name, groups, width, gated):
    """§3: "Wide ResNet (50-2, 101-2), ResNeXt (50 32×4d, 101 32×8d), SENet (squeeze: global average pool; excite: two
    FC)": of the first stage, 32×4d is 128 inner channels in 32 groups of 4; a wide net twice the plain 64."""
    spec = CATALOG[name].spec
    with torch.device("meta"):
        first = spec.build((3, 224, 224)).stages[1][0].branch
    middle = first[1].conv
    assert (middle.kernel_size, middle.groups, middle.out_channels) == ((3, 3), groups, width)
    if "x" in name.partition("_")[2]:
        per_group = int(name.rpartition("x")[2].rstrip("d"))
        assert width == groups * per_group
    assert (spec.gate is not None) == gated
    if gated:
        assert spec.gate == SqueezeExcite(reduction=16)  # arXiv:1709.01507, §6.4: r = 16
        assert (first[-1].squeeze.out_channels, first[-1].excite.out_channels) == (256 // 16, 256)


def test_the_years_of_the_lineage():
    """§3: LeNet-5 (1998), ResNet (2015); and of their papers: Wide ResNet and ResNeXt 2016, SENet 2017."""
    years = {name: family.year for name, family in FAMILIES.items()}
    assert years["lenet5"] == 1998
    assert (years["resnet"], years["wide_resnet"], years["resnext"], years["senet"]) == (2015, 2016, 2016, 2017)


def test_a_convolutional_layer_computes_correlation():
    """§1: g(i,j) = Σ f(i+k, j+l) h(k,l), and not the convolution with its flipped kernel: here LeNet-5's C1."""
    layer, f = CATALOG["lenet5"].spec.build((1, 32, 32)).stages[0][0], torch.randn(32, 32)
    found, kernel, bias = layer(f[None, None])[0, 2], layer.weight[2, 0], layer.bias[2]
    for i, j in ((0, 0), (4, 9), (27, 27)):
        window = f[i : i + 5, j : j + 5]
        assert found[i, j].item() == pytest.approx(((window * kernel).sum() + bias).item(), abs=1e-5)
        assert abs(found[i, j] - (window * kernel.flip(0, 1)).sum() - bias) > 1e-4
