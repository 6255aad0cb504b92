"""Runs that start from weights: what is frozen stays, what is resumed is the same, and which plan a set calls for."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from sklearn.datasets import load_digits

import visus
from tests.helpers import class_folders
from tests.unit.run.test_resume import Clock, Stop, same
from visus.adaptation import Full, Linear, Partial, Scratch, Stage
from visus.data.dataset import Data
from visus.data.open import open_dataset
from visus.data.splits import divide
from visus.errors import DataError, ModelError, NotFound, RunError, SpecError, WeightsError
from visus.models import Cut
from visus.run.transferring import Case, Transferred, nearest_mean, which_case
from visus.run.watch import Bar, Silent


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a resnet8 on grey images, whose statistics aren't those that it starts with."""
    torch.manual_seed(0)
    model = visus.create_model("resnet8", classes=10, channels=1)
    model(torch.rand(64, 1, 8, 8))
    path = tmp_path_factory.mktemp("weights") / "resnet8.pt"
    torch.save(model.state_dict(), path)
    return path


def train(folder: Path, weights: Path | str | None, *settings: str, watch: Any = None, epochs: int = 2) -> visus.Run:
    return visus.train(
        "digits", model="resnet8", weights=None if weights is None else str(weights), epochs=epochs, batch=256, lr=0.01,
        settings=settings, run=folder, device="cpu", watch=watch or Silent(),
    )  # fmt: skip


def state(folder: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / "model" / "model.safetensors")


def assert_measured(run: visus.Run) -> None:
    """The bundle gives the figures of the run; the loss but for the order of sums in batches of another size."""
    again = visus.evaluate(run.folder, device="cpu").scores
    assert again.keys() == run.scores.keys()
    for name, score in again.items():
        assert score.value == pytest.approx(run.scores[name].value, rel=1e-6)
    assert again["accuracy"] == run.scores["accuracy"]


def changed(run: Path, file: Path) -> set[str]:
    """The stages, and the head, that aren't as in the file."""
    old = torch.load(file, weights_only=True)
    parts = {name: name.split(".")[2] if name.startswith("backbone") else "head" for name in old}
    return {parts[name] for name, tensor in state(run).items() if not torch.equal(tensor, old[name])}


@pytest.mark.parametrize(
    ("settings", "learnt"),
    [
        (["transfer.kind=linear"], {"head"}),
        (["transfer.kind=partial", "transfer.stages=1"], {"3", "head"}),
        (["transfer.kind=partial", "transfer.stages=2", "transfer.decay=0.5"], {"2", "3", "head"}),
        (["transfer.kind=full", "transfer.decay=0.8"], {"0", "1", "2", "3", "head"}),
        (["transfer.kind=full", "transfer.thaw=1"], {"3", "head"}),  # epoch 0 the head, epoch 1 the last stage too
        ([], {"0", "1", "2", "3", "head"}),
    ],
)
def test_what_a_plan_freezes_is_as_in_the_weights(file, tmp_path, settings, learnt):
    run = train(tmp_path / "run", file, *settings)
    assert changed(run.folder, file) == learnt
    assert_measured(run)


@pytest.mark.parametrize("settings", [["transfer.kind=full"], ["transfer.kind=partial", "transfer.stages=2"]])
def test_the_rate_in_the_history_is_the_one_that_was_set_and_not_that_of_the_lowest_stage(file, tmp_path, settings):
    run = train(tmp_path / "run", file, *settings, "transfer.decay=0.5", "schedule.kind=constant")
    assert [row["rate"] for row in run.history] == [0.01, 0.01]


def test_a_stage_is_trained_without_those_after_it(file, tmp_path):
    run = train(tmp_path / "run", file, "transfer.kind=stage", "transfer.stage=1")
    assert run.recipe.transfer == Stage(stage=1)
    assert isinstance(run.recipe.model.spec, Cut)
    old, found = torch.load(file, weights_only=True), state(run.folder)
    backbone = {name: tensor for name, tensor in found.items() if name.startswith("backbone")}
    assert {name.split(".")[2] for name in backbone} == {"0", "1"}
    assert all(torch.equal(tensor, old[name]) for name, tensor in backbone.items())
    assert_measured(run)
    again = visus.train(recipe=str(run.folder / "recipe.toml"), run=tmp_path / "again", watch=Silent())
    assert same(again.folder, run.folder)


