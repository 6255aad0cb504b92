"""From a folder of JPEG files to batches of 224×224 pixels: images a second, Visus against others, data only.

    python benchmarks/pictures.py FOLDER --photos PHOTOS.tar [--count 20000] [--rounds 3] [--peers PYTHON]

FOLDER: where the JPEG files are made, once: class folders of 500×375 pixels, quality 90, chroma halved both ways, each
a part of one of the photographs in --photos (a tar of them), mirrored or not. All resize the shorter side to 256 with
antialiasing, cut out the middle 224×224, and give shuffled batches of 64 in uint8. All use two threads or processes:

- visus: the first epoch, which also writes what is kept; the second; and the first of a later run;
- pillow: decoding and resizing by Pillow, in a DataLoader with two worker processes;
- torchvision: its decoder and its antialiased resizing, likewise, in the environment of --peers PYTHON.

The files lie in the system's memory for all of them after the first round; what is kept is removed before each.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

BATCH, CLASSES, WORKERS = 64, 10, 2
SIDE, SIZE = 256, 224
WIDTH, HEIGHT = 500, 375


def make(folder: Path, photos: Path, count: int) -> None:
    """The JPEG files, as far as they aren't there."""
    for number in range(CLASSES):
        (folder / f"class {number}").mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(WORKERS) as pool:
        list(pool.map(make_one, [folder] * count, [photos] * count, range(count), chunksize=64))


def make_one(folder: Path, photos: Path, number: int) -> None:
    path = folder / f"class {number % CLASSES}" / f"{number}.jpg"
    if path.exists():
        return
    chance = np.random.default_rng(number)
    found = photographs(photos)
    image = Image.open(io.BytesIO(found[number % len(found)])).convert("RGB")
    width, height = image.size
    share = chance.uniform(0.5, 1.0) * min(width / WIDTH, height / HEIGHT)
    part_w, part_h = share * WIDTH, share * HEIGHT
    left, top = chance.uniform(0, width - part_w), chance.uniform(0, height - part_h)
    box = (left, top, left + part_w, top + part_h)
    image = image.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box)
    if chance.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90, subsampling="4:2:0")
    path.write_bytes(file.getvalue())


