"""From samples to batches.

A split that fits in memory is read, decoded and placed once, into one uint8 tensor; a larger one is read batch by batch
by threads. Either way the same pixels come out, and batch k of epoch e is a pure function of (seed, e, k): nothing has
to be saved to resume.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Protocol, final

import numpy as np
import torch
from torch import Tensor

from visus.data.augment import Augment
from visus.data.degrade import Degradation, degraded
from visus.data.order import epoch_order, in_groups
from visus.data.preprocess import ImagePreprocess, Placing, Preprocess, as_tensor
from visus.data.samples import Samples
from visus.data.source import PLAIN, Resources, Source
from visus.data.types import Batch, Schema, Skipped, Target, Targets, sent
from visus.data.whole import Whole
from visus.errors import DataError

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
    samples: Samples, schema: Schema, placing: Placing, *, bad: float = 0.01, progress: Progress | None = None,
    resources: Resources = PLAIN, room: int | None = None,
) -> Prepared:  # fmt: skip
    """A split in memory where there is room for it, else read as it is needed.

    placing: a preprocessing, or a predictor. bad: the share of unreadable samples above which DataError is raised.
    resources: what reading may use. room: the bytes that it may take; None: a quarter of what is free.
    """
    size = len(samples) * prod(placing.shape) * (1 if schema.inputs == "image" else 4)
    if len(samples) == 0:
        raise DataError("there are no samples in this split")
    if placing.whole:
        whole = Whole(samples, schema, placing, free_memory() // 4 if room is None else room)
        _refuse_bad(whole.skipped, len(samples), bad)
        return whole
    pairs = 2 if {"mask", "image"} & set(schema.targets) else 1
    if size * pairs <= (free_memory() // 4 if room is None else room):
        return read_all(samples, schema, placing, bad, progress, resources)
    return Streamed(samples, schema, placing, bad, resources)


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
    """All samples, or features of them, in one tensor. inputs: N×…, a row for each of `rows`, on any device."""

    samples: Samples
    rows: Tensor
    skipped: list[Skipped]
    inputs: Tensor
    targets: Targets

    def gather(self, positions: Tensor) -> Batch:
        places = sent(positions, self.inputs.device)
        inputs = self.inputs.index_select(0, places)  # whole rows, which indexing copies value by value
        return Batch(inputs, self.targets.pick(positions), self.rows[positions])

    def on(self, device: torch.device) -> InMemory:
        """The same in a device's memory; rows stay where they are."""
        return replace(self, inputs=self.inputs.to(device), targets=self.targets.to(device))


def beside(prepared: Prepared, device: torch.device) -> Prepared:
    """A split that is in memory, in a CUDA device's own where it takes a quarter of what is free there at most."""
    if device.type != "cuda" or not isinstance(prepared, InMemory):
        return prepared
    free, _ = torch.cuda.mem_get_info(device)
    return prepared.on(device) if 4 * prepared.inputs.nbytes <= free else prepared


def read_all(
    samples: Samples, schema: Schema, placing: Placing, bad: float, progress: Progress | None = None,
    resources: Resources = PLAIN,
) -> InMemory:  # fmt: skip
    """Every sample read and placed. Raises DataError where more than the share `bad` can't be read."""
    plain = not {"boxes", "mask", "image"} & set(schema.targets)
    block = samples.block() if plain else None
    inputs = _room(len(samples), schema, placing)
    found: list[Target | Skipped] = []
    if block is not None:
        for start in range(0, len(block), CHUNK):
            inputs[start : start + CHUNK] = placing.place_many(as_tensor(block[start : start + CHUNK]))
        found += [samples.target(row) for row in range(len(samples))]
    else:
        with closing(Source(samples, placing, resources)) as source:
            for start in range(0, len(samples), CHUNK):
                rows = range(len(samples))[start : start + CHUNK]
                found += source.place(rows, inputs[start : start + CHUNK])
                if progress is not None:
                    progress(rows.stop, len(samples))
    skipped = [each for each in found if isinstance(each, Skipped)]
    _refuse_bad(skipped, len(samples), bad)
    usable = _read(found)
    kept = Targets.collate([each for each in found if isinstance(each, Target)], schema)
    return InMemory(samples, usable, skipped, inputs[usable] if skipped else inputs, kept)


@final
class Streamed:
    """Samples read when they are asked for."""

    def __init__(
        self, samples: Samples, schema: Schema, placing: Placing, bad: float, resources: Resources = PLAIN
    ) -> None:
        self.samples, self.schema, self.placing, self.bad = samples, schema, placing, bad
        self.skipped: list[Skipped] = []
        self.rows = torch.arange(len(samples))
        self._seen: set[int] = set()
        self._source = Source(samples, placing, resources)
        weakref.finalize(self, self._source.close)

    def gather(self, positions: Tensor) -> Batch:
        rows = self.rows[positions]
        inputs = _room(len(rows), self.schema, self.placing)
        found = self._source.place(rows.tolist(), inputs)
        for row, each in zip(rows.tolist(), found, strict=True):
            if isinstance(each, Skipped) and row not in self._seen:
                self._seen.add(row)
                self.skipped.append(each)
        _refuse_bad(self.skipped, len(self.samples), self.bad)
        targets = [each for each in found if isinstance(each, Target)]
        if not targets:
            raise DataError(
                f"none of the {len(rows)} samples of a batch can be read", "see bad_files.csv in the run folder"
            )
        if len(targets) < len(found):
            usable = _read(found)
            inputs, rows = inputs[usable], rows[usable]
        return Batch(inputs, Targets.collate(targets, self.schema), rows)


