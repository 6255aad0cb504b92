"""`fuse` from runs to a bundle: fitted on validation samples, measured on test samples, and used as a run is."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from msgspec.structs import replace

import visus
from tests.helpers import class_folders
from tests.predictors import SIZES, network
from tests.runs import QUICK, quick_run
from visus.errors import BundleError, DataError, ModelError, NotFound, RunError, SpecError
from visus.prediction import NetworkPredictor, load, read_manifest
from visus.run.api import described
from visus.run.watch import Silent

VIEWS = visus.Views(scales=(1.0, 1.25), crops="five")


class Heard(Silent):  # type: ignore[misc]
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.events: list[Mapping[str, Any]] = []
        self.titles: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def event(self, kind: str, facts: Mapping[str, Any]) -> None:
        self.events.append(facts)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.titles.append(title)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs on one division of the digits, and one on another."""
    folder = tmp_path_factory.mktemp("runs")
    quick_run(folder / "one", epochs=3)
    quick_run(folder / "two", epochs=3, settings=(*QUICK, "seed=1", "data.seed=0"))
    quick_run(folder / "weak", epochs=1, settings=(*QUICK, "seed=2", "data.seed=0"))
    quick_run(folder / "other", epochs=1, settings=(*QUICK, "seed=1"))
    return folder


