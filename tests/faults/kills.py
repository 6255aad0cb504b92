"""Kills a run at random moments, again and again, goes on with it each time, and compares the end with a whole run.

A program of its own, so that what it forks has no threads of a test runner:

    python -m tests.faults.kills FOLDER KILLS SEED [--bug]

It prints JSON: the kills that met a living run, how many of them came after the run had saved something new, what was
lost by them, and whether the final weights are the same.
--bug: checkpoints are written carelessly; the program must then find that something is lost, and ends there.
"""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

import visus
from visus.errors import CheckpointError, NotFound, RunError
from visus.run import training
from visus.run.watch import Bar, Silent, Watch
from visus.training import checkpoint

SETTINGS = ["model.spec.dropout=0.2", "budget.ema=0.9", "model.spec.hidden=[512, 512]"]
EPOCHS = 24
LONGEST = 0.15  # of the seconds that a whole run takes here: from a process's first step, or its start, to the kill
EARLY = 0.2  # the share of kills that may come before the first step


class Telling(Silent):  # type: ignore[misc]
    """Writes a byte where training goes on."""

    def __init__(self, pipe: int) -> None:
        self.pipe: int | None = pipe

    @contextmanager
    def work(self, title: str) -> Iterator[Bar]:
        def bar(done: int, total: int, note: str = "") -> None:
            if title == "training" and self.pipe is not None:
                os.write(self.pipe, b".")
                self.pipe = None

        yield bar


def work(folder: Path, watch: Watch) -> None:
    """Go on with the run in a folder, or begin it where it has no checkpoint yet."""
    try:
        visus.resume(folder, watch)
    except (NotFound, RunError, CheckpointError) as problem:
        if (folder / "checkpoints" / "last.safetensors").exists():
            raise SystemExit(f"lost: {problem}") from None
        shutil.rmtree(folder, ignore_errors=True)
        visus.train(
            "digits", model="mlp", epochs=EPOCHS, batch=128, settings=SETTINGS, run=folder, device="cpu", watch=watch
        )


def forked(folder: Path) -> tuple[int, int]:
    """A process that works: its number, and where it tells that training goes on."""
    told, tell = os.pipe()
    child = os.fork()
    if child:
        os.close(tell)
        return child, told
    code = 1
    try:
        work(folder, Telling(tell))
        code = 0
    except SystemExit as why:
        sys.stderr.write(f"{why}\n")
    finally:
        os._exit(code)


def ended(folder: Path) -> int:
    """The status of a process that nobody kills."""
    child, told = forked(folder)
    status = os.waitpid(child, 0)[1]
    os.close(told)
    return status


def step_of(folder: Path) -> int:
    """The step of the newest whole checkpoint; 0 where there is none."""
    try:
        found, _ = checkpoint.newest(folder / "checkpoints")
    except CheckpointError:
        return 0
    return int(found.facts["step"])


def careless(folder: Path, found: checkpoint.Checkpoint) -> None:
    """The planted bug: the only checkpoint is written over, slowly."""
    checkpoint.write(folder / "whole.safetensors", found)
    data = (folder / "whole.safetensors").read_bytes()
    (folder / "whole.safetensors").unlink()
    with (folder / "last.safetensors").open("wb") as file:
        for start in range(0, len(data), 1 << 16):
            file.write(data[start : start + (1 << 16)])
            file.flush()
            time.sleep(0.002)


def main() -> None:
    folder, kills, chance = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    torch.set_num_threads(1)
    if "--bug" in sys.argv:
        training.rotate = careless
    began = time.monotonic()
    assert ended(folder / "whole") == 0
    longest = LONGEST * (time.monotonic() - began)
    run = folder / "killed"
    met = whole = advanced = backwards = unreadable = unequal = 0
    while met < kills:
        before = step_of(run)
        child, told = forked(run)
        if chance.random() > EARLY:
            select.select([told], [], [], 60)  # its first step, or its end
        time.sleep(chance.uniform(0, longest))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        os.close(told)
        if os.WIFSIGNALED(status):
            met += 1
            after = step_of(run)
            advanced += after > before
            backwards += after < before
        elif status == 0:  # it was done: begin anew
            whole += 1
            unequal += not same(folder / "whole", run)
            shutil.rmtree(run)
        else:
            unreadable += 1
            shutil.rmtree(run)
        if "--bug" in sys.argv and backwards + unreadable:
            break
    status = ended(run)
    equal = status == 0 and not unequal and same(folder / "whole", run)
    found = {"kills": met, "advanced": advanced, "ended": whole, "backwards": backwards, "unreadable": unreadable}
    sys.stdout.write(json.dumps({**found, "equal": equal}))


def same(one: Path, other: Path) -> bool:
    """Whether two runs have the same weights, bit for bit."""
    first, second = (safetensors.torch.load_file(run / "model" / "model.safetensors") for run in (one, other))
    return first.keys() == second.keys() and all(
        np.array_equal(first[name].numpy(), second[name].numpy(), equal_nan=True) for name in first
    )


if __name__ == "__main__":
    main()
