"""Training on Fashion-MNIST: images a second of Visus and of its peers, in one interleaved run.

    python benchmarks/train.py [--network lenet5] [--rounds 3] [--batch 64] [--images 60000] [--peers PYTHON]

All sides train the same network with the same batch size and optimiser, in float32, on the same images, one epoch from
the arrays to the last step; each in a process of its own, so that no side's settings help another. Imports, building
and a warm-up of 20 batches aren't counted, so that nobody pays for compiling.

--peers: a Python that has torch, torchvision, lightning, fastai, keras and one of Keras's backends; without it only
plain PyTorch is compared with. What each side is:

    usual script   a Dataset that converts and normalises one image at a time, in a DataLoader, with 0 and 2 workers
    plain loop     tensors in memory, batches gathered by index, channels-last: a loop tuned by hand
    lightning      a Trainer over a TensorDataset of normalised tensors in memory
    fastai         a Learner over the same, batches gathered by index
    keras-…        Model.fit over normalised arrays, by each backend that is installed
    visus          the loader and loop of this package, from uint8 images
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from machine import describe

import visus
from visus.data.dataset import Data

HERE = Path(__file__).parent
OWN = ("usual script", "usual script, 2 workers", "plain loop", "visus")
PEERS = ("lightning", "fastai", "keras-torch", "keras-tensorflow", "keras-jax")
LEAD = "plain loop"  # not a peer that people have, but what one can write


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=("lenet5", "resnet8"), default="lenet5")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--peers", help="a Python in which the peers are installed")
    parser.add_argument("--sides", nargs="+", choices=(*OWN, *PEERS), help="only these")
    parser.add_argument("--data-dir")
    arguments = parser.parse_args()
    sides = arguments.sides or (*OWN, *(PEERS if arguments.peers else ()))
    print(describe())
    print(f"network {arguments.network}, batch {arguments.batch}, {arguments.images:,} images an epoch, float32\n")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "images.npz"
        _write(data, arguments.data_dir, arguments.images)
        seconds: dict[str, list[float]] = {}
        for round_ in range(arguments.rounds):
            for side in sides:
                python = sys.executable if side in OWN else arguments.peers
                found = _one(python, side, arguments.network, arguments.batch, data)
                if "missing" in found:
                    if round_ == 0:
                        print(f"{side:24} isn't installed: {found['missing']}")
                    continue
                took = found["seconds"]
                seconds.setdefault(side, []).append(took)
                rate, versions = arguments.images / took, found["versions"]
                print(f"round {round_ + 1}  {side:24} {took:6.2f} s  {rate:8.0f} images/s  {versions}", flush=True)
    medians = {side: statistics.median(values) for side, values in seconds.items()}
    print()
    for side, median in sorted(medians.items(), key=lambda each: each[1]):
        print(f"{side:24} {median:6.2f} s  {median / medians['visus']:.2f} × the seconds of visus")
    scripts = [side for side in medians if side.startswith("usual")]
    print(f"\nvisus: {min(medians[each] for each in scripts) / medians['visus']:.2f} × the usual script", end="")
    others = [side for side in medians if side not in ("visus", LEAD)]
    best = min(others, key=medians.__getitem__)
    print(f", {medians[best] / medians['visus']:.2f} × the best peer ({best})", end="")
    print(f", {medians[LEAD] / medians['visus']:.2f} × the {LEAD}" if LEAD in medians else "")


def _write(path: Path, folder: str | None, count: int) -> None:
    """The training images and labels of Fashion-MNIST as arrays, which every side reads."""
    samples = visus.open_dataset(Data(source="fashion-mnist", dir=folder)).splits["train"]
    block = samples.block()
    assert block is not None
    labels = np.array([samples.target(row).label for row in range(count)])
    np.savez(path, images=block[:count, ..., 0], labels=labels)


def _one(python: str, side: str, network: str, batch: int, data: Path) -> dict[str, object]:
    """Run one side in a new process; what it printed last."""
    command = [python, str(HERE / "train_sides.py"), side, network, str(batch), str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
