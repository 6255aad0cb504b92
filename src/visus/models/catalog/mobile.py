"""Networks for small devices, and what was scaled up from them: depthwise convolutions and inverted residuals."""

from __future__ import annotations

from msgspec.structs import replace

from visus.models.cards import Card, Family, Figures, Published
from visus.models.efficientnet import EfficientNet
from visus.models.inverted import ChannelGate, Inverted
from visus.models.mobilenet_v1 import MobileNetV1
from visus.models.mobilenet_v2 import MobileNetV2
from visus.models.mobilenet_v3 import LARGE, SMALL, Bneck, MobileNetV3

Networks = MobileNetV1 | MobileNetV2 | MobileNetV3 | EfficientNet

FAMILIES: dict[str, Family] = {
    "mobilenet_v1": Family(
        title="MobileNets: efficient convolutional neural networks for mobile vision applications",
        authors="Howard, Zhu, Chen, Kalenichenko, Wang, Weyand, Andreetto, Adam",
        year=2017,
        reference="arXiv:1704.04861",
        idea="Nearly all of its convolutions are depthwise separable: 3×3 in each channel, then 1×1 across them, at an "
        "eighth to a ninth of the cost. Two factors, of the width and of the input's size, trade accuracy for "
        "speed.",
        departs="The last depthwise convolution has stride 1 (table 1 prints 2, but has 7×7 before and after it).",
    ),
    "mobilenet_v2": Family(
        title="MobileNetV2: inverted residuals and linear bottlenecks",
        authors="Sandler, Howard, Zhu, Zhmoginov, Chen",
        year=2018,
        reference="arXiv:1801.04381",
        idea="Inverted residuals: the shortcuts join thin maps, and between them a block is six times as wide, with a "
        "depthwise convolution there. No ReLU follows the thin end, where it would destroy what the few channels "
        "hold.",
    ),
    "mobilenet_v3": Family(
        title="Searching for MobileNetV3",
        authors="Howard, Sandler, Chu, Chen, Chen, Tan, Wang, Zhu, Pang, Vasudevan, Le, Adam",
        year=2019,
        reference="arXiv:1905.02244",
        idea="Blocks and widths were found by machine, for accuracy at a phone's latency; the first and last layers "
        "were redone by hand: the last widening comes after the pooling, on one pixel. Hard-swish, made of cheap "
        "pieces, does for swish in the deeper half.",
        departs="The small network's last 1×1 convolution has no gate (table 2 has one), as in the authors' code and "
        "in all widely used weights.",
    ),
    "efficientnet": Family(
        title="EfficientNet: rethinking model scaling for convolutional neural networks",
        authors="Tan, Le",
        year=2019,
        reference="arXiv:1905.11946",
        idea="Depth, width and the input's size grow together, by fixed ratios and one coefficient, rather than one of "
        "them alone. What is scaled, B0, is a network of gated inverted residuals that was found by search.",
    ),
    "efficientnet_lite": Family(
        title="Higher accuracy on vision models with EfficientNet-Lite",
        authors="Liu",
        year=2020,
        reference="TensorFlow blog, 16 March 2020; github.com/tensorflow/tpu, models/official/efficientnet/lite",
        idea="EfficientNet for processors of phones and for 8-bit arithmetic: without gates, with ReLU6 in place of "
        "swish, and with first and last layers that don't grow with the rest.",
    ),
}

_TINY_ROWS = (
    Inverted(expand=1, channels=4),
    Inverted(expand=3, channels=6, size=5, depth=2, stride=2),
    Inverted(expand=2, channels=8, stride=2),
)
_TINY_GATE = ChannelGate(of="inner", act="relu", scale="hardsigmoid", ratio=0.5)

TINY: dict[str, Networks] = {
    "mobilenet_v1": MobileNetV1(stem=4, widths=(8, 12, 16), depths=(1, 2, 1)),
    "mobilenet_v2": MobileNetV2(rows=_TINY_ROWS, stem=6, top=16, divisor=2),
    "mobilenet_v3": MobileNetV3(
        stages=(
            (Bneck(size=3, inner=8, channels=8, act="relu", stride=2, gate=_TINY_GATE),),
            (
                Bneck(size=5, inner=12, channels=6, act="hardswish", stride=2, gate=_TINY_GATE),
                Bneck(size=3, inner=16, channels=6, act="hardswish"),
            ),
        ),
        stem=8,
        top=16,
        wide=24,
        divisor=2,
    ),
    "efficientnet": EfficientNet(rows=_TINY_ROWS, depth=1.5, stem=4, top=16, divisor=2),
    "efficientnet_lite": EfficientNet(
        rows=_TINY_ROWS,
        width=1.5,
        depth=1.5,
        scaling="lite",
        stem=4,
        top=16,
        divisor=2,
        activation="relu6",
        squeeze=0.0,
    ),
}

