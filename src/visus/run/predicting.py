"""Predictions of many inputs, written to a file: shared by several processes, and gone on with after a crash.

The list of inputs is cut into pieces. A process writes each piece that is its own into a folder beside the result,
whole or not at all; what is there isn't done again. Whoever finds all pieces there joins them. That is the last one to
finish, since it looks after its last piece has its name; where two find them, both write the same bytes and each
renames them into place, so that it doesn't matter. Only names and renames are relied on, as shared disks have them.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from visus.data.image import printable
from visus.errors import RunError, SpecError, UnreadableImage, require_count
from visus.files import sync_folder, write_atomic
from visus.prediction import Predictor, load
from visus.run import launch
from visus.run.device import device_of
from visus.run.inputs import Inputs, answers, find_inputs
from visus.run.pictures import is_place_of_pictures, write_pictures
from visus.run.tables import Writer, writer_of
from visus.run.watch import Silent, Watch
from visus.spec import Spec
from visus.tasks import GivesBack
from visus.text import counted

LEAST, MOST = 64, 512  # inputs of a piece, which is what a crash can lose
PIECES = 64  # wanted, for processes to share
FORMAT = 1


class Job(Spec, frozen=True):
    """What is asked for; the parts of another job don't fit. model, inputs: their digests. count: of inputs."""

    model: str
    inputs: str
    count: int
    piece: int
    format: int = FORMAT

    @property
    def pieces(self) -> int:
        """How many there are."""
        return -(-self.count // self.piece)


class Finished(Spec, frozen=True):
    """What is kept beside a result. size: of the result, in bytes."""

    job: Job
    size: int
    predictions: int
    unreadable: int


@dataclass(frozen=True)
class Predicted:
    """What came of it. predictions, unreadable: in the whole result; None while other processes are at work.

    bad_files: the list of what couldn't be read, and why, where there is any. done: inputs looked at now, by this
    process. rate: of these, a second; None where all was done before.
    """

    path: Path
    predictions: int | None
    unreadable: int | None
    bad_files: Path | None
    done: int
    rate: float | None


@dataclass(frozen=True)
class _Place:
    """The files of one result."""

    to: Path
    job: Job

    @property
    def parts(self) -> Path:
        """The pieces, in a folder of this job's own."""
        key = hashlib.blake2b(msgspec.json.encode(self.job), digest_size=6).hexdigest()
        return self.to.with_name(f"{self.to.name}.parts-{key}")

    @property
    def finished(self) -> Path:
        return self.to.with_name(f"{self.to.name}.done.json")

    @property
    def bad_files(self) -> Path:
        return self.to.with_name(f"{self.to.name}.unreadable.csv")

    def piece(self, number: int) -> Path:
        return self.parts / f"{number:08d}.jsonl"

    def there(self) -> set[int]:
        """The pieces that are written."""
        with suppress(FileNotFoundError):
            return {int(each.stem) for each in self.parts.iterdir() if each.suffix == ".jsonl" and each.stem.isdigit()}
        return set()

    def known(self) -> Finished | None:
        """What the result says of itself; None where there is none, or it isn't the file that was written."""
        try:
            found = msgspec.json.decode(self.finished.read_bytes(), type=Finished)
            return found if self.to.stat().st_size == found.size else None
        except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
            return None

    def is_done(self) -> bool:
        """Whether this very job is finished."""
        known = self.known()
        return known is not None and known.job == self.job


def predict_to(
    run: str | Path | Predictor,
    sources: Sequence[str | Path],
    to: str | Path,
    *,
    batch: int = 64,
    device: str = "auto",
    overwrite: bool = False,
    rank: int | None = None,
    ranks: int | None = None,
    watch: Watch | None = None,
) -> Predicted:
    """Write what a model says of many inputs to a file, in their order; go on where it was begun.

    sources: files, folders, shards, archives, or CSV tables of vectors. to: a .jsonl, .csv or .parquet file; what can't
    be read is listed beside it, with its cause. Where what is said are images it may be an image file or a folder for
    them, which one process writes, from the beginning. overwrite: replace what another model said, or of other inputs.
    rank, ranks: which share of the inputs is this process's; by default what torchrun says, or all of them.
    The last process to finish writes the result. The same call again goes on, or finds that all is done.
    Raises RunError where the file holds something else, and VisusError.
    """
    watch, to = watch or Silent(), Path(to)
    require_count("batch", batch)
    pictures = is_place_of_pictures(to)
    writer = None if pictures else writer_of(to)
    rank, ranks = share_of(rank, ranks)
    predictor = run if isinstance(run, Predictor) else load(run, device_of(_own_device(device, ranks)))
    if pictures and isinstance(predictor.task, GivesBack) and predictor.schema.inputs == "image":
        return _as_pictures(predictor, sources, to, batch, overwrite, ranks, watch)
    writer = writer_of(to) if writer is None else writer
    with watch.work("listing"):
        inputs = find_inputs(sources, predictor.schema)
        job = Job(model=predictor.digest(), inputs=inputs.digest(), count=len(inputs), piece=piece_of(len(inputs)))
    place = _Place(to, job)
    try:
        return _predict(place, predictor, inputs, batch, overwrite, rank, ranks, writer, watch)
    except OSError as problem:
        if place.is_done():  # another process joined the parts while this one was writing
            return _result(place, 0, None)
        raise RunError(
            f"{printable(to)}: can't be written: {(problem.strerror or str(problem)).lower()}",
            "mend that, and give the same command again: it goes on with what is done",
        ) from None


def _as_pictures(
    predictor: Predictor, sources: Sequence[str | Path], to: Path, batch: int, overwrite: bool, ranks: int, watch: Watch
) -> Predicted:
    if ranks > 1:
        raise SpecError("images are written by one process, and there are several", "give each a part of the inputs")
    with watch.work("listing"):
        inputs = find_inputs(sources, predictor.schema)
    begin = time.monotonic()
    written, unreadable = write_pictures(predictor, inputs, to, batch=batch, overwrite=overwrite, watch=watch)
    bad_files = to.with_name(f"{to.name}.unreadable.csv") if unreadable else None
    if bad_files is not None:
        _list_unreadable(bad_files, [[each.name, each.cause] for each in unreadable])
    return Predicted(to, written, len(unreadable), bad_files, len(inputs), len(inputs) / (time.monotonic() - begin))


def _list_unreadable(path: Path, rows: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("file", "cause"), *rows])
    write_atomic(path, text.getvalue())