def test_from_scratch_nothing_of_the_weights_is_there(file, tmp_path):
    train(tmp_path / "one", file, "transfer.kind=scratch")
    train(tmp_path / "other", None)
    assert same(tmp_path / "one", tmp_path / "other")


def test_the_validation_figures_are_of_the_whole_network(file, tmp_path):
    """While features are trained on, an epoch's figures come from the features; they are those of the bundle."""
    run = train(tmp_path / "run", file, "transfer.kind=linear")
    best = max(run.history, key=lambda row: (row["val/accuracy"], -row["val/loss"]))
    found = visus.evaluate(run.folder, split="val", device="cpu").scores
    assert found["accuracy"].value == best["val/accuracy"]
    assert found["loss"].value == pytest.approx(best["val/loss"], rel=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        ["transfer.kind=linear"],
        ["transfer.kind=linear", "budget.ema=0.9"],
        ["transfer.kind=stage", "transfer.stage=1"],
        ["transfer.kind=full", "transfer.thaw=1", "transfer.decay=0.5"],
        [],  # a convolutional network's memory is laid out channels last, and its optimiser's with it
    ],
)
def test_resume_is_bit_identical(file, tmp_path, settings):
    train(tmp_path / "whole", file, *settings)
    with pytest.raises(visus.VisusError, match="stopped at step 6 "):  # in the second epoch of 4 steps each
        train(tmp_path / "run", file, *settings, watch=Stop(6))
    visus.resume(tmp_path / "run", Silent())
    assert same(tmp_path / "run", tmp_path / "whole")