@cache
def photographs(path: Path) -> list[bytes]:
    """The photographs in a tar that are large enough."""
    with tarfile.open(path) as archive:
        files = [archive.extractfile(each) for each in archive if each.name.endswith(".jpg")]
        found = [file.read() for file in files if file is not None]
    return [each for each in found if min(Image.open(io.BytesIO(each)).size) >= HEIGHT // 2]


def paths(folder: Path, count: int) -> list[str]:
    return [str(folder / f"class {number % CLASSES}" / f"{number}.jpg") for number in range(count)]


class Usual(Dataset[torch.Tensor]):
    """One file at a time, as scripts read them."""

    def __init__(self, files: list[str], with_torchvision: bool) -> None:
        self.files, self.read = files, by_torchvision if with_torchvision else by_pillow

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.read(self.files[index])


def by_pillow(path: str) -> torch.Tensor:
    image = Image.open(path).convert("RGB")
    width, height = image.size
    scale = SIDE / min(width, height)
    image = image.resize((int(width * scale), int(height * scale)), Image.Resampling.BILINEAR)
    left, top = (image.width - SIZE) // 2, (image.height - SIZE) // 2
    return torch.from_numpy(np.array(image.crop((left, top, left + SIZE, top + SIZE)))).permute(2, 0, 1)


def by_torchvision(path: str) -> torch.Tensor:
    from torchvision.io import ImageReadMode, decode_jpeg, read_file
    from torchvision.transforms.v2 import functional as F

    image = decode_jpeg(read_file(path), mode=ImageReadMode.RGB)
    return F.center_crop(F.resize(image, [SIDE], antialias=True), [SIZE, SIZE])


def usual(folder: Path, count: int, with_torchvision: bool) -> float:
    """Images a second of a DataLoader."""
    loader = DataLoader(
        Usual(paths(folder, count), with_torchvision), BATCH, shuffle=True, num_workers=WORKERS, drop_last=True
    )
    begun, seen = time.perf_counter(), 0
    for batch in loader:
        assert batch.shape == (BATCH, 3, SIZE, SIZE)
        seen += len(batch)
    return seen / (time.perf_counter() - begun)


def visus_epochs(folder: Path, count: int, kept: Path) -> dict[str, float]:
    """Images a second of two epochs of a run, and of one of a later run."""
    from visus.data.cache import sets
    from visus.data.loader import Streamed
    from visus.data.preprocess import ImagePreprocess
    from visus.data.samples import FileSamples, OnDisk
    from visus.data.source import Resources
    from visus.data.types import Schema, Target
    from visus.run.device import keep_memory

    keep_memory()  # as every run does
    sets.WORTH = 0.0  # fewer files than are meant are kept too
    shutil.rmtree(kept, ignore_errors=True)
    os.environ["VISUS_CACHE"] = str(kept)
    files = [OnDisk(Path(path), Path(path).name, Path(path).stat().st_size) for path in paths(folder, count)]
    samples = FileSamples(files, [Target(label=number % CLASSES) for number in range(count)])
    schema = Schema(labels=tuple(map(str, range(CLASSES))))
    preprocess = ImagePreprocess(size=(SIZE, SIZE), crop=SIZE / SIDE)
    found = {}
    for run, epochs in (("", ("first epoch", "second epoch")), ("later ", ("run",))):
        stream = Streamed(samples, schema, preprocess, 0.0, Resources(10**12, say=print))
        for epoch in epochs:
            begun, seen = time.perf_counter(), 0
            for rows in torch.randperm(count).split(BATCH)[: count // BATCH]:
                batch = stream.gather(rows)
                assert batch.inputs.shape == (BATCH, 3, SIZE, SIZE)
                seen += len(batch)
            found[f"visus, {run}{epoch}"] = seen / (time.perf_counter() - begun)
        del stream  # what is written is marked
    return found


def in_peers(python: str, folder: Path, count: int) -> float:
    """The same script in another environment."""
    words = [python, __file__, str(folder), "--count", str(count), "--only-torchvision"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout)["rate"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=Path, help="a tar of photographs")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", help="a Python that has torchvision")
    parser.add_argument("--only-torchvision", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.only_torchvision:
        print(json.dumps({"rate": usual(given.folder, given.count, True)}))
        return
    measure(given)


def measure(given: Any) -> None:
    from machine import describe

    if given.photos is not None:
        make(given.folder, given.photos, given.count)
    size = statistics.mean(Path(path).stat().st_size for path in paths(given.folder, min(given.count, 500)))
    print(describe())
    print(f"{given.count:,} files of {size / 1000:.0f} KB on average, {WORKERS} threads or processes")
    rates: dict[str, list[float]] = {}
    for number in range(given.rounds):
        found = visus_epochs(given.folder, given.count, given.folder / "kept")
        found["pillow"] = usual(given.folder, given.count, False)
        if given.peers:
            found["torchvision"] = in_peers(given.peers, given.folder, given.count)
        for name, rate in found.items():
            rates.setdefault(name, []).append(rate)
        print(f"round {number + 1}: " + ", ".join(f"{name} {rate:,.0f}/s" for name, rate in found.items()))
    shutil.rmtree(given.folder / "kept", ignore_errors=True)
    median = {name: statistics.median(each) for name, each in rates.items()}
    best = max(rate for name, rate in median.items() if not name.startswith("visus"))
    for name, rate in median.items():
        print(f"{name:24} {rate:8,.0f} images/s  {rate / best:5.2f} × the best of the others")


if __name__ == "__main__":
    sys.exit(main())
