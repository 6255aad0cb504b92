"""Plain convolutional networks, from AlexNet on."""

from __future__ import annotations

from msgspec.structs import replace

from visus.models.alexnet import AlexNet
from visus.models.cards import Card, Family, Figures, Published
from visus.models.layers import Convolution, MaxPool, ResponseNorm
from visus.models.nin import MLPConv, NiN
from visus.models.parts import BatchNorm
from visus.models.squeezenet import SqueezeNet
from visus.models.vgg import VGG

Networks = AlexNet | NiN | VGG | SqueezeNet

FAMILIES: dict[str, Family] = {
    "alexnet": Family(
        title="ImageNet classification with deep convolutional neural networks",
        authors="Krizhevsky, Sutskever, Hinton",
        year=2012,
        reference="NeurIPS 25, 1097–1105",
        idea="A convolutional network large enough for 1.2 million photographs of 1000 classes, trained on two "
        "graphics processors. ReLU in place of tanh makes it learn several times faster, and dropout and "
        "augmented images keep its 60 million parameters from overfitting.",
        departs="Images are 227×227: the paper says 224×224, of which its 55×55 maps can't come. Two groups of filters "
        "stand for its two processors. Weights start as He et al. propose and biases at 0.",
    ),
    "zfnet": Family(
        title="Visualizing and understanding convolutional networks",
        authors="Zeiler, Fergus",
        year=2013,
        reference="arXiv:1311.2901",
        idea="Deconvolution leads the response of a filter back to the pixels that caused it. So seen, AlexNet's first "
        "filters turned out too large and too far apart: 7×7 at stride 2 in place of 11×11 at stride 4 gave fewer "
        "errors.",
        departs="Its contrast normalisation across maps, whose constants aren't given, is AlexNet's response "
        "normalisation. Filters aren't renormalised while training.",
    ),
    "nin": Family(
        title="Network in network",
        authors="Lin, Chen, Yan",
        year=2013,
        reference="arXiv:1312.4400",
        idea="A small multi-layer perceptron slides over the image in place of a linear filter: a convolution and 1×1 "
        "convolutions behind it. The last one gives a map for each class, and its mean is the class's score, "
        "without fully connected layers.",
        departs="Widths are those of the authors' code: the paper gives none for CIFAR, and no network for ImageNet.",
    ),
    "vgg": Family(
        title="Very deep convolutional networks for large-scale image recognition",
        authors="Simonyan, Zisserman",
        year=2014,
        reference="arXiv:1409.1556",
        idea="Depth alone: nothing but 3×3 convolutions, of which two see as much as one of 5×5 and three as one of "
        "7×7, with fewer weights and more ReLUs. From 11 layers to 16 the errors fall; 19 are hardly better.",
        departs="Other sizes than 224×224 are averaged to a 7×7 map (the paper slides the fully connected layers "
        "over larger ones). Weights start as He et al. propose. The variants with batch normalisation are "
        "torchvision's.",
    ),
    "squeezenet": Family(
        title="SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size",
        authors="Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer",
        year=2016,
        reference="arXiv:1602.07360",
        idea="Few parameters were the aim. 1×1 convolutions squeeze the channels before 1×1 and 3×3 ones expand them "
        "side by side, and maps are reduced late, so that AlexNet's accuracy takes a fiftieth of its parameters.",
        departs="Class maps pass a ReLU before they are averaged, as in the authors' weights; the paper names it for "
        "the fire modules only.",
    ),
}


def _alexnet(groups: int) -> AlexNet:
    """The paper's figure 2. groups: of the second, fourth and fifth convolution."""
    return AlexNet(
        stages=(
            (Convolution(filters=96, size=11, stride=4),),
            (ResponseNorm(), MaxPool(), Convolution(filters=256, size=5, padding=2, groups=groups)),
            (
                ResponseNorm(),
                MaxPool(),
                Convolution(filters=384, size=3, padding=1),
                Convolution(filters=384, size=3, padding=1, groups=groups),
                Convolution(filters=256, size=3, padding=1, groups=groups),
            ),
            (MaxPool(),),
        )
    )


