"""How fast the engines compute the classic networks, beside PyTorch eager, in one interleaved run.

    python benchmarks/engines.py [--models resnet18 resnet50 …] [--batch 1 16] [--seconds 3] [--steps 150]

The peer is the same network in PyTorch eager, float32, contiguous, normalisations not folded: what torchvision and timm
compute. float32 is held to 10⁻⁴ of the greatest score, bfloat16 and int8 to half a point of accuracy, as by `visus
optimize`. So that there is an accuracy without downloads, each network is first trained for some steps on handwritten
digits, enlarged to its input; the accuracy is that of others. Each network has its own process.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from machine import describe
from torch import Tensor

import visus
from visus.data.loader import Loader, prepare
from visus.data.open import open_dataset
from visus.data.preprocess import ImagePreprocess
from visus.data.samples import Rows
from visus.models import find
from visus.prediction import Engine, NetworkManifest, NetworkPredictor
from visus.prediction.engines import KINDS, Kind, Unavailable, available, load, write
from visus.run.optimizing import TOLERANCE, in_turns
from visus.tasks import Classify
from visus.training import AdamW, OneCycle, fit, ready

MODELS = (
    "resnet18", "resnet50", "vgg16", "mobilenet_v2", "efficientnet_b0", "inception_v3", "vit_base_patch16",
)  # fmt: skip
HELD = 400  # digits that accuracy is measured on; the others are learnt
CALIBRATING = 32
SETTLING = 128  # digits that normalisations get their statistics of
PART = 16  # images at a time in training and measuring
RATE = 3e-4
RATES = {"mobilenet_v2": 6e-3, "efficientnet_b0": 3e-3, "vit_base_patch16": 1e-4}  # they'd learn too little otherwise
LOSE = 0.5  # points of accuracy that bfloat16 and int8 may lose


@dataclass(frozen=True)
class Row:
    """An engine at a batch: milliseconds an image, times as fast as the peer, the greatest difference of scores over
    the greatest score, and the points of accuracy that it loses."""

    engine: str
    batch: int
    milliseconds: float
    times: float
    difference: float
    lost: float

    @property
    def exact(self) -> bool:
        return self.engine.endswith("float32") and self.difference <= TOLERANCE

    @property
    def accepted(self) -> bool:
        return self.exact or (not self.engine.endswith("float32") and self.lost <= LOSE)


def trained(name: str, steps: int) -> tuple[NetworkPredictor, Tensor, Tensor, Tensor]:
    """A network that tells digits, some inputs of those that it learnt (N×C×H×W, uint8), and others with labels."""
    torch.manual_seed(0)
    card = find(name)
    dataset = open_dataset("digits")
    samples = dataset.splits["train"]
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(0)).tolist()
    channels, *sides = card.input
    preprocess = ImagePreprocess(size=(sides[0], sides[1]), channels=channels, mean=(0.3,) * 3, std=(0.3,) * 3)
    learnt, held = (prepare(Rows(samples, rows), dataset.schema, preprocess) for rows in (order[HELD:], order[:HELD]))
    network = visus.create_model(name, classes=len(dataset.schema.labels))
    loader = Loader(learnt, preprocess, PART, torch.device("cpu"), channels_last=True)
    players = Classify().players(network.train().to(memory_format=torch.channels_last))
    learners = ready(players, AdamW(lr=RATES.get(name, RATE)))
    rate = OneCycle().factor
    for _ in fit(learners, loader.train(), steps=steps, rate=rate, clip=1.0, precision=torch.bfloat16):
        pass
    settle(network, preprocess, learnt.gather(torch.arange(SETTLING)).inputs)
    manifest = NetworkManifest(
        task=Classify(), schema=dataset.schema, model=name, network=card.spec, preprocess=preprocess
    )
    batch = held.gather(torch.arange(HELD))
    assert batch.target.label is not None
    network = network.eval().to(memory_format=torch.contiguous_format)
    calibration = learnt.gather(torch.arange(CALIBRATING)).inputs
    return NetworkPredictor(manifest, network), calibration, batch.inputs, batch.target.label


def settle(network: torch.nn.Module, preprocess: ImagePreprocess, x: Tensor) -> None:
    """Give normalisations the statistics of these inputs (N×C×H×W, uint8): few steps move running ones too little."""
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            module.momentum = None  # the mean over all parts
        elif isinstance(module, torch.nn.Dropout):
            module.eval()
    with torch.no_grad():
        for part in x.split(PART):
            network(preprocess.normalize(part).contiguous(memory_format=torch.channels_last))


def accuracy(engine: Engine, x: Tensor, label: Tensor) -> float:
    """In percent."""
    parts = zip(x.split(PART), label.split(PART), strict=True)
    right = sum(int((engine(part).argmax(1) == of).sum()) for part, of in parts)
    return 100 * right / len(x)


def one_network(name: str, batches: list[int], seconds: float, steps: int) -> tuple[str, list[Row]]:
    """What it tells of the digits, and its engines."""
    predictor, calibration, x, label = trained(name, steps)
    own = accuracy(predictor.network_outputs, x, label)
    rows = []
    with tempfile.TemporaryDirectory() as work:
        kinds: list[Kind] = []
        for kind in KINDS:
            try:
                available(kind, predictor.device)
                write(kind, predictor, Path(work), calibration)
            except Unavailable as why:
                print(f"{name}: {kind}: {why}", flush=True)
            else:
                kinds.append(kind)
        lost = {kind: own - accuracy(load(kind, predictor, Path(work)), x, label) for kind in kinds}
        for batch in batches:
            engines = [load(kind, predictor, Path(work)) for kind in kinds]
            some = x[:batch]
            wanted = predictor.network_outputs(some)
            peer, *times = in_turns([predictor.network_outputs, *engines], some, seconds)
            rows.append(Row("network", batch, 1000 * peer / batch, 1.0, 0.0, 0.0))
            for kind, engine, taken in zip(kinds, engines, times, strict=True):
                difference = float((engine(some) - wanted).abs().max() / wanted.abs().max())
                rows.append(Row(str(kind), batch, 1000 * taken / batch, peer / taken, difference, lost[kind]))
    return f"{own:.2f} % of {len(x)} digits", rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--steps", type=int, default=150)
    arguments = parser.parse_args()
    print(describe() + "\n", flush=True)
    best: dict[tuple[str, int], list[float]] = {}
    spawn = multiprocessing.get_context("spawn")
    for name in arguments.models:
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            told, rows = pool.submit(one_network, name, arguments.batch, arguments.seconds, arguments.steps).result()
        print(f"{name}: {told}")
        for row in rows:
            accepted = "" if row.accepted or row.engine == "network" else "  not accepted"
            print(
                f"{name:18} {row.engine:22} batch {row.batch:3}  {row.milliseconds:8.2f} ms/image  {row.times:6.2f} ×"
                f"  {row.difference:.1e}  {row.lost:+6.2f} points{accepted}"
            )
        print(flush=True)
        for batch in arguments.batch:
            mine = [row for row in rows if row.batch == batch and row.engine != "network"]
            best.setdefault(("float32", batch), []).append(max(row.times for row in mine if row.exact))
            best.setdefault(("any type", batch), []).append(max(row.times for row in mine if row.accepted))
    for (which, batch), found in best.items():
        mean = math.exp(sum(math.log(each) for each in found) / len(found))
        print(f"fastest in {which}, batch {batch}: {mean:.2f} × eager in geometric mean, at least {min(found):.2f} ×")


if __name__ == "__main__":
    main()