def _predict(
    place: _Place, predictor: Predictor, inputs: Inputs, batch: int, overwrite: bool, rank: int, ranks: int,
    writer: type[Writer], watch: Watch,
) -> Predicted:  # fmt: skip
    if not place.is_done():
        try:
            _claim(place, overwrite)
        except RunError:
            if not place.is_done():  # else other processes have finished it meanwhile
                raise
    if not place.is_done():
        done, seconds = _work(place, predictor, inputs, batch, rank, ranks, watch)
    else:
        done, seconds = 0, 0.0
        watch.say(f"{printable(place.to)} is finished already")
    rate = done / seconds if done else None
    if len(place.there()) == place.job.pieces and not place.is_done():
        _join(place, inputs, writer)
    if place.is_done():
        if place.parts.exists():
            shutil.rmtree(place.parts, ignore_errors=True)  # another process may do so too
        return _result(place, done, rate)
    left = place.job.pieces - len(place.there())
    watch.say(f"share {rank + 1} of {ranks} is done; still to come from others: {counted(left, 'piece')}")
    return Predicted(place.to, None, None, None, done, rate)


def share_of(rank: int | None, ranks: int | None) -> tuple[int, int]:
    """Which share of the work is this process's, and how many there are: as given, or as torchrun says.

    Raises SpecError.
    """
    if (rank is None) != (ranks is None):
        raise SpecError("rank and ranks belong together", "give both, or neither")
    if rank is None or ranks is None:
        rank, ranks = launch.number("RANK", 0), launch.number("WORLD_SIZE", 1)
    if not 0 <= rank < ranks:
        raise SpecError(f"rank {rank} of {ranks} can't be", "ranks are numbered from 0")
    return rank, ranks