@dataclass(frozen=True)
class Loader:
    """Batches of a prepared split, normalised, on a device.

    channels_last: how images lie in memory there. classes: of the labels, for augment's mixing.
    degrade: what is done to inputs that are also what is wanted, anew each time; None: the data have what is wanted.
    unit: what the features of vectors are measured in there, F; None for images.
    rank, ranks: of several processes that train together, each takes its part of every training batch.
    each: how many samples of a class follow one another in training batches; None: classes don't matter.
    """

    prepared: Prepared
    preprocess: Preprocess
    batch: int
    device: torch.device
    augment: Augment = Augment()  # noqa: RUF009
    seed: int = 0
    classes: int = 0
    channels_last: bool = False
    rank: int = 0
    ranks: int = 1
    degrade: tuple[Degradation, ...] | None = None
    unit: Tensor | None = None
    each: int | None = None

    def __len__(self) -> int:
        """Batches an epoch of training: a last one that isn't full is left out, unless it is the only one."""
        count = len(self.prepared.rows)
        if self.each is not None:
            count = int((torch.bincount(self._label) // self.each * self.each).sum())
        return max(1, count * self._often // self.batch)

    @cached_property
    def _label(self) -> Tensor:
        """The class of each sample, N int64."""
        samples = self.prepared.samples
        return torch.tensor([samples.target(row).label for row in self.prepared.rows.tolist()])

    @property
    def _often(self) -> int:
        """How many times an epoch takes each sample: once, and of whole images as many windows as cover them."""
        return self.prepared.often(self._image) if isinstance(self.prepared, Whole) else 1

    @property
    def _image(self) -> ImagePreprocess:
        assert isinstance(self.preprocess, ImagePreprocess)
        return self.preprocess

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
        """Every sample once, in order, neither augmented nor degraded, with what is wanted of copies."""
        together = 1 if isinstance(self.prepared, Whole) else self.batch
        for positions in torch.split(torch.arange(len(self.prepared.rows)), together):
            batch = self.prepared.gather(positions)
            if self.degrade is not None:
                batch = replace(batch, target=replace(batch.target, image=batch.inputs))
            yield self._to_device(replace(batch, inputs=self.preprocess.normalize(sent(batch.inputs, self.device))))

    def _numbers(self, step: int) -> Iterator[tuple[int, int, Tensor]]:
        while True:
            epoch, first = divmod(step, len(self))
            random = generator(self.seed, epoch)
            parts = [epoch_order(self.prepared.samples, self.prepared.rows, random) for _ in range(self._often)]
            order = torch.cat(parts)
            if self.each is not None:
                order = in_groups(order, self._label, self.each)
            for index in range(first, len(self)):
                whole = order[index * self.batch : (index + 1) * self.batch]
                yield epoch, index, whole.tensor_split(self.ranks)[self.rank]
            step = (epoch + 1) * len(self)

    def _training_batch(self, epoch: int, index: int, positions: Tensor) -> Batch:
        draws = generator(self.seed, epoch, index, *((self.rank,) if self.ranks > 1 else ()))
        if isinstance(self.prepared, Whole):
            batch = self.prepared.windows(positions, self._image, draws)
        else:
            batch = self.prepared.gather(positions)
        batch = replace(batch, inputs=sent(batch.inputs, self.device))
        augmented = isinstance(self.preprocess, ImagePreprocess) and not self.augment.idle()
        if augmented:
            batch = self.augment.apply(batch, draws, self._image.fill)
        if self.degrade is not None:
            batch = degraded(batch, self.degrade, draws, self.unit)
        batch = replace(batch, inputs=self.preprocess.normalize(batch.inputs))
        return self._to_device(self.augment.mix(batch, self.classes, draws) if augmented else batch)

    def _to_device(self, batch: Batch) -> Batch:
        inputs = batch.inputs
        if self.channels_last and inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return Batch(inputs, batch.target.to(self.device), batch.rows)


def generator(seed: int, *numbers: int) -> torch.Generator:
    """A random number generator of its own for each (seed, numbers)."""
    state = np.random.SeedSequence(seed, spawn_key=numbers).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(state[0]) << 32 | int(state[1]))


def _room(count: int, schema: Schema, placing: Placing) -> Tensor:
    return torch.empty((count, *placing.shape), dtype=torch.uint8 if schema.inputs == "image" else torch.float32)


def _read(found: Sequence[Target | Skipped]) -> Tensor:
    """Which of them could be read, int64."""
    return torch.tensor([place for place, each in enumerate(found) if isinstance(each, Target)], dtype=torch.int64)


def _refuse_bad(skipped: Sequence[Skipped], total: int, bad: float) -> None:
    if len(skipped) > bad * total:
        first = "; ".join(f"{each.name}: {each.cause}" for each in skipped[:3])
        raise DataError(
            f"{len(skipped)} of {total} files can't be read, more than {bad:.0%}: {first}"
            + (" …" if len(skipped) > 3 else ""),
            "`visus data check` lists them all; mend them, or allow more with --set data.bad=0.05",
        )
