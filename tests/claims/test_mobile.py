"""The facts of MobileNets and EfficientNets: SPEC §1 (separable convolutions), §3 (the lineage), and their papers."""

from fractions import Fraction
from functools import cache
from itertools import pairwise

import pytest
import torch
from torch import nn

from visus.explanation import Summary, summarize
from visus.models import CATALOG, FAMILIES, build_classifier
from visus.models.cards import Figures
from visus.models.mobilenet_v1 import MobileNetV1
from visus.nn import Classifier, ConvNormAct, DropPath, Gate, Residual

V1 = [name for name, card in CATALOG.items() if card.family == "mobilenet_v1"]
WIDTHS = [name for name in V1 if CATALOG[name].input[1] == 224]


def figures(name: str) -> Figures:
    """The card's; the contract of networks holds them to published counts."""
    found = CATALOG[name].figures
    assert found is not None
    return found


@cache
def looked_into(name: str, side: int | None = None) -> Summary:
    card = CATALOG[name]
    return summarize(card.spec, (3, side, side) if side else card.input, 1000)


@cache
def on_meta(name: str) -> Classifier:
    with torch.device("meta"):
        return build_classifier(CATALOG[name].spec, CATALOG[name].input, 1000).eval()


@cache
def map_shapes(name: str) -> list[tuple[int, ...]]:
    with torch.device("meta"):
        maps = on_meta(name).backbone.maps(torch.empty(1, *CATALOG[name].input))
    return [tuple(each.shape[1:]) for each in maps]


@cache
def convolutions(name: str) -> list[tuple[nn.Conv2d, tuple[int, ...], int]]:
    """Each convolution of maps in order of use, with the shape of its output and its multiply-adds; not of gates."""
    model = on_meta(name)
    by_name = dict(model.named_modules())
    rows = [row for row in looked_into(name).rows if row.kind == "Conv2d" and row.name.endswith(".conv")]
    return [(by_name[row.name], row.shape, row.multiply_adds) for row in rows]


def blocks(name: str) -> list[nn.Module]:
    """The inverted residuals in order."""
    return [block for stage in on_meta(name).backbone.stages if isinstance(stage, nn.Sequential) for block in stage]


# --- MobileNet v1 -----------------------------------------------------------------------------------------------------


