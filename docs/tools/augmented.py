"""The picture of what each setting of `augment` does, on two photographs that come with scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_sample_image

from visus import viz
from visus.data.augment import Augment, Crop, Elastic
from visus.data.preprocess import ImagePreprocess
from visus.data.randaugment import RandAugment
from visus.data.types import Batch, Targets
from visus.files import write_atomic

NAME = "augment.png"
SHOWN: dict[str, Augment] = {
    "flip\nshift = 0.125": Augment(flip=True, shift=0.125),
    "crop\nleast = 0.08": Augment(crop=Crop(least=0.08)),
    "rotate = 20\nzoom = 0.3": Augment(rotate=20, zoom=0.3),
    "elastic\nsd = 10": Augment(elastic=Elastic(sd=10)),
    "randaugment\nmagnitude = 9": Augment(randaugment=RandAugment(magnitude=9)),
    "randaugment\nmagnitude = 20": Augment(randaugment=RandAugment(magnitude=20)),
    "brightness = 0.3\ncontrast = 0.3": Augment(brightness=0.3, contrast=0.3),
    "saturation = 0.5\nhue = 30": Augment(saturation=0.5, hue=30),
    "erase = 0.5": Augment(erase=0.5),
    "mixup = 1": Augment(mixup=1),
    "cutmix = 1": Augment(cutmix=1),
}
COLUMNS = 6


def write(folder: Path) -> None:
    """Draw it where it isn't there."""
    if (folder / NAME).exists():
        return
    preprocess = ImagePreprocess(size=(160, 160), crop=1.0)
    photographs = torch.stack(
        [preprocess.place(np.array(load_sample_image(f"{each}.jpg"))) for each in ("china", "flower")]
    )
    batch = Batch(
        photographs.repeat(COLUMNS // 2, 1, 1, 1), Targets(label=torch.arange(COLUMNS)), torch.arange(COLUMNS)
    )
    images, captions = [], []
    for name, augment in SHOWN.items():
        draws = torch.Generator().manual_seed(8)
        found = augment.mix(augment.apply(batch, draws, preprocess.fill), COLUMNS, draws)
        images += [each.permute(1, 2, 0).round().to(torch.uint8).numpy() for each in found.inputs]
        captions += [name if index == 0 else "" for index in range(COLUMNS)]
    write_atomic(folder / NAME, viz.png(viz.sheet(images, captions, columns=COLUMNS)))
