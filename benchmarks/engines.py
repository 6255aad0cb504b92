"""How fast the engines compute the classic networks, beside PyTorch eager, in one interleaved run.

    python benchmarks/engines.py [--models resnet18 resnet50 …] [--batch 1 16] [--seconds 3]

Weights are random, so only float32 is held to a tolerance here (10⁻⁴ of the greatest score); of bfloat16 and int8 the
speed is shown, and `visus optimize` guards the score on real data. The peer is the same network in PyTorch eager,
float32, contiguous, normalisations not folded: what torchvision and timm compute. Each network has its own process.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from machine import describe

import visus
from visus.data.preprocess import ImagePreprocess
from visus.data.types import Schema
from visus.models import find
from visus.prediction import NetworkManifest, NetworkPredictor
from visus.prediction.engines import KINDS, Kind, Unavailable, available, load, write
from visus.run.optimizing import in_turns
from visus.tasks import Classify

MODELS = (
    "resnet18", "resnet50", "vgg16", "mobilenet_v2", "efficientnet_b0", "inception_v3", "vit_base_patch16",
)  # fmt: skip
CLASSES = 1000
CALIBRATING = 32


def predictor_of(name: str) -> NetworkPredictor:
    """A network of the catalog with random weights."""
    torch.manual_seed(0)
    card = find(name)
    channels, *sides = card.input
    manifest = NetworkManifest(
        task=Classify(),
        schema=Schema(shape=(channels, 0, 0), labels=tuple(map(str, range(CLASSES)))),
        model=name,
        network=card.spec,
        preprocess=ImagePreprocess(size=(sides[0], sides[1])),
    )
    return NetworkPredictor(manifest, visus.create_model(name, classes=CLASSES).eval())


def one_network(name: str, batches: list[int], seconds: float) -> list[tuple[str, int, float, float, float]]:
    """Rows of engine, batch, milliseconds an image, times as fast as the peer, and difference of the scores."""
    predictor = predictor_of(name)
    shape = predictor.shape
    draws = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (max(batches), *shape), dtype=torch.uint8, generator=draws)
    rows = []
    with tempfile.TemporaryDirectory() as work:
        kinds: list[Kind] = []
        for kind in KINDS:
            try:
                available(kind, predictor.device)
                write(kind, predictor, Path(work), x[:CALIBRATING])
            except Unavailable as why:
                print(f"{name}: {kind}: {why}", flush=True)
            else:
                kinds.append(kind)
        for batch in batches:
            engines = [load(kind, predictor, Path(work)) for kind in kinds]
            some = x[:batch]
            wanted = predictor.network_outputs(some)
            peer, *times = in_turns([predictor.network_outputs, *engines], some, seconds)
            rows.append(("network", batch, 1000 * peer / batch, 1.0, 0.0))
            for kind, engine, taken in zip(kinds, engines, times, strict=True):
                difference = float((engine(some) - wanted).abs().max() / wanted.abs().max())
                rows.append((str(kind), batch, 1000 * taken / batch, peer / taken, difference))
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    print(describe() + "\n", flush=True)
    best: dict[tuple[bool, int], list[float]] = {}
    spawn = multiprocessing.get_context("spawn")
    for name in arguments.models:
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            rows = pool.submit(one_network, name, arguments.batch, arguments.seconds).result()
        for engine, batch, milliseconds, times, difference in rows:
            print(
                f"{name:18} {engine:22} batch {batch:3}  {milliseconds:8.2f} ms/image  {times:6.2f} ×  {difference:.1e}"
            )
        print(flush=True)
        for batch in arguments.batch:
            mine = [row for row in rows if row[1] == batch]
            exact = [row[3] for row in mine if row[0].endswith("float32") and row[4] <= 1e-4]
            best.setdefault((True, batch), []).append(max(exact))
            best.setdefault((False, batch), []).append(max(row[3] for row in mine))
    for (exact_only, batch), found in best.items():
        mean = math.exp(sum(math.log(each) for each in found) / len(found))
        which = "float32" if exact_only else "any type"
        print(f"fastest in {which}, batch {batch}: {mean:.2f} × eager in geometric mean, at least {min(found):.2f} ×")


if __name__ == "__main__":
    main()
