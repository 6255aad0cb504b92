"""torchvision's weights (BSD-3-Clause), the library's default of each network first.

Facts of torchvision 0.29. The last eight digits of a file's name begin its SHA-256.
"""

from __future__ import annotations

from typing import Literal

from visus.data.preprocess import ImagePreprocess
from visus.weights.releases.base import HALF, IMAGENET_MEAN, IMAGENET_STD, Release


def _row(
    tag: str, file: str, top1: float, top5: float, *, size: int = 224, resize: int = 256,
    interpolation: Literal["bilinear", "bicubic"] = "bilinear",
    mean: tuple[float, ...] = IMAGENET_MEAN, std: tuple[float, ...] = IMAGENET_STD,
) -> Release:  # fmt: skip
    preprocess = ImagePreprocess(size=(size, size), crop=size / resize, interpolation=interpolation, mean=mean, std=std)
    digest = "sha256:" + file.removesuffix(".pth").rpartition("-")[2]
    url = f"https://download.pytorch.org/models/{file}"
    return Release(tag, file, preprocess, top1, top5, url, digest, licence="BSD-3-Clause")


# googlenet and inception_v3 came from TensorFlow: they take values in −1…1.
RELEASES: dict[str, tuple[Release, ...]] = {
    "alexnet": (_row("v1", "alexnet-owt-7be5be79.pth", 43.478, 20.934),),
    "vgg11": (_row("v1", "vgg11-8a719046.pth", 30.98, 11.372),),
    "vgg13": (_row("v1", "vgg13-19584684.pth", 30.072, 10.754),),
    "vgg16": (_row("v1", "vgg16-397923af.pth", 28.408, 9.618),),
    "vgg19": (_row("v1", "vgg19-dcbb9e9d.pth", 27.624, 9.124),),
    "vgg11_bn": (_row("v1", "vgg11_bn-6002323d.pth", 29.63, 10.19),),
    "vgg13_bn": (_row("v1", "vgg13_bn-abd245e5.pth", 28.414, 9.626),),
    "vgg16_bn": (_row("v1", "vgg16_bn-6c64b313.pth", 26.64, 8.484),),
    "vgg19_bn": (_row("v1", "vgg19_bn-c79401a0.pth", 25.782, 8.158),),
    "googlenet": (_row("v1", "googlenet-1378be20.pth", 30.222, 10.47, mean=HALF, std=HALF),),
    "inception_v3": (
        _row("v1", "inception_v3_google-0cc3c7bd.pth", 22.706, 6.55, size=299, resize=342, mean=HALF, std=HALF),
    ),
    "resnet18": (_row("v1", "resnet18-f37072fd.pth", 30.242, 10.922),),
    "resnet34": (_row("v1", "resnet34-b627a593.pth", 26.686, 8.58),),
    "resnet50": (
        _row("v2", "resnet50-11ad3fa6.pth", 19.142, 4.566, size=224, resize=232),
        _row("v1", "resnet50-0676ba61.pth", 23.87, 7.138),
    ),
    "resnet101": (
        _row("v2", "resnet101-cd907fc2.pth", 18.114, 4.22, size=224, resize=232),
        _row("v1", "resnet101-63fe2227.pth", 22.626, 6.454),
    ),
    "resnet152": (
        _row("v2", "resnet152-f82ba261.pth", 17.716, 3.998, size=224, resize=232),
        _row("v1", "resnet152-394f9c45.pth", 21.688, 5.954),
    ),
    "wide_resnet50_2": (
        _row("v2", "wide_resnet50_2-9ba9bcbe.pth", 18.398, 4.242, size=224, resize=232),
        _row("v1", "wide_resnet50_2-95faca4d.pth", 21.532, 5.914),
    ),
    "wide_resnet101_2": (
        _row("v2", "wide_resnet101_2-d733dc28.pth", 17.49, 3.98, size=224, resize=232),
        _row("v1", "wide_resnet101_2-32ee1156.pth", 21.152, 5.716),
    ),
    "resnext50_32x4d": (
        _row("v2", "resnext50_32x4d-1a0047aa.pth", 18.802, 4.66, size=224, resize=232),
        _row("v1", "resnext50_32x4d-7cdf4587.pth", 22.382, 6.302),
    ),
    "resnext101_32x8d": (
        _row("v2", "resnext101_32x8d-110c445d.pth", 17.166, 3.772, size=224, resize=232),
        _row("v1", "resnext101_32x8d-8ba56ff5.pth", 20.688, 5.474),
    ),
    "resnext101_64x4d": (_row("v1", "resnext101_64x4d-173b62eb.pth", 16.754, 3.546, size=224, resize=232),),
    "mobilenet_v2": (
        _row("v2", "mobilenet_v2-7ebf99e0.pth", 27.846, 9.178, size=224, resize=232),
        _row("v1", "mobilenet_v2-b0353104.pth", 28.122, 9.714),
    ),
    "mobilenet_v3_small": (_row("v1", "mobilenet_v3_small-047dcff4.pth", 32.332, 12.598),),
    "mobilenet_v3_large": (
        _row("v2", "mobilenet_v3_large-5c1a4163.pth", 24.726, 7.434, size=224, resize=232),
        _row("v1", "mobilenet_v3_large-8738ca79.pth", 25.958, 8.66),
    ),
    "densenet121": (_row("v1", "densenet121-a639ec97.pth", 25.566, 8.028),),
    "densenet161": (_row("v1", "densenet161-8d451a50.pth", 22.862, 6.44),),
    "densenet169": (_row("v1", "densenet169-b2777c0a.pth", 24.4, 7.194),),
    "densenet201": (_row("v1", "densenet201-c1103571.pth", 23.104, 6.63),),
    "squeezenet1_0": (_row("v1", "squeezenet1_0-b66bff10.pth", 41.908, 19.58),),
    "squeezenet1_1": (_row("v1", "squeezenet1_1-b8a52dc0.pth", 41.822, 19.376),),
    "vit_b_16": (
        _row("v1", "vit_b_16-c867db91.pth", 18.928, 4.682),
        _row("swag_e2e_v1", "vit_b_16_swag-9ac1b537.pth", 14.696, 2.35, size=384, resize=384, interpolation="bicubic"),
        _row(
            "swag_linear_v1",
            "vit_b_16_lc_swag-4e70ced5.pth",
            18.114,
            3.82,
            size=224,
            resize=224,
            interpolation="bicubic",
        ),
    ),
    "vit_b_32": (_row("v1", "vit_b_32-d86f8d99.pth", 24.088, 7.534),),
    "vit_l_16": (
        _row("v1", "vit_l_16-852ce7e3.pth", 20.338, 5.362, size=224, resize=242),
        _row("swag_e2e_v1", "vit_l_16_swag-4f3808c9.pth", 11.936, 1.488, size=512, resize=512, interpolation="bicubic"),
        _row(
            "swag_linear_v1",
            "vit_l_16_lc_swag-4d563306.pth",
            14.854,
            2.578,
            size=224,
            resize=224,
            interpolation="bicubic",
        ),
    ),
    "vit_l_32": (_row("v1", "vit_l_32-c7638314.pth", 23.028, 6.93),),
    "efficientnet_b0": (_row("v1", "efficientnet_b0_rwightman-7f5810bc.pth", 22.308, 6.468, interpolation="bicubic"),),
    "efficientnet_b1": (
        _row("v2", "efficientnet_b1-c27df63c.pth", 20.162, 5.066, size=240, resize=255),
        _row(
            "v1", "efficientnet_b1_rwightman-bac287d4.pth", 21.358, 5.814, size=240, resize=256, interpolation="bicubic"
        ),
    ),
    "efficientnet_b2": (
        _row(
            "v1", "efficientnet_b2_rwightman-c35c1473.pth", 19.392, 4.69, size=288, resize=288, interpolation="bicubic"
        ),
    ),
    "efficientnet_b3": (
        _row(
            "v1", "efficientnet_b3_rwightman-b3899882.pth", 17.992, 3.946, size=300, resize=320, interpolation="bicubic"
        ),
    ),
    "efficientnet_b4": (
        _row(
            "v1", "efficientnet_b4_rwightman-23ab8bcd.pth", 16.616, 3.406, size=380, resize=384, interpolation="bicubic"
        ),
    ),
    "efficientnet_b5": (
        _row(
            "v1", "efficientnet_b5_lukemelas-1a07897c.pth", 16.556, 3.372, size=456, resize=456, interpolation="bicubic"
        ),
    ),
    "efficientnet_b6": (
        _row(
            "v1", "efficientnet_b6_lukemelas-24a108a5.pth", 15.992, 3.084, size=528, resize=528, interpolation="bicubic"
        ),
    ),
    "efficientnet_b7": (
        _row(
            "v1", "efficientnet_b7_lukemelas-c5b4e57e.pth", 15.878, 3.092, size=600, resize=600, interpolation="bicubic"
        ),
    ),
}
