"""Networks made to find objects."""

from __future__ import annotations

from visus.models.cards import Card, Family, Figures, Published
from visus.models.darknet import Darknet

Networks = Darknet

FAMILIES: dict[str, Family] = {
    "yolo_v1": Family(
        title="You only look once: unified, real-time object detection",
        authors="Redmon, Divvala, Girshick, Farhadi",
        year=2015,
        reference="arXiv:1506.02640",
        idea="Detection is one regression from pixels to boxes and classes: a single network sees the whole image once "
        "and is trained as a whole, so that it runs in real time. Its convolutions are GoogLeNet's with plain 1×1 "
        "reductions in place of Inception modules.",
        departs="What is pretrained of the detector is the network here; the task `yolo_v1` adds its last "
        "convolutions and fully connected layers. Weights start as He et al. propose. The filters of Fast YOLO are "
        "those of the authors' configuration, since the paper names their number alone.",
    ),
}

# Figure 3 of the paper, but for the last four convolutions, which the task adds.
_YOLO = Darknet(
    stages=(
        ((7, 64),),
        ((3, 192),),
        ((1, 128), (3, 256), (1, 256), (3, 512)),
        (*((1, 256), (3, 512)) * 4, (1, 512), (3, 1024)),
        ((1, 512), (3, 1024)) * 2,
    )
)
_FAST = Darknet(stages=tuple(((3, 16 * 2**stage),) for stage in range(7)), stride=1)

TINY: dict[str, Networks] = {"yolo_v1": Darknet(stages=(((7, 8),), ((3, 12),), ((1, 8), (3, 16))))}

CARDS: dict[str, Card] = {
    "yolo_v1": Card(
        family="yolo_v1",
        spec=_YOLO,
        input=(3, 448, 448),
        fixed=True,
        figures=Figures(parameters=23_428_136, multiply_adds=16_837_681_152),
        about="the first 20 of YOLO's 24 convolutions, as published; the task yolo_v1 adds the others",
    ),
    "yolo_v1_224": Card(
        family="yolo_v1",
        spec=_YOLO,
        input=(3, 224, 224),
        figures=Figures(parameters=23_428_136, multiply_adds=4_210_188_288),
        published=Published(data="ImageNet", source="the paper, §2.2 (a single crop)", top5_error=12.0),
        about="the same at the size at which it learns ImageNet before it learns to detect",
    ),
    "fast_yolo": Card(
        family="yolo_v1",
        spec=_FAST,
        input=(3, 448, 448),
        fixed=True,
        figures=Figures(parameters=7_317_384, multiply_adds=1_474_994_176),
        about="the first 7 of Fast YOLO's 9 convolutions",
    ),
}