def test_mobilenet_v1_is_the_papers_table_1():
    """The paper (arXiv:1704.04861), table 1: filter shapes and input sizes, top to bottom; s2 of the last depthwise
    convolution is a misprint, since 7×7×1024 goes in and out of it."""
    size, c, table = 112, 32, [(3, 3, 32, 2, 112)]
    for out, stride in (
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        *[(512, 1)] * 5,
        (1024, 2),
        (1024, 1),
    ):
        size //= stride
        table += [(3, 1, c, stride, size), (1, c, out, 1, size)]
        c = out
    found = [
        (layer.kernel_size[0], layer.in_channels // layer.groups, layer.out_channels, layer.stride[0], shape[1])
        for layer, shape, _ in convolutions("mobilenet_v1")
    ]
    assert found == table
    assert len(found) + 1 == 28  # §3.2: "counting depthwise and pointwise convolutions as separate layers … 28 layers"
    assert map_shapes("mobilenet_v1") == [
        (32, 112, 112), (64, 112, 112), (128, 56, 56), (256, 28, 28), (512, 14, 14), (1024, 7, 7),
    ]  # fmt: skip


def test_a_depthwise_convolution_has_one_filter_a_channel_and_a_pointwise_one_mixes_them():
    """SPEC §1: "depthwise 3×3 (one filter a channel, no mixing) then pointwise 1×1"."""
    torch.manual_seed(0)
    model = build_classifier(MobileNetV1(stem=4, widths=(6,), depths=(1,)), (3, 16, 16), 2)
    depthwise, pointwise = model.backbone.stages[1][0]
    x = torch.randn(1, 4, 8, 8)
    other = x.clone()
    other[:, 2] += torch.randn(8, 8)
    changed = (depthwise.conv(other) - depthwise.conv(x)).abs().sum((0, 2, 3)) > 0
    assert changed.tolist() == [False, False, True, False]
    assert ((pointwise.conv(other) - pointwise.conv(x)).abs().sum((0, 2, 3)) > 0).all()


@pytest.mark.parametrize("name", WIDTHS)
def test_a_separable_convolution_costs_1_over_n_plus_1_over_f_squared_of_a_full_one(name):
    """SPEC §1: "cost ratio to a full convolution is 1/n_f + 1/f²", n_f filters of f×f; the paper, §3.1."""
    layers = convolutions(name)[1:]
    for (depthwise, _, cost_1), (pointwise, shape, cost_2) in zip(layers[::2], layers[1::2], strict=True):
        f, c, n_f = depthwise.kernel_size[0], depthwise.in_channels, pointwise.out_channels
        full = f * f * c * n_f * shape[1] * shape[2]
        assert Fraction(cost_1 + cost_2, full) == Fraction(1, n_f) + Fraction(1, f * f)


def test_with_full_convolutions_mobilenet_would_have_4866_million_multiply_adds():
    """The paper, table 4: "Conv MobileNet" 4,866 M (without the linear layer's 1 M) and 29.3 M parameters, MobileNet
    569 M and 4.2 M."""
    layers = convolutions("mobilenet_v1")
    macs, weights = layers[0][2], layers[0][0].weight.numel()
    for (depthwise, _, _), (pointwise, shape, _) in zip(layers[1::2], layers[2::2], strict=True):
        filters = 9 * depthwise.in_channels * pointwise.out_channels
        macs, weights = macs + filters * shape[1] * shape[2], weights + filters
    assert macs // 10**6 == 4_866
    assert round((weights + 1024 * 1000) / 1e6, 1) == 29.3
    found = figures("mobilenet_v1")
    assert round(found.multiply_adds / 1e6) == 569
    assert round(found.parameters / 1e6, 1) == 4.2


def test_where_mobilenet_v1_spends():
    """The paper, table 2: of multiply-adds 94.86 % in 1×1 convolutions, 3.06 % in depthwise ones, 0.18 % in the linear
    layer; of parameters (weights) 74.59 %, 1.06 %, 24.33 %. The full convolution has 0.02 % of the parameters; its
    1.19 % of multiply-adds is a misprint: 10,838,016 of 568,740,352 are 1.91 %, and only so the column's sum is 100."""
    layers = convolutions("mobilenet_v1")
    kinds = {"1×1": layers[2::2], "depthwise": layers[1::2], "3×3": layers[:1]}
    macs = {kind: sum(each[2] for each in found) for kind, found in kinds.items()} | {"linear": 1024 * 1000}
    weights = {k: sum(each[0].weight.numel() for each in found) for k, found in kinds.items()} | {"linear": 1024 * 1000}
    shares = [{kind: round(100 * n / sum(each.values()), 2) for kind, n in each.items()} for each in (macs, weights)]
    assert shares == [
        {"1×1": 94.86, "depthwise": 3.06, "3×3": 1.91, "linear": 0.18},
        {"1×1": 74.59, "depthwise": 1.06, "3×3": 0.02, "linear": 24.33},
    ]


@pytest.mark.parametrize("name", WIDTHS)
def test_the_width_multiplier_scales_every_layers_channels(name):
    """SPEC §3: "width multiplier α scales every layer's channels"; parameters by the closed form of table 1."""
    alpha = Fraction(CATALOG[name].spec.alpha)
    whole, thin = convolutions("mobilenet_v1"), convolutions(name)
    assert [layer.out_channels for layer, _, _ in thin] == [alpha * layer.out_channels for layer, _, _ in whole]
    widths = [alpha * c for c in (32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024)]
    depthwise = sum((9 + 2) * c for c in widths[:-1])  # a filter and two numbers of a normalisation for each channel
    pointwise = sum((c + 2) * n for c, n in pairwise(widths))
    assert looked_into(name).parameters == (27 + 2) * widths[0] + depthwise + pointwise + 1000 * (widths[-1] + 1)


@pytest.mark.parametrize("name", V1)
def test_the_resolution_multiplier_scales_the_input(name):
    """SPEC §3: "resolution multiplier ρ the input": the same parameters, ρ² of the convolutions' multiply-adds."""
    found, native = looked_into(name), looked_into(name, 224)
    rho, linear = Fraction(CATALOG[name].input[1], 224), int(1024 * CATALOG[name].spec.alpha) * 1000
    assert found.parameters == native.parameters
    assert found.multiply_adds - linear == rho**2 * (native.multiply_adds - linear)


@pytest.mark.parametrize(
    ("name", "millions", "parameters"),
    [
        ("mobilenet_v1", 569, 4.2),
        ("mobilenet_v1_075", 325, 2.6),
        ("mobilenet_v1_050", 149, 1.3),
        ("mobilenet_v1_025", 41, 0.5),
        ("mobilenet_v1_100_192", 418, 4.2),
        ("mobilenet_v1_100_160", 290, 4.2),
        ("mobilenet_v1_100_128", 186, 4.2),
    ],
)
def test_the_papers_tables_of_widths_and_resolutions(name, millions, parameters):
    """The paper, tables 6 and 7, in millions (569 is rounded, 290 of 290.7 cut)."""
    found = figures(name)
    assert millions in (round(found.multiply_adds / 1e6), found.multiply_adds // 10**6)
    assert round(found.parameters / 1e6, 1) == parameters


def test_there_are_sixteen_mobilenets_v1():
    """The paper, §4.2: "16 models made from the cross product of width multiplier α ∈ {1, 0.75, 0.5, 0.25} and
    resolutions {224, 192, 160, 128}"."""
    assert len(V1) == 16
    assert {(CATALOG[name].spec.alpha, CATALOG[name].input[1]) for name in V1} == {
        (alpha, side) for alpha in (1, 0.75, 0.5, 0.25) for side in (224, 192, 160, 128)
    }


def test_mobilenet_v1_at_another_width():
    """architectures.csv: timm's mobilenetv1_125."""
    found = summarize(MobileNetV1(alpha=1.25), (3, 224, 224), 1000)
    assert (found.parameters, found.multiply_adds) == (6_270_840, 879_516_800)


# --- MobileNet v2 -----------------------------------------------------------------------------------------------------


def test_mobilenet_v2_is_the_papers_table_2():
    """The paper (arXiv:1801.04381), table 2. (Its text has 19 bottlenecks; the table, and all weights, 17.)"""
    assert map_shapes("mobilenet_v2") == [
        (32, 112, 112), (16, 112, 112), (24, 56, 56), (32, 28, 28), (64, 14, 14), (96, 14, 14), (160, 7, 7),
        (320, 7, 7), (1280, 7, 7),
    ]  # fmt: skip
    stages = on_meta("mobilenet_v2").backbone.stages[1:-1]
    assert [len(stage) for stage in stages] == [1, 2, 3, 4, 3, 3, 1]
    depthwise = [layer for layer, _, _ in convolutions("mobilenet_v2") if layer.groups > 1]
    inner = [32, 96, *[144] * 2, *[192] * 3, *[384] * 4, *[576] * 3, *[960] * 3]
    assert [layer.in_channels for layer in depthwise] == inner
    assert {layer.kernel_size for layer in depthwise} == {(3, 3)}


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "efficientnet_b0"])
def test_bottlenecks_are_linear_and_added_where_shapes_are_the_same(name):
    """MobileNet v2's paper, §3.2 and §3.3: no activation after the last 1×1; the shortcut connects bottlenecks."""
    for block in blocks(name):
        *before, last = [m for m in block.modules() if isinstance(m, ConvNormAct)]
        assert isinstance(last.act, nn.Identity)
        assert not any(isinstance(m.act, nn.Identity) for m in before)
        first, [stride] = before[0].conv, {m.conv.stride[0] for m in before if m.conv.groups > 1}
        assert isinstance(block, Residual) == (stride == 1 and first.in_channels == last.conv.out_channels)
        if isinstance(block, Residual):
            assert isinstance(block.skip, nn.Identity)
            assert isinstance(block.act, nn.Identity)