def piece_of(count: int) -> int:
    """How many inputs make a piece, of so many: whatever the number of processes, so that any number can go on.

    >>> piece_of(100), piece_of(10_000), piece_of(1_000_000)
    (64, 157, 512)
    """
    return min(MOST, max(LEAST, -(-count // PIECES)))


def _own_device(name: str, ranks: int) -> str:
    """An accelerator of its own for each process of a machine."""
    import torch

    if ranks == 1 or name not in ("auto", "cuda") or not launch.stated("LOCAL_RANK") or not torch.cuda.is_available():
        return name
    return f"cuda:{launch.number('LOCAL_RANK', 0) % torch.cuda.device_count()}"


def _claim(place: _Place, overwrite: bool) -> None:
    """Make the folder of parts. Raises RunError where the name is taken by something else."""
    others = [each for each in _parts_of(place.to) if each != place.parts]
    if not overwrite:
        known = place.known()
        if known is not None or others:
            what = "is" if known is not None else "is half-way"
            raise RunError(
                f"{printable(place.to)}: there {what} a result of {_other(place, known, others)}",
                "name another file, or replace it with --overwrite",
            )
        if not place.parts.exists() and (place.to.exists() or place.bad_files.exists()):
            taken = place.to if place.to.exists() else place.bad_files
            raise RunError(f"{printable(taken)}: is there already", "name another file, or replace it with --overwrite")
    place.parts.mkdir(parents=True, exist_ok=True)
    write_atomic(place.parts / "job.json", msgspec.json.encode(place.job))


def _parts_of(to: Path) -> list[Path]:
    """The folders of parts that lie beside a result."""
    if not to.parent.is_dir():
        return []
    return sorted(each for each in to.parent.iterdir() if each.name.startswith(f"{to.name}.parts-"))


def _other(place: _Place, known: Finished | None, others: Sequence[Path]) -> str:
    """What another job differs in."""
    jobs = [known.job] if known is not None else []
    for folder in others:
        with suppress(OSError, msgspec.DecodeError):
            jobs.append(msgspec.json.decode((folder / "job.json").read_bytes(), type=Job))
    if any(job.model != place.job.model for job in jobs):
        return "another model"
    return "other inputs, or of inputs that have changed"


def _work(
    place: _Place, predictor: Predictor, inputs: Inputs, batch: int, rank: int, ranks: int, watch: Watch
) -> tuple[int, float]:
    """Write the pieces of one share. How many inputs were looked at, and the seconds."""
    there = place.there()
    own = [number for number in range(rank, place.job.pieces, ranks) if number not in there]
    total, done, begin = sum(len(_rows(place.job, number)) for number in own), 0, time.monotonic()
    with watch.work("predicting") as bar:
        for number in own:
            lines = []
            for name, said in answers(predictor, inputs, _rows(place.job, number), batch):
                row = {"error": said.cause} if isinstance(said, UnreadableImage) else {"said": said.row()}
                lines.append(json.dumps({"file": name, **row}) + "\n")
                done += 1
                bar(done, total)
            write_atomic(place.piece(number), "".join(lines))
    return done, time.monotonic() - begin


def _rows(job: Job, piece: int) -> range:
    return range(piece * job.piece, min((piece + 1) * job.piece, job.count))


def _join(place: _Place, inputs: Inputs, kind: type[Writer]) -> None:
    """All pieces as one file, under its name when it is whole; then a note that it is."""
    bad = [[each.name, each.cause] for each in inputs.skipped]
    predictions = 0
    temporary = place.parts / f"{uuid.uuid4().hex}.tmp"  # where a crash leaves it, it goes with the parts
    try:
        with temporary.open("wb") as file:
            writer = kind(file)
            for rows in _pieces(place):
                good = [{"file": row["file"], **row["said"]} for row in rows if "said" in row]
                bad += [[row["file"], row["error"]] for row in rows if "error" in row]
                writer.write(good)
                predictions += len(good)
            writer.close()
            file.flush()
            os.fsync(file.fileno())
        size = temporary.stat().st_size
        if bad:
            _list_unreadable(place.bad_files, bad)
        else:
            place.bad_files.unlink(missing_ok=True)
        temporary.replace(place.to)
        sync_folder(place.to.parent)
        finished = Finished(job=place.job, size=size, predictions=predictions, unreadable=len(bad))
        write_atomic(place.finished, msgspec.json.encode(finished))
    except FileNotFoundError:
        if not place.is_done():  # else another process was quicker, and removed the parts
            raise
    finally:
        temporary.unlink(missing_ok=True)
    for each in _parts_of(place.to):
        if each != place.parts and place.is_done():  # of jobs that this result replaced
            shutil.rmtree(each, ignore_errors=True)


def _pieces(place: _Place) -> Iterator[list[dict[str, Any]]]:
    for number in range(place.job.pieces):
        path = place.piece(number)
        lines = path.read_bytes().splitlines()
        if len(lines) != len(_rows(place.job, number)):
            raise RunError(f"{printable(path)}: holds {len(lines)} lines of {len(_rows(place.job, number))}",
                           "delete it, and give the same command again")  # fmt: skip
        yield [json.loads(line) for line in lines]


def _result(place: _Place, done: int, rate: float | None) -> Predicted:
    known = place.known()
    assert known is not None
    bad = place.bad_files if known.unreadable else None
    return Predicted(place.to, known.predictions, known.unreadable, bad, done, rate)
