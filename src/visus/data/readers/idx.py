"""IDX files: the format of MNIST, Fashion-MNIST, EMNIST and their kin.

| bytes | what |
|---|---|
| 2 | zero |
| 1 | type: 08 uint8, 09 int8, 0B int16, 0C int32, 0D float32, 0E float64 |
| 1 | how many dimensions |
| 4 each | their lengths, big-endian |
| the rest | the values, big-endian, last dimension fastest |

Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits", the page's section on the file format.
"""

from __future__ import annotations

import gzip
import math
import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from visus.data.dataset import Data, Dataset, title_of
from visus.data.image import printable
from visus.data.readers.arrays import MAX_BYTES, MAX_RATIO, claimed, classes, fill, open_regular, times
from visus.data.readers.base import Reader
from visus.data.samples import ArraySamples
from visus.data.types import Schema
from visus.errors import DataError

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_DIMENSIONS = 32

_NAME = re.compile(r"(?P<prefix>.+)[-_.](?P<part>images|labels)[-.]idx[13][-.]ubyte(?P<gz>\.gz)?", re.IGNORECASE)


def read_idx(path: Path) -> np.ndarray:
    """The array of an IDX file, plain or gzipped, in the machine's byte order.

    The shape that the header claims is compared with the file's size before anything is allocated.
    Raises DataError for a file that isn't IDX, is shorter or longer than it claims, or claims more than 8 GiB from
    a compressed stream.
    """
    name = printable(path)
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not zipped:
            return _array(file, name, size, exact=True)
        try:
            with gzip.open(file) as stream:
                return _array(cast(BinaryIO, stream), name, min(size * MAX_RATIO, MAX_BYTES), exact=False)
        except (EOFError, zlib.error, OSError) as problem:
            raise DataError(f"{name}: the gzip stream is damaged: {problem}", "fetch or copy the file anew") from None


def read_pairs(
    title: str, pairs: Mapping[str, tuple[Path, Path]], labels: tuple[str, ...] | None, source: str = ""
) -> Dataset:
    """Images and class numbers.

    pairs: split → (N×H×W uint8 images, N class numbers). labels: the names of the classes; None: their numbers.
    source: where the set comes from.
    Raises DataError for files that don't belong together and for labels out of range.
    """
    images: dict[str, np.ndarray] = {}
    numbers: dict[str, tuple[str, np.ndarray]] = {}
    for split, (image_file, label_file) in pairs.items():
        pixels, classed = read_idx(image_file), read_idx(label_file)
        if pixels.ndim != 3 or pixels.dtype != np.uint8 or not pixels.size:
            raise DataError(f"{printable(image_file)} holds {times(pixels.shape)} {pixels.dtype}, not N×H×W uint8")
        if classed.ndim != 1 or classed.dtype.kind not in "ui":
            raise DataError(f"{printable(label_file)} holds {times(classed.shape)} {classed.dtype}, not N integers")
        if len(pixels) != len(classed):
            raise DataError(
                f"{printable(image_file)} has {len(pixels):,} images, {printable(label_file)} {len(classed):,} labels",
                "they are of different sets, or one of them is incomplete",
            )
        images[split], numbers[split] = pixels[..., None], (printable(label_file), classed)
    names, targets = classes(numbers, labels)
    sizes = {pixels.shape[1:3] for pixels in images.values()}
    height, width = sizes.pop() if len(sizes) == 1 else (0, 0)
    return Dataset(
        name=title,
        schema=Schema(shape=(1, height, width), labels=names),
        splits={
            split: ArraySamples(f"{title}/{split}", images[split], targets[split])
            for split in ("train", "val", "test")
            if split in images
        },
        source=source,
    )


def find_pairs(folder: Path) -> dict[str, dict[str, Path]]:
    """The IDX files of a folder: prefix ("train", "t10k", "emnist-letters-train") → part ("images", "labels") → file.

    Where a file lies there both plain and gzipped, the plain one is taken.
    """
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir(), key=lambda path: path.name.lower().endswith(".gz"), reverse=True):
        if (match := _NAME.fullmatch(path.name)) and path.is_file():
            found.setdefault(match["prefix"].lower(), {})[match["part"].lower()] = path
    return found


def split_of(prefix: str) -> str:
    """The split that a file name's prefix means; "train" where it says nothing.

    >>> [split_of(prefix) for prefix in ("train", "t10k", "emnist-letters-test", "digits")]
    ['train', 'test', 'test', 'train']
    """
    if "test" in prefix or "t10k" in prefix:
        return "test"
    return "val" if "val" in prefix else "train"


def _array(stream: BinaryIO, name: str, room: int, exact: bool) -> np.ndarray:
    """room: how many bytes the stream has (exact), or can have."""
    head = stream.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in TYPES or not 1 <= head[3] <= MAX_DIMENSIONS:
        raise DataError(
            f"{name} isn't an IDX file: it starts with {head.hex(' ') or 'nothing'}",
            "an IDX file starts with 00 00, a type (08 … 0e) and its number of dimensions",
        )
    dtype = np.dtype(TYPES[head[2]])
    dims = stream.read(4 * head[3])
    if len(dims) < 4 * head[3]:
        raise DataError(f"{name} ends within its header", "fetch or copy the file anew")
    shape = tuple(np.frombuffer(dims, ">u4").tolist())
    total, room = claimed(shape, dtype), room - 4 - len(dims)
    if total > room or (exact and total != room) or math.prod(max(1, length) for length in shape) >= 1 << 60:
        raise DataError(
            f"{name} claims {times(shape)} values of {dtype.itemsize} bytes, {total:,} bytes in all, "
            + (f"and has {room:,}" if exact else f"more than the {room:,} that may be in it"),
            "the header or the file is damaged: fetch or copy it anew",
        )
    values = fill(stream, shape, dtype, name)
    if stream.read(1):
        raise DataError(f"{name} goes on after the {times(shape)} values that it claims", "fetch or copy the file anew")
    return values.astype(dtype.newbyteorder("="), copy=False)


def _recognises(path: Path) -> bool:
    try:
        return path.is_dir() and any("images" in parts for parts in find_pairs(path).values())
    except (OSError, ValueError):  # a folder that can't be listed: what is wrong with it is said by who opens it
        return False


def _read(path: Path, data: Data) -> Dataset:
    """Each pair of files is a split."""
    pairs: dict[str, tuple[Path, Path]] = {}
    prefixes: dict[str, str] = {}
    for prefix, parts in sorted(find_pairs(path).items()):
        if len(parts) < 2:
            there = next(iter(parts.values()))
            missing = "labels" if "images" in parts else "images"
            raise DataError(f"{printable(there)} lies there without its {missing}", f"add the file of {missing}")
        split = split_of(prefix)
        if split in pairs:
            raise DataError(
                f"{printable(path)}: {prefixes[split]} and {prefix} would both be the split {split!r}",
                "put each set into a folder of its own",
            )
        pairs[split], prefixes[split] = (parts["images"], parts["labels"]), prefix
    return read_pairs(printable(title_of(path)), pairs, None, printable(path))


IDX = Reader(
    name="idx",
    layout="IDX: a folder of train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-… (also .gz)",
    recognises=_recognises,
    read=_read,
)