def test_the_cost_of_a_bottleneck():
    """The paper, §3.3: "For a block of size h × w, expansion factor t and kernel size k with d′ input channels and d″
    output channels, the total number of multiply add required is h·w·d′·t(d′ + k² + d″)"."""
    layers, seen = convolutions("mobilenet_v2"), 0
    for (first, _, a), (middle, _, b), (last, shape, c) in zip(
        layers[3:-1:3], layers[4:-1:3], layers[5:-1:3], strict=True
    ):
        assert middle.groups == middle.in_channels == first.out_channels == last.in_channels
        if middle.stride == (1, 1):
            t, d_in, d_out, seen = (
                first.out_channels // first.in_channels,
                first.in_channels,
                last.out_channels,
                seen + 1,
            )
            assert t == 6
            assert a + b + c == shape[1] * shape[2] * d_in * t * (d_in + 9 + d_out)
    assert seen == 12  # 17 less the first, which doesn't expand, and four of stride 2


def test_the_last_convolution_is_never_made_narrower():
    """The paper, §4: "for multipliers less than one, we apply width multiplier to all layers except the very last
    convolutional layer"; SPEC and the authors' code: channels are multiples of 8."""
    channels = {name: on_meta(name).backbone.channels for name in CATALOG if name.startswith("mobilenet_v2")}
    assert {name: found[-1] for name, found in channels.items()} == {
        "mobilenet_v2": 1280, "mobilenet_v2_035": 1280, "mobilenet_v2_050": 1280, "mobilenet_v2_075": 1280,
        "mobilenet_v2_130": 1664, "mobilenet_v2_140": 1792,
    }  # fmt: skip
    # by hand, e.g. 0.35 · 32 = 11.2 → 16 (8 were under nine tenths of it)
    assert channels["mobilenet_v2_035"] == (16, 8, 8, 16, 24, 32, 56, 112, 1280)
    assert channels["mobilenet_v2_140"] == (48, 24, 32, 48, 88, 136, 224, 448, 1792)


