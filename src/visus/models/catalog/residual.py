"""Residual networks and what became of them."""

from __future__ import annotations

from msgspec.structs import replace

from visus.models.cards import Card, Family, Figures, Published
from visus.models.densenet import DenseNet, PlainLayer
from visus.models.parts import BatchNorm
from visus.models.resnet import Basic, Bottleneck, PreActivation, ResNet, SqueezeExcite
from visus.models.stems import DeepStem, LargeStem, SmallStem

Networks = ResNet | DenseNet

FAMILIES: dict[str, Family] = {
    "resnet": Family(
        title="Deep residual learning for image recognition",
        authors="He, Zhang, Ren, Sun",
        year=2015,
        reference="arXiv:1512.03385",
        idea="Blocks learn what to add to their input instead of what to make of it. The identity beside each block "
        "lets gradients through, so that networks of over a hundred layers train better than shallow ones.",
        departs="In bottlenecks the 3×3 convolution carries the stride (the paper: the first 1×1), as in all "
        "widely used weights but Keras's.",
    ),
    "preact_resnet": Family(
        title="Identity mappings in deep residual networks",
        authors="He, Zhang, Ren, Sun",
        year=2016,
        reference="arXiv:1603.05027",
        idea="Normalisation and ReLU come before each convolution, so that nothing stands in the shortcuts and a "
        "signal runs unchanged from any block to any other, forwards and backwards. With that, 1001 layers are "
        "easy to train, and err less than 164.",
        departs="In bottlenecks the 3×3 convolution carries the stride (the authors' code: the first 1×1). The paper "
        "has 152 and 200 layers; the others are the depths of its predecessor.",
    ),
    "wide_resnet": Family(
        title="Wide residual networks",
        authors="Zagoruyko, Komodakis",
        year=2016,
        reference="arXiv:1605.07146",
        idea="Residual networks gain as much from wider blocks as from more of them, and wide ones are faster to train "
        "than deep, thin ones of as many parameters.",
        departs="WRN-68-3, a member of the fusion that won ImageNet 2016, was never defined in public: "
        "wide_resnet68_3 is our reading of its name, 22 bottlenecks (3, 4, 12, 3) three times as wide inside, made "
        "as the paper's own networks for ImageNet are.",
    ),
    "resnext": Family(
        title="Aggregated residual transformations for deep neural networks",
        authors="Xie, Girshick, Dollár, Tu, He",
        year=2016,
        reference="arXiv:1611.05431",
        idea="A block is split into many equal small paths whose results are summed, written as one convolution in "
        "groups. Their number, the cardinality, helps more than depth or width at the same cost.",
    ),
    "senet": Family(
        title="Squeeze-and-excitation networks",
        authors="Hu, Shen, Albanie, Sun, Wu",
        year=2017,
        reference="arXiv:1709.01507",
        idea="Each block looks at the whole map, one mean a channel, and learns from these how much each channel "
        "should count: a few parameters more, which fit any network.",
        departs="As in ResNet, the 3×3 convolution carries the stride; the networks named _caffe have it in the first "
        "1×1, and pool without padding, as the authors' own weights do.",
    ),
    "densenet": Family(
        title="Densely connected convolutional networks",
        authors="Huang, Liu, van der Maaten, Weinberger",
        year=2016,
        reference="arXiv:1608.06993",
        idea="Each layer gets the maps of all layers before it in its block, side by side, and adds a few of its own. "
        "Features are used again instead of learned again, so fewer parameters do.",
    ),
}

