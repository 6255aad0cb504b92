"""The folder of a run, which only one process at a time may write to."""

from __future__ import annotations

import csv
import io
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock
import torch

from visus.data.types import Skipped
from visus.errors import RunError
from visus.files import write_atomic
from visus.machine import described
from visus.run.recipe import Recipe, compose
from visus.spec import dumps, read_toml
from visus.training.ranks import Ranks

RECIPE, ENVIRONMENT, LOCK, OWNER = "recipe.toml", "environment.json", "run.lock", "running.json"
EXTENDED = "extended.json"


class RunFolder:
    """Where a run writes. Use it in a `with` statement: it is locked inside.

    Raises RunError on entry when another process is writing there, naming the process and the machine.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = filelock.FileLock(path / LOCK)

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def plots(self) -> Path:
        """The folder of pictures."""
        return self.path / "plots"

    @property
    def model(self) -> Path:
        """The bundle."""
        return self.path / "model"

    def __enter__(self) -> RunFolder:
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            owner = _json(self.path / OWNER)
            who = f"process {owner['pid']} on {owner['host']}" if owner else "another process"
            raise RunError(
                f"{self.path}: {who} is writing to this run", "wait for it, stop it, or name another folder with --run"
            ) from None
        except OSError as problem:
            raise RunError(f"{self.path}: can't be written to: {problem.strerror or problem}") from None
        for folder in (self.checkpoints, self.plots):
            folder.mkdir(exist_ok=True)
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
        write_atomic(self.path / OWNER, json.dumps(owner))
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            (self.path / OWNER).unlink(missing_ok=True)
        self._lock.release()  # the file stays: to remove it would let two others lock two files of one name

    def log(self, text: str) -> None:
        """A line in log.txt, with the time."""
        with (self.path / "log.txt").open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")

    def write_recipe(self, recipe: Recipe) -> None:
        """recipe.toml, with nothing left open."""
        write_atomic(self.path / RECIPE, dumps(recipe))

    def recipe(self) -> Recipe:
        """What recipe.toml says."""
        return compose(read_toml(self.path / RECIPE), where=str(self.path / RECIPE))

    def extend(self, recipe: Recipe, step: int) -> None:
        """recipe.toml with more epochs, and extended.json: from which step on it held."""
        before = [*self.extensions(), {"step": step, "epochs": recipe.budget.epochs}]
        write_atomic(self.path / EXTENDED, json.dumps(before))
        self.write_recipe(recipe)

    def extensions(self) -> list[dict[str, int]]:
        """From which step on the run had so many epochs in all: a row each time that it was extended."""
        if not (self.path / EXTENDED).exists():
            return []
        found: list[dict[str, int]] = json.loads((self.path / EXTENDED).read_text(encoding="utf-8"))
        return found

    def write_environment(self, command: Sequence[str], **facts: Any) -> None:
        """environment.json: what the run was made with."""
        write_atomic(self.path / ENVIRONMENT, json.dumps({**environment(command), **facts}, indent=1))

    def environment(self) -> dict[str, Any]:
        """What environment.json says. Raises RunError."""
        found = _json(self.path / ENVIRONMENT)
        if found is None:
            raise RunError(f"{self.path / ENVIRONMENT}: can't be read", "the run can't be compared without it")
        return found

    def write_history(self, history: Sequence[Mapping[str, float]]) -> None:
        """metrics.csv: one row an epoch."""
        write_atomic(self.path / "metrics.csv", table(history))

    def write_skipped(self, skipped: Iterable[Skipped]) -> int:
        """bad_files.csv: what was left out, and why. The number of rows."""
        rows = [{"file": each.name, "cause": each.cause} for each in skipped]
        if rows:
            write_atomic(self.path / "bad_files.csv", table(rows))
        return len(rows)


def create(wanted: str | None, name: str, root: Path) -> RunFolder:
    """A new run folder: the one wanted, or root/name, with a number where that is taken.

    Raises RunError when the wanted one holds a run, or can't be made.
    """
    if wanted is not None:
        check_free(wanted)
        _make(Path(wanted))
        return RunFolder(Path(wanted))
    name, number = _file_name(name), 1
    while True:
        path = root / (name if number == 1 else f"{name}-{number}")
        try:
            _make(path, new=True)
            return RunFolder(path)
        except FileExistsError:
            number += 1


def check_free(wanted: str | None) -> None:
    """Raise RunError when a folder was named that holds a run already, or anything else."""
    if wanted is None:
        return
    path = Path(wanted)
    if (path / RECIPE).exists():
        with RunFolder(path):  # says who, when it is being written to
            raise RunError(f"{path}: holds a run already", f"go on with `visus resume {path}`, or name another --run")
    if path.exists() and (not path.is_dir() or any(each.name not in (LOCK, OWNER) for each in path.iterdir())):
        raise RunError(f"{path}: exists, and isn't an empty folder", "name another --run")


def existing(path: Path) -> RunFolder:
    """The folder of a run that was begun. Raises RunError when there is none."""
    if not (path / RECIPE).is_file():
        there = f"{path}: isn't a run: it has no {RECIPE}" if path.exists() else f"{path}: there is no such run"
        raise RunError(there, "`visus train` makes one; look in runs/")
    return RunFolder(path)


@contextmanager
def entered(open_folder: Callable[[], RunFolder], ranks: Ranks) -> Iterator[RunFolder]:
    """A run's folder, opened and locked by the first rank alone; the others know where it is."""
    if not ranks.first:
        yield RunFolder(ranks.share(Path))
        return
    with open_folder() as folder:
        ranks.share(lambda: folder.path)
        yield folder


def begun_by(job: str, wanted: str | None, root: Path) -> Path | None:
    """The run that a job of torchrun has begun before it was started again; None where it came to none."""
    for path in [Path(wanted)] if wanted is not None else sorted(root.glob("*")):
        found = _json(path / ENVIRONMENT) or {}
        if job and found.get("job") == job and (wanted is not None or not (path / "model").exists()):
            return path
    return None


def environment(command: Sequence[str]) -> dict[str, Any]:
    """Versions and machine."""
    return {
        **described(),
        "threads": torch.get_num_threads(),
        "accelerators": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "command": list(command) or sys.argv,
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV, with the union of their columns in order of appearance."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _make(path: Path, *, new: bool = False) -> None:
    try:
        path.mkdir(parents=True, exist_ok=not new)
    except FileExistsError:
        raise
    except OSError as problem:
        raise RunError(
            f"{path}: can't be made: {problem.strerror or problem}", "name another folder with --run"
        ) from None


def _json(path: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else None
    return None


def _file_name(name: str) -> str:
    kept = "".join(each if each.isalnum() or each in "-_." else "-" for each in name).strip("-.")
    return kept or "run"
