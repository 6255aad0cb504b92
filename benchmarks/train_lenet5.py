"""Training LeNet-5 on Fashion-MNIST: images a second, Visus against the usual script, in one interleaved run.

    python benchmarks/train_lenet5.py [--rounds 3] [--batch 64] [--data-dir FOLDER]

Both train the same network from the same weights with the same batch size and the same optimiser on the same 60,000
images. The usual script is what tutorials show: a Dataset that converts and normalises one image at a time (in the
steps of torchvision's transforms, written out here), a DataLoader that collates them, a loop. It is run without worker
processes and with two; the better one is the peer.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
from machine import describe
from PIL import Image, ImageOps
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

import visus
from visus.data.dataset import Data
from visus.data.loader import Loader, prepare
from visus.data.preprocess import ImagePreprocess
from visus.data.samples import Samples
from visus.data.types import Schema
from visus.run.device import setting
from visus.run.recipe import Runtime
from visus.tasks import Classify
from visus.training import SGD, fit, ready

IMAGES = 60_000
MEAN, STD = 0.2860, 0.3530  # of the training pixels
TRAINING = SGD(lr=0.05, weight_decay=0.0)


class Usual(Dataset[tuple[torch.Tensor, int]]):
    """One image at a time, in the steps of torchvision's FashionMNIST, Pad(2), ToTensor and Normalize."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = torch.from_numpy(images), torch.from_numpy(labels)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = ImageOps.expand(Image.fromarray(self.images[index].numpy()), 2)
        return normalize(to_tensor(image)), int(self.labels[index])


def to_tensor(image: Image.Image) -> torch.Tensor:
    """A grey Pillow image as 1×H×W float32 in 0…1."""
    pixels = torch.from_numpy(np.array(image, np.uint8, copy=True)).view(*image.size[::-1], 1)
    return pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255)


def normalize(tensor: torch.Tensor) -> torch.Tensor:
    """(tensor − mean)/std, with the check for a zero std."""
    mean, std = torch.as_tensor((MEAN,)), torch.as_tensor((STD,))
    if (std == 0).any():
        raise ValueError("std is zero")
    return tensor.clone().sub_(mean.view(-1, 1, 1)).div_(std.view(-1, 1, 1))


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


def visus_epoch(model: nn.Module, samples: Samples, schema: Schema, batch: int) -> float:
    """Seconds of one epoch of Visus's, with the reading of the images into memory."""
    preprocess = ImagePreprocess(size=(32, 32), channels=1, fit="center", mean=(MEAN,), std=(STD,))
    began = time.perf_counter()
    prepared = prepare(samples, schema, preprocess)
    loader = Loader(prepared, preprocess, batch, torch.device("cpu"), channels_last=True)
    learners = ready(Classify().players(model.to(memory_format=torch.channels_last)), TRAINING)
    for _ in fit(learners, loader.train(), steps=len(loader)):
        pass
    return time.perf_counter() - began


SIDES = ("usual script", "usual script, 2 workers", "visus")


def one_side(name: str, model: str, batch: int, folder: str | None) -> float:
    """Seconds of one epoch of one side."""
    dataset = visus.open_dataset(Data(source="fashion-mnist", dir=folder))
    samples = dataset.splits["train"]
    torch.manual_seed(0)
    network = visus.create_model(model, classes=10, channels=1, image_size=32)
    if name == "visus":
        with setting(Runtime(), seed=0):
            return visus_epoch(network, samples, dataset.schema, batch)
    block = samples.block()
    assert block is not None
    labels = np.array([samples.target(row).label for row in range(len(samples))])
    return usual_epoch(network, block[..., 0], labels, batch, 2 if name.endswith("2 workers") else 0)


def main() -> None:
    """Measure and print. Each epoch has a process of its own, so that no side's settings help the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--model", default="lenet5_full")
    parser.add_argument("--data-dir")
    arguments = parser.parse_args()
    print(describe())
    print(f"network {arguments.model}, batch {arguments.batch}, {IMAGES:,} images an epoch\n", flush=True)
    seconds: dict[str, list[float]] = {name: [] for name in SIDES}
    spawn = multiprocessing.get_context("spawn")
    for round_ in range(arguments.rounds):
        for name in SIDES:
            with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                job = pool.submit(one_side, name, arguments.model, arguments.batch, arguments.data_dir)
                took = job.result()
            seconds[name].append(took)
            print(f"round {round_ + 1}  {name:24} {took:6.2f} s  {IMAGES / took:8.0f} images/s", flush=True)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    peer = min(SIDES[:2], key=medians.__getitem__)
    print(f"\nvisus: {medians[peer] / medians['visus']:.2f} × the images per second of the {peer}")


if __name__ == "__main__":
    main()
