"""A data set: splits of samples, what they are, and what was noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from os import cpu_count
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec

from visus.data.cache.digests import remembered
from visus.data.cache.sets import sources
from visus.data.samples import Samples
from visus.data.types import Schema, Skipped, Target
from visus.errors import UnreadableImage
from visus.spec import Spec

T = TypeVar("T")
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]


class Data(Spec, frozen=True):
    """Which samples, and how they are divided.

    source: a name (see `visus data list`) or a path, whose layout is recognised.
    dir: where named sets are looked for first. target: a table's target column, or columns; None: chosen by its name.
    numbers: what whole numbers in it are: "classes" or "values"; None: chosen by the column's name and contents.
    count: how many samples `scenes` draws for training.
    val, test: the shares set apart where the source doesn't bring that split. apart: what that is: "samples", class by
    class; or whole "classes", so that what is learnt is tried on classes that were never seen.
    final: the split that results are reported on; "val" where a source calls it so and brings no other: some of train
    then chooses the model.
    seed: of that division; None: the recipe's. Networks that differ in their seed and share this one can be fused.
    allow_empty: a class folder may be empty.
    bad: the share of unreadable files above which training is refused.
    """

    source: str = "digits"
    dir: str | None = None
    target: str | tuple[str, ...] | None = None
    layout: Literal["coco", "voc", "yolo", "masks", "pairs", "classes"] | None = None
    ignore: Annotated[int, msgspec.Meta(ge=0, le=255)] | None = None
    numbers: Literal["classes", "values"] | None = None
    count: Annotated[int, msgspec.Meta(ge=1)] | None = None
    val: Share = 0.1
    test: Share = 0.2
    apart: Literal["samples", "classes"] = "samples"
    final: Literal["test", "val"] = "test"
    seed: Annotated[int, msgspec.Meta(ge=0)] | None = None
    allow_empty: bool = False
    bad: Share = 0.01

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The target columns, as many as were named."""
        return (self.target,) if isinstance(self.target, str) else self.target


@dataclass(frozen=True)
class Dataset:
    """Samples in splits.

    name: for titles and run folders. splits: "train", "val", "test", as far as the source has them.
    notes: what a person should know. skipped: what was left out or mended while listing.
    source: where it comes from, its licence.
    """

    name: str
    schema: Schema
    splits: Mapping[str, Samples]
    notes: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    source: str = ""

    def fingerprint(self, known: Mapping[str, Sequence[bytes]] | None = None) -> str:
        """A hash of all contents, targets and splits: equal means the same data, wherever it lies.

        known: the digests of each split's samples, where they needn't be computed.
        """
        total = hashlib.blake2b(msgspec.json.encode(self.schema), digest_size=16)
        for split, samples in sorted(self.splits.items()):
            total.update(split.encode())
            for row, digest in enumerate(digests(samples) if known is None else known[split]):
                total.update(digest + said_of(samples, row))
        return total.hexdigest()


def said_of(samples: Samples, row: int) -> bytes:
    """What is said of one sample, as `fingerprint` has it; of one that can't be read, as little as of one unknown."""
    try:
        target = samples.target(row)
    except UnreadableImage:
        target = Target()
    said = repr((target.label, target.labels, target.values, target.captions)).encode()
    arrays = [each for each in (target.mask, target.image) if each is not None]
    if (boxes := target.boxes) is not None:
        columns = (boxes.xyxy, boxes.labels, boxes.masks, boxes.areas, boxes.crowd, boxes.difficult)
        arrays += [each for each in columns if each is not None]
        said += repr(boxes.phrases).encode()
    for array in arrays:
        said += hashlib.blake2b(repr(array.shape).encode() + array.tobytes(), digest_size=16).digest()
    return said


def digests(samples: Samples) -> list[bytes]:
    """The content hash of each sample; of one that can't be read, a hash of its name, which equals nothing else."""
    with ExitStack() as stack:
        for files in sources(samples):
            stack.enter_context(remembered(files))
        return threaded(lambda row: digest_of(samples, row), range(len(samples)))


def digest_of(samples: Samples, row: int) -> bytes:
    """The content hash of one sample, as `digests` has it."""
    try:
        return samples.digest(row)
    except UnreadableImage:
        return b"unreadable " + samples.name(row).encode()


def threaded(work: Callable[[int], T], rows: Iterable[int]) -> list[T]:
    """`[work(row) for row in rows]` on all cores, for work that releases the interpreter lock."""
    with ThreadPoolExecutor(cpu_count() or 1) as pool:
        return list(pool.map(work, rows, chunksize=16))


def title_of(path: Path) -> str:
    """A data set's name from its path: the file name without its extensions."""
    return (
        path.resolve().name.removesuffix(".gz").removesuffix(".xz").removesuffix(".tar").removesuffix(".zip") or "data"
    )


def split_order(split: str) -> tuple[int, str]:
    """A key by which splits are sorted: what is in none, then train, val, test, then others by name."""
    return {"": 0, "train": 1, "val": 2, "test": 3}.get(split, 4), split