@pytest.mark.parametrize(
    ("name", "millions", "parameters"),
    [
        ("mobilenet_v2_140", 582, 6.06),
        ("mobilenet_v2_130", 509, 5.34),
        ("mobilenet_v2", 300, 3.47),
        ("mobilenet_v2_075", 209, 2.61),
        ("mobilenet_v2_050", 97, 1.95),
        ("mobilenet_v2_035", 59, 1.66),
    ],
)
def test_the_authors_table_of_mobilenets_v2(name, millions, parameters):
    """The authors' README (tensorflow/models, research/slim/nets/mobilenet): multiply-adds in millions, cut;
    parameters without those of normalisations, two a channel."""
    found = looked_into(name)
    assert found.multiply_adds // 10**6 == millions
    assert round((found.parameters - found.buffers) / 1e6, 2) == parameters


# --- MobileNet v3 -----------------------------------------------------------------------------------------------------

# Tables 1 and 2 of the paper (arXiv:1905.02244): window, exp size, out, SE, HS or RE, stride.
TABLE_1 = """
3 16 16 - RE 1
3 64 24 - RE 2
3 72 24 - RE 1
5 72 40 SE RE 2
5 120 40 SE RE 1
5 120 40 SE RE 1
3 240 80 - HS 2
3 200 80 - HS 1
3 184 80 - HS 1
3 184 80 - HS 1
3 480 112 SE HS 1
3 672 112 SE HS 1
5 672 160 SE HS 2
5 960 160 SE HS 1
5 960 160 SE HS 1
"""
TABLE_2 = """
3 16 16 SE RE 2
3 72 24 - RE 2
3 88 24 - RE 1
5 96 40 SE HS 2
5 240 40 SE HS 1
5 240 40 SE HS 1
5 120 48 SE HS 1
5 144 48 SE HS 1
5 288 96 SE HS 2
5 576 96 SE HS 1
5 576 96 SE HS 1
"""