def _zfnet(*filters: int) -> AlexNet:
    """The paper's figure 3. filters: of the last convolutions."""
    pool = MaxPool(rounding="up")
    return AlexNet(
        stages=(
            (Convolution(filters=96, size=7, stride=2, padding=1),),
            (pool, ResponseNorm(), Convolution(filters=256, size=5, stride=2)),
            (pool, ResponseNorm(), *(Convolution(filters=each, size=3, padding=1) for each in filters)),
            (pool,),
        )
    )


_ONE_WEIRD_TRICK = AlexNet(
    stages=(
        (Convolution(filters=64, size=11, stride=4, padding=2),),
        (MaxPool(), Convolution(filters=192, size=5, padding=2)),
        (
            MaxPool(),
            Convolution(filters=384, size=3, padding=1),
            Convolution(filters=256, size=3, padding=1),
            Convolution(filters=256, size=3, padding=1),
        ),
        (MaxPool(),),
    )
)
_NIN = NiN(
    blocks=(
        MLPConv(first=Convolution(filters=96, size=11, stride=4), mixed=(96, 96)),
        MLPConv(first=Convolution(filters=256, size=5, padding=2), mixed=(256, 256)),
        MLPConv(first=Convolution(filters=384, size=3, padding=1), mixed=(384, 384)),
        MLPConv(first=Convolution(filters=1024, size=3, padding=1), mixed=(1024,), dropout=0.5),
    )
)
_NIN_CIFAR = NiN(
    blocks=(
        MLPConv(first=Convolution(filters=192, size=5, padding=2), mixed=(160, 96)),
        MLPConv(first=Convolution(filters=192, size=5, padding=2), mixed=(192, 192), dropout=0.5),
        MLPConv(first=Convolution(filters=192, size=3, padding=1), mixed=(192,), dropout=0.5),
    )
)
# Table 1 of the paper, a column each, read downwards.
_A = VGG(kernels=((3,), (3,), (3, 3), (3, 3), (3, 3)))
_B = VGG(kernels=((3, 3), (3, 3), (3, 3), (3, 3), (3, 3)))
_C = VGG(kernels=((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1)))
_D = VGG(kernels=((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)))
_E = VGG(kernels=((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3)))

TINY: dict[str, Networks] = {
    "alexnet": AlexNet(
        stages=(
            (Convolution(filters=8, size=11, stride=4),),
            (ResponseNorm(), MaxPool(), Convolution(filters=12, size=5, padding=2, groups=2)),
            (ResponseNorm(), MaxPool(), Convolution(filters=16, size=3, padding=1, groups=2)),
            (MaxPool(),),
        ),
        grid=2,
        hidden=(32,),
    ),
    "zfnet": AlexNet(
        stages=(
            (Convolution(filters=8, size=7, stride=2, padding=1),),
            (MaxPool(rounding="up"), ResponseNorm(), Convolution(filters=12, size=5, stride=2)),
            (MaxPool(rounding="up"), ResponseNorm(), Convolution(filters=16, size=3, padding=1)),
            (MaxPool(rounding="up"),),
        ),
        grid=2,
        hidden=(32,),
    ),
    "nin": NiN(
        blocks=(
            MLPConv(first=Convolution(filters=12, size=5, padding=2), mixed=(10, 8)),
            MLPConv(first=Convolution(filters=12, size=3, padding=1), mixed=(12,), dropout=0.5),
        )
    ),
    "vgg": VGG(kernels=((3,), (3, 3), (3, 1)), widths=(4, 8, 12), grid=2, hidden=(32, 32)),
    "squeezenet": SqueezeNet(
        depths=(2, 1), stem=Convolution(filters=8, size=3, stride=2), expand=16, increment=8, squeeze=0.25
    ),
}

_TV1 = "torchvision, weights IMAGENET1K_V1, 224×224 centre crop"
_TABLE_3 = "the paper, table 3 (one scale)"


def _imagenet(
    family: str,
    spec: Networks,
    count: int,
    macs: int,
    errors: tuple[float, float] | None = None,
    source: str = _TV1,
    side: int = 224,
    about: str = "",
) -> Card:
    return Card(
        family=family,
        spec=spec,
        input=(3, side, side),
        figures=Figures(parameters=count, multiply_adds=macs),
        published=Published(data="ImageNet", source=source, top1_error=errors[0], top5_error=errors[1])
        if errors
        else None,
        crop=0.875,
        about=about,
    )


