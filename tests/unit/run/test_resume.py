"""A run that is stopped and resumed ends where one that wasn't would have: FAULTS 23, 29–35."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import visus
from tests.runs import QUICK, quick_run
from visus.errors import CheckpointError, RunError, TrainingError
from visus.run.watch import Bar, Silent

EPOCHS = 4


class Stop(Silent):  # type: ignore[misc]
    """A watcher that presses Ctrl-C after so many steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    @contextmanager
    def work(self, title: str) -> Iterator[Bar]:
        def bar(done: int, total: int, note: str = "") -> None:
            if title == "training" and done == self.steps:
                signal.raise_signal(signal.SIGINT)

        yield bar


class Heard(Silent):  # type: ignore[misc]
    """A watcher that remembers what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def event(self, kind: str, facts: Mapping[str, Any]) -> None:
        return


def weights(run: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(run / "model" / "model.safetensors")


def same(one: Path, other: Path) -> bool:
    ours, theirs = weights(one), weights(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run, with dropout, augmentation and a moving average."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    quick_run(folder, epochs=EPOCHS)
    return folder


def interrupted(folder: Path, steps: int) -> None:
    with pytest.raises(visus.VisusError, match=f"stopped at step {steps} "):
        visus.train(
            "digits", model="mlp", epochs=EPOCHS, batch=256, settings=QUICK, run=folder, device="cpu", watch=Stop(steps)
        )


@pytest.mark.parametrize("steps", [1, 4, 7, 11])  # inside an epoch, and at the end of one: there are 4 steps in each
def test_resume_is_bit_identical(whole: Path, tmp_path: Path, steps: int) -> None:
    interrupted(tmp_path / "run", steps)
    resumed = visus.resume(tmp_path / "run", Silent())
    assert same(tmp_path / "run", whole)
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in resumed.history]
    assert len(rows) == EPOCHS
    again = [
        {k: v for k, v in row.items() if k != "seconds"} for row in quick_run(tmp_path / "b", epochs=EPOCHS).history
    ]
    assert rows == again


def test_a_runs_recipe_gives_the_same_run_again(whole: Path, tmp_path: Path) -> None:
    visus.train(recipe=str(whole / "recipe.toml"), run=tmp_path / "again", watch=Silent())
    assert same(tmp_path / "again", whole)
    assert (tmp_path / "again" / "recipe.toml").read_text() == (whole / "recipe.toml").read_text()


class Clock(Silent):  # type: ignore[misc]
    """A watcher by whom time passes: a second a training step, a thousand between epochs."""

    def __init__(self) -> None:
        self.now = 5.0
        self.works: Counter[str] = Counter()

    def perf_counter(self) -> float:
        return self.now

    def event(self, kind: str, facts: Mapping[str, Any]) -> None:
        self.now += 1000

    @contextmanager
    def work(self, title: str) -> Iterator[Bar]:
        def bar(done: int, total: int, note: str = "") -> None:
            self.works[title] += 1
            self.now += 1 if title == "training" else 1000

        yield bar


def test_the_seconds_of_an_epoch_are_those_of_its_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("visus.run.training.time", clock)
    run = visus.train(
        "digits", model="mlp", epochs=3, batch=256, settings=QUICK, run=tmp_path, device="cpu", watch=clock
    )
    # the clock is read before a step is told, so the last of an epoch's four counts as what is between epochs
    assert [row["seconds"] for row in run.history] == [3, 6, 9]


def test_33_a_damaged_checkpoint_is_passed_over_for_the_one_before(whole: Path, tmp_path: Path) -> None:
    interrupted(tmp_path / "run", 9)
    last = tmp_path / "run" / "checkpoints" / "last.safetensors"
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 1
    last.write_bytes(data)
    heard = Heard()
    visus.resume(tmp_path / "run", heard)
    assert any("checksum" in line and "going back to step 8" in line for line in heard.lines)
    assert same(tmp_path / "run", whole)


def test_no_readable_checkpoint_is_an_error(tmp_path: Path) -> None:
    interrupted(tmp_path / "run", 2)
    (tmp_path / "run" / "checkpoints" / "last.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="no checkpoint can be read"):
        visus.resume(tmp_path / "run", Silent())


def test_a_run_that_was_stopped_before_its_first_checkpoint_begins_anew(whole: Path, tmp_path: Path) -> None:
    interrupted(tmp_path / "run", 1)
    (tmp_path / "run" / "checkpoints" / "last.safetensors").unlink()
    visus.resume(tmp_path / "run", Silent())
    assert same(tmp_path / "run", whole)


def test_35_order_is_by_step_not_by_the_clock(whole: Path, tmp_path: Path) -> None:
    interrupted(tmp_path / "run", 9)
    folder = tmp_path / "run" / "checkpoints"
    ten_years = 10 * 365 * 86400
    for name, shift in (("last", -ten_years), ("previous", ten_years)):
        now = (folder / f"{name}.safetensors").stat().st_mtime
        os.utime(folder / f"{name}.safetensors", (now + shift, now + shift))
    heard = Heard()
    visus.resume(tmp_path / "run", heard)
    assert any("from step 9" in line for line in heard.lines)
    assert same(tmp_path / "run", whole)


def test_29_a_full_disk_leaves_earlier_checkpoints_and_the_run_goes_on_later(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from visus.training import checkpoint

    written = checkpoint.write_atomic
    calls = 0

    def full(path: Path, data: bytes | str) -> Path:
        nonlocal calls
        calls += 1
        if calls == 4:  # best and last of the first epoch, best of the second, and then its last
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(path, data)

    monkeypatch.setattr(checkpoint, "write_atomic", full)
    with pytest.raises(CheckpointError, match="no space left on device") as caught:
        quick_run(tmp_path / "run", epochs=EPOCHS)
    assert "earlier checkpoints are intact" in caught.value.remedy
    monkeypatch.undo()
    visus.resume(tmp_path / "run", Silent())
    assert same(tmp_path / "run", whole)


def test_23_a_loss_that_is_no_number_stops_and_names_the_batch(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="isn't a number") as caught:
        quick_run(tmp_path / "run", settings=("optim.kind=sgd", "optim.lr=1e30"))
    assert "digits[" in caught.value.problem
    assert "learning rate" in caught.value.remedy
    assert (tmp_path / "run" / "diverged.csv").read_text().startswith("file\ndigits[")


def test_34_the_second_of_two_runs_in_one_folder_is_refused(tmp_path: Path) -> None:
    from visus.run.folder import existing

    interrupted(tmp_path / "run", 2)
    code = (
        "import sys; from pathlib import Path; from visus.run.folder import existing\n"
        "with existing(Path(sys.argv[1])): print('in', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdin is not None
    assert other.stdout.readline() == "in\n"
    with pytest.raises(RunError, match=f"process {other.pid} on {socket.gethostname()}"):
        visus.resume(tmp_path / "run", Silent())
    with pytest.raises(RunError, match=f"process {other.pid} on "):
        quick_run(tmp_path / "run")
    other.kill()  # its lock is stale now
    other.wait()
    other.stdin.close()
    other.stdout.close()
    assert json.loads((tmp_path / "run" / "running.json").read_text())["pid"] == other.pid
    with existing(tmp_path / "run"):
        pass


def test_a_folder_with_a_run_or_with_other_files_is_refused(tmp_path: Path) -> None:
    interrupted(tmp_path / "run", 1)
    with pytest.raises(RunError, match="holds a run already"):
        quick_run(tmp_path / "run")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="isn't an empty folder"):
        quick_run(tmp_path / "full")
    assert (tmp_path / "full" / "thesis.txt").read_text() == "mine"


def test_changed_data_are_refused(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    rows = [f"{i % 7},{i % 5},{'even' if i % 2 == 0 else 'odd'}" for i in range(60)]
    table.write_text("a,b,class\n" + "\n".join(rows))
    with pytest.raises(visus.VisusError, match="stopped at step"):
        visus.train(str(table), model="mlp", epochs=3, batch=8, run=tmp_path / "run", watch=Stop(3))
    table.write_text("a,b,class\n" + "\n".join(rows[::-1]))
    with pytest.raises(RunError, match="data have changed"):
        visus.resume(tmp_path / "run", Silent())


def test_extend_trains_on_and_keeps_its_history(tmp_path: Path) -> None:
    first = quick_run(tmp_path / "run", epochs=2)
    longer = visus.resume(tmp_path / "run", Silent(), epochs=3)
    assert [row["epoch"] for row in longer.history] == [1, 2, 3]
    assert longer.history[:2] == first.history
    with pytest.raises(RunError, match="3 epochs already"):
        visus.resume(tmp_path / "run", Silent(), epochs=3)


def test_a_finished_run_says_so_and_measures_nothing(tmp_path: Path) -> None:
    first = quick_run(tmp_path / "run", epochs=2)
    report, heard = (tmp_path / "run" / "report.html"), Heard()
    before = report.stat().st_mtime_ns
    again = visus.resume(tmp_path / "run", heard)
    assert again == first
    assert report.stat().st_mtime_ns == before
    assert f"visus extend {tmp_path / 'run'} --epochs 4" in "".join(heard.lines)
    report.unlink()  # something is still to be done
    assert visus.resume(tmp_path / "run", Silent()).scores == first.scores
    assert report.is_file()


def test_out_of_memory_names_a_batch_that_is_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from visus.nn import Classifier

    def greedy(self: Classifier, x: torch.Tensor) -> torch.Tensor:
        raise MemoryError

    monkeypatch.setattr(Classifier, "forward", greedy)
    with pytest.raises(TrainingError, match="out of memory on cpu with batches of 256") as caught:
        quick_run(tmp_path / "run")
    assert "--batch 128" in caught.value.remedy
