"""A rank that dies, hangs, fails or is asked to stop ends all of them, saying why; the run goes on. FAULT 28."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import visus
from tests.ranks import ROOT, Ended, on_ranks
from visus.run import job, training
from visus.run.watch import Silent
from visus.training import Step, checkpoint

WORK = "tests.faults.test_ranks:"
EPOCHS = 3  # of 9 steps
SETTINGS = ("optim.lr=0.01", "model.spec.dropout=0.2", "budget.ema=0.9", "augment.shift=0")


def train(folder: Path, *settings: str) -> visus.Run:
    return visus.train(
        "digits", model="mlp", epochs=EPOCHS, batch=128, settings=(*SETTINGS, *settings), run=folder / "run",
        device="cpu", watch=Silent(),
    )  # fmt: skip


def struck(folder: Path, what: str, at: str, rank: str) -> None:
    """Train; a rank strikes itself after a step."""
    job.SILENT = 10.0  # of 15, since little else is waited for
    fit, mine = training.fit, os.environ["RANK"] == rank

    def acting(*given: Any, **named: Any) -> Iterator[Step]:
        for step in fit(*given, **named):
            if mine and step.index + 1 == int(at):
                if what == "fail":
                    raise KeyError("planted")
                os.kill(os.getpid(), getattr(signal, what))
            yield step

    training.fit = acting
    train(folder)


def started_again(folder: Path, before: str) -> None:
    """The same command, as torchrun gives it after a rank has failed."""
    os.environ["TORCHELASTIC_RESTART_COUNT"] = "1"
    training.write_report = lambda *_: None
    train(Path(before))


def restarted(folder: Path) -> None:
    """Under torchrun: struck the first time, and whole after it."""
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        struck(folder, "SIGKILL", "11", "1")
    train(folder)


def step_of(ended: Ended) -> int:
    return int(checkpoint.newest(ended.folder / "run" / "checkpoints")[0].facts["step"])


STRUCK = tuple(f"{what} {rank}" for what in ("SIGKILL 11", "SIGSTOP 11", "SIGTERM 5", "fail 5") for rank in (0, 1))


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    found = on_ranks(tmp_path_factory.mktemp("struck"), f"{WORK}struck", *((2, words) for words in STRUCK))
    return dict(zip(STRUCK, found, strict=True))


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("what", ["SIGKILL", "SIGSTOP"])
def test_28_a_rank_that_dies_or_hangs_is_named_and_ends_all(what: str, rank: int, jobs: dict[str, Ended]) -> None:
    ended = jobs[f"{what} 11 {rank}"]
    assert ended.statuses[rank] == -signal.SIGKILL
    assert ended.statuses[1 - rank] == 3
    assert f"rank {rank} (process " in ended.said
    assert "has died or hangs" in ended.said
    assert step_of(ended) == 9  # the first epoch's
    if rank:
        assert "has died or hangs" in (ended.folder / "run" / "log.txt").read_text()


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_fails_is_named_and_ends_all(rank: int, jobs: dict[str, Ended]) -> None:
    ended = jobs[f"fail 5 {rank}"]
    assert ended.statuses == [1, 1]
    assert "KeyError: 'planted'" in ended.said
    if rank:
        assert f"rank {rank} (process " in ended.said


@pytest.mark.parametrize("rank", [0, 1])
def test_32_whichever_rank_is_asked_all_stop_at_one_step(rank: int, jobs: dict[str, Ended]) -> None:
    ended = jobs[f"SIGTERM 5 {rank}"]
    assert ended.statuses == [75, 75]
    assert ended.said.count("stopped at step 5 of 27") == 1
    assert step_of(ended) == 5


def test_28_what_is_started_again_goes_on_with_its_run(jobs: dict[str, Ended], tmp_path: Path) -> None:
    before = jobs["SIGKILL 11 0"].folder  # its lock was that of the one that died
    (ended,) = on_ranks(tmp_path, f"{WORK}started_again", (2, str(before)))
    assert ended.statuses == [0, 0], ended.said
    log = (before / "run" / "log.txt").read_text()
    assert "from step 9" in log
    assert [log.count(f"epoch {epoch}/{EPOCHS}") for epoch in range(1, EPOCHS + 1)] == [1] * EPOCHS


@pytest.mark.skipif("VISUS_SLOW" not in os.environ, reason="torchrun imports torch five times; VISUS_SLOW=1")
def test_28_torchrun_starts_them_again_and_they_go_on(tmp_path: Path) -> None:
    words = ["--standalone", "--nproc-per-node", "2", "--max-restarts", "1", "-m", "tests.faults.test_ranks"]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *words, str(tmp_path)],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "rank 1 (process " in done.stderr
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "run" in [path.name for path in tmp_path.iterdir()]
    assert "from step 9" in log
    assert [log.count(f"epoch {epoch}/{EPOCHS}") for epoch in range(1, EPOCHS + 1)] == [1] * EPOCHS


if __name__ == "__main__":
    try:
        restarted(Path(sys.argv[1]))
    except visus.VisusError as problem:
        sys.exit(str(problem))
