"""Arrays from files that may lie about their size: nothing is allocated before the claim is checked.

IDX files and .npy members of .npz files are a short header, which claims a shape, and the values. A header of a few
bytes can claim terabytes, so the claim is compared with what the file can hold first.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from visus.data.image import printable
from visus.data.types import Skipped, Target
from visus.errors import DataError

MAX_BYTES = 8 << 30  # of one array that comes out of a compressed file
MAX_RATIO = 1032  # DEFLATE can't do better: 258 bytes from two bits
MAX_CLASSES = 65_536  # more than any known data set has; one damaged label mustn't make a list of billions
CHUNK = 1 << 20


def open_regular(path: Path) -> BinaryIO:
    """A regular file, opened for reading. Raises DataError for anything else; never waits on a pipe or device."""
    name = printable(path)
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as problem:
        raise DataError(f"{name}: {(problem.strerror or str(problem)).lower()}") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise DataError(f"{name} isn't a regular file")
    return open(handle, "rb")


def claimed(shape: Sequence[int], dtype: np.dtype) -> int:
    """How many bytes an array takes, in integers that don't overflow."""
    return math.prod(shape) * dtype.itemsize


def fill(stream: BinaryIO, shape: tuple[int, ...], dtype: np.dtype, name: str) -> np.ndarray:
    """The array that follows in a stream, piece by piece. Raises DataError where the stream ends early.

    Memory that no piece was read into isn't touched, so a stream that breaks off costs only what it held.
    """
    total = claimed(shape, dtype)
    try:
        values = np.empty(shape, dtype)
    except (MemoryError, ValueError):
        raise DataError(f"{name}: an array of {times(shape)} ({total:,} bytes) doesn't fit in memory") from None
    place = values.reshape(-1).view(np.uint8).data
    done = 0
    while done < total:
        piece = stream.read(min(CHUNK, total - done))
        if not piece:
            raise DataError(
                f"{name} is cut short: it claims {times(shape)} values ({total:,} bytes) and holds {done:,} bytes",
                "fetch or copy the file anew",
            )
        place[done : done + len(piece)] = piece
        done += len(piece)
    return values


def times(shape: Sequence[int]) -> str:
    """60,000×28×28."""
    return "×".join(f"{length:,}" for length in shape)


def classes(
    labels: Mapping[str, tuple[str, np.ndarray]], names: tuple[str, ...] | None
) -> tuple[tuple[str, ...], dict[str, list[Target]]]:
    """The names of the classes, and the targets of each split, from class numbers.

    labels: split → (the file or member, for errors; N whole numbers). names: where they are known.
    Without names there are as many classes as the training split numbers, from 0: a greater number in another split
    couldn't be learned. Raises DataError with file, index, value and the valid range, and where only one class occurs.
    """
    if names is None:
        _, known = labels.get("train") or next(iter(labels.values()))
        count = min(int(known.max()) + 1, MAX_CLASSES) if len(known) else 0
        names = tuple(str(number) for number in range(count))
    targets = [Target(label=number) for number in range(len(names))]
    found = {}
    for split, (where, numbers) in labels.items():
        wrong = np.flatnonzero((numbers < 0) | (numbers >= len(names)))
        if len(wrong):
            raise DataError(
                f"{where}[{wrong[0]}]: label {numbers[wrong[0]]} is out of range: valid are 0 … {len(names) - 1}"
                + (f" ({len(wrong):,} labels are)" if len(wrong) > 1 else ""),
                "number the classes from 0 without gaps, in every split alike",
            )
        found[split] = [targets[number] for number in numbers.tolist()]
    two_or_more([names[number] for _, numbers in labels.values() for number in np.unique(numbers).tolist()], where)
    return names, found


def two_or_more(present: Iterable[str], where: str) -> None:
    """Raise DataError unless there are samples of two classes at least. present: their names."""
    if len(known := set(present)) < 2:
        raise DataError(
            f"{where}: has samples of one class only ({', '.join(known) or 'none'}); a classifier needs two or more",
            "add samples of another class",
        )


def finite(values: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray, list[Skipped]]:
    """The rows of N×F numbers without gaps as float32, which ones they are (N bool), and the others.

    where: the file and member. nan is a gap. Raises DataError for an infinite value, or one that float32 can't hold.
    """
    gaps = np.isnan(values)
    with np.errstate(over="ignore"):  # what doesn't fit is reported by row and column
        single = values.astype(np.float32)
    beyond = np.argwhere(np.isinf(single))
    if len(beyond):
        row, column = beyond[0].tolist()
        raise DataError(f"{where}[{row}, {column}] is {values[row, column]}, which float32 can't hold")
    whole = ~gaps.any(1)
    skipped = [
        Skipped(f"{where}[{row}]", f"no value (nan) in column {gaps[row].argmax()}")
        for row in np.flatnonzero(~whole).tolist()
    ]
    return single[whole], whole, skipped