TINY: dict[str, Networks] = {
    "resnet": ResNet(depths=(1, 1), widths=(4, 8), stem=SmallStem(channels=4)),
    "preact_resnet": ResNet(
        depths=(2, 1), widths=(2, 4), block=Bottleneck(), stem=LargeStem(channels=4), order=PreActivation()
    ),
    "wide_resnet": ResNet(depths=(1, 1), widths=(2, 4), block=Bottleneck(width=2), stem=LargeStem(channels=4)),
    "resnext": ResNet(depths=(1, 1), widths=(4, 8), block=Bottleneck(groups=2), stem=SmallStem(channels=4)),
    "senet": ResNet(
        depths=(1, 1), widths=(4, 8), gate=SqueezeExcite(reduction=4), stem=SmallStem(channels=4), shortcut="pad"
    ),
    "densenet": DenseNet(depths=(2, 2), growth=4, stem=LargeStem(channels=4)),
}

_IMAGENET, _CIFAR = (3, 224, 224), (3, 32, 32)
_TV1 = "torchvision, weights IMAGENET1K_V1, 224×224 centre crop"
_TIMM = "timm, weights {}, 224×224 centre crop"
_KERAS = "Keras, keras.io/api/applications, 224×224 without a crop"
_R18 = ResNet(depths=(2, 2, 2, 2))
_R34 = ResNet(depths=(3, 4, 6, 3))
_R50 = ResNet(depths=(3, 4, 6, 3), block=Bottleneck())
_R101 = replace(_R50, depths=(3, 4, 23, 3))
_R152 = replace(_R50, depths=(3, 8, 36, 3))
_R200 = replace(_R50, depths=(3, 24, 36, 3))
_R20 = ResNet(depths=(3, 3, 3), widths=(16, 32, 64), stem=SmallStem(), shortcut="pad")
_PRE, _SE = PreActivation(), SqueezeExcite()
_X4, _X8 = Bottleneck(groups=32, width=2), Bottleneck(groups=32, width=4)  # 32×4d, 32×8d
_KERAS_NORM = BatchNorm(eps=1.001e-5, momentum=0.01)
_KERAS_R50 = replace(_R50, block=Bottleneck(stride="first"), norm=_KERAS_NORM, bias="all")
_KERAS_PRE50 = replace(
    _R50,
    stem=LargeStem(pool="zeros", end="bare"),
    shortcut="sample",
    order=_PRE,
    downsample="last",
    norm=_KERAS_NORM,
    bias="open",
)
_CAFFE_SE50 = replace(_R50, block=Bottleneck(stride="first"), stem=LargeStem(pool="ceil"), gate=_SE)
_SENET154 = replace(
    _R152,
    block=Bottleneck(groups=64, width=4, first=0.5),
    stem=DeepStem(),
    gate=_SE,
    shortcut="project-3x3",
    dropout=0.2,
)
_D121 = DenseNet(depths=(6, 12, 24, 16))


def _imagenet(
    family: str,
    spec: Networks,
    count: int,
    macs: int,
    errors: tuple[float, float] | None = None,
    source: str = _TV1,
    crop: float = 0.875,
    about: str = "",
) -> Card:
    figures = Figures(parameters=count, multiply_adds=macs)
    published = errors and Published(data="ImageNet", source=source, top1_error=errors[0], top5_error=errors[1])
    return Card(
        family=family,
        spec=spec,
        input=_IMAGENET,
        figures=figures,
        published=published or None,
        crop=crop,
        about=about,
    )


def _keras(depths: tuple[int, ...], count: int, macs: int, errors: tuple[float, float]) -> Card:
    about = "as Keras has it: convolutions with biases, the stride in the first 1×1"
    return _imagenet("resnet", replace(_KERAS_R50, depths=depths), count, macs, errors, _KERAS, 1.0, about)


def _keras_preact(depths: tuple[int, ...], count: int, macs: int, errors: tuple[float, float]) -> Card:
    about = "as Keras has it (V2): biases where no normalisation follows, the stride in a stage's last unit"
    return _imagenet("preact_resnet", replace(_KERAS_PRE50, depths=depths), count, macs, errors, _KERAS, 1.0, about)


