"""Writing a data set as shards, so that an interrupted writing goes on, and a finished one is whole.

Which sample goes into which shard is settled before: a seeded shuffle of each split, cut into pieces of about equal
size. So shards are written by several threads, and in another process after a crash, and the same bytes come out. What
is finished is noted in a journal; `shards.json`, which makes a folder of shards a data set, comes last.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path, PurePosixPath
from typing import IO, final

import filelock
import msgspec
import numpy as np
import torch

from visus.data.dataset import Dataset, digest_of, split_order
from visus.data.image import EXTENSIONS, Picture, as_png, printable
from visus.data.loader import generator
from visus.data.samples import Samples
from visus.data.shards import (
    DIGEST_BYTES,
    FORMAT,
    JOURNAL,
    LEFT_OUT,
    MANIFEST,
    Manifest,
    Said,
    Shard,
    digest_said,
    digests_of,
)
from visus.data.types import Skipped, Target
from visus.errors import DataError, UnreadableImage, require_count
from visus.files import sync_folder, write_atomic
from visus.spec import Spec

SIZE = 256 * 10**6  # bytes of a shard, about
LOCK = ".lock"
TEMPORARY = re.compile(r"\.([0-9a-f]{32}|\w+-\d{6}\.tar)\.tmp")  # what a process that was killed leaves behind
WRITTEN = ("label", "labels", "values", "captions", "boxes", "mask")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Piece:
    """A shard to come. rows: of the split's samples, in the order in which they are written."""

    file: str
    split: str
    rows: tuple[int, ...]


class _Lost(Spec, frozen=True):
    """A sample that was left out."""

    row: int
    name: str
    cause: str


class _Done(Spec, frozen=True):
    """A line of the journal: a shard that is written."""

    shard: Shard
    lost: tuple[_Lost, ...] = ()


def write_shards(
    dataset: Dataset,
    out: Path,
    *,
    size: int = SIZE,
    count: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    bad: float = 0.01,
    progress: Progress | None = None,
) -> Manifest:
    """Write the images of a data set, and what is said of them, as shards into a folder; go on where it was begun.

    size: bytes of a shard, about; or count: samples of one. seed: of the order in which samples are dealt to shards.
    workers: shards written at a time; by default as many as there are cores. bad: the share of images that can't be
    read above which DataError is raised. Nothing that lies in the folder is changed, unless it is of these very shards.
    Raises DataError and SpecError.
    """
    for what, given in (("size", size), ("count", count), ("workers", workers)):
        if given is not None:
            require_count(what, given)
    _check(dataset)
    pieces = _plan(dataset, size, count, seed)
    with _locked(out):
        done = _begin(out, _identity(dataset, pieces))
        with _Writer(dataset, out, workers, bad, progress) as writer:
            found = writer.write(pieces, done)
        return _finish(dataset, out, seed, found, pieces)


def _check(dataset: Dataset) -> None:
    """Raise DataError for what no shards hold."""
    if dataset.schema.inputs != "image":
        raise DataError(f"{dataset.name}: is of vectors, and shards are of images", "a table is one file as it is")
    if more := set(dataset.schema.targets).difference(WRITTEN):
        raise DataError(f"{dataset.name}: its targets are {', '.join(more)}, which shards don't hold")
    if not sum(map(len, dataset.splits.values())):
        raise DataError(f"{dataset.name}: has no samples")
    for split in dataset.splits:
        if not re.fullmatch(r"\w+", split, re.ASCII):
            raise DataError(f"{dataset.name}: the split {printable(split)} can't be the name of a file")