def test_features_that_are_computed_once_are_in_the_first_epochs_seconds(file, tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("visus.run.training.time", clock)
    run = train(tmp_path / "run", file, "transfer.kind=linear", watch=clock)
    assert clock.works["features of train"] > 0
    features = 1000 * (clock.works["features of train"] + clock.works["features of val"])
    assert [row["seconds"] for row in run.history] == [features + 3, features + 6]


def test_weights_that_changed_are_noticed(file, tmp_path):
    mine = tmp_path / "mine.pt"
    mine.write_bytes(file.read_bytes())
    with pytest.raises(visus.VisusError, match="stopped at step 6 "):
        train(tmp_path / "run", mine, "transfer.kind=linear", watch=Stop(6))
    other = torch.load(file, weights_only=True)
    other["backbone.stages.0.conv.weight"][0] += 1e-3
    torch.save(other, mine)
    with pytest.raises(RunError, match=r"the weights .*mine\.pt have changed since the run began"):
        visus.resume(tmp_path / "run", Silent())
    mine.unlink()
    with pytest.raises(NotFound, match=r"mine\.pt: there is no such file"):
        visus.resume(tmp_path / "run", Silent())


def test_the_average_is_what_a_linear_plan_keeps(file, tmp_path):
    """With a decay near 1 the average of the last layer stays where it began, and the layer itself doesn't."""
    run = train(tmp_path / "run", file, "transfer.kind=linear", "budget.ema=0.9999")
    average = safetensors.torch.load_file(tmp_path / "run" / "checkpoints" / "last.safetensors")
    learnt, kept = average["model.head.0.weight"], state(run.folder)["head.2.weight"]
    assert not torch.allclose(learnt, kept, atol=1e-3)
    best = safetensors.torch.load_file(tmp_path / "run" / "checkpoints" / "best.safetensors")
    assert torch.equal(kept, best["model.head.0.weight"])
    assert_measured(run)


def test_a_run_as_weights_keeps_its_head_where_the_classes_are_the_same(file, tmp_path):
    first = train(tmp_path / "first", file)
    again = train(tmp_path / "again", first.folder, "transfer.kind=linear", "optim.lr=1e-9", epochs=1)
    one, other = state(first.folder), state(again.folder)
    assert torch.allclose(one["head.2.weight"], other["head.2.weight"], atol=1e-6)
    assert again.scores["accuracy"].value == pytest.approx(first.scores["accuracy"].value, abs=0.01)


def test_a_regression_takes_weights_too(file, tmp_path):
    run = visus.train(
        "scenes", model="resnet8", weights=str(file), task="regress", epochs=1, run=tmp_path / "run", device="cpu",
        settings=["data.count=60", "transfer.kind=linear", "preprocess.size=[32,32]"], watch=Silent(),
    )  # fmt: skip
    assert run.recipe.preprocess.channels == 1  # as the weights take it
    assert changed(run.folder, file) == {"head"} if "head.2.weight" in state(run.folder) else True


@pytest.mark.parametrize(
    ("weights", "settings", "error", "says"),
    [
        (None, ["transfer.kind=linear"], SpecError, "keeps what weights know, and none are given"),
        (None, ["transfer.kind=full"], SpecError, "keeps what weights know"),
        ("file", ["transfer.kind=partial", "transfer.stages=9"], SpecError, "the network has 4 stages"),
        ("file", ["transfer.kind=stage", "transfer.stage=9"], ModelError, "has no stage 9"),
        ("file", ["transfer.kind=liner"], SpecError, "linear"),
        ("nowhere.pt", [], NotFound, "there is no such file"),
        ("file", ["preprocess.channels=3"], WeightsError, "16×1×3×3 in .*16×3×3×3 in the network"),
    ],
)
def test_what_is_refused_leaves_no_folder(file, tmp_path, weights, settings, error, says):
    given = str(file) if weights == "file" else weights
    with pytest.raises(error, match=says):
        train(tmp_path / "run", given, *settings)
    assert not (tmp_path / "run").exists()


# which case


def test_nearest_mean_by_leaving_each_out():
    random = np.random.default_rng(0)
    values = random.normal(size=(30, 4)) * [1, 5, 0.1, 1] + np.repeat([[0.0], [0.7], [1.4]], 10, axis=0)
    labels = np.repeat([3, 5, 8], 10)
    scaled = (values - values.mean(0)) / values.std(0)
    right = 0
    for row in range(30):
        others = np.arange(30) != row
        means = {label: scaled[others & (labels == label)].mean(0) for label in (3, 5, 8)}
        right += min(means, key=lambda label: np.linalg.norm(scaled[row] - means[label])) == labels[row]
    assert 10 < right < 30
    assert nearest_mean(values, labels) == right / 30


def test_a_sample_alone_in_its_class_is_never_its_own_neighbour():
    values = np.array([[0.0], [0.1], [5.0], [5.1], [9.0]])
    assert nearest_mean(values, np.array([0, 0, 1, 1, 2])) == 0.8


def test_a_feature_that_is_constant_says_nothing():
    values = np.array([[7.0, 0.0], [7.0, 0.1], [7.0, 5.0], [7.0, 5.1]])
    assert nearest_mean(values, np.array([0, 0, 1, 1])) == 1.0


@pytest.mark.parametrize(
    ("large", "similar", "plan"),
    [(False, True, Linear()), (False, False, Stage(stage=3)), (True, True, Full(decay=0.8)), (True, False, Full())],
)
def test_the_four_cases(large, similar, plan):
    found, why = Case(images=1234, large=large, similar=similar, stage=3).plan
    assert found == plan
    assert "1,234 training images are " + ("many" if large else "few") in why
    assert ("unlike" in why) != similar


def digits() -> Any:
    return divide(open_dataset(Data(source="digits")), Data(), 0)


def test_a_case_that_is_given_is_taken():
    case = which_case(digits(), "resnet8", "nowhere.pt", similar=False, large=True, watch=Silent())
    assert (case.large, case.similar, case.top) == (True, False, None)
    assert case.stage == 2  # of four


def test_a_case_is_found_from_the_features(file):
    case = which_case(digits(), "resnet8", str(file), device="cpu", watch=Silent())
    assert case.images == 1258
    assert not case.large
    assert case.similar == (case.top >= case.early)
    assert 0.3 < case.early < 1  # chance: 0.1
    assert f"{case.top:.0%} by the last features" in case.plan[1]


def test_a_case_without_labels_must_be_said(tmp_path, file):
    (tmp_path / "t.csv").write_text("image,price\n" + "".join(f"{i}.png,{i}.5\n" for i in range(6)))
    class_folders(tmp_path, {".": 6})
    dataset = open_dataset(Data(source=str(tmp_path / "t.csv")))
    with pytest.raises(DataError) as raised:
        which_case(divide(dataset, Data(), 0), "resnet8", str(file), watch=Silent())
    assert raised.value.remedy == "say it: --similar or --no-similar"


# the verb


class Told(Silent):  # type: ignore[misc]
    """A watcher that keeps what a program is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Mapping[str, Any]]] = []

    def event(self, kind: str, facts: Mapping[str, Any]) -> None:
        self.events.append((kind, json.loads(json.dumps(facts))))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, found = tmp_path_factory.mktemp("photos"), load_digits()
    for index in np.flatnonzero(found.target < 3)[:90]:
        path = folder / f"class {found.target[index]}" / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray((found.images[index] * 255 / 16).round().astype(np.uint8)).save(path)
    return folder


def test_transfer_from_beginning_to_end(photos, file, tmp_path):
    told = Told()
    found = visus.transfer(
        photos, model="resnet8", weights=str(file), settings=["budget.epochs=2"], device="cpu", out=tmp_path / "out",
        watch=told,
    )  # fmt: skip
    assert found.plan == found.case.plan[0]
    assert {each.name for each in (tmp_path / "out").iterdir()} >= {"scratch", "transfer.md", "curves.png"}
    assert found.scratch.recipe.transfer == Scratch()
    assert found.scratch.recipe.preprocess.size == found.run.recipe.preprocess.size
    text = (tmp_path / "out" / "transfer.md").read_text(encoding="utf-8")
    for run in (found.run, found.scratch):
        assert f"| {run.scores['accuracy'].text} | {run.scores['accuracy'].interval} |" in text
    assert found.case.plan[1] in text
    kind, facts = told.events[-1]
    assert kind == "transfer"
    assert facts["scores"]["scratch"]["accuracy"]["value"] == found.scratch.scores["accuracy"].value
    with pytest.raises(RunError, match="exists already"):
        visus.transfer(photos, model="resnet8", weights=str(file), out=tmp_path / "out", watch=Silent())


def test_the_network_from_scratch_is_whole(photos, file, tmp_path):
    found = visus.transfer(
        photos, model="resnet8", weights=str(file), plan="stage:1", settings=["budget.epochs=1"], device="cpu",
        out=tmp_path / "out", watch=Silent(),
    )  # fmt: skip
    assert found.case is None
    assert found.run.folder.name == "stage-1"
    assert found.scratch.recipe.model.spec == found.run.recipe.model.spec.network


@pytest.mark.parametrize("plan", ["linaer", "stage", "partial:0", "partial:9", "stage:9"])
def test_a_plan_that_can_not_be_leaves_nothing(photos, file, tmp_path, plan):
    with pytest.raises((SpecError, ModelError)):
        visus.transfer(
            photos, model="resnet8", weights=str(file), plan=plan, device="cpu", out=tmp_path / "out", watch=Silent()
        )
    assert not (tmp_path / "out").exists()


def test_a_plan_may_be_an_object_and_scratch_may_be_left_out(photos, file, tmp_path):
    found = visus.transfer(
        photos, model="resnet8", weights=str(file), plan=Partial(stages=1), scratch=False, epochs=1, device="cpu",
        out=tmp_path / "out", watch=Silent(),
    )  # fmt: skip
    assert found.scratch is None
    assert found.run.recipe.transfer == Partial(stages=1)
    assert len(found.run.history) == 1


class StopRun(Silent):  # type: ignore[misc]
    """A watcher that presses Ctrl-C after so many steps of the run of this number."""

    def __init__(self, run: int, steps: int) -> None:
        self.left, self.steps = run, steps

    def say(self, text: str) -> None:
        self.left -= text.startswith("— ")

    @contextmanager
    def work(self, title: str) -> Iterator[Bar]:
        def bar(done: int, total: int, note: str = "") -> None:
            if title == "training" and self.left == 0 and done == self.steps:
                signal.raise_signal(signal.SIGINT)

        yield bar


@pytest.mark.parametrize("stopped", [1, 2])
@pytest.mark.parametrize("named", [True, False])
def test_a_stopped_transfer_is_finished_by_the_same_command(photos, file, tmp_path, monkeypatch, stopped, named):
    monkeypatch.chdir(tmp_path)

    def carry(out: str, watch: Any) -> Transferred:
        return visus.transfer(
            photos, model="resnet8", weights=str(file), plan="full", epochs=2, settings=["budget.batch=16"],
            device="cpu", out=out if named or out == "whole" else None, watch=watch,
        )  # fmt: skip

    whole = carry("whole", Silent())
    with pytest.raises(visus.VisusError, match="stopped at step 5 of 6") as raised:  # in the second epoch of 3 steps
        carry("out", StopRun(stopped, 5))
    where = "out" if named else str(next((tmp_path / "runs").iterdir()).relative_to(tmp_path))
    assert raised.value.remedy == f"repeat the command with --out {where}: it goes on there, and what is finished stays"
    folder = tmp_path / where
    before = {path: path.read_bytes() for path in folder.glob("full/model/*")}
    found = carry("out", Silent())
    assert found.folder.resolve() == folder
    assert {"full", "scratch", "transfer.md", "transfer.toml", "curves.png"} == {each.name for each in folder.iterdir()}
    assert same(folder / "full", tmp_path / "whole" / "full")
    assert same(folder / "scratch", tmp_path / "whole" / "scratch")
    assert before == {path: path.read_bytes() for path in before}
    assert bool(before) == (stopped == 2)
    for one, other in ((found.run, whole.run), (found.scratch, whole.scratch)):
        assert (one.scores, one.split, one.best, one.recipe) == (other.scores, other.split, other.best, other.recipe)
        assert [{**row, "seconds": 0} for row in one.history] == [{**row, "seconds": 0} for row in other.history]
    if named:
        with pytest.raises(RunError, match="exists already"):
            carry("out", Silent())


def test_another_transfer_is_not_gone_on_with(photos, file, tmp_path):
    kept = {"model": "resnet8", "weights": str(file), "plan": "linear", "device": "cpu", "out": tmp_path / "out"}
    with pytest.raises(visus.VisusError, match="stopped at step 1 "):
        visus.transfer(photos, **kept, epochs=2, watch=StopRun(1, 1))
    with pytest.raises(RunError, match="holds another transfer, which isn't finished") as raised:
        visus.transfer(photos, **kept, epochs=3, watch=Silent())
    assert str(tmp_path / "out" / "transfer.toml") in raised.value.remedy


@pytest.mark.parametrize(("plan", "scratch"), [("linear", 12), ("full", 1)])
def test_epochs_count_from_scratch_too_where_they_are_comparable(photos, file, tmp_path, plan, scratch):
    found = visus.transfer(
        photos, model="resnet8", weights=str(file), plan=plan, epochs=1, device="cpu", out=tmp_path / "out",
        watch=Silent(),
    )  # fmt: skip
    assert (len(found.run.history), len(found.scratch.history)) == (1, scratch)
    head, _, *rows = (tmp_path / "out" / "transfer.md").read_text(encoding="utf-8").splitlines()[2:6]
    place = head.split(" | ").index("epochs")
    assert [row.split(" | ")[place] for row in rows] == ["1", str(scratch)]
