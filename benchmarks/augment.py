"""Images a second of each augmentation, of whole batches here and of torchvision's, image by image and by batch.

    python benchmarks/augment.py --peers PYTHON [--threads 2] [--seconds 1] [--rounds 3]

PYTHON: of an environment with torchvision. Both sides take the same uint8 batches in turns, each in a process of its
own that waits meanwhile; what is printed are medians of the rounds. Image by image is what a `Dataset` does with
`torchvision.transforms.v2`; by batch, torchvision makes one draw for all images of a batch, which is another, weaker
augmentation. Threads are those of one process: no `DataLoader` is used.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

SHAPES = ((128, 3, 224, 224), (128, 1, 32, 32))
CASES = (
    "flip", "flip, shift 1/8", "crop", "rotate 15", "randaugment", "brightness, contrast", "hue, saturation", "erase",
    "mixup", "cutmix",
)  # fmt: skip
BY = ("image", "batch")


def batch(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def timed(work: Callable[[], Any], seconds: float) -> float:
    """Seconds that one call takes, over as many as fit."""
    work()
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        work()
        count += 1
    return (time.perf_counter() - began) / count


def ours(shape: tuple[int, ...]) -> dict[str, Callable[[], Any]]:
    from visus.data.augment import Augment, Crop
    from visus.data.randaugment import RandAugment
    from visus.data.types import Batch, Targets
    from visus.run.device import keep_memory

    keep_memory()  # as in training
    augments = dict(zip(CASES, (
        Augment(flip=True), Augment(flip=True, shift=0.125), Augment(crop=Crop()), Augment(rotate=15),
        Augment(randaugment=RandAugment()), Augment(brightness=0.3, contrast=0.3), Augment(saturation=0.3, hue=20),
        Augment(erase=0.25), Augment(mixup=0.2), Augment(cutmix=1.0),
    ), strict=True))  # fmt: skip
    whole = Batch(batch(shape), Targets(label=torch.arange(shape[0])), torch.arange(shape[0]))
    draws = torch.Generator().manual_seed(0)
    return {
        name: lambda augment=augment: augment.mix(augment.apply(whole, draws, 0), shape[0], draws)  # type: ignore[misc]
        for name, augment in augments.items()
        if shape[1] == 3 or not augment.hue
    }


def theirs(shape: tuple[int, ...]) -> dict[str, Callable[[], Any]]:
    from torchvision.transforms import v2

    size, images, labels = shape[-2:], batch(shape), torch.arange(shape[0])
    steps: tuple[Any, ...] = (
        v2.RandomHorizontalFlip(),
        v2.Compose([v2.RandomHorizontalFlip(), v2.RandomCrop(size, padding=[size[1] // 8, size[0] // 8])]),
        v2.RandomResizedCrop(size, antialias=True), v2.RandomRotation(15, v2.InterpolationMode.BILINEAR),
        v2.RandAugment(), v2.ColorJitter(0.3, 0.3), v2.ColorJitter(saturation=0.3, hue=20 / 360),
        v2.RandomErasing(0.25, (0.02, 0.2), value="random"),
    )  # fmt: skip
    found: dict[str, Callable[[], Any]] = {}
    for name, step in zip(CASES, steps, strict=False):
        if shape[1] == 1 and name.startswith("hue"):
            continue
        given = images.float() if name == "erase" else images  # its noise is of floats
        found[f"{name}|image"] = lambda step=step, given=given: torch.stack([step(each) for each in given])  # type: ignore[misc]
        found[f"{name}|batch"] = lambda step=step, given=given: step(given)  # type: ignore[misc]
    for name, mixer in (("mixup", v2.MixUp), ("cutmix", v2.CutMix)):
        step = mixer(alpha=1.0, num_classes=shape[0])
        found[f"{name}|batch"] = lambda step=step: step(images.float(), labels)  # type: ignore[misc]
    return found


def serve() -> None:
    """The peer's side: a line with the place of a shape, a case and seconds in, the seconds of a call out."""
    known = [theirs(shape) for shape in SHAPES]
    for line in sys.stdin:
        place, name, seconds = json.loads(line)
        took = timed(known[place][name], seconds) if name in known[place] else None
        print(json.dumps(took), flush=True)


@contextmanager
def peer(python: str, threads: int) -> Iterator[Callable[[int, str, float], float | None]]:
    command = [python, str(Path(__file__).resolve()), "--serve", "--threads", str(threads)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(place: int, name: str, seconds: float) -> float | None:
            print(json.dumps([place, name, seconds]), file=process.stdin, flush=True)
            found: float | None = json.loads(process.stdout.readline())  # type: ignore[union-attr]
            return found

        yield ask
        process.stdin.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", metavar="PYTHON")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.serve:
        serve()
        return
    if arguments.peers is None:
        parser.error("--peers PYTHON, of an environment with torchvision, is needed")
    from machine import describe

    print(describe() + "\n", flush=True)
    with peer(arguments.peers, arguments.threads) as ask:
        for place, shape in enumerate(SHAPES):
            print("×".join(map(str, shape)) + f", {arguments.threads} threads: images a second")
            print(f"{'':22} {'Visus':>10} {'torchvision':>12} {'':>8} {'its batches':>12} {'':>8}")
            for name, work in ours(shape).items():
                seconds = arguments.seconds
                rounds = [
                    (timed(work, seconds), *(ask(place, f"{name}|{by}", seconds) for by in BY))
                    for _ in range(arguments.rounds)
                ]
                mine, *others = (
                    None if None in column else statistics.median(column) for column in zip(*rounds, strict=True)
                )
                cells = [
                    f"{shape[0] / each:12,.0f} {each / mine:6.1f} ×" if each else f"{'–':>12} {'':>8}"
                    for each in others
                ]
                print(f"{name:22} {shape[0] / mine:10,.0f} {' '.join(cells)}", flush=True)
            print()


if __name__ == "__main__":
    main()
