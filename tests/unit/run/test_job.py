"""One run on several ranks: the same figures, the same batches, and checkpoints that go on with other ranks."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import visus
from tests.ranks import Ended, on_ranks
from visus.errors import SpecError
from visus.run import training
from visus.run.job import alone
from visus.run.predicting import share_of
from visus.run.watch import Silent
from visus.training import Step

WORK = "tests.unit.run.test_job:"
EPOCHS = 2  # of 9 steps
SETTINGS = ("optim.kind=sgd", "optim.lr=0.05", "budget.ema=0.9", "budget.clip=1", "augment.shift=0", "seed=3")


def train(run: Path, *settings: str) -> visus.Run:
    return visus.train(
        "digits", model="resnet8", epochs=EPOCHS, batch=128, settings=(*SETTINGS, *settings), run=run, device="cpu",
        watch=Silent(),
    )  # fmt: skip


def whole(folder: Path, *settings: str) -> dict[str, Any]:
    """What a run came to."""
    training.write_report = lambda *_: None  # drawing takes as long as the rest
    run = train(folder / "run", *settings)
    return {
        "history": [{name: value for name, value in row.items() if name != "seconds"} for row in run.history],
        "scores": {name: score.value for name, score in run.scores.items()},
        "intervals": {name: [score.low, score.high, score.n] for name, score in run.scores.items()},
    }


def stopped(folder: Path, *settings: str) -> None:
    """A run that is asked to stop after a step inside of its second epoch."""
    fit = training.fit

    def acting(*given: Any, **named: Any) -> Iterator[Step]:
        for step in fit(*given, **named):
            if step.index == 10:
                signal.raise_signal(signal.SIGTERM)
            yield step

    training.fit = acting
    train(folder / "run", *settings)


def gone_on(folder: Path, run: str) -> dict[str, Any]:
    training.write_report = lambda *_: None
    found = visus.resume(run, Silent())
    return {"history": [{name: row[name] for name in row if name != "seconds"} for row in found.history]}


def alike(one: dict[str, Any], other: dict[str, Any], rel: float = 2e-3) -> None:
    """The same but for the rounding of float32, which training makes grow."""
    for ours, theirs in zip(one["history"], other["history"], strict=True):
        assert ours == pytest.approx(theirs, rel=rel, abs=0.012)  # two samples of 180


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> list[Ended]:
    folder = tmp_path_factory.mktemp("whole")
    return on_ranks(folder, f"{WORK}whole", (1, ""), (2, ""), (2, "runtime.parallel=fsdp"), (3, ""))


def test_a_run_on_several_ranks_is_that_of_one(ended: list[Ended]) -> None:
    one, two, divided = (each.found for each in ended[:3])
    for each in (*two, *divided):
        alike(each, one[0])
        assert each["scores"] == pytest.approx(one[0]["scores"], rel=5e-3, abs=0.012)
        assert [n for *_, n in each["intervals"].values()] == [n for *_, n in one[0]["intervals"].values()]
    assert two[0] == two[1]
    assert divided[0] == divided[1]


def test_one_rank_writes(ended: list[Ended]) -> None:
    for each in ended[:3]:
        assert [path.name for path in each.folder.iterdir() if path.is_dir()] == ["run"]
        log = (each.folder / "run" / "log.txt").read_text()
        assert log.count("epoch 1/2") == 1
        assert "has died" not in each.said
        assert visus.load(each.folder / "run").manifest.scores["accuracy"].n == 359
    assert "by 2 ranks" in (ended[1].folder / "run" / "log.txt").read_text()


def test_checkpoints_go_on_with_other_ranks(ended: list[Ended], tmp_path: Path) -> None:
    begun = on_ranks(tmp_path / "begun", f"{WORK}stopped", (1, ""), (2, ""), (4, "runtime.parallel=fsdp"), (2, ""))
    assert [each.statuses for each in begun] == [[75], [75, 75], [75] * 4, [75, 75]]
    one, two, four, same = (str(each.folder / "run") for each in begun)
    moved = on_ranks(tmp_path / "moved", f"{WORK}gone_on", (2, one), (1, two), (2, four), (2, same))
    assert moved[3].found[0]["history"] == ended[1].found[0]["history"]  # with as many as before, to the last bit
    for each in moved:
        for found in each.found:
            alike(found, ended[0].found[0])


def test_batches_that_cannot_be_shared_are_refused(ended: list[Ended]) -> None:
    found = ended[3]
    assert found.statuses == [2, 2, 2]
    assert found.said.count("a batch of 128 training samples can't be shared equally by 3 ranks") == 1
    assert "--batch 126 or 129" in found.said
    assert not (found.folder / "run").exists()


def test_what_one_process_does_is_refused_to_several(monkeypatch: pytest.MonkeyPatch) -> None:
    alone("a transfer")
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SpecError, match="a transfer is done by one process"):
        alone("a transfer")


def test_variables_that_lack_others_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(SpecError, match="RANK, MASTER_ADDR, MASTER_PORT isn't set"):
        train(tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("WORLD_SIZE", "two", "WORLD_SIZE=two: isn't a whole number"), ("RANK", "-1", "RANK=-1: isn't a whole number"),
     ("RANK", "2", "rank 2 of 2 can't be")],
)  # fmt: skip
def test_variables_that_make_no_sense_are_refused(
    name: str, value: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    for each in given.items():
        monkeypatch.setenv(*each)
    monkeypatch.setenv(name, value)
    with pytest.raises(SpecError, match=said):
        train(tmp_path / "run")
    with pytest.raises(SpecError, match=said):
        share_of(None, None)