_TIMM, _TORCHVISION = "timm 1.0, weights", "torchvision, weights IMAGENET1K_V1"
_TIMM_224 = _TIMM + " {}, 224×224 centre crop"


def _card(
    family: str, spec: Networks, side: int, figures: tuple[int, int], source: str, errors: tuple[float, float | None],
    about: str = "", crop: float = 0.875,
) -> Card:  # fmt: skip
    return Card(
        family=family,
        spec=spec,
        input=(3, side, side),
        figures=Figures(parameters=figures[0], multiply_adds=figures[1]),
        published=Published(data="ImageNet", source=source, top1_error=errors[0], top5_error=errors[1]),
        crop=crop,
        about=about,
    )


# α: parameters; at 224, 192, 160 and 128 pixels multiply-adds, and top-1 and top-5 error of the authors' weights
_SLIM = "the authors' weights (tensorflow/models, research/slim/nets/{}), centre crop of the input's size"
_V1 = {
    1.0: (4_231_976, {
        224: (568_740_352, 29.1, 10.1), 192: (418_121_728, 30.0, 10.8),
        160: (290_675_200, 32.0, 12.3), 128: (186_400_768, 34.8, 14.2),
    }),
    0.75: (2_585_560, {
        224: (325_400_448, 31.6, 11.8), 192: (239_273_472, 32.8, 12.7),
        160: (166_396_800, 34.7, 14.0), 128: (106_770_432, 37.9, 16.1),
    }),
    0.5: (1_331_592, {
        224: (149_497_088, 36.7, 15.1), 192: (109_970_432, 38.3, 16.4),
        160: (76_524_800, 40.9, 18.1), 128: (49_160_192, 43.7, 20.6),
    }),
    0.25: (470_072, {
        224: (41_030_272, 50.2, 25.8), 192: (30_212_608, 52.3, 27.7),
        160: (21_059_200, 54.5, 29.7), 128: (13_570_048, 58.5, 33.7),
    }),
}  # fmt: skip


def _v1_name(alpha: float, side: int) -> str:
    """The paper's "0.5 MobileNet-160" is mobilenet_v1_050_160; what is 1.0 and 224 isn't said, but for 1.0 at other
    sizes, where mobilenet_v1_160 could be taken for α = 1.6."""
    width = "" if (alpha, side) == (1.0, 224) else f"_{alpha * 100:03.0f}"
    return f"mobilenet_v1{width}" + ("" if side == 224 else f"_{side}")


_MOBILENET_V1 = {
    _v1_name(alpha, side): _card(
        "mobilenet_v1",
        MobileNetV1(alpha=alpha),
        side,
        (parameters, macs),
        _SLIM.format("mobilenet_v1.md"),
        (top1, top5),
    )
    for alpha, (parameters, sides) in _V1.items()
    for side, (macs, top1, top5) in sides.items()
}

_V2_SLIM = _SLIM.format("mobilenet")
_MOBILENET_V2 = {
    name: _card("mobilenet_v2", MobileNetV2(alpha=alpha), 224, figures, source, errors)
    for name, alpha, figures, source, errors in (
        ("mobilenet_v2", 1.0, (3_504_872, 300_774_272), f"{_TORCHVISION}, 224×224 centre crop", (28.122, 9.714)),
        ("mobilenet_v2_035", 0.35, (1_677_128, 59_285_808), _V2_SLIM, (39.7, 17.1)),
        (
            "mobilenet_v2_050",
            0.5,
            (1_968_680, 97_131_840),
            _TIMM_224.format("mobilenetv2_050.lamb_in1k"),
            (34.072, 13.886),
        ),
        ("mobilenet_v2_075", 0.75, (2_636_424, 209_069_792), _V2_SLIM, (30.2, 10.4)),
        ("mobilenet_v2_130", 1.3, (5_386_792, 509_374_560), _V2_SLIM, (25.6, 7.9)),
        (
            "mobilenet_v2_140",
            1.4,
            (6_108_776, 582_195_824),
            _TIMM_224.format("mobilenetv2_140.ra_in1k"),
            (23.472, 6.992),
        ),
    )
}


def _minimal(stages: tuple[tuple[Bneck, ...], ...]) -> tuple[tuple[Bneck, ...], ...]:
    """The same rows without what is slow on some devices."""
    return tuple(tuple(replace(row, size=3, act="relu", gate=None) for row in rows) for rows in stages)