def _plan(dataset: Dataset, size: int, count: int | None, seed: int) -> list[_Piece]:
    pieces = []
    for number, split in enumerate(sorted(dataset.splits, key=split_order)):
        samples = dataset.splits[split]
        order = torch.randperm(len(samples), generator=generator(seed, number)).tolist()
        if count is not None:
            place = np.arange(len(order)) // count
        else:
            each = np.array([_bytes(samples, row, dataset.schema.shape) for row in order], np.int64)
            shards = -(-int(each.sum()) // size)
            place = (np.cumsum(each) - each) * shards // max(1, int(each.sum()))
        for index in range(int(place.max(initial=-1)) + 1):
            rows = tuple(order[at] for at in np.flatnonzero(place == index).tolist())
            pieces.append(_Piece(f"{split}-{index:06d}.tar", split, rows))
    return pieces


def _bytes(samples: Samples, row: int, shape: tuple[int, ...]) -> int:
    """What a sample takes in a tar, about: where it isn't a file yet, as much as its pixels."""
    stored = samples.stored(row)
    return 3 * tarfile.BLOCKSIZE + (prod(shape) if stored is None else stored.size)


def _identity(dataset: Dataset, pieces: Sequence[_Piece]) -> str:
    """A hash of what is to be written, without its being read: names, sizes, targets, and their places in shards."""
    total = hashlib.blake2b(msgspec.json.encode((FORMAT, dataset.schema)), digest_size=16)
    for piece in pieces:
        samples = dataset.splits[piece.split]
        total.update(piece.file.encode())
        for row in piece.rows:
            stored = samples.stored(row)
            sizes = "" if stored is None else str(stored.size)
            try:
                said = _said(samples.target(row))[1]
            except UnreadableImage:
                said = b""  # it will be left out, and listed
            total.update(f"{row}\0{samples.name(row)}\0{sizes}\0".encode() + said)
    return total.hexdigest()


def _said(target: Target) -> tuple[str, bytes]:
    """The ending and the contents of the member that says what is known of a sample."""
    if target.label is not None and target == Target(label=target.label):
        return ".cls", str(target.label).encode()
    return ".json", msgspec.json.encode(Said.of(target))


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """The folder, made where it isn't there, and no other process in it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(out / LOCK)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise DataError(f"{printable(out)}: another process is writing shards into it", "wait for it") from None
    except OSError as problem:
        raise _unwritable(out, problem) from None
    try:
        yield
    finally:
        lock.release()


def _unwritable(path: Path, problem: OSError) -> DataError:
    return DataError(
        f"{printable(path)}: can't be written: {(problem.strerror or str(problem)).lower()}",
        "mend that, and give the same command again: it goes on with what is written, or name another folder",
    )


def _begin(out: Path, identity: str) -> dict[str, _Done]:
    """What is written already, by file. Raises DataError where something else lies in the folder."""
    if (out / MANIFEST).exists():
        raise DataError(f"{printable(out)}: holds shards already", "name another folder")
    journal = out / JOURNAL
    try:
        if not journal.exists():
            if more := [name for name in _names(out) if name != LOCK and not TEMPORARY.fullmatch(name)]:
                raise DataError(
                    f"{printable(out)}: isn't empty: there is {printable(more[0])}",
                    "name an empty folder, or a new one",
                )
            write_atomic(journal, json.dumps({"format": FORMAT, "identity": identity}) + "\n")
        head, *lines = journal.read_bytes().split(b"\n")
        if msgspec.json.decode(head).get("identity") != identity:
            raise DataError(
                f"{printable(out)}: holds unfinished shards of other data, or of other settings",
                "give the settings that it was begun with, delete it, or name another folder",
            )
        # the last line may be cut off by a crash; its shard is written anew
        found = [msgspec.json.decode(line, type=_Done) for line in lines[:-1]]
        if lines and lines[-1]:
            write_atomic(journal, b"\n".join([head, *lines[:-1], b""]))
        for name in _names(out):
            if TEMPORARY.fullmatch(name):
                (out / name).unlink()
    except OSError as problem:
        raise _unwritable(out, problem) from None
    except (msgspec.MsgspecError, AttributeError) as problem:
        raise DataError(f"{printable(journal)}: is damaged: {problem}", "delete the folder, and begin anew") from None
    return {each.shard.file: each for each in found if _is_there(out, each.shard)}


def _names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def _is_there(out: Path, shard: Shard) -> bool:
    path = out / shard.file
    wanted = ((path, shard.size), (digests_of(path), shard.samples * DIGEST_BYTES))
    return all(each.exists() and each.stat().st_size == size for each, size in wanted)


@final
class _Hashed:
    """A file that is written once, from its beginning, and hashed meanwhile."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.total, self.size = file, hashlib.blake2b(digest_size=DIGEST_BYTES), 0

    def write(self, data: bytes) -> int:
        self.total.update(data)
        self.size += len(data)
        return self.file.write(data)

    def tell(self) -> int:
        return self.size


@final
class _Writer:
    """Writes pieces on several threads. Leaving it in an error stops them all."""

    def __init__(self, dataset: Dataset, out: Path, workers: int | None, bad: float, progress: Progress | None) -> None:
        self.dataset, self.out, self.bad, self.progress = dataset, out, bad, progress
        self.total = sum(map(len, dataset.splits.values()))
        self.done, self.lost = 0, 0
        self.stop, self.lock = threading.Event(), threading.Lock()
        self.pool = ThreadPoolExecutor(workers or os.cpu_count() or 1)

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.pool.shutdown(cancel_futures=True)

    def write(self, pieces: Sequence[_Piece], done: dict[str, _Done]) -> dict[str, _Done]:
        """All pieces, those that are done among them, by file."""
        found = dict(done)
        self.done = sum(each.shard.samples + len(each.lost) for each in done.values())
        self.lost = sum(len(each.lost) for each in done.values())
        waiting = [self.pool.submit(self._piece, piece) for piece in pieces if piece.file not in done]
        try:
            with open(self.out / JOURNAL, "ab") as journal:
                for each in as_completed(waiting):
                    written = each.result()
                    found[written.shard.file] = written
                    journal.write(msgspec.json.encode(written) + b"\n")
                    journal.flush()
                    os.fsync(journal.fileno())
        except OSError as problem:
            raise _unwritable(self.out, problem) from None
        return found

    def _piece(self, piece: _Piece) -> _Done:
        samples = self.dataset.splits[piece.split]
        path, temporary = self.out / piece.file, self.out / f".{piece.file}.tmp"
        digests: list[bytes] = []
        said: list[bytes] = []
        lost = []
        with open(temporary, "wb") as raw:
            hashed = _Hashed(raw)
            with tarfile.open(  # type: ignore[call-overload]
                fileobj=hashed, mode="w", format=tarfile.USTAR_FORMAT
            ) as tar:
                for row in piece.rows:
                    if self.stop.is_set():
                        raise DataError("writing was stopped")  # nobody sees it: what stopped it is raised
                    try:
                        ending, image = _encoded(samples, row)
                        key, kind, text = _key(samples, row), *_said(samples.target(row))
                    except UnreadableImage as problem:
                        lost.append(_Lost(row=row, name=samples.name(row), cause=problem.cause))
                    else:
                        digests.append(hashlib.blake2b(image, digest_size=DIGEST_BYTES).digest())
                        said.append(text)
                        for member, data in ((key + ending, image), (key + kind, text)):
                            entry = tarfile.TarInfo(member)
                            entry.size = len(data)
                            tar.addfile(entry, io.BytesIO(data))
                    self._tick(bool(lost) and lost[-1].row == row)
            raw.flush()
            os.fsync(raw.fileno())
        contents = b"".join(digests)
        write_atomic(digests_of(path), contents)
        temporary.replace(path)
        sync_folder(self.out)
        shard = Shard(
            file=piece.file, split=piece.split, samples=len(digests), size=hashed.size, digest=hashed.total.hexdigest(),
            said=digest_said(said), contents=hashlib.blake2b(contents, digest_size=DIGEST_BYTES).hexdigest(),
        )  # fmt: skip
        return _Done(shard=shard, lost=tuple(lost))

    def _tick(self, lost: bool) -> None:
        with self.lock:
            self.done += 1
            self.lost += lost
            if self.progress is not None:
                self.progress(self.done, self.total)
            if self.lost > self.bad * self.total:
                raise DataError(
                    f"{self.lost} of {self.total} images can't be read, more than {self.bad:.0%}",
                    "`visus data check` lists them all; mend them, or allow more with --set data.bad=0.05",
                )


def _encoded(samples: Samples, row: int) -> tuple[str, bytes]:
    """The ending and the bytes of an image file: the very file, or a PNG of the pixels. Raises UnreadableImage."""
    found = samples.read(row)
    assert isinstance(found, Picture)
    stored = samples.stored(row)
    ending = "" if stored is None else PurePosixPath(stored.name).suffix.lower()
    if stored is not None and ending in EXTENSIONS:
        return ending, stored.read()
    return ".png", as_png(found.pixels)


def _key(samples: Samples, row: int) -> str:
    """The row, and what is readable of the name, so that a person finds the source."""
    stored = samples.stored(row)
    readable = "" if stored is None else str(PurePosixPath(stored.name).with_suffix(""))
    words = re.sub(r"[^A-Za-z0-9]+", "_", readable)[-40:].strip("_")
    return f"{row:08d}-{words}" if words else f"{row:08d}"


def _finish(dataset: Dataset, out: Path, seed: int, found: dict[str, _Done], pieces: Sequence[_Piece]) -> Manifest:
    lost = [Skipped(each.name, each.cause) for piece in pieces for each in found[piece.file].lost]
    # what listing found is no sample either
    lost = [*(each for each in dataset.skipped if not each.mended), *lost]
    manifest = Manifest(
        format=FORMAT, name=dataset.name, schema=dataset.schema, seed=seed,
        fingerprint=_fingerprint(dataset, out, found, pieces), left_out=len(lost),
        shards=tuple(found[piece.file].shard for piece in pieces), source=dataset.source,
    )  # fmt: skip
    try:
        if lost:
            text = io.StringIO()
            table = csv.writer(text, lineterminator="\n")
            table.writerows([("file", "cause"), *((each.name, each.cause) for each in lost)])
            write_atomic(out / LEFT_OUT, text.getvalue())
        write_atomic(out / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
        (out / JOURNAL).unlink()
    except OSError as problem:
        raise _unwritable(out, problem) from None
    return manifest


def _fingerprint(dataset: Dataset, out: Path, found: dict[str, _Done], pieces: Sequence[_Piece]) -> str:
    """The source's, without reading it again: the digest of a stored file is that of its bytes, which were written."""
    known: dict[str, list[bytes]] = {split: [b""] * len(samples) for split, samples in dataset.splits.items()}
    for piece in pieces:
        samples, lost = dataset.splits[piece.split], {each.row for each in found[piece.file].lost}
        data = digests_of(out / piece.file).read_bytes()
        for at, row in enumerate(row for row in piece.rows if row not in lost):
            stored = data[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES]
            known[piece.split][row] = samples.digest(row) if samples.stored(row) is None else stored
        for row in lost:
            known[piece.split][row] = digest_of(samples, row)
    return dataset.fingerprint(known)
