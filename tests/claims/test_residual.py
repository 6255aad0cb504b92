"""The facts of residual and densely connected networks: SPEC §3 and the tables of their papers."""

from functools import cache
from itertools import chain, pairwise
from typing import get_args

import pytest
import torch
from msgspec.structs import replace
from torch import nn

from visus.errors import ModelError
from visus.explanation import summarize
from visus.models import CATALOG, FAMILIES, build_classifier
from visus.models.densenet import BottleneckLayer, DenseNet, PlainLayer
from visus.models.parts import BatchNorm
from visus.models.resnet import Bottleneck, PreActivation, ResNet
from visus.models.stems import DeepStem, LargeStem, Pool, SmallStem
from visus.models.units import Layers
from visus.nn import ConvNormAct, Gate, Pyramid, Residual
from visus.nn.preact import NormAct

SMALL = (3, 32, 32)


@cache
def backbone_of(name: str) -> Pyramid:
    with torch.device("meta"):
        return CATALOG[name].spec.build(CATALOG[name].input).eval()


def maps_of(name: str) -> list[tuple[int, ...]]:
    with torch.device("meta"):
        return [tuple(each.shape[1:]) for each in backbone_of(name).maps(torch.empty(1, *CATALOG[name].input))]


def counted_layers(name: str) -> int:
    """Convolutions outside of shortcuts and gates, and the linear layer."""
    paths = [path for path, m in backbone_of(name).named_modules() if isinstance(m, nn.Conv2d)]
    return 1 + sum(not any(part in path for part in (".skip.", ".squeeze", ".excite")) for path in paths)


def bottlenecks_by_hand(
    depths: tuple[int, ...], width: int = 1, groups: int = 1, preact: bool = False, caffe: bool = False
) -> tuple[int, int]:
    """Parameters and multiply-adds of a network of bottlenecks at 224×224 and for 1,000 classes.

    A 7×7 from 3 to 64 channels on 112×112; stage s has 4·64·2^s channels out, i = width·64·2^s inside, on 56/2^s
    pixels a side. A unit has kernels c·i, 9·i²/groups and i·o, its first one a projection c·o besides. Each
    normalisation has two parameters a channel: in post-activation order of 64, i, i, o and of projections o; in
    pre-activation order of the c, i and i before each convolution and of the last 2,048.
    """
    weights, side = 7 * 7 * 3 * 64, 56
    macs, normed, c = weights * 112**2, 0 if preact else 64, 64
    for stage, depth in enumerate(depths):
        o, i = 256 * 2**stage, width * 64 * 2**stage
        for unit in range(depth):
            halved, projection = (unit == 0 and stage > 0), c * o if unit == 0 else 0
            before = side
            side = side // 2 if halved else side
            kernels = (c * i, 9 * i * i // groups, i * o, projection)
            weights += sum(kernels)
            # the first 1×1 works on the unit's input where the 3×3 has the stride
            macs += kernels[0] * (side if caffe else before) ** 2 + sum(kernels[1:]) * side**2
            normed += c + 2 * i if preact else 2 * i + o + (o if unit == 0 else 0)
            c = o
    normed += c if preact else 0
    return weights + 2 * normed + 2048 * 1000 + 1000, macs + 2048 * 1000


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        # in a library, so that the formula itself is checked
        ("resnet50", {"depths": (3, 4, 6, 3)}),
        ("resnet200", {"depths": (3, 24, 36, 3)}),
        ("resnext101_32x4d", {"depths": (3, 4, 23, 3), "width": 2, "groups": 32}),
        ("wide_resnet50_2", {"depths": (3, 4, 6, 3), "width": 2}),
        ("preact_resnet152", {"depths": (3, 8, 36, 3), "preact": True}),
        # in none
        ("preact_resnet200", {"depths": (3, 24, 36, 3), "preact": True}),
        ("resnext152_32x4d", {"depths": (3, 8, 36, 3), "width": 2, "groups": 32}),
        ("wide_resnet68_3", {"depths": (3, 4, 12, 3), "width": 3}),
    ],
)
def test_counts_of_bottlenecks_by_hand(name, arguments):
    """§3: ResNet 200 (pre-activation), ResNeXt 152, and "WRN-68-3" as we read it; the papers' tables of stages."""
    figures = CATALOG[name].figures  # which the contract of all networks holds to what is built
    assert (figures.parameters, figures.multiply_adds) == bottlenecks_by_hand(**arguments)