@pytest.mark.parametrize(
    ("name", "table", "top", "wide"),
    [("mobilenet_v3_large", TABLE_1, 960, 1280), ("mobilenet_v3_small", TABLE_2, 576, 1024)],
)
def test_mobilenet_v3_is_the_papers_table(name, table, top, wide):
    """Row by row; gates squeeze to a quarter of the inner channels (§5.3), here rounded to multiples of 8."""
    found = []
    for block in blocks(name):
        *_, middle, last = [m for m in block.modules() if isinstance(m, ConvNormAct)]
        gates = [m for m in block.modules() if isinstance(m, Gate)]
        assert all(abs(gate.squeeze.out_channels - middle.conv.out_channels / 4) <= 6 for gate in gates)
        assert all(gate.squeeze.out_channels % 8 == 0 for gate in gates)
        assert all(isinstance(gate.scale, nn.Hardsigmoid) for gate in gates)
        act = {nn.Hardswish: "HS", nn.ReLU: "RE"}[type(middle.act)]
        size, stride = middle.conv.kernel_size[0], middle.conv.stride[0]
        row = (size, middle.conv.in_channels, last.conv.out_channels, "SE" if gates else "-", act, stride)
        found.append(" ".join(map(str, row)))
    assert found == table.split("\n")[1:-1]
    model = on_meta(name)
    stem, conv = model.backbone.stages[0], model.backbone.stages[-1]
    assert (stem.conv.out_channels, stem.conv.stride, conv.conv.out_channels) == (16, (2, 2), top)
    assert [type(m).__name__ for m in (stem.act, conv.act)] == ["Hardswish"] * 2
    assert [type(m).__name__ for m in model.head] == [
        "AdaptiveAvgPool2d", "Flatten", "Linear", "Hardswish", "Dropout", "Linear",
    ]  # fmt: skip
    assert (model.head[2].out_features, model.head[4].p) == (wide, 0.2)  # §6.1: "dropout of 0.8" is the share kept
    assert map_shapes(name)[-1] == (top, 7, 7)


@pytest.mark.parametrize("name", ["mobilenet_v3_large_minimal", "mobilenet_v3_small_minimal"])
def test_the_minimalistic_networks_have_no_advanced_blocks(name):
    """The authors' README: "the same per-layer dimensions", but no "squeeze-and-excite units, hard-swish, and 5×5
    convolutions"."""
    modules, full = list(on_meta(name).modules()), on_meta(name.removesuffix("_minimal"))
    assert not any(isinstance(m, Gate | nn.Hardswish) for m in modules)
    assert max(m.kernel_size for m in modules if isinstance(m, nn.Conv2d)) == (3, 3)
    channels = [(m.conv.in_channels, m.conv.out_channels) for m in modules if isinstance(m, ConvNormAct)]
    assert channels == [(m.conv.in_channels, m.conv.out_channels) for m in full.modules() if isinstance(m, ConvNormAct)]


@pytest.mark.parametrize(
    ("name", "millions", "parameters"),
    [
        ("mobilenet_v3_large", 217, 5.4),
        ("mobilenet_v3_large_075", 155, 4.0),
        ("mobilenet_v3_large_minimal", 209, 3.9),
        ("mobilenet_v3_small_minimal", None, 2.0),  # its 65 M of multiply-adds is a figure of another small network
    ],
)
def test_the_authors_table_of_mobilenets_v3(name, millions, parameters):
    """The authors' README, in millions; of parameters the last digit is cut or rounded."""
    found = figures(name)
    assert millions is None or round(found.multiply_adds / 1e6) == millions
    assert abs(found.parameters / 1e6 - parameters) < 0.1