def _small(family: str, spec: Networks, count: int, macs: int, error: float, source: str, about: str) -> Card:
    figures = Figures(parameters=count, multiply_adds=macs, classes=10)
    published = Published(data="CIFAR-10", source=source, top1_error=error)
    return Card(family=family, spec=spec, input=_CIFAR, figures=figures, published=published, about=about)


def _cifar(depth: int, count: int, macs: int, error: float) -> Card:
    blocks = (depth - 2) // 6
    spec = replace(_R20, depths=(blocks, blocks, blocks))
    about = "CIFAR style: 3×3 stem, three stages, shortcuts padded with zeros"
    return _small("resnet", spec, count, macs, error, "the paper, table 6", about)


def _wide(depth: int, width: int, count: int, macs: int, error: float) -> Card:
    blocks = (depth - 4) // 6
    spec = ResNet(
        depths=(blocks, blocks, blocks),
        block=Basic(),
        widths=(16 * width, 32 * width, 64 * width),
        stem=SmallStem(end="bare"),
        order=_PRE,
    )
    about = "for small images: pre-activation; --set model.spec.order.dropout=0.3 as the paper has it with dropout"
    return _small("wide_resnet", spec, count, macs, error, "the paper, table 5, without dropout", about)


def _dense(spec: DenseNet, count: int, macs: int, error: float) -> Card:
    about = "for small images: 3×3 stem, three blocks"
    return _small("densenet", spec, count, macs, error, "the paper, table 2, data augmented (C10+)", about)


def _plain(layers: int) -> DenseNet:
    return DenseNet(
        depths=(layers, layers, layers),
        growth=12,
        layer=PlainLayer(),
        compression=1.0,
        stem=SmallStem(channels=16, end="bare"),
    )


