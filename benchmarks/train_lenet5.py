"""Training LeNet-5 on Fashion-MNIST: images a second, Visus against the usual script, in one interleaved run.

    python benchmarks/train_lenet5.py [--rounds 3] [--batch 64] [--data-dir FOLDER]

Both train the same network from the same weights with the same batch size and the same optimiser on the same 60,000
images. The usual script is what tutorials show: a Dataset that converts and normalises one image at a time, a
DataLoader that collates them, a loop. It is run without worker processes and with two; the better one is the peer.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from machine import describe
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

import visus
from visus.data.dataset import Data
from visus.data.loader import Loader, prepare
from visus.data.preprocess import ImagePreprocess
from visus.tasks import Classify
from visus.training import SGD, fit, ready

MEAN, STD = 0.2860, 0.3530  # of the training pixels
TRAINING = SGD(lr=0.05, weight_decay=0.0)


class Usual(Dataset):
    """One image at a time: uint8 array → Pillow image → padded → float tensor → normalised."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = Image.fromarray(self.images[index])
        tensor = torch.from_numpy(np.array(image, np.float32))[None] / 255
        return (F.pad(tensor, (2, 2, 2, 2)) - MEAN) / STD, int(self.labels[index])


def usual_epoch(model: nn.Module, images: np.ndarray, labels: np.ndarray, batch: int, workers: int) -> float:
    """Seconds of one epoch of the usual script."""
    loader = DataLoader(Usual(images, labels), batch, shuffle=True, drop_last=True, num_workers=workers)
    optimizer = torch.optim.SGD(model.parameters(), TRAINING.lr, TRAINING.momentum, nesterov=True)
    began = time.perf_counter()
    for x, y in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    return time.perf_counter() - began


def visus_epoch(model: nn.Module, samples: visus.data.samples.Samples, schema: object, batch: int) -> float:
    """Seconds of one epoch of Visus's, with the reading of the images into memory."""
    preprocess = ImagePreprocess(size=(32, 32), channels=1, fit="center", mean=(MEAN,), std=(STD,))
    began = time.perf_counter()
    prepared = prepare(samples, schema, preprocess)
    loader = Loader(prepared, preprocess, batch, torch.device("cpu"), channels_last=True)
    learners = ready(Classify().players(model.to(memory_format=torch.channels_last)), TRAINING)
    for _ in fit(learners, loader.train(), steps=len(loader)):
        pass
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--model", default="lenet5_full")
    parser.add_argument("--data-dir")
    arguments = parser.parse_args()
    dataset = visus.open_dataset(Data(source="fashion-mnist", dir=arguments.data_dir))
    samples = dataset.splits["train"]
    images = samples.block()[..., 0]
    labels = np.array([samples.target(row).label for row in range(len(samples))])
    print(describe())
    print(f"network {arguments.model}, batch {arguments.batch}, {len(images):,} images an epoch\n")
    torch.manual_seed(0)
    start = visus.create_model(arguments.model, classes=10, channels=1, image_size=32)
    sides: dict[str, Callable[[nn.Module], float]] = {
        "usual script": lambda model: usual_epoch(model, images, labels, arguments.batch, 0),
        "usual script, 2 workers": lambda model: usual_epoch(model, images, labels, arguments.batch, 2),
        "visus": lambda model: visus_epoch(model, samples, dataset.schema, arguments.batch),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for round_ in range(arguments.rounds):
        for name, epoch in sides.items():
            took = epoch(copy.deepcopy(start))
            seconds[name].append(took)
            print(f"round {round_ + 1}  {name:24} {took:6.2f} s  {len(images) / took:8.0f} images/s")
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    peer = min(("usual script", "usual script, 2 workers"), key=medians.__getitem__)
    print(f"\nvisus: {medians[peer] / medians['visus']:.2f} × the images per second of the {peer}")


if __name__ == "__main__":
    main()