# --- EfficientNet -----------------------------------------------------------------------------------------------------


def test_efficientnet_b0_is_the_papers_table_1():
    """The paper (arXiv:1905.11946), table 1: stages 1 to 9; resolutions there are of what goes in, here of what comes
    out."""
    assert map_shapes("efficientnet_b0") == [
        (32, 112, 112), (16, 112, 112), (24, 56, 56), (40, 28, 28), (80, 14, 14), (112, 14, 14), (192, 7, 7),
        (320, 7, 7), (1280, 7, 7),
    ]  # fmt: skip
    stages = on_meta("efficientnet_b0").backbone.stages[1:-1]
    assert [len(stage) for stage in stages] == [1, 2, 2, 3, 3, 4, 1]
    for stage, expand, size in zip(stages, (1, 6, 6, 6, 6, 6, 6), (3, 3, 5, 3, 5, 5, 3), strict=True):
        for block in stage:
            *_, middle, _ = [m.conv for m in block.modules() if isinstance(m, ConvNormAct)]
            first = next(m.conv for m in block.modules() if isinstance(m, ConvNormAct))
            assert (middle.kernel_size, middle.in_channels) == ((size, size), expand * first.in_channels)


@pytest.mark.parametrize("number", [0, 3, 7])
def test_every_block_of_efficientnet_has_a_gate_of_a_quarter_of_its_input(number):
    """MnasNet's MBConv, which the paper names, with squeeze-and-excitation; its authors' code: se_ratio 0.25, of the
    channels that come in."""
    for block in blocks(f"efficientnet_b{number}"):
        [gate] = [m for m in block.modules() if isinstance(m, Gate)]
        first = next(m.conv for m in block.modules() if isinstance(m, ConvNormAct))
        assert gate.squeeze.out_channels == first.in_channels // 4
        assert [type(m) for m in (gate.act, gate.scale)] == [nn.SiLU, nn.Sigmoid]


@pytest.mark.parametrize(
    ("number", "millions", "billions"),
    [(0, 5.3, 0.39), (1, 7.8, 0.70), (2, 9.2, 1.0), (3, 12, 1.8), (4, 19, 4.2), (5, 30, 9.9), (6, 43, 19), (7, 66, 37)],
)
def test_the_papers_table_of_efficientnets(number, millions, billions):
    """The paper, table 2: parameters and multiply-adds ("FLOPS") at each network's size, to its two digits."""
    found, card = figures(f"efficientnet_b{number}"), CATALOG[f"efficientnet_b{number}"]
    assert found.parameters / 1e6 == pytest.approx(millions, rel=0.025)
    assert found.multiply_adds / 1e9 == pytest.approx(billions, rel=0.05)
    assert card.input[1] == (224, 240, 260, 300, 380, 456, 528, 600)[number]


def test_compound_scaling():
    """SPEC §3: "compound scaling of depth, width, resolution": every network is B0's table with its channels times the
    width, rounded to multiples of 8, and its depths times the depth, rounded up. B7 (2.0 and 3.1) by hand."""
    model = on_meta("efficientnet_b7")
    assert model.backbone.channels == (64, 32, 48, 80, 160, 224, 384, 640, 2560)
    assert [len(stage) for stage in model.backbone.stages[1:-1]] == [4, 7, 7, 10, 10, 13, 4]
    coefficients = [
        (CATALOG[f"efficientnet_b{n}"].spec.width, CATALOG[f"efficientnet_b{n}"].spec.depth) for n in range(8)
    ]
    assert coefficients == sorted(coefficients)
    assert len({CATALOG[f"efficientnet_b{n}"].spec.rows for n in range(8)}) == 1


