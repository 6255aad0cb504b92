"""Placed samples by row: from what is kept on disk, else read, decoded and placed, by threads or by processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import final

import numpy as np
from torch import Tensor

from visus.data.cache.sets import Kept, cost, open_kept, sources, worth_keeping
from visus.data.crew import Crew
from visus.data.identity import Identity
from visus.data.image import Picture
from visus.data.preprocess import ImagePreprocess, Placing
from visus.data.samples import OnDisk, Samples, Stored
from visus.data.types import Skipped, Target
from visus.errors import UnreadableImage
from visus.machine import cores

CORES = 8  # from so many on, processes: threads of one process take turns in what isn't decoding
LONG = 30.0  # seconds of one core, from which on it pays to start them


def _silent(text: str) -> None:
    """To whom nothing is said."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What may be used to read samples.

    cache: bytes of disk that decoded images may take, those of other sets too. crew: processes that decode; None:
    threads. say: is told what a person should know.
    """

    cache: int = 0
    crew: Crew | None = None
    say: Callable[[str], None] = _silent


PLAIN = Resources()


def crew_for(splits: Mapping[str, Samples], placing: Placing, workers: int | None) -> Crew | None:
    """The processes that decode, or None for threads. workers: how many; None: chosen.

    Chosen are threads up to 7 cores, and for what is decoded in half a minute anyway.
    """
    if workers == 0 or not isinstance(placing, ImagePreprocess) or placing.whole:
        return None
    if workers is None:
        count = cores()
        lists = {id(files): files for samples in splits.values() for files in sources(samples)}
        if os.name != "posix" or count < CORES or sum(map(cost, lists.values())) < LONG:
            return None
        workers = count
    return Crew(placing, workers)


@final
class Source:
    """Placed samples of a split. Safe from several threads."""

    def __init__(self, samples: Samples, placing: Placing, resources: Resources) -> None:
        self.samples, self.placing, self._crew = samples, placing, resources.crew
        self._kept: dict[int, Kept] = {}
        if resources.cache and isinstance(placing, ImagePreprocess):
            for files in sources(samples):
                if files.files[0].identity() is not None and worth_keeping(files):
                    kept = open_kept(files, placing, resources.cache, resources.say)
                    if kept is not None:
                        self._kept[id(files)] = kept
        self._pool = ThreadPoolExecutor(cores())

    def place(self, rows: Sequence[int], out: Tensor) -> list[Target | Skipped]:
        """Fill out[i] with row i's placed input. The moved targets, and of those that can't be read the cause."""
        values = out.numpy()
        found = list(self._pool.map(self._one, rows, values))
        missing = [(place, file) for place, file in enumerate(found) if isinstance(file, OnDisk)]
        if missing and self._crew is not None:
            before = [file.identity() for _, file in missing]
            answers = self._crew.place([file for _, file in missing], [values[place] for place, _ in missing])
            for (place, file), known, answer in zip(missing, before, answers, strict=True):
                row = rows[place]
                if isinstance(answer, str):
                    found[place] = Skipped(self.samples.name(row), answer)
                else:
                    self._keep(row, file, known, values[place], *answer)
                    found[place] = self._said(row, *answer)
        return [each for each in found if not isinstance(each, OnDisk)]

    def close(self) -> None:
        """Keep on disk what is to be kept, and let go of it."""
        self._pool.shutdown()
        for each in self._kept.values():
            each.close()
        self._kept.clear()

    def _one(self, row: int, out: np.ndarray) -> Target | Skipped | OnDisk:
        """A row in place; a file where the crew is to place it."""
        samples = self.samples
        origin = samples.origin(row)
        file: Stored | None = None if origin is None else origin[0].files[origin[1]]
        kept = None if origin is None else self._kept.get(id(origin[0]))
        known = None
        if kept is not None and file is not None and origin is not None:
            known = file.identity()
            size = None if known is None else kept.get(origin[1], known, out)
            if size is not None:
                return self._said(row, *size)
        if self._crew is not None and isinstance(file, OnDisk):
            return file
        try:
            found = samples.read(row)
            value = found.pixels if isinstance(found, Picture) else found
            height, width = value.shape[:2] if isinstance(found, Picture) else (1, len(value))
            out[...] = self.placing.place(value).numpy()
        except UnreadableImage as problem:  # an image that is too thin doesn't know its name
            return Skipped(samples.name(row), problem.cause)
        self._keep(row, file, known, out, height, width)
        return self._said(row, height, width)

    def _said(self, row: int, height: int, width: int) -> Target | Skipped:
        """The target of an image of that size, placed; a mask, too, may be a file that can't be read."""
        try:
            return self.placing.place_target(self.samples.target(row), height, width)
        except UnreadableImage as problem:
            return Skipped(self.samples.name(row), problem.cause)

    def _keep(
        self, row: int, file: Stored | None, known: Identity | None, pixels: np.ndarray, height: int, width: int
    ) -> None:
        """Keep an image, unless its file changed while it was read, or may have."""
        origin = self.samples.origin(row)
        kept = None if origin is None else self._kept.get(id(origin[0]))
        if kept is None or origin is None or file is None or known is None:
            return
        if known.settled and file.identity() == known:
            kept.put(origin[1], known, pixels, height, width)
