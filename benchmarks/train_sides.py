"""One epoch of one side of train.py, in whichever Python has it: prints its seconds as JSON.

    python benchmarks/train_sides.py SIDE NETWORK BATCH IMAGES.npz

Visus is imported only by its own side, so that the others run where it isn't installed.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np

MEAN, STD = 0.2860, 0.3530  # of the training pixels
RATE, MOMENTUM = 0.05, 0.9
WARM = 20  # batches before the clock starts
SIZES = {"lenet5": 32, "resnet8": 28}

Run = Callable[[np.ndarray, np.ndarray], None]  # train for one epoch on these images and labels


def torch_network(name: str) -> Any:
    """The network in plain torch."""
    from torch import nn

    if name == "lenet5":
        return nn.Sequential(
            nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
            nn.Conv2d(16, 120, 5), nn.Tanh(), nn.Flatten(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
        )  # fmt: skip

    def normed(source: int, target: int, size: int, stride: int) -> list[nn.Module]:
        return [nn.Conv2d(source, target, size, stride, size // 2, bias=False), nn.BatchNorm2d(target)]

    class Block(nn.Module):
        def __init__(self, source: int, target: int, stride: int) -> None:
            super().__init__()
            self.body = nn.Sequential(
                *normed(source, target, 3, stride), nn.ReLU(inplace=True), *normed(target, target, 3, 1)
            )
            same = stride == 1 and source == target
            self.skip = nn.Identity() if same else nn.Sequential(*normed(source, target, 1, stride))

        def forward(self, x: Any) -> Any:
            return nn.functional.relu(self.body(x) + self.skip(x), inplace=True)

    return nn.Sequential(
        *normed(1, 16, 3, 1), nn.ReLU(inplace=True), Block(16, 16, 1), Block(16, 64, 2), Block(64, 128, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip


def keras_network(name: str) -> Any:
    """The same in Keras, channels last."""
    import keras
    from keras import layers as k

    if name == "lenet5":
        return keras.Sequential(
            [k.Input((32, 32, 1)), k.Conv2D(6, 5, activation="tanh"), k.AveragePooling2D(2),
             k.Conv2D(16, 5, activation="tanh"), k.AveragePooling2D(2), k.Conv2D(120, 5, activation="tanh"),
             k.Flatten(), k.Dense(84, activation="tanh"), k.Dense(10)]
        )  # fmt: skip

    def normed(x: Any, target: int, size: int, stride: int) -> Any:
        return k.BatchNormalization()(k.Conv2D(target, size, stride, padding="same", use_bias=False)(x))

    def block(x: Any, target: int, stride: int) -> Any:
        body = normed(k.ReLU()(normed(x, target, 3, stride)), target, 3, 1)
        same = stride == 1 and x.shape[-1] == target
        return k.ReLU()(body + (x if same else normed(x, target, 1, stride)))

    inputs = k.Input((28, 28, 1))
    x = block(block(block(k.ReLU()(normed(inputs, 16, 3, 1)), 16, 1), 64, 2), 128, 2)
    return keras.Model(inputs, k.Dense(10)(k.GlobalAveragePooling2D()(x)))


def padded(images: np.ndarray, name: str) -> np.ndarray:
    """N×size×size uint8, with the frame that LeNet-5 is given."""
    edge = (SIZES[name] - images.shape[-1]) // 2
    return np.pad(images, ((0, 0), (edge, edge), (edge, edge)))


def normal(images: np.ndarray, name: str) -> np.ndarray:
    """N×size×size float32, normalised."""
    return ((padded(images, name).astype(np.float32) / 255) - MEAN) / STD


def usual(name: str, batch: int, workers: int) -> Run:
    """What tutorials show, in the steps of torchvision's FashionMNIST, Pad, ToTensor and Normalize."""
    import torch
    from PIL import Image, ImageOps
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, Dataset

    class Images(Dataset[tuple[torch.Tensor, int]]):
        def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
            self.images, self.labels = torch.from_numpy(images), torch.from_numpy(labels)

        def __len__(self) -> int:
            return len(self.images)

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            image = Image.fromarray(self.images[index].numpy())
            edge = (SIZES[name] - image.width) // 2
            image = ImageOps.expand(image, edge) if edge else image
            pixels = torch.from_numpy(np.array(image, np.uint8, copy=True)).view(*image.size[::-1], 1)
            values = pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255)
            mean, std = torch.as_tensor((MEAN,)), torch.as_tensor((STD,))
            if (std == 0).any():
                raise ValueError("std is zero")
            return values.clone().sub_(mean.view(-1, 1, 1)).div_(std.view(-1, 1, 1)), int(self.labels[index])

    model = torch_network(name)
    optimizer = torch.optim.SGD(model.parameters(), RATE, MOMENTUM, nesterov=True)

    def run(images: np.ndarray, labels: np.ndarray) -> None:
        for x, y in DataLoader(Images(images, labels), batch, shuffle=True, drop_last=True, num_workers=workers):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

    return run


