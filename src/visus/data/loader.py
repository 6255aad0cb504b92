"""From samples to batches.

A split that fits in memory is read, decoded and placed once, into one uint8 tensor; a larger one is read batch by batch
by threads. Either way the same pixels come out, and batch k of epoch e is a pure function of (seed, e, k): nothing has
to be saved to resume.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import prod
from typing import Protocol, final

import numpy as np
import torch
from torch import Tensor

from visus.data.augment import Augment
from visus.data.image import Picture
from visus.data.order import epoch_order
from visus.data.preprocess import ImagePreprocess, Placing, Preprocess, as_tensor
from visus.data.samples import Samples
from visus.data.types import Batch, Schema, Skipped, Target, Targets
from visus.errors import DataError, UnreadableImage

Progress = Callable[[int, int], None]  # done, total
CHUNK = 256


class Prepared(Protocol):
    """The placed samples of a split."""

    samples: Samples
    rows: Tensor  # N int64: which samples are usable as far as is known
    skipped: list[Skipped]

    def gather(self, positions: Tensor) -> Batch:
        """Some of the rows: inputs N×C×H×W uint8 or N×F float32; the unreadable ones are left out."""


def prepare(
    samples: Samples, schema: Schema, placing: Placing, *, bad: float = 0.01, progress: Progress | None = None
) -> Prepared:
    """A split in memory where it takes at most a quarter of what is free, else read as it is needed.

    placing: a preprocessing, or a predictor. bad: the share of unreadable samples above which DataError is raised.
    """
    size = len(samples) * prod(placing.shape) * (1 if schema.inputs == "image" else 4)
    if len(samples) == 0:
        raise DataError("there are no samples in this split")
    pairs = 2 if {"mask", "image"} & set(schema.targets) else 1
    if size * pairs <= free_memory() // 4:
        return read_all(samples, schema, placing, bad, progress)
    return Streamed(samples, schema, placing, bad)


def free_memory() -> int:
    """Bytes that can be taken without swapping, or 4 GiB where the system doesn't tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return 4 << 30


@final
@dataclass
class InMemory:
    """All samples, or features of them, in one tensor. inputs: N×…, a row for each of `rows`."""

    samples: Samples
    rows: Tensor
    skipped: list[Skipped]
    inputs: Tensor
    targets: Targets

    def gather(self, positions: Tensor) -> Batch:
        return Batch(self.inputs[positions], self.targets.pick(positions), self.rows[positions])


def read_all(
    samples: Samples, schema: Schema, placing: Placing, bad: float, progress: Progress | None = None
) -> InMemory:
    """Every sample read and placed. Raises DataError where more than the share `bad` can't be read."""
    skipped: list[Skipped] = []
    targets: list[Target | None] = [None] * len(samples)
    plain = not {"boxes", "mask", "image"} & set(schema.targets)
    block = samples.block() if plain else None
    kind = torch.uint8 if schema.inputs == "image" else torch.float32
    inputs = torch.empty((len(samples), *placing.shape), dtype=kind)

    def place(row: int) -> Skipped | None:
        try:
            inputs[row], targets[row] = _placed(samples, row, placing)
        except UnreadableImage as problem:
            return Skipped(samples.name(row), problem.cause)
        return None

    failed: list[int] = []
    if block is not None:
        for start in range(0, len(block), CHUNK):
            inputs[start : start + CHUNK] = placing.place_many(as_tensor(block[start : start + CHUNK]))
        targets = [samples.target(row) for row in range(len(samples))]
    else:
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for row, problem in enumerate(pool.map(place, range(len(samples)), chunksize=8)):
                if problem is not None:
                    failed.append(row)
                    skipped.append(problem)
                if progress is not None and (row % CHUNK == CHUNK - 1 or row == len(samples) - 1):
                    progress(row + 1, len(samples))
        _refuse_bad(skipped, len(samples), bad)
    usable = torch.from_numpy(np.setdiff1d(np.arange(len(samples)), failed))
    kept = Targets.collate([target for target in targets if target is not None], schema)
    return InMemory(samples, usable, skipped, inputs[usable] if failed else inputs, kept)


@final
class Streamed:
    """Samples read when they are asked for."""

    def __init__(self, samples: Samples, schema: Schema, placing: Placing, bad: float) -> None:
        self.samples, self.schema, self.placing, self.bad = samples, schema, placing, bad
        self.skipped: list[Skipped] = []
        self.rows = torch.arange(len(samples))
        self._seen: set[int] = set()
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1)

    def gather(self, positions: Tensor) -> Batch:
        rows = self.rows[positions].tolist()
        found = [each for each in self._pool.map(self._place, rows) if each is not None]
        _refuse_bad(self.skipped, len(self.samples), self.bad)
        if not found:
            raise DataError(
                f"none of the {len(rows)} samples of a batch can be read", "see bad_files.csv in the run folder"
            )
        kept, inputs, targets = zip(*found, strict=True)
        return Batch(torch.stack(inputs), Targets.collate(targets, self.schema), torch.tensor(kept))

    def _place(self, row: int) -> tuple[int, Tensor, Target] | None:
        try:
            return (row, *_placed(self.samples, row, self.placing))
        except UnreadableImage as problem:
            if row not in self._seen:
                self._seen.add(row)
                self.skipped.append(Skipped(self.samples.name(row), problem.cause))
            return None


