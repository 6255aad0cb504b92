"""Networks made for images out of images."""

from __future__ import annotations

from visus.models.cards import Card, Family
from visus.models.dncnn import DnCNN

Networks = DnCNN

FAMILIES: dict[str, Family] = {
    "dncnn": Family(
        title="Beyond a Gaussian denoiser: residual learning of deep CNN for image denoising",
        authors="Zhang, Zuo, Chen, Meng, Zhang",
        year=2016,
        reference="arXiv:1608.03981",
        idea="A deep network of plain convolutions finds the noise and not the image, which is then what is left. "
        "With batch normalisation it learns fast, and one network does for noise of any strength, for JPEG and for "
        "enlarged images.",
        departs="Weights start as He et al. propose, and the last ones nearly at 0, so that images are left as they "
        "are at first (the authors' code: orthogonal ones). As a classifier, which the paper doesn't know, it has a "
        "linear layer on the mean of its last map.",
    ),
}

TINY: dict[str, Networks] = {"dncnn": DnCNN(depth=4, channels=8, fold=2)}

CARDS: dict[str, Card] = {
    "dncnn": Card(
        family="dncnn", spec=DnCNN(), input=(1, 256, 256), about="17 convolutions, for noise of a known strength"
    ),
    "dncnn_blind": Card(
        family="dncnn", spec=DnCNN(depth=20), input=(1, 256, 256), about="20 convolutions, for noise of any strength"
    ),
}