_V3_LARGE = MobileNetV3(stages=LARGE, top=960, wide=1280)
_V3_SMALL = MobileNetV3(stages=SMALL, top=576, wide=1024)
_MINIMAL = "minimalistic: neither gates, hard-swish nor 5×5 windows"
_MOBILENET_V3 = {
    name: _card("mobilenet_v3", spec, 224, figures, source, errors, about)
    for name, spec, figures, source, errors, about in (
        ("mobilenet_v3_large", _V3_LARGE, (5_483_032, 216_589_760), f"{_TORCHVISION}, 224×224 centre crop",
         (25.958, 8.66), ""),
        ("mobilenet_v3_large_075", replace(_V3_LARGE, alpha=0.75), (3_993_528, 154_560_624),
         _SLIM.format("mobilenet"), (26.7, None), ""),
        ("mobilenet_v3_large_minimal",
         replace(_V3_LARGE, stages=_minimal(LARGE), activation="relu"), (3_924_288, 209_136_704),
         _TIMM_224.format("tf_mobilenetv3_large_minimal_100.in1k"), (27.73, 9.336), _MINIMAL),
        ("mobilenet_v3_small", _V3_SMALL, (2_542_856, 56_510_400), f"{_TORCHVISION}, 224×224 centre crop",
         (32.332, 12.598), ""),
        ("mobilenet_v3_small_075", replace(_V3_SMALL, alpha=0.75), (2_041_872, 43_399_344),
         _TIMM_224.format("mobilenetv3_small_075.lamb_in1k"), (34.716, 14.538), ""),
        ("mobilenet_v3_small_050", replace(_V3_SMALL, alpha=0.5), (1_593_224, 24_188_688),
         _TIMM_224.format("mobilenetv3_small_050.lamb_in1k"), (42.082, 19.856), ""),
        ("mobilenet_v3_small_minimal",
         replace(_V3_SMALL, stages=_minimal(SMALL), activation="relu"), (2_044_736, 52_288_448),
         _TIMM_224.format("tf_mobilenetv3_small_minimal_100.in1k"), (37.108, 15.73), _MINIMAL),
    )
}  # fmt: skip

# crop: the authors' evaluation keeps size/(size + 32)
_EFFICIENTNET = {
    f"efficientnet_b{number}": _card(
        "efficientnet",
        EfficientNet(width=width, depth=depth, dropout=dropout),
        side,
        figures,
        f"{_TORCHVISION}, {measured}×{measured} centre crop",
        errors,
        crop=round(side / (side + 32), 3),
    )
    for number, (width, depth, side, dropout, figures, measured, errors) in enumerate((
        (1.0, 1.0, 224, 0.2, (5_288_548, 385_814_752), 224, (22.308, 6.468)),
        (1.0, 1.1, 240, 0.2, (7_794_184, 686_802_832), 240, (21.358, 5.814)),
        (1.1, 1.2, 260, 0.3, (9_109_994, 993_561_872), 288, (19.392, 4.69)),
        (1.2, 1.4, 300, 0.3, (12_233_232, 1_827_141_392), 300, (17.992, 3.946)),
        (1.4, 1.8, 380, 0.4, (19_341_616, 4_393_771_024), 380, (16.616, 3.406)),
        (1.6, 2.2, 456, 0.4, (30_389_784, 10_266_384_752), 456, (16.556, 3.372)),
        (1.8, 2.6, 528, 0.5, (43_040_704, 19_067_593_536), 528, (15.992, 3.084)),
        (2.0, 3.1, 600, 0.5, (66_347_960, 37_745_884_192), 600, (15.878, 3.092)),
    ))
}  # fmt: skip

_LITE = EfficientNet(scaling="lite", activation="relu6", squeeze=0.0)
_EFFICIENTNET_LITE = {
    f"efficientnet_lite{number}": _card(
        "efficientnet_lite",
        replace(_LITE, width=width, depth=depth, dropout=dropout),
        side,
        figures,
        f"{_TIMM} tf_efficientnet_lite{number}.in1k, {measured}×{measured} centre crop",
        errors,
        crop=round(side / (side + 32), 3),
    )
    for number, (width, depth, side, dropout, figures, measured, errors) in enumerate((
        (1.0, 1.0, 224, 0.2, (4_652_008, 385_187_552), 224, (25.154, 7.82)),
        (1.0, 1.1, 240, 0.2, (5_416_680, 600_185_232), 240, (23.326, 6.768)),
        (1.1, 1.2, 260, 0.3, (6_092_072, 859_736_272), 260, (22.53, 6.244)),
        (1.2, 1.4, 280, 0.3, (8_197_096, 1_383_321_872), 300, (20.192, 5.092)),
        (1.4, 1.8, 300, 0.3, (13_006_568, 2_553_034_336), 380, (18.46, 4.332)),
    ))
}  # fmt: skip

CARDS: dict[str, Card] = {
    **_MOBILENET_V1,
    **_MOBILENET_V2,
    **_MOBILENET_V3,
    **_EFFICIENTNET,
    **_EFFICIENTNET_LITE,
}