@dataclass(frozen=True)
class Loader:
    """Batches of a prepared split, normalised, on a device.

    channels_last: how images lie in memory there. classes: of the labels, for augment's mixing.
    """

    prepared: Prepared
    preprocess: Preprocess
    batch: int
    device: torch.device
    augment: Augment = Augment()  # noqa: RUF009
    seed: int = 0
    classes: int = 0
    channels_last: bool = False

    def __len__(self) -> int:
        """Batches an epoch of training: a last one that isn't full is left out, unless it is the only one."""
        return max(1, len(self.prepared.rows) // self.batch)

    def train(self, step: int = 0) -> Iterator[Batch]:
        """Augmented batches without end, epoch after epoch in new orders, from batch number `step` on."""
        numbers = self._numbers(step)
        if isinstance(self.prepared, InMemory):
            # gathering takes a hundredth of a step; a thread beside it would take the cores from the network
            while True:
                yield self._training_batch(*next(numbers))
        with ThreadPoolExecutor(1) as pool:  # the next batches are read while this one is used
            waiting: list[Future[Batch]] = [pool.submit(self._training_batch, *next(numbers)) for _ in range(2)]
            try:
                while True:
                    batch = waiting.pop(0).result()
                    waiting.append(pool.submit(self._training_batch, *next(numbers)))
                    yield batch
            finally:
                for each in waiting:
                    each.cancel()

    def evaluate(self) -> Iterator[Batch]:
        """Every sample once, in order, not augmented."""
        for positions in torch.split(torch.arange(len(self.prepared.rows)), self.batch):
            batch = self.prepared.gather(positions)
            yield self._to_device(replace(batch, inputs=self.preprocess.normalize(batch.inputs.to(self.device))))

    def _numbers(self, step: int) -> Iterator[tuple[int, int, Tensor]]:
        while True:
            epoch, first = divmod(step, len(self))
            order = epoch_order(self.prepared.samples, self.prepared.rows, generator(self.seed, epoch))
            for index in range(first, len(self)):
                yield epoch, index, order[index * self.batch : (index + 1) * self.batch]
            step = (epoch + 1) * len(self)

    def _training_batch(self, epoch: int, index: int, positions: Tensor) -> Batch:
        batch = self.prepared.gather(positions)
        batch = replace(batch, inputs=batch.inputs.to(self.device, non_blocking=True))
        if isinstance(self.preprocess, ImagePreprocess) and not self.augment.idle():
            draws = generator(self.seed, epoch, index)
            batch = self.augment.apply(batch, draws, self.preprocess.fill)
            batch = replace(batch, inputs=self.preprocess.normalize(batch.inputs))
            return self._to_device(self.augment.mix(batch, self.classes, draws))
        return self._to_device(replace(batch, inputs=self.preprocess.normalize(batch.inputs)))

    def _to_device(self, batch: Batch) -> Batch:
        inputs = batch.inputs
        if self.channels_last and inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return Batch(inputs, batch.target.to(self.device), batch.rows)


def generator(seed: int, *numbers: int) -> torch.Generator:
    """A random number generator of its own for each (seed, numbers)."""
    state = np.random.SeedSequence(seed, spawn_key=numbers).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(state[0]) << 32 | int(state[1]))


def _placed(samples: Samples, row: int, placing: Placing) -> tuple[Tensor, Target]:
    found, target = samples.read(row), samples.target(row)
    value = found.pixels if isinstance(found, Picture) else found
    height, width = value.shape[:2] if isinstance(found, Picture) else (1, len(value))
    try:
        return placing.place(value), placing.place_target(target, height, width)
    except UnreadableImage as problem:  # it is too thin, and doesn't know its name
        raise UnreadableImage(samples.name(row), problem.cause, problem.remedy) from None


def _refuse_bad(skipped: Sequence[Skipped], total: int, bad: float) -> None:
    if len(skipped) > bad * total:
        first = "; ".join(f"{each.name}: {each.cause}" for each in skipped[:3])
        raise DataError(
            f"{len(skipped)} of {total} files can't be read, more than {bad:.0%}: {first}"
            + (" …" if len(skipped) > 3 else ""),
            "`visus data check` lists them all; mend them, or allow more with --set data.bad=0.05",
        )