def plain(name: str, batch: int) -> Run:
    """A loop over tensors, with what is known to help: gathered batches, channels-last, a fused optimiser."""
    import torch
    from torch.nn import functional as F

    model = torch_network(name).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), RATE, MOMENTUM, nesterov=True, fused=True)

    def run(images: np.ndarray, labels: np.ndarray) -> None:
        x, y = torch.from_numpy(normal(images, name))[:, None], torch.from_numpy(labels)
        for rows in torch.randperm(len(x)).split(batch):
            if len(rows) == batch:
                optimizer.zero_grad(set_to_none=True)
                picked = x[rows].contiguous(memory_format=torch.channels_last)
                F.cross_entropy(model(picked), y[rows]).backward()
                optimizer.step()

    return run


def lightning(name: str, batch: int) -> Run:
    """A Trainer without logging and checkpoints, over tensors in memory."""
    import torch
    from lightning import LightningModule, Trainer
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, TensorDataset

    for each in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(each).setLevel(logging.ERROR)

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = torch_network(name)

        def training_step(self, batch: Any, index: int) -> Any:
            return F.cross_entropy(self.model(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), RATE, MOMENTUM, nesterov=True)

    module = Module()

    def run(images: np.ndarray, labels: np.ndarray) -> None:
        tensors = TensorDataset(torch.from_numpy(normal(images, name))[:, None], torch.from_numpy(labels))
        loader = DataLoader(tensors, batch, shuffle=True, drop_last=True)
        Trainer(
            accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(module, loader)  # fmt: skip

    return run


def fastai(name: str, batch: int) -> Run:
    """A Learner over tensors in memory, whose batches are gathered by index."""
    import torch
    from fastai.callback.progress import ProgressCallback
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    from fastai.learner import Learner, Recorder
    from fastai.optimizer import SGD
    from torch.nn import functional as F

    model = torch_network(name)

    def run(images: np.ndarray, labels: np.ndarray) -> None:
        x, y = torch.from_numpy(normal(images, name))[:, None], torch.from_numpy(labels)

        class Gathered(DataLoader):
            def __iter__(self) -> Any:
                for rows in torch.randperm(len(self.dataset)).split(batch):
                    if len(rows) == batch:
                        yield x[rows], y[rows]

        train, nothing = (Gathered(range(count), bs=batch, num_workers=0) for count in (len(x), 0))
        data = DataLoaders(train, nothing, device=torch.device("cpu"))
        learner = Learner(data, model, loss_func=F.cross_entropy, opt_func=SGD, lr=RATE, moms=(MOMENTUM,) * 3)
        learner.remove_cbs([ProgressCallback, Recorder])
        learner.fit(1)

    return run


def keras(name: str, batch: int, backend: str) -> Run:
    """Model.fit over arrays, compiled by XLA where the backend has it by default."""
    import keras

    assert keras.backend.backend() == backend
    model = keras_network(name)
    model.compile(keras.optimizers.SGD(RATE, MOMENTUM, nesterov=True), keras.losses.SparseCategoricalCrossentropy(True))

    def run(images: np.ndarray, labels: np.ndarray) -> None:
        x = normal(images, name)[..., None]
        whole = len(x) // batch * batch
        model.fit(x[:whole], labels[:whole], batch, 1, verbose=0, shuffle=True)

    return run


def visus(name: str, batch: int) -> Run:
    """The loader and loop of Visus, with a run's settings of the process."""
    import torch

    from visus.data.loader import Loader, prepare
    from visus.data.preprocess import ImagePreprocess
    from visus.data.samples import ArraySamples
    from visus.data.types import Schema, Target
    from visus.models import find
    from visus.run.device import setting
    from visus.run.recipe import Runtime, compose
    from visus.run.recipe_files import read_recipe
    from visus.tasks import Classify
    from visus.training import SGD, fit, ready

    size = SIZES[name]
    schema = Schema(shape=(1, size, size), targets=("label",), labels=tuple("0123456789"))
    spec = find("lenet5_full").spec if name == "lenet5" else compose(read_recipe("fashion-mnist-resnet8")).model.spec
    assert spec is not None
    model = Classify().assemble(spec, schema).to(memory_format=torch.channels_last)
    learners = ready(Classify().players(model), SGD(lr=RATE, momentum=MOMENTUM, weight_decay=0.0))
    preprocess = ImagePreprocess(size=(size, size), channels=1, fit="center", mean=(MEAN,), std=(STD,))

    def run(images: np.ndarray, labels: np.ndarray) -> None:
        samples = ArraySamples("images", images[..., None], [Target(label=int(each)) for each in labels])
        loader = Loader(
            prepare(samples, schema, preprocess), preprocess, batch, torch.device("cpu"), channels_last=True
        )
        with setting(Runtime(), seed=0):
            for _ in fit(learners, loader.train(), steps=len(loader)):
                pass

    return run


SIDES: dict[str, tuple[tuple[str, ...], Callable[[str, int], Run]]] = {  # what it needs, what it does
    "usual script": (("torch",), lambda name, batch: usual(name, batch, 0)),
    "usual script, 2 workers": (("torch",), lambda name, batch: usual(name, batch, 2)),
    "plain loop": (("torch",), plain),
    "visus": (("visus", "torch"), visus),
    "lightning": (("lightning", "torch"), lightning),
    "fastai": (("fastai", "torch"), fastai),
    "keras-torch": (("keras", "torch"), lambda name, batch: keras(name, batch, "torch")),
    "keras-tensorflow": (("keras", "tensorflow"), lambda name, batch: keras(name, batch, "tensorflow")),
    "keras-jax": (("keras", "jax"), lambda name, batch: keras(name, batch, "jax")),
}


def main() -> None:
    """Measure one epoch."""
    side, name, batch, path = sys.argv[1:]
    needs, make = SIDES[side]
    if side.startswith("keras-"):
        os.environ["KERAS_BACKEND"] = needs[1]
    for need in needs:
        try:
            importlib.import_module(need)
        except ImportError as problem:
            print(json.dumps({"missing": str(problem)}))
            return
    warnings.simplefilter("ignore")  # of the peers, on few workers and the like
    with np.load(path) as arrays:
        images, labels = arrays["images"], arrays["labels"].astype(np.int64)
    run = make(name, int(batch))
    run(images[: WARM * int(batch)], labels[: WARM * int(batch)])
    began = time.perf_counter()
    run(images, labels)
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "versions": " ".join(f"{each} {_version(each)}" for each in needs)}))


def _version(package: str) -> str:
    return version("tensorflow-cpu" if package == "tensorflow" else package)


if __name__ == "__main__":
    main()