def test_stochastic_depth_and_dropout_of_efficientnet():
    """The paper, §5.2: "stochastic depth with survival probability 0.8"; "we linearly increase dropout ratio from 0.2
    for EfficientNet-B0 to 0.5 for B7". In the authors' code the i-th of n blocks is left out at the rate 0.2·i/n."""
    found = [(i, block.drop.rate) for i, block in enumerate(blocks("efficientnet_b0"))
             if isinstance(block, Residual) and isinstance(block.drop, DropPath)]  # fmt: skip
    assert [i for i, _ in found] == [2, 4, 6, 7, 9, 10, 12, 13, 14]
    assert all(rate == pytest.approx(0.2 * i / 16) for i, rate in found)
    assert [m.p for m in on_meta("efficientnet_b0").head if isinstance(m, nn.Dropout)] == [0.2]
    assert [CATALOG[f"efficientnet_b{n}"].spec.dropout for n in range(8)] == [0.2, 0.2, 0.3, 0.3, 0.4, 0.4, 0.5, 0.5]


@pytest.mark.parametrize("number", range(5))
def test_efficientnet_lite(number):
    """The authors' README (tensorflow/tpu, models/official/efficientnet/lite): no squeeze-and-excitation, ReLU6 in
    place of swish, stem and head as they are; in their code also the depth of the first and the last row."""
    model, full = on_meta(f"efficientnet_lite{number}"), on_meta(f"efficientnet_b{number}")
    kinds = {type(m) for m in model.modules()}
    assert nn.ReLU6 in kinds
    assert not kinds & {Gate, nn.SiLU, nn.Sigmoid}
    assert (model.backbone.channels[0], model.backbone.channels[-1]) == (32, 1280)
    assert model.backbone.channels[1:-1] == full.backbone.channels[1:-1]
    depths, of_full = ([len(stage) for stage in each.backbone.stages[1:-1]] for each in (model, full))
    assert depths == [1, *of_full[1:-1], 1]
    millions = round(figures(f"efficientnet_lite{number}").parameters / 1e6, 1)
    assert millions == (4.7, 5.4, 6.1, 8.2, 13.0)[number]


@pytest.mark.parametrize(
    ("name", "side", "parameters", "macs"),
    [
        ("efficientnet_b2", 288, 9_109_994, 1_087_529_456),
        ("efficientnet_b2", 256, 9_109_994, 859_853_760),
        ("efficientnet_b3", 288, 12_233_232, 1_589_198_096),
        ("efficientnet_b4", 320, 19_341_616, 3_063_687_008),
        ("efficientnet_b5", 448, 30_389_784, 9_404_374_080),
        ("efficientnet_lite3", 300, 8_197_096, 1_607_554_544),
        ("efficientnet_lite4", 380, 13_006_568, 3_943_564_112),
        ("mobilenet_v2", 192, 3_504_872, 221_316_608),
        ("mobilenet_v2", 160, 3_504_872, 154_083_200),
        ("mobilenet_v2", 128, 3_504_872, 99_074_048),
        ("mobilenet_v2", 96, 3_504_872, 56_289_152),
    ],
)
def test_counts_at_the_sizes_of_other_libraries(name, side, parameters, macs):
    """architectures.csv: torchvision's B2, timm's B2 to B5 and Lite 3 and 4, Keras's MobileNet v2."""
    found = looked_into(name, side)
    assert (found.parameters, found.multiply_adds) == (parameters, macs)


def test_the_years_of_the_lineage():
    """§3, the papers: 2017, 2018, 2019, 2019; EfficientNet-Lite was published in 2020."""
    assert [FAMILIES[f"mobilenet_v{n}"].year for n in (1, 2, 3)] == [2017, 2018, 2019]
    assert [FAMILIES[f"efficientnet{suffix}"].year for suffix in ("", "_lite")] == [2019, 2020]
