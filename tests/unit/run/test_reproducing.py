"""A run that is done again: the same to the last bit on one machine, and what is said where it can't be."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch

import visus
from tests.runs import QUICK, quick_run
from tests.unit.run.test_resume import Heard, Stop
from visus.cli.main import main
from visus.errors import RunError, SpecError
from visus.run import training
from visus.run.report import REPORT
from visus.run.reproducing import Difference, Part, Reproduced, reproduce
from visus.run.watch import Silent


@pytest.fixture(scope="module", autouse=True)
def _undrawn() -> Iterator[None]:
    """Reports without pictures, which take longer than these runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "write_report", lambda folder, *_: (folder.path / REPORT).touch())
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reproduced") / "run"
    quick_run(folder, epochs=3)
    return folder


def copied(run: Path, folder: Path) -> Path:
    return Path(shutil.copytree(run, folder / "run"))


def parts(found: Reproduced) -> dict[str, Part]:
    return {part.name: part for part in found.parts}


def test_a_run_is_the_same_again(whole, tmp_path):
    found = reproduce(whole, run=tmp_path / "again", watch=Silent())
    assert found.identical
    assert found.holds
    assert found.environment == {}
    assert {name: part.what for name, part in parts(found).items()} == {
        "history": "3 epochs", "weights": "6 tensors", "scores": "6 scores",
    }  # fmt: skip
    one, other = (
        safetensors.torch.load_file(each / "model" / "model.safetensors") for each in (whole, tmp_path / "again")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert json.loads((tmp_path / "again" / "reproduction.json").read_text())["identical"] is True


def test_weights_of_another_seed_are_told_apart(whole, tmp_path):
    run = copied(whole, tmp_path)
    quick_run(tmp_path / "other", epochs=3, settings=(*QUICK, "seed=1", "data.seed=0"))
    file = run / "model" / "model.safetensors"
    theirs = safetensors.torch.load_file(tmp_path / "other" / "model" / "model.safetensors")
    file.write_bytes(safetensors.torch.save(theirs))
    found = reproduce(run, watch=Silent())
    assert found.again == tmp_path / "run-again"
    assert not found.holds
    assert parts(found)["history"].worst is None
    worst = parts(found)["weights"].worst
    assert worst is not None
    assert worst.share > 0.01
    assert "different: weight" in found.verdict


def test_what_differs_is_named_by_epoch_and_figure(whole, tmp_path):
    # the rate is one part in 10,000 higher from the first epoch on: no other figure can differ before it
    settings = ["optim.lr=0.010001"]
    found = reproduce(whole, run=tmp_path / "again", tolerance=0.5, settings=settings, watch=Silent())
    history = parts(found)["history"]
    assert not found.identical
    assert found.holds
    assert found.verdict.startswith("the same up to rounding")
    assert history.worst is not None
    assert history.first is not None
    assert history.first.where.endswith("of epoch 1")
    rates = json.loads((tmp_path / "again" / "reproduction.json").read_text())["parts"][0]
    assert rates["first"]["where"] == history.first.where
    assert not reproduce(whole, run=tmp_path / "exact", tolerance=0, settings=settings, watch=Silent()).holds


def test_the_first_epochs_alone_have_the_rates_of_all(whole, tmp_path):
    found = reproduce(whole, run=tmp_path / "again", epochs=2, watch=Silent())
    assert found.identical
    assert parts(found)["history"].what == "2 epochs"
    assert len((tmp_path / "again" / "metrics.csv").read_text().splitlines()) == 1 + 2
    assert not (tmp_path / "again" / "model").exists()
    resumed = visus.resume(tmp_path / "again", Silent())
    assert len(resumed.history) == 3


def test_a_run_that_was_stopped_and_resumed_is_compared_like_any(tmp_path):
    run = tmp_path / "run"
    with pytest.raises(visus.VisusError, match="stopped"):
        visus.train("digits", model="mlp", epochs=3, batch=256, settings=QUICK, run=run, device="cpu", watch=Stop(5))
    first = reproduce(run, watch=Silent())
    assert first.epochs == 1  # of 4 steps each
    assert first.identical
    visus.resume(run, Silent())
    assert reproduce(run, watch=Silent()).identical


def test_a_run_that_stopped_early_stops_there_again(tmp_path):
    settings = (*QUICK, "budget.patience=0", "optim.lr=1.0")
    run = quick_run(tmp_path / "run", epochs=8, settings=settings)
    assert len(run.history) < 8
    found = reproduce(tmp_path / "run", watch=Silent())
    assert found.identical
    assert found.epochs == len(run.history)


def test_weights_that_a_run_began_with_must_be_those_of_then(whole, tmp_path):
    from_whole = (*QUICK, f"model.weights={str(whole)!r}")
    quick_run(tmp_path / "run", epochs=1, settings=from_whole)
    assert reproduce(tmp_path / "run", watch=Silent()).identical
    quick_run(tmp_path / "other", epochs=1, settings=(*QUICK, "seed=5", "data.seed=0"))
    moved = [f"model.weights={str(tmp_path / 'other')!r}"]
    with pytest.raises(RunError, match=r"weights .* have changed"):
        reproduce(tmp_path / "run", run=tmp_path / "third", settings=moved, watch=Silent())
    assert not (tmp_path / "third").exists()


def test_what_isnt_as_it_was_is_listed_first(whole, tmp_path):
    run = copied(whole, tmp_path)
    kept = json.loads((run / "environment.json").read_text())
    kept |= {"torch": "1.0", "cores": 4096, "threads": 4096}
    kept["libraries"]["numpy"] = "0.9"
    (run / "environment.json").write_text(json.dumps(kept))
    heard = Heard()
    found = reproduce(run, epochs=1, watch=heard)
    assert {name: was for name, (was, _) in found.environment.items()} == {
        "torch": "1.0", "cores": "4096", "threads": "4096", "numpy": "0.9",
    }  # fmt: skip
    assert heard.lines[0].startswith("not as it was: torch: 2.")


def test_as_many_threads_are_used_as_then(whole, tmp_path):
    run = copied(whole, tmp_path)
    kept = json.loads((run / "environment.json").read_text())
    (run / "environment.json").write_text(json.dumps({**kept, "threads": 1}))
    reproduce(run, epochs=1, watch=Silent())
    assert json.loads((tmp_path / "run-again" / "environment.json").read_text())["threads"] == 1


def test_other_data_are_refused_before_anything_is_trained(whole, tmp_path):
    with pytest.raises(RunError, match="data have changed"):
        reproduce(whole, run=tmp_path / "again", settings=["data.val=0.2"], watch=Silent())
    assert not (tmp_path / "again").exists()


def test_what_no_recipe_gives_is_refused(whole, tmp_path):
    run = copied(whole, tmp_path)
    visus.resume(run, Silent(), epochs=4)
    with pytest.raises(RunError, match="was extended to 4 epochs at step 12"):
        reproduce(run, watch=Silent())
    (tmp_path / "transfer" / "full").mkdir(parents=True)
    for name in ("transfer.toml", "full/recipe.toml"):
        (tmp_path / "transfer" / name).touch()
    with pytest.raises(RunError, match=r"transfer of several runs\n.*transfer/full"):
        reproduce(tmp_path / "transfer", watch=Silent())
    visus.fuse([whole], tmp_path / "fusion", watch=Silent())
    with pytest.raises(RunError, match="is a fusion"):
        reproduce(tmp_path / "fusion", watch=Silent())
    with pytest.raises(RunError, match="no such run"):
        reproduce(tmp_path / "nothing", watch=Silent())


def test_epochs_that_arent_there_are_refused(whole):
    with pytest.raises(RunError, match="has 3 epochs to be compared, and not 4"):
        reproduce(whole, epochs=4, watch=Silent())
    with pytest.raises(SpecError, match="epochs can't be 0"):
        reproduce(whole, epochs=0, watch=Silent())


def test_a_run_without_an_epoch_has_nothing_to_be_compared(tmp_path):
    with pytest.raises(visus.VisusError, match="stopped"):
        visus.train(
            "digits",
            model="mlp",
            epochs=3,
            batch=256,
            settings=QUICK,
            run=tmp_path / "run",
            device="cpu",
            watch=Stop(2),
        )
    with pytest.raises(RunError, match="no epoch yet"):
        reproduce(tmp_path / "run", watch=Silent())


@pytest.mark.parametrize(
    ("share", "tolerance", "said"),
    [(1e-6, 1e-3, "the same up to rounding"), (1e-2, 1e-3, "different: loss of epoch 2 was 1 and is 1.01")],
)
def test_the_verdict_is_by_the_worst_difference(share, tolerance, said):
    worst = Difference("loss of epoch 2", 1.0, 1.01, share)
    found = Reproduced(Path("a"), Path("b"), {}, 2, (Part("history", "2 epochs", worst, worst),), tolerance)
    assert found.verdict.startswith(said)
    assert found.holds is (share <= tolerance)


def test_the_exit_status_says_whether_it_came_out_alike(whole, tmp_path, capsys):
    assert main(["reproduce", str(whole), "--run", str(tmp_path / "one"), "--epochs", "1", "--json"]) == 0
    last = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"reproduction"' in line]
    assert last[0]["identical"] is True
    other = ["--run", str(tmp_path / "two"), "--epochs", "1", "--set", "optim.lr=0.02"]
    assert main(["reproduce", str(whole), *other]) == 1
    assert "came out otherwise" in capsys.readouterr().err