CARDS: dict[str, Card] = {
    "resnet8": Card(
        family="resnet",
        spec=ResNet(depths=(1, 1, 1), widths=(16, 32, 64), stem=SmallStem()),
        input=_CIFAR,
        figures=Figures(parameters=78_042, multiply_adds=12_501_632, classes=10),
        about="a small one for small images",
    ),
    "resnet20": _cifar(20, 269_722, 40_551_040, 8.75),
    "resnet32": _cifar(32, 464_154, 68_862_592, 7.51),
    "resnet44": _cifar(44, 658_586, 97_174_144, 7.17),
    "resnet56": _cifar(56, 853_018, 125_485_696, 6.97),
    "resnet110": _cifar(110, 1_727_962, 252_887_680, 6.43),
    "resnet18": _imagenet("resnet", _R18, 11_689_512, 1_814_073_344, (30.242, 10.922)),
    "resnet34": _imagenet("resnet", _R34, 21_797_672, 3_663_761_408, (26.686, 8.58)),
    "resnet50": _imagenet("resnet", _R50, 25_557_032, 4_089_184_256, (23.87, 7.138)),
    "resnet101": _imagenet("resnet", _R101, 44_549_160, 7_801_405_440, (22.626, 6.454)),
    "resnet152": _imagenet("resnet", _R152, 60_192_808, 11_513_626_624, (21.688, 5.954)),
    "resnet200": _imagenet(
        "resnet", _R200, 64_673_832, 15_007_481_856, (21.8, 6.0), "arXiv:1603.05027, table 5, 320×320 crop"
    ),
    "resnet50_keras": _keras(_R50.depths, 25_583_592, 3_857_973_248, (25.1, 7.9)),
    "resnet101_keras": _keras(_R101.depths, 44_601_832, 7_570_194_432, (23.6, 7.2)),
    "resnet152_keras": _keras(_R152.depths, 60_268_520, 11_282_415_616, (23.4, 6.9)),
    "preact_resnet18": _imagenet(
        "preact_resnet",
        replace(_R18, order=_PRE),
        11_687_720,
        1_814_073_344,
        (26.428, 8.644),
        _TIMM.format("resnetv2_18.ra4_e3600_r224_in1k"),
        0.9,
    ),
    "preact_resnet34": _imagenet(
        "preact_resnet",
        replace(_R34, order=_PRE),
        21_795_880,
        3_663_761_408,
        (22.374, 6.482),
        _TIMM.format("resnetv2_34.ra4_e3600_r224_in1k"),
        0.9,
    ),
    "preact_resnet50": _imagenet(
        "preact_resnet",
        replace(_R50, order=_PRE),
        25_549_352,
        4_089_184_256,
        (19.59, 4.918),
        _TIMM.format("resnetv2_50.a1h_in1k"),
        0.95,
    ),
    "preact_resnet101": _imagenet(
        "preact_resnet",
        replace(_R101, order=_PRE),
        44_541_480,
        7_801_405_440,
        (17.958, 4.134),
        _TIMM.format("resnetv2_101.a1h_in1k"),
        0.95,
    ),
    "preact_resnet152": _imagenet(
        "preact_resnet",
        replace(_R152, order=_PRE),
        60_185_128,
        11_513_626_624,
        (21.1, 5.5),
        "the paper, table 5, 320×320 crop",
    ),
    "preact_resnet200": _imagenet(
        "preact_resnet",
        replace(_R200, order=_PRE),
        64_666_152,
        15_007_481_856,
        (20.7, 5.3),
        "the paper, table 5, 320×320 crop",
    ),
    "preact_resnet50_keras": _keras_preact(_R50.depths, 25_568_360, 3_482_255_360, (24.0, 7.0)),
    "preact_resnet101_keras": _keras_preact(_R101.depths, 44_577_896, 7_194_476_544, (22.8, 6.2)),
    "preact_resnet152_keras": _keras_preact(_R152.depths, 60_236_904, 10_906_697_728, (22.0, 5.8)),
    "wide_resnet16_8": _wide(16, 8, 10_961_370, 1_548_145_664, 4.27),
    "wide_resnet28_10": _wide(28, 10, 36_479_194, 5_243_328_768, 4.0),
    "wide_resnet40_4": _wide(40, 4, 8_949_210, 1_298_582_016, 4.53),
    "wide_resnet50_2": _imagenet(
        "wide_resnet", replace(_R50, block=Bottleneck(width=2)), 68_883_240, 11_398_021_120, (21.532, 5.914)
    ),
    "wide_resnet101_2": _imagenet(
        "wide_resnet", replace(_R101, block=Bottleneck(width=2)), 126_886_696, 22_753_050_624, (21.152, 5.716)
    ),
    "wide_resnet68_3": _imagenet(
        "wide_resnet",
        replace(_R50, depths=(3, 4, 12, 3), block=Bottleneck(width=3)),
        176_162_344,
        30_498_619_392,
        about="our reading of a name in the 2016 fusion, which gives a top-5 error of 4.65 % for its own: "
        "22 bottlenecks, three times as wide inside",
    ),
    "resnext50_32x4d": _imagenet("resnext", replace(_R50, block=_X4), 25_028_904, 4_230_479_872, (22.382, 6.302)),
    "resnext101_32x4d": _imagenet(
        "resnext",
        replace(_R101, block=_X4),
        44_177_704,
        7_969_996_800,
        (19.664, 5.092),
        _TIMM.format("resnext101_32x4d.gluon_in1k"),
    ),
    "resnext101_32x8d": _imagenet("resnext", replace(_R101, block=_X8), 88_791_336, 16_414_015_488, (20.688, 5.474)),
    "resnext101_64x4d": _imagenet(
        "resnext", replace(_R101, block=Bottleneck(groups=64, width=4)), 83_455_272, 15_460_270_080, (16.754, 3.546)
    ),
    "resnext152_32x4d": _imagenet("resnext", replace(_R152, block=_X4), 59_951_400, 11_709_513_728),
    "seresnet18": _imagenet("senet", replace(_R18, gate=_SE), 11_778_592, 1_814_160_384),
    "seresnet34": _imagenet("senet", replace(_R34, gate=_SE), 21_958_868, 3_663_918_592),
    "seresnet50": _imagenet(
        "senet",
        replace(_R50, gate=_SE),
        28_088_024,
        4_091_699_200,
        (19.988, 5.296),
        _TIMM.format("seresnet50.a1_in1k"),
        0.95,
    ),
    "seresnet101": _imagenet(
        "senet", replace(_R101, gate=_SE), 49_326_872, 7_806_148_608, (22.38, 6.07), "the paper, table 2"
    ),
    "seresnet152": _imagenet(
        "senet", replace(_R152, gate=_SE), 66_821_848, 11_520_204_800, (21.57, 5.73), "the paper, table 2"
    ),
    "seresnet50_caffe": _imagenet(
        "senet",
        _CAFFE_SE50,
        28_088_024,
        3_860_488_192,
        (22.35, 6.268),
        _TIMM.format("legacy_seresnet50.in1k"),
        about="as the authors' own weights have it",
    ),
    "seresnet101_caffe": _imagenet(
        "senet",
        replace(_CAFFE_SE50, depths=_R101.depths),
        49_326_872,
        7_574_937_600,
        (21.63, 5.736),
        _TIMM.format("legacy_seresnet101.in1k"),
        about="as the authors' own weights have it",
    ),
    "seresnet152_caffe": _imagenet(
        "senet",
        replace(_CAFFE_SE50, depths=_R152.depths),
        66_821_848,
        11_288_993_792,
        (21.338, 5.63),
        _TIMM.format("legacy_seresnet152.in1k"),
        about="as the authors' own weights have it",
    ),
    "seresnext50_32x4d": _imagenet(
        "senet",
        replace(_R50, block=_X4, gate=_SE),
        27_559_896,
        4_232_994_816,
        (18.732, 4.376),
        _TIMM.format("seresnext50_32x4d.racm_in1k"),
    ),
    "seresnext101_32x4d": _imagenet(
        "senet",
        replace(_R101, block=_X4, gate=_SE),
        48_955_416,
        7_974_739_968,
        (19.114, 4.732),
        _TIMM.format("seresnext101_32x4d.gluon_in1k"),
    ),
    "seresnext101_32x8d": _imagenet(
        "senet",
        replace(_R101, block=_X8, gate=_SE),
        93_569_048,
        16_418_758_656,
        (16.382, 3.588),
        _TIMM.format("seresnext101_32x8d.ah_in1k"),
        0.95,
    ),
    "senet154": _imagenet(
        "senet", _SENET154, 115_088_984, 20_688_363_520, (18.742, 4.642), _TIMM.format("senet154.gluon_in1k")
    ),
    "densenet40_12": _dense(_plain(12), 1_019_722, 264_812_928, 5.24),
    "densenet100_12": _dense(_plain(32), 6_979_642, 1_769_516_448, 4.1),
    "densenet_bc100_12": _dense(
        DenseNet(depths=(16, 16, 16), growth=12, stem=SmallStem(channels=24, end="bare")), 769_162, 287_929_692, 4.51
    ),
    "densenet121": _imagenet("densenet", _D121, 7_978_856, 2_834_161_664, (25.566, 8.028)),
    "densenet161": _imagenet(
        "densenet",
        DenseNet(depths=(6, 12, 36, 24), growth=48, stem=LargeStem(channels=96)),
        28_681_000,
        7_727_907_072,
        (22.862, 6.44),
    ),
    "densenet169": _imagenet(
        "densenet", replace(_D121, depths=(6, 12, 32, 32)), 14_149_480, 3_359_843_328, (24.4, 7.194)
    ),
    "densenet201": _imagenet(
        "densenet", replace(_D121, depths=(6, 12, 48, 32)), 20_013_928, 4_291_365_888, (23.104, 6.63)
    ),
}