CARDS: dict[str, Card] = {
    "alexnet": _imagenet(
        "alexnet",
        _alexnet(2),
        60_965_224,
        724_406_816,
        (40.7, 18.2),
        "the paper, table 2 (one network, ten crops)",
        side=227,
        about="as published: two groups of filters, response normalisation",
    ),
    "alexnet_one_tower": _imagenet(
        "alexnet",
        _alexnet(1),
        62_378_344,
        1_135_256_096,
        side=227,
        about="the paper's widths in one group",
    ),
    "alexnet_owt": _imagenet(
        "alexnet",
        _ONE_WEIRD_TRICK,
        61_100_840,
        714_188_480,
        (43.478, 20.934),
        about="torchvision's, of the paper “One weird trick for parallelizing CNNs” (arXiv:1404.5997)",
    ),
    "zfnet": _imagenet(
        "zfnet",
        _zfnet(384, 384, 256),
        62_357_608,
        1_168_032_896,
        (38.4, 16.5),
        "the paper, table 2 (one network, ten crops)",
        about="figure 3 of the paper",
    ),
    "zfnet_512": _imagenet(
        "zfnet",
        _zfnet(512, 1024, 512),
        107_627_624,
        2_476_704_896,
        (37.5, 16.0),
        "the paper, table 2 (one network, ten crops)",
        about="512, 1024 and 512 filters in layers 3, 4 and 5",
    ),
    "nin": _imagenet("nin", _NIN, 7_595_176, 1_105_996_320, side=227, about="the authors' network for ImageNet"),
    "nin_cifar": Card(
        family="nin",
        spec=_NIN_CIFAR,
        input=(3, 32, 32),
        figures=Figures(parameters=966_986, multiply_adds=222_486_528, classes=10),
        published=Published(data="CIFAR-10", source="the paper, table 1 (with augmentation)", top1_error=8.81),
        about="three mlpconv layers, for small images",
    ),
    "vgg11": _imagenet("vgg", _A, 132_863_336, 7_609_090_048, (29.6, 10.4), _TABLE_3, about="configuration A"),
    "vgg11_lrn": _imagenet(
        "vgg",
        replace(_A, response=ResponseNorm()),
        132_863_336,
        7_609_090_048,
        (29.7, 10.5),
        _TABLE_3,
        about="configuration A-LRN",
    ),
    "vgg13": _imagenet("vgg", _B, 133_047_848, 11_308_466_176, (28.7, 9.9), _TABLE_3, about="configuration B"),
    "vgg16_c": _imagenet(
        "vgg",
        _C,
        133_638_952,
        11_770_888_192,
        (27.3, 8.8),
        _TABLE_3,
        about="configuration C: three of the convolutions are 1×1",
    ),
    "vgg16": _imagenet("vgg", _D, 138_357_544, 15_470_264_320, (25.6, 8.1), _TABLE_3, about="configuration D"),
    "vgg19": _imagenet("vgg", _E, 143_667_240, 19_632_062_464, (25.5, 8.0), _TABLE_3, about="configuration E"),
    "vgg11_bn": _imagenet("vgg", replace(_A, norm=BatchNorm()), 132_868_840, 7_609_090_048, (29.63, 10.19)),
    "vgg13_bn": _imagenet("vgg", replace(_B, norm=BatchNorm()), 133_053_736, 11_308_466_176, (28.414, 9.626)),
    "vgg16_bn": _imagenet("vgg", replace(_D, norm=BatchNorm()), 138_365_992, 15_470_264_320, (26.64, 8.484)),
    "vgg19_bn": _imagenet("vgg", replace(_E, norm=BatchNorm()), 143_678_248, 19_632_062_464, (25.782, 8.158)),
    "squeezenet1_0": _imagenet(
        "squeezenet", SqueezeNet(), 1_248_424, 818_924_576, (41.908, 19.58), about="as published"
    ),
    "squeezenet1_1": _imagenet(
        "squeezenet",
        SqueezeNet(depths=(2, 2, 4), stem=Convolution(filters=64, size=3, stride=2)),
        1_235_496,
        349_151_936,
        (41.822, 19.376),
        about="the authors' later one: smaller first filters, earlier pooling",
    ),
}