@pytest.mark.parametrize("depths", [(3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3)])
def test_the_stride_in_the_first_convolution_saves_work(depths):
    """timm's legacy_seresnet50 … (Caffe's reading): as many parameters, fewer multiply-adds. Gates add c·c/16 twice."""
    layers = 3 * sum(depths) + 2
    figures = CATALOG[f"seresnet{layers}_caffe"].figures
    gates = sum(2 * depth * (256 * 2**stage) ** 2 // 16 for stage, depth in enumerate(depths))
    assert figures.multiply_adds == bottlenecks_by_hand(depths, caffe=True)[1] + gates
    assert figures.parameters == CATALOG[f"seresnet{layers}"].figures.parameters


@pytest.mark.parametrize("layers", [50, 101, 152, 200])
def test_preact_resnets_stage_by_stage(layers):
    """§3: "ResNet … 200 (pre-activation)"; as many layers as the name says; the sizes of ResNet (arXiv:1512.03385,
    table 1)."""
    name = f"preact_resnet{layers}"
    assert counted_layers(name) == layers
    assert maps_of(name) == [(64, 56, 56), (256, 56, 56), (512, 28, 28), (1024, 14, 14), (2048, 7, 7)]


def test_order_of_a_pre_activation_unit():
    """He et al. 2016, figure 1b: BN, ReLU, weight three times, then the sum and nothing after it; the appendix: the
    first unit uses the activation right after conv1, behind the last one stands one more."""
    stages = backbone_of("preact_resnet50").stages
    kinds = [[type(m) for m in unit.branch] for unit in (stages[1][0], stages[1][1])]
    after = [ConvNormAct, NormAct, ConvNormAct, NormAct, ConvNormAct]
    assert kinds == [after, [NormAct, *after]]
    assert [type(m) for m in stages[0]] == [ConvNormAct, nn.MaxPool2d]
    assert isinstance(stages[0][0].norm, nn.BatchNorm2d)
    assert isinstance(stages[4][-1], NormAct)
    assert not isinstance(stages[3][-1], NormAct)
    units = [m for m in chain(*(stage.modules() for stage in stages)) if isinstance(m, Residual)]
    assert len(units) == 3 + 4 + 6 + 3
    assert all(isinstance(unit.act, nn.Identity) for unit in units)
    convolutions = [m for unit in units for m in unit.modules() if isinstance(m, ConvNormAct)]
    assert all(isinstance(m.norm, nn.Identity) for m in convolutions)


@pytest.mark.parametrize("pixels", [1, 2, 9])
def test_the_sum_of_a_pre_activation_network_is_the_identity_where_branches_are_nought(pixels):
    """He et al. 2016, equation 3: x_{l+1} = x_l + F(x_l): with F = 0 a stage without projection passes its input on."""
    torch.manual_seed(0)
    spec = ResNet(depths=(3,), widths=(4,), stem=SmallStem(channels=4, end="bare"), order=PreActivation())
    backbone = spec.build((3, pixels, pixels)).eval()
    for unit in backbone.stages[1][:3]:
        nn.init.zeros_(unit.branch[-1].conv.weight)
    x = torch.randn(1, 3, pixels, pixels)
    assert torch.equal(backbone.stages[1][:3](backbone.stages[0](x)), backbone.stages[0](x))


@pytest.mark.parametrize(("depth", "width"), [(16, 8), (28, 10), (40, 4)])
def test_wide_resnets_for_small_images(depth, width):
    """§3: "Wide ResNet (… 28-10, 16-8, 40-4 for 32×32)"; Zagoruyko & Komodakis 2016, table 1: groups conv1 16@32×32,
    conv2 16k@32×32, conv3 32k@16×16, conv4 64k@8×8 with N = (depth − 4)/6 blocks of two 3×3 each."""
    name, n = f"wide_resnet{depth}_{width}", (depth - 4) // 6
    assert maps_of(name) == [(16, 32, 32), (16 * width, 32, 32), (32 * width, 16, 16), (64 * width, 8, 8)]
    # three of them are shortcuts, where the width changes
    assert sum(isinstance(m, nn.Conv2d) for m in backbone_of(name).modules()) == depth == 6 * n + 4
    k = [16, 16 * width, 32 * width, 64 * width]
    stages = list(pairwise(k))
    weights = 27 * 16 + sum(9 * a * b + 9 * b * b * (2 * n - 1) + a * b for a, b in stages)
    normed = sum(a + b * (2 * n - 1) for a, b in stages) + k[-1]
    assert CATALOG[name].figures.parameters == weights + 2 * normed + 640 * width + 10


def test_wide_resnets_that_are_not_in_the_catalog():
    """architectures.csv: WRN-28-10 with 100 classes, WRN-40-10."""
    spec = CATALOG["wide_resnet28_10"].spec
    found = summarize(spec, SMALL, 100)
    assert (found.parameters, found.multiply_adds, found.buffers) == (36_536_884, 5_243_386_368, 17_952)
    found = summarize(replace(spec, depths=(6, 6, 6)), SMALL, 10)
    assert (found.parameters, found.multiply_adds, found.buffers) == (55_841_754, 8_074_483_968, 26_912)


def test_dropout_of_wide_resnets_stands_between_the_convolutions():
    """Zagoruyko & Komodakis 2016, figure 1d and §2.4: "between convolutions and after ReLU"."""
    spec = replace(CATALOG["wide_resnet16_8"].spec, order=PreActivation(dropout=0.3))
    with torch.device("meta"):
        plain, dropped = backbone_of("wide_resnet16_8"), spec.build(SMALL)
    assert not any(isinstance(m, nn.Dropout) for m in plain.modules())
    leaves = [m for m in dropped.modules() if isinstance(m, nn.Conv2d | nn.ReLU | nn.Dropout)]
    at = [place for place, m in enumerate(leaves) if isinstance(m, nn.Dropout)]
    assert len(at) == 6
    for place in at:
        assert leaves[place].p == 0.3
        assert isinstance(leaves[place - 1], nn.ReLU)
        assert leaves[place + 1].kernel_size == (3, 3)
    assert list(dropped.state_dict()) == list(plain.state_dict())


def test_wide_resnet68_3_is_our_reading():
    """§3: "the 2016 fusion's "WRN-68-3" has no public definition: a stated reading, e.g. 22 bottlenecks at width 3"."""
    spec = CATALOG["wide_resnet68_3"].spec
    assert sum(spec.depths) == 22
    assert counted_layers("wide_resnet68_3") == 3 * 22 + 2 == 68
    inner = [stage[0].branch[1].conv.out_channels for stage in backbone_of("wide_resnet68_3").stages[1:]]
    assert inner == [3 * 64, 3 * 128, 3 * 256, 3 * 512]
    assert CATALOG["wide_resnet68_3"].published is None
    assert "our reading" in CATALOG["wide_resnet68_3"].about
    assert "our reading" in FAMILIES["wide_resnet"].departs


@pytest.mark.parametrize(("name", "groups", "per_group"), [("resnext101_32x4d", 32, 4), ("resnext152_32x4d", 32, 4)])
def test_resnexts(name, groups, per_group):
    """§3: ResNeXt "50 32×4d, 101 32×8d, 152"; Xie et al. 2016, table 1: in the first stage 128 channels in 32 groups,
    twice as many in each further one."""
    layers = int(name[7:10])
    assert counted_layers(name) == layers
    for stage, block in enumerate(backbone_of(name).stages[1:]):
        middle = block[0].branch[1].conv
        assert (middle.groups, middle.out_channels) == (groups, groups * per_group * 2**stage)


@pytest.mark.parametrize("name", ["seresnet18", "seresnet34", "seresnext101_32x4d", "seresnext101_32x8d", "senet154"])
def test_every_unit_of_a_senet_has_a_gate_that_reduces_by_16(name):
    """§3: "squeeze: global average pool; excite: two FC"; Hu et al. 2017, §6.4: r = 16."""
    gates = [m for m in backbone_of(name).modules() if isinstance(m, Gate)]
    units = [m for m in backbone_of(name).modules() if isinstance(m, Residual)]
    assert len(gates) == len(units) == sum(CATALOG[name].spec.depths)
    assert {gate.squeeze.in_channels // gate.squeeze.out_channels for gate in gates} == {16}


def test_senet154():
    """Hu et al. 2017, appendix: ResNeXt-152 64×4d with (a) half the channels in the first 1×1, (b) three 3×3 in place
    of the 7×7, (c) 3×3 at stride 2 in the shortcuts, (d) dropout of 0.2 before the classifier."""
    assert counted_layers("senet154") == 3 + 3 * (3 + 8 + 36 + 3) + 1 == 154
    stages = backbone_of("senet154").stages
    stem = [m for m in stages[0].modules() if isinstance(m, nn.Conv2d)]
    assert [(m.kernel_size[0], m.stride[0], m.out_channels) for m in stem] == [(3, 2, 64), (3, 1, 64), (3, 1, 128)]
    for stage, units in enumerate(stages[1:]):
        one, three, _, _ = units[0].branch
        assert (three.conv.groups, three.conv.out_channels) == (64, 64 * 4 * 2**stage)
        assert one.conv.out_channels * 2 == three.conv.out_channels
        assert units[0].skip.conv.kernel_size == ((3, 3) if stage else (1, 1))
    with torch.device("meta"):
        head = CATALOG["senet154"].spec.head((2048, 7, 7), 1000)
    assert [m.p for m in head if isinstance(m, nn.Dropout)] == [0.2]


@pytest.mark.parametrize("layers", [50, 101, 152])
def test_keras_resnets(layers):
    """keras.applications.ResNet50 …: every convolution has a bias, the first 1×1 of a stage its stride, eps 1.001e-5;
    momentum 0.99 there is 0.01 here. Biases add what has no effect: one number a channel of each normalisation."""
    card, plain = CATALOG[f"resnet{layers}_keras"], CATALOG[f"resnet{layers}"]
    backbone = backbone_of(f"resnet{layers}_keras")
    convolutions = [m for m in backbone.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(m.bias is not None for m in convolutions)
    assert {(m.eps, m.momentum) for m in norms} == {(1.001e-5, 0.01)}
    assert {m.kernel_size for m in convolutions if m.stride == (2, 2)} == {(7, 7), (1, 1)}
    assert card.figures.parameters == plain.figures.parameters + sum(m.num_features for m in norms)


@pytest.mark.parametrize("layers", [50, 101, 152])
def test_keras_preact_resnets(layers):
    """keras.applications.ResNet50V2 …: the last unit of a stage halves the maps; biases have the stem, the last 1×1 of
    each unit and the projections, and not the convolutions before a normalisation."""
    name = f"preact_resnet{layers}_keras"
    assert maps_of(name) == [(64, 56, 56), (256, 28, 28), (512, 14, 14), (1024, 7, 7), (2048, 7, 7)]
    assert backbone_of(name).strides == (4, 8, 16, 32, 32)
    stem, *stages = backbone_of(name).stages
    assert stem[0].conv.bias is not None
    for stage in stages:
        units = [m for m in stage.modules() if isinstance(m, Residual)]
        for number, unit in enumerate(units):
            convolutions = [m for m in unit.branch.modules() if isinstance(m, nn.Conv2d)]
            assert [m.bias is not None for m in convolutions] == [False, False, True]
            halving = stage is not stages[-1] and number == len(units) - 1
            assert [m.stride[0] for m in convolutions] == [1, 2 if halving else 1, 1]
        assert units[0].skip.conv.bias is not None
        assert not any(list(unit.skip.parameters()) for unit in units[1:])


def by_hand(depths: tuple[int, ...], growth: int, stem: int, factor: int, compression: float, kernels: int) -> int:
    """Parameters of the trunk of a DenseNet: H on c channels has 9·c·k weights, or c·4k + 9·4k·k; a transition c·θc;
    each convolution two numbers a channel of what it sees."""
    total, c = kernels * stem, stem
    for block, depth in enumerate(depths):
        if block:
            out = int(c * compression)
            total += c * out + 2 * c
            c = out
        for _ in range(depth):
            inner = factor * growth
            total += c * inner + 9 * inner * growth + 2 * (c + inner) if factor else 9 * c * growth + 2 * c
            c += growth
    return total + 2 * c


@pytest.mark.parametrize(
    ("layers", "depths", "growth", "channels"),
    [
        (121, (6, 12, 24, 16), 32, (256, 512, 1024, 1024)),
        (169, (6, 12, 32, 32), 32, (256, 512, 1280, 1664)),
        (201, (6, 12, 48, 32), 32, (256, 512, 1792, 1920)),
        (161, (6, 12, 36, 24), 48, (384, 768, 2112, 2208)),
    ],
)
def test_densenets_stage_by_stage(layers, depths, growth, channels):
    """Huang et al. 2016, table 1: blocks on 56×56, 28×28, 14×14 and 7×7; transitions halve the channels; two
    convolutions a layer, so that L = 2·Σ + 3 transitions + stem + classifier."""
    name = f"densenet{layers}"
    spec = CATALOG[name].spec
    assert (spec.depths, spec.growth, spec.layer, spec.compression) == (depths, growth, BottleneckLayer(factor=4), 0.5)
    assert maps_of(name) == [
        (2 * growth, 56, 56), *((c, side, side) for c, side in zip(channels, (56, 28, 14, 7), strict=True)),
    ]  # fmt: skip
    assert counted_layers(name) == 2 * sum(depths) + 3 + 1 + 1 == layers
    trunk = by_hand(depths, growth, 2 * growth, 4, 0.5, 7 * 7 * 3) + 2 * 2 * growth  # the stem is normalised too
    assert CATALOG[name].figures.parameters == trunk + channels[-1] * 1000 + 1000


@pytest.mark.parametrize(
    ("layers", "growth", "bottleneck", "counts"),
    [
        (40, 12, False, (1_019_722, 264_812_928, 18_096)),
        (100, 12, False, (6_979_642, 1_769_516_448, 117_216)),
        (100, 24, False, (27_249_082, 6_889_347_744, 231_264)),
        (100, 12, True, (769_162, 287_929_692, 23_988)),
        (250, 24, True, (15_324_406, 5_418_785_724, 257_976)),
        (190, 40, True, (25_624_430, 9_301_945_740, 256_960)),
    ],
)
def test_densenets_for_small_images(layers, growth, bottleneck, counts):
    """Huang et al. 2016, §3 and §4: three blocks of (L − 4)/3 layers, in DenseNet-BC half as many, on 32×32, 16×16 and
    8×8; 16 channels first, or 2k. Counts: architectures.csv; the paper's table 2 prints 1.0 M, 7.0 M, 27.2 M, 0.8 M,
    15.3 M and 25.6 M."""
    each, stem = (layers - 4) // (6 if bottleneck else 3), 2 * growth if bottleneck else 16
    spec = DenseNet(
        depths=(each, each, each),
        growth=growth,
        layer=BottleneckLayer() if bottleneck else PlainLayer(),
        compression=0.5 if bottleneck else 1.0,
        stem=SmallStem(channels=stem, end="bare"),
    )
    named = CATALOG.get(f"densenet{'_bc' if bottleneck else ''}{layers}_{growth}")
    assert named is None or named.spec == spec
    found = summarize(spec, SMALL, 10)
    assert (found.parameters, found.multiply_adds, found.buffers) == counts
    last = [row.shape for row in found.rows if row.kind == "BatchNorm2d"][-1]
    theta = spec.compression
    assert last[1:] == (8, 8)
    trunk = by_hand(spec.depths, growth, stem, 4 if bottleneck else 0, theta, 3 * 3 * 3)
    assert found.parameters == trunk + last[0] * 10 + 10


def test_every_layer_of_a_dense_block_sees_all_before_it():
    """Huang et al. 2016, §3: layer ℓ has k₀ + k·(ℓ − 1) maps in."""
    first = backbone_of("densenet121").stages[1]
    assert [layer.branch[0][0].norm.num_features for layer in first] == [64 + 32 * number for number in range(6)]


@pytest.mark.parametrize("stem", [LargeStem, DeepStem])
def test_what_a_stems_pooling_sees_beyond_the_edges(stem):
    """Where a bare stem makes nothing but negative values: "symmetric" (torchvision, timm) nothing; "zeros" (Keras's
    V2) zeros above and to the left, and of an odd number of pixels below and to the right; "ceil" (Caffe) begins at
    the first pixel and cuts the last window off."""
    torch.manual_seed(0)
    x = torch.rand(1, 3, 17, 20) + 1
    made = {pool: stem(channels=4, pool=pool, end="bare").build(3, Layers(BatchNorm())) for pool in get_args(Pool)}
    for each in made.values():
        each.load_state_dict(made["symmetric"].state_dict())
    last = [m for m in made["symmetric"].modules() if isinstance(m, nn.Conv2d)][-1]
    with torch.no_grad():
        for each in made.values():
            [m for m in each.modules() if isinstance(m, nn.Conv2d)][-1].weight.copy_(-last.weight.abs())
        maps = {pool: each.eval()(x) for pool, each in made.items()}
        convolved = made["symmetric"][:-1](x)
    assert convolved.shape[2:] == (9, 10)
    assert convolved.max() < 0
    windows = {
        "symmetric": [(range(max(2 * i - 1, 0), min(2 * i + 2, 9)), i) for i in range(5)],
        "ceil": [(range(2 * i, min(2 * i + 3, 9)), i) for i in range(4)],
    }
    for pool, rows in windows.items():
        assert maps[pool].shape[2:] == (len(rows), 5)
        for seen, i in rows:
            start = 1 if pool == "symmetric" else 2  # the second window of columns
            assert torch.equal(maps[pool][0, :, i, 1], convolved[0, :, list(seen), start : start + 3].amax((1, 2)))
    assert maps["zeros"].shape == maps["symmetric"].shape
    edge = torch.zeros(5, 5, dtype=torch.bool)
    edge[0] = edge[-1] = edge[:, 0] = True
    assert (maps["zeros"][..., edge] == 0).all()
    assert torch.equal(maps["zeros"][..., ~edge], maps["symmetric"][..., ~edge])


@pytest.mark.parametrize(
    ("spec", "least"),
    [
        (CATALOG["densenet121"].spec, 29),  # ⌈⌈29/2⌉/2⌉ = 8, and 4, 2, 1
        (CATALOG["densenet40_12"].spec, 4),  # 4, 2, 1
        (DenseNet(depths=(1, 1), stem=LargeStem(pool="ceil")), 7),  # 4, then (4 − 3)/2 rounded up + 1 = 2, and 1
        (CATALOG["seresnet50_caffe"].spec, 3),  # 2 pixels for the first window
        (ResNet(depths=(1,), widths=(4,), stem=DeepStem(pool="ceil")), 3),
        (CATALOG["preact_resnet50_keras"].spec, 1),
    ],
    ids=["densenet121", "densenet40", "densenet-ceil", "caffe", "deep-ceil", "keras"],
)
def test_least_sizes(spec, least):
    with torch.device("meta"):
        model = build_classifier(spec, (1, least, least + 5), 3).eval()
        assert model(torch.empty(1, 1, least, least + 5)).shape == (1, 3)
        if least > 1:
            # the true least size: without the check the network fails one pixel below it
            with pytest.raises(RuntimeError):
                model(torch.empty(1, 1, least - 1, least + 5))
            with pytest.raises(ModelError) as raised:
                build_classifier(spec, (1, least - 1, 64), 3)
            assert f"{least}×{least}" in raised.value.remedy


@pytest.mark.parametrize(
    "spec",
    [
        DenseNet(depths=()),
        DenseNet(depths=(1, 1), growth=1, compression=0.01, stem=SmallStem(channels=4)),
        ResNet(depths=(1,), widths=(6,), block=Bottleneck(groups=2, first=0.5)),  # 3 channels in 2 groups
        ResNet(depths=(1,), widths=(2,), block=Bottleneck(first=0.1)),
    ],
    ids=str,
)
def test_settings_that_make_no_network_are_refused(spec):
    with pytest.raises(ModelError):
        build_classifier(spec, (3, 64, 64), 3)


def test_the_years_of_the_papers():
    """§3 and the arXiv: pre-activation and DenseNet are of 2016."""
    assert (FAMILIES["preact_resnet"].year, FAMILIES["preact_resnet"].reference) == (2016, "arXiv:1603.05027")
    assert (FAMILIES["densenet"].year, FAMILIES["densenet"].reference) == (2016, "arXiv:1608.06993")
