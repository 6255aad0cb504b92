"""Residual networks and what became of them."""

from __future__ import annotations

from msgspec.structs import replace

from visus.models.cards import Card, Family, Figures, Published
from visus.models.resnet import Bottleneck, LargeStem, ResNet, SmallStem, SqueezeExcite

Networks = ResNet

FAMILIES: dict[str, Family] = {
    "resnet": Family(
        title="Deep residual learning for image recognition",
        authors="He, Zhang, Ren, Sun",
        year=2015,
        reference="arXiv:1512.03385",
        idea="Blocks learn what to add to their input instead of what to make of it. The identity beside each block "
        "lets gradients through, so that networks of over a hundred layers train better than shallow ones.",
        departs="In bottlenecks the 3×3 convolution carries the stride (the paper: the first 1×1), as in all "
        "widely used weights.",
    ),
    "wide_resnet": Family(
        title="Wide residual networks",
        authors="Zagoruyko, Komodakis",
        year=2016,
        reference="arXiv:1605.07146",
        idea="Residual networks gain as much from wider blocks as from more of them, and wide ones are faster to train "
        "than deep, thin ones of as many parameters.",
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
    ),
}

TINY: dict[str, Networks] = {
    "resnet": ResNet(depths=(1, 1), widths=(4, 8), stem=SmallStem(channels=4)),
    "wide_resnet": ResNet(depths=(1, 1), widths=(2, 4), block=Bottleneck(width=2), stem=LargeStem(channels=4)),
    "resnext": ResNet(depths=(1, 1), widths=(4, 8), block=Bottleneck(groups=2), stem=SmallStem(channels=4)),
    "senet": ResNet(
        depths=(1, 1), widths=(4, 8), gate=SqueezeExcite(reduction=4), stem=SmallStem(channels=4), shortcut="pad"
    ),
}

_IMAGENET, _CIFAR = (3, 224, 224), (3, 32, 32)
_TV1 = "torchvision, weights IMAGENET1K_V1, 224×224 centre crop"
_R18 = ResNet(depths=(2, 2, 2, 2))
_R34 = ResNet(depths=(3, 4, 6, 3))
_R50 = ResNet(depths=(3, 4, 6, 3), block=Bottleneck())
_R101 = replace(_R50, depths=(3, 4, 23, 3))
_R152 = replace(_R50, depths=(3, 8, 36, 3))
_R20 = ResNet(depths=(3, 3, 3), widths=(16, 32, 64), stem=SmallStem(), shortcut="pad")


def _imagenet(family: str, spec: Networks, count: int, macs: int, errors: tuple[float, float] | None = None) -> Card:
    figures = Figures(parameters=count, multiply_adds=macs)
    published = errors and Published(data="ImageNet", source=_TV1, top1_error=errors[0], top5_error=errors[1])
    return Card(family=family, spec=spec, input=_IMAGENET, figures=figures, published=published or None, crop=0.875)


def _cifar(depth: int, count: int, macs: int, error: float) -> Card:
    blocks = (depth - 2) // 6
    return Card(
        family="resnet",
        spec=replace(_R20, depths=(blocks, blocks, blocks)),
        input=_CIFAR,
        figures=Figures(parameters=count, multiply_adds=macs, classes=10),
        published=Published(data="CIFAR-10", source="the paper, table 6", top1_error=error),
        about="CIFAR style: 3×3 stem, three stages, shortcuts padded with zeros",
    )


CARDS: dict[str, Card] = {
    "resnet8": Card(
        family="resnet",
        spec=ResNet(depths=(1, 1, 1), widths=(16, 32, 64), stem=SmallStem()),
        input=_CIFAR,
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
    "wide_resnet50_2": _imagenet(
        "wide_resnet", replace(_R50, block=Bottleneck(width=2)), 68_883_240, 11_398_021_120, (21.532, 5.914)
    ),
    "wide_resnet101_2": _imagenet(
        "wide_resnet", replace(_R101, block=Bottleneck(width=2)), 126_886_696, 22_753_050_624, (21.152, 5.716)
    ),
    "resnext50_32x4d": _imagenet(
        "resnext", replace(_R50, block=Bottleneck(groups=32, width=2)), 25_028_904, 4_230_479_872, (22.382, 6.302)
    ),
    "resnext101_32x8d": _imagenet(
        "resnext", replace(_R101, block=Bottleneck(groups=32, width=4)), 88_791_336, 16_414_015_488, (20.688, 5.474)
    ),
    "resnext101_64x4d": _imagenet(
        "resnext", replace(_R101, block=Bottleneck(groups=64, width=4)), 83_455_272, 15_460_270_080, (16.754, 3.546)
    ),
    "seresnet50": _imagenet("senet", replace(_R50, gate=SqueezeExcite()), 28_088_024, 4_091_699_200),
    "seresnet101": _imagenet("senet", replace(_R101, gate=SqueezeExcite()), 49_326_872, 7_806_148_608),
    "seresnet152": _imagenet("senet", replace(_R152, gate=SqueezeExcite()), 66_821_848, 11_520_204_800),
    "seresnext50_32x4d": _imagenet(
        "senet",
        replace(_R50, block=Bottleneck(groups=32, width=2), gate=SqueezeExcite()),
        27_559_896,
        4_232_994_816,
    ),
}