def losses(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    return {name: each["loss"].value for name, each in scores.items()}


def test_fitted_weights_are_never_worse_where_they_were_fitted(runs, tmp_path):
    members = [runs / "one", runs / "two", runs / "weak"]
    found = visus.fuse(members, tmp_path / "fused", fit=True, device="cpu")
    alike = visus.fuse(members, device="cpu")
    val = losses(found.scores["val"])
    assert val["fusion"] <= min(val["one"], val["two"], val["weak"]) + 1e-5
    assert val["fusion"] <= losses(alike.scores["val"])["fusion"] + 1e-5
    assert sum(found.weights) == pytest.approx(1)
    assert found.weights[2] < found.weights[0]
    assert alike.weights == pytest.approx((1 / 3,) * 3)
    assert alike.folder is None


def test_the_mean_is_never_worse_than_its_members_on_the_average(runs):
    """The logarithm is concave: the log loss of mean probabilities is at most the mean log loss."""
    found = visus.fuse([runs / "one", runs / "two", runs / "weak"], device="cpu").scores
    for split in ("val", "test"):
        *members, fused = losses(found[split]).values()
        assert fused <= sum(members) / 3 + 1e-6


def test_a_fusion_is_used_as_a_run_is_wherever_it_lies(runs, tmp_path):
    found = visus.fuse([runs / "one", runs / "two"], tmp_path / "fused", weights=(2, 1), device="cpu")
    moved = Path(shutil.move(tmp_path / "fused", tmp_path / "a b é"))
    measured = visus.evaluate(moved, device="cpu")
    assert measured.split == "test"
    assert measured.scores["accuracy"].n == 359
    for name, score in found.scores["test"]["fusion"].items():
        assert measured.scores[name].value == pytest.approx(score.value, abs=1e-6)
    assert read_manifest(moved).scores["accuracy"] == found.scores["test"]["fusion"]["accuracy"]
    digits = np.random.default_rng(0).integers(0, 256, (2, 8, 8), dtype=np.uint8)
    fusion, one, two = load(moved), load(runs / "one"), load(runs / "two")
    for digit in digits:
        wanted = (2 * one(digit).probabilities + two(digit).probabilities) / 3
        np.testing.assert_allclose(fusion(digit).probabilities, wanted, atol=1e-6)
    assert len(fusion(digits[0]).top(5)) == 5
    assert "confusion" in {path.stem for path in measured.draw(tmp_path / "plots")}
    with pytest.raises(ModelError, match="a fusion of several networks"):
        described(str(moved), None, None, None)


def test_each_member_is_measured_as_in_its_own_run(runs):
    scores = visus.fuse([runs / "one", runs / "weak"], device="cpu").scores["test"]
    for name in ("one", "weak"):
        own = read_manifest(runs / name).scores
        assert {key: score.value for key, score in scores[name].items()} == pytest.approx(
            {key: score.value for key, score in own.items()}, abs=1e-6
        )


def test_test_samples_are_measured_once_with_the_weights_that_were_fitted_on_others(runs):
    heard = Heard()
    found = visus.fuse([runs / "one", runs / "two"], fit=True, views=VIEWS, device="cpu", watch=heard)
    assert heard.titles == ["digits, val: these samples chose the epochs and the weights", "digits, test"]
    assert [event["split"] for event in heard.events] == ["val", "test"]
    names = ["one", "two", "one, 10 views", "two, 10 views", "fusion"]
    assert all(sorted(event["scores"]) == sorted(names) for event in heard.events)
    assert heard.events[0]["weights"] == heard.events[1]["weights"]
    assert list(heard.events[0]["weights"]) == ["one, 10 views", "two, 10 views"]
    assert found.predictor.manifest.fitted == "digits, val"


def test_one_network_through_views_is_a_fusion(runs, tmp_path):
    found = visus.fuse([runs / "one"], tmp_path / "views", views=VIEWS, device="cpu")
    assert found.weights == (1.0,)
    assert found.predictor.looks == 10
    assert load(tmp_path / "views").manifest == read_manifest(tmp_path / "views")
    assert load(tmp_path / "views").looks == 10
    with pytest.raises(NotFound, match="no views named 'tenn'"):
        visus.fuse([runs / "one"], views="tenn")
    with pytest.raises(SpecError, match="'ten' are all alike"):
        visus.fuse([runs / "one"], views="ten", device="cpu")
    for views, says in (({"scales": ()}, "length at least 1"), ({"crops": "fve"}, "did you mean five")):
        with pytest.raises(SpecError, match=says):
            visus.fuse([runs / "one"], views=visus.Views(**views), device="cpu")


def test_a_model_with_itself_is_noted(runs):
    heard = Heard()
    visus.fuse([runs / "one", runs / "two", runs / "one"], device="cpu", watch=heard)
    assert "note: one (2) is the same model as one: together they say what one says" in heard.lines
    assert any(line.startswith("asking 3 predictors about") for line in heard.lines)
    assert sum(line.startswith("note: ") for line in heard.lines) == 1


def test_a_fusion_may_be_fused_again(runs, tmp_path):
    visus.fuse([runs / "one", runs / "two"], tmp_path / "pair", device="cpu")
    found = visus.fuse([tmp_path / "pair", runs / "weak"], tmp_path / "all", fit=True, device="cpu")
    assert set(found.scores["test"]) == {"pair", "weak", "fusion"}
    assert visus.evaluate(tmp_path / "all", device="cpu").scores["loss"].value == pytest.approx(
        losses(found.scores["test"])["fusion"], abs=1e-6
    )


def test_members_of_other_data_are_refused_unless_data_are_named(runs):
    with pytest.raises(DataError, match=r"other was trained on other data than one[\s\S]*data\.seed[\s\S]*--data"):
        visus.fuse([runs / "one", runs / "other"], device="cpu")
    heard = Heard()
    found = visus.fuse([runs / "one", runs / "other"], data="digits", fit=True, device="cpu", watch=heard)
    notes = [line for line in heard.lines if "was trained on these data" in line]
    assert [line.split(":")[1].split()[0] for line in notes] == ["one", "other"]
    assert list(found.scores) == ["all"]
    assert found.scores["all"]["fusion"]["accuracy"].n == 1797
    assert found.predictor.manifest.recipe is None
    assert found.predictor.manifest.fitted == "digits, all"


def test_changed_data_are_refused(tmp_path):
    photos = class_folders(tmp_path / "photos", {"cat": 10, "dog": 10})
    run = visus.train(
        photos, model="mlp", epochs=1, size=(8, 8), run=tmp_path / "run", device="cpu", watch=Silent()
    ).folder
    assert visus.fuse([run], device="cpu").scores["test"]["fusion"]["accuracy"].n == 4
    moved = Path(shutil.move(photos, tmp_path / "moved"))
    found = visus.fuse([run], device="cpu", settings=[f"data.source={str(moved)!r}"])
    assert found.scores["test"]["fusion"]["accuracy"].n == 4
    next(moved.rglob("*.png")).unlink()
    with pytest.raises(DataError, match="have changed since the members were trained"):
        visus.fuse([run], device="cpu", settings=[f"data.source={str(moved)!r}"])


def test_without_validation_samples_nothing_is_fitted(tmp_path):
    run = quick_run(tmp_path / "run", epochs=1, settings=(*QUICK, "data.val=0")).folder
    assert list(visus.fuse([run, run], device="cpu").scores) == ["test"]
    with pytest.raises(DataError, match=r"no validation samples to fit weights on[\s\S]*--data"):
        visus.fuse([run, run], fit=True, device="cpu")


@pytest.mark.parametrize("how", ["arithmetic", "geometric"])
def test_either_mean_is_of_members_and_views_alike(runs, tmp_path, how):
    heard = Heard()
    found = visus.fuse(
        [runs / "one", runs / "two"], tmp_path / "fused", how=how, views=VIEWS, device="cpu", watch=heard
    )
    assert heard.titles == ["digits, val: these samples chose the epochs", "digits, test"]
    again = load(tmp_path / "fused")
    digit = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    logs = []
    for run in ("one", "two"):
        network = load(runs / run)
        assert isinstance(network, NetworkPredictor)
        seen = network.preprocess.place_views(torch.from_numpy(digit)[None, :, :, None], VIEWS.each())[0]
        logs.append(torch.log_softmax(network.outputs(seen).double(), 1))
    both = torch.cat(logs)
    mean = both.exp().mean(0) if how == "arithmetic" else torch.softmax(both.mean(0), 0)
    np.testing.assert_allclose(again(digit).probabilities, mean.numpy(), atol=1e-6)
    assert found.predictor.manifest.how == how


def test_members_of_one_name_are_told_apart(runs):
    shutil.copytree(runs / "one" / "model", runs / "fusion")
    members = [runs / "one", runs / "one", load(runs / "one"), load(runs / "two"), runs / "fusion"]
    found = visus.fuse(members, device="cpu")
    names = ["one", "one (2)", "mlp", "mlp (2)", "fusion (2)"]
    assert [each.name for each in found.predictor.manifest.members] == names
    assert list(found.scores["test"]) == [*names, "fusion"]


def test_a_folder_that_is_taken_is_refused_before_anything_is_done(runs, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("mine")
    for path in ("taken", "taken/thesis.txt"):
        with pytest.raises(RunError, match="isn't an empty folder"):
            visus.fuse([tmp_path / "nothing"], tmp_path / path)
    (tmp_path / "empty").mkdir()
    visus.fuse([runs / "one"], tmp_path / "empty", device="cpu")
    assert load(tmp_path / "empty").schema.labels == tuple("0123456789")


def test_what_makes_no_sense_is_refused(runs, tmp_path):
    with pytest.raises(SpecError, match="either given or fitted"):
        visus.fuse([runs / "one"], fit=True, weights=[1])
    with pytest.raises(NotFound, match="no such run"):
        visus.fuse([runs / "nothing"])
    with pytest.raises(SpecError, match="at least one member"):
        visus.fuse([])
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="can't be written"):
        visus.fuse([runs / "one"], tmp_path / "file" / "below", device="cpu")


def without_a_run(run: Path) -> NetworkPredictor:
    """As a network with published weights is: nothing is known of its data."""
    known = load(run)
    assert isinstance(known, NetworkPredictor)
    bare = replace(known.manifest, recipe=None, fingerprint=None, split=None, scores={}, goldens=())
    return NetworkPredictor(bare, known.model)


def test_predictors_without_a_run_are_fused_on_data_that_are_named(runs, tmp_path):
    published = [without_a_run(runs / "one"), without_a_run(runs / "two")]
    assert visus.fuse(published, tmp_path / "unmeasured").scores == {}
    with pytest.raises(DataError, match="no validation samples"):
        visus.fuse(published, fit=True)
    heard = Heard()
    found = visus.fuse(published, tmp_path / "fused", fit=True, data="digits", watch=heard, device="cpu")
    assert heard.lines == ["asking 2 predictors about 1,797 samples of all", f"fusion: {tmp_path / 'fused'}"]
    again = load(tmp_path / "fused")
    assert len(again.manifest.goldens) == 4
    assert visus.evaluate(again, "digits", device="cpu").scores["loss"].value == pytest.approx(
        losses(found.scores["all"])["fusion"], abs=1e-6
    )
    with pytest.raises(DataError, match=r"no data belong to this model[\s\S]*visus evaluate MODEL DATA"):
        visus.evaluate(tmp_path / "fused", device="cpu")


def test_values_are_fused_by_least_squares(tmp_path):
    for seed in (0, 1):
        visus.train(
            "diabetes", model="mlp", epochs=8, lr=0.01, run=tmp_path / str(seed), device="cpu", watch=Silent(),
            settings=(f"seed={seed}", "data.seed=0"),
        )  # fmt: skip
    found = visus.fuse([tmp_path / "0", tmp_path / "1"], tmp_path / "fused", fit=True, device="cpu")
    val = losses(found.scores["val"])
    assert val["fusion"] <= min(val["0"], val["1"]) * (1 + 1e-6)
    said = visus.load(tmp_path / "fused")(np.zeros(10, np.float32))
    assert said.row().keys() == {"progression"}
    with pytest.raises(SpecError, match="no probabilities"):
        visus.fuse([tmp_path / "0", tmp_path / "1"], how="geometric", device="cpu")
    with pytest.raises(SpecError, match="takes vectors"):
        visus.fuse([tmp_path / "0"], views="mirror", device="cpu")


def test_several_tasks_are_refused(runs):
    with pytest.raises(SpecError, match="gives values by regress, and member 1"):
        visus.fuse([runs / "one", network(0, SIZES)], device="cpu")
