"""Networks that were made to answer for every pixel."""

from __future__ import annotations

from visus.models.cards import Card, Family
from visus.models.parts import BatchNorm
from visus.models.unet import UNet

Networks = UNet

FAMILIES: dict[str, Family] = {
    "unet": Family(
        title="U-Net: convolutional networks for biomedical image segmentation",
        authors="Ronneberger, Fischer, Brox",
        year=2015,
        reference="arXiv:1505.04597",
        idea="The way back to the pixels is as rich as the way down: at each resolution the maps of the contracting "
        "path stand beside the enlarged ones, so that what is seen from afar meets where it is. Elastic deformation "
        "makes some thirty annotated images enough.",
        departs="Its contracting path is the network here, and the decoder `unet-valid` of the task makes it the "
        "paper's. The head for classes and the share of dropout aren't from the paper.",
    ),
}

TINY: dict[str, Networks] = {"unet": UNet(widths=(6, 12, 24), dropout=0.0)}

CARDS: dict[str, Card] = {
    "unet": Card(
        family="unet",
        spec=UNet(),
        input=(1, 572, 572),
        about="the contracting path as published, without padding: 572×572 pixels in, 28×28 out",
    ),
    "unet_same": Card(
        family="unet",
        spec=UNet(widths=(32, 64, 128, 256, 512), padding="same", norm=BatchNorm(), dropout=0.0),
        input=(3, 256, 256),
        about="with padding and batch normalisation, and half the channels",
    ),
}
