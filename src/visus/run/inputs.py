"""What a model is to look at: files, folders, shards, archives and tables, as one list in order."""

from __future__ import annotations

import csv
import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np

from visus.data.dataset import Data
from visus.data.image import EXTENSIONS, Picture, printable
from visus.data.readers.archives import ARCHIVES, list_archive
from visus.data.readers.shards import SHARDS
from visus.data.samples import ArraySamples, FileSamples, Joined, OnDisk, Samples
from visus.data.types import Schema, Skipped, Target
from visus.errors import DataError, UnreadableImage
from visus.prediction import Predictor

if TYPE_CHECKING:
    from visus.tasks import Prediction

AHEAD = 2  # inputs for each core that are read while the model is at work


@dataclass
class _Part:
    """Samples of one source. names: of each; None: their own, below `folder`. state: equal for equal contents."""

    samples: Samples
    state: str
    names: Sequence[str] | None = None
    folder: str = ""


@final
@dataclass
class Inputs:
    """A list of inputs, read by their numbers. skipped: what isn't in it, and why."""

    parts: list[_Part] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    starts: list[int] = field(default_factory=lambda: [0])

    def add(self, part: _Part) -> None:
        """Behind the others."""
        self.parts.append(part)
        self.starts.append(self.starts[-1] + len(part.samples))

    def __len__(self) -> int:
        return self.starts[-1]

    def name(self, number: int) -> str:
        """What a person calls it."""
        part, row = self._find(number)
        return printable(f"{part.folder}/{part.samples.name(row)}") if part.names is None else part.names[row]

    def read(self, number: int) -> np.ndarray:
        """H×W×C uint8 pixels, or F float32 values. Raises UnreadableImage."""
        part, row = self._find(number)
        found = part.samples.read(row)
        return found.pixels if isinstance(found, Picture) else found

    def digest(self) -> str:
        """A hash of names, sizes and times, or of a table's numbers: equal means the same inputs in the same order."""
        total = hashlib.blake2b(digest_size=16)
        for part in self.parts:
            total.update(f"{len(part.samples)}\0{part.folder}\0{part.state}\0".encode())
            total.update("\0".join(part.names or ()).encode())
        return total.hexdigest()

    def _find(self, number: int) -> tuple[_Part, int]:
        at = int(np.searchsorted(self.starts, number, side="right")) - 1
        return self.parts[at], number - self.starts[at]


def find_inputs(sources: Sequence[str | Path], schema: Schema) -> Inputs:
    """What lies at some paths, in order: image files, folders of them, shards and archives, or CSV tables of vectors.

    schema: of the model, which says whether it takes images or vectors. Raises DataError.
    """
    found = Inputs()
    for source in map(Path, sources):
        if schema.inputs == "vector":
            names, values = read_vectors(source, schema)
            samples: Samples = ArraySamples(printable(source), values, [Target()] * len(values))
            found.add(_Part(samples, hashlib.blake2b(values.tobytes(), digest_size=16).hexdigest(), names))
        elif SHARDS.recognises(source):
            dataset = SHARDS.read(source, Data(source=str(source)))
            folder = source if source.is_dir() else source.parent
            found.add(_Part(Joined(tuple(dataset.splits.values())), _state(_tars(source)), folder=printable(folder)))
            found.skipped += dataset.skipped
        elif ARCHIVES.recognises(source):
            members = [file for _, file in list_archive(source).files]
            samples = FileSamples(members, [Target()] * len(members))
            found.add(_Part(samples, _state([source]), folder=printable(source)))
        else:
            files = image_files(source)
            stored = [OnDisk(file, str(file), size) for file, size in zip(files, map(_size, files), strict=True)]
            samples = FileSamples(stored, [Target()] * len(files))
            found.add(_Part(samples, _state(files), [printable(file) for file in files]))
    return found


def _tars(source: Path) -> list[Path]:
    return sorted(source.rglob("*.tar")) if source.is_dir() else [source]


def _size(path: Path) -> int:
    """In bytes; -1 for what can't be looked at, which reading tells of."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _state(files: Iterable[Path]) -> str:
    """A hash of sizes and times of change."""
    total = hashlib.blake2b(digest_size=16)
    for file in files:
        try:
            status = file.stat()
            total.update(f"{status.st_size} {status.st_mtime_ns}\0".encode())
        except OSError:
            total.update(b"none\0")
    return total.hexdigest()


def answers(
    predictor: Predictor, inputs: Inputs, numbers: Sequence[int], batch: int
) -> Iterator[tuple[str, Prediction | UnreadableImage]]:
    """What a model says of some of the inputs, with their names; one that can't be read gives its error instead.

    Files are read by threads, some of them while the model is at work. batch: see `Predictor.stream`.
    """
    portion, cores = predictor.portion(batch), os.cpu_count() or 1

    def read(number: int) -> np.ndarray | UnreadableImage:
        try:
            return inputs.read(number)
        except UnreadableImage as problem:
            return problem

    left = iter(numbers)
    waiting: deque[tuple[int, Future[np.ndarray | UnreadableImage]]] = deque()
    pool = ThreadPoolExecutor(cores)
    try:
        waiting.extend((number, pool.submit(read, number)) for number in islice(left, portion))
        while waiting:
            some = [(number, future.result()) for number, future in islice(waiting, portion)]
            waiting = deque(islice(waiting, portion, None))
            ahead = max(0, AHEAD * cores - len(waiting))
            waiting.extend((number, pool.submit(read, number)) for number in islice(left, ahead))
            said = (each for _, each in predictor.stream([it for _, it in some if isinstance(it, np.ndarray)], batch))
            for number, value in some:
                each = value if isinstance(value, UnreadableImage) else next(said)
                name = inputs.name(number)
                if isinstance(each, UnreadableImage):
                    each = UnreadableImage(name, each.cause, each.remedy)
                yield name, each
            waiting.extend(
                (number, pool.submit(read, number)) for number in islice(left, max(0, portion - len(waiting)))
            )
    finally:
        pool.shutdown(cancel_futures=True)


def image_files(path: Path) -> list[Path]:
    """The path itself, or the images below a folder, in natural order. Raises DataError for a folder without any."""
    from natsort import natsorted

    if not path.is_dir():
        return [path]
    found = [each for each in path.rglob("*") if each.suffix.lower() in EXTENSIONS and not each.name.startswith(".")]
    if not found:
        raise DataError(f"{printable(path)}: has no images in it")
    return natsorted(found, key=str)


def read_vectors(path: Path, schema: Schema) -> tuple[list[str], np.ndarray]:
    """The feature columns of a CSV file, by their names: a name for each row, and N×F float32."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise DataError(f"{printable(path)}: can't be read as a CSV table: {problem}") from None
    if not rows:
        raise DataError(f"{printable(path)}: has no rows")
    absent = [name for name in schema.features if name not in rows[0]]
    if absent:
        raise DataError(
            f"{printable(path)}: lacks the columns {', '.join(absent[:8])}", "give those of the training data"
        )
    values = np.empty((len(rows), len(schema.features)), np.float32)
    for index, row in enumerate(rows):
        for column, name in enumerate(schema.features):
            try:
                values[index, column] = float(row[name])
            except (TypeError, ValueError):
                where = f"{printable(path)}, line {index + 2}, column {name}"
                raise DataError(f"{where}: {row[name]!r} isn't a number") from None
    return [f"{printable(path)}:{index + 2}" for index in range(len(rows))], values
