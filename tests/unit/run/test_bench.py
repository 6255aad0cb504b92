"""How fast a network is trained: what can be known of it beforehand."""

import json

import pytest
import torch

import visus
from visus.cli.main import main
from visus.errors import SpecError
from visus.run import bench as module
from visus.run.watch import Silent

SETTINGS = ("model.spec.hidden=[32]", "runtime.keep_memory=false")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(module.SIDES, "cpu", 64)


def test_operations_are_counted_and_shares_are_of_the_whole():
    found = visus.bench("digits", model="mlp", batch=16, settings=SETTINGS, seconds=0.05, device="cpu", watch=Silent())
    assert [(row.what, row.precision) for row in found.rows] == [
        ("training", "float32"), ("prediction", "float32"), ("training", "bfloat16"), ("prediction", "bfloat16"),
        ("data alone", "float32"),
    ]  # fmt: skip
    assert (found.device, found.batch, found.memory) == ("cpu", 16, 0)
    training, predicting, *_, data = found.rows
    # 64 pixels, 32 hidden, 10 classes: two operations a weight forward, two for its gradient, and two for the gradient
    # of each hidden value by the weights above it; nobody wants that of the pixels
    forward = 2 * (64 * 32 + 32 * 10)
    assert predicting.operations / predicting.images == pytest.approx(forward)
    assert training.operations / training.images == pytest.approx(2 * forward + 2 * 32 * 10)
    for row in found.rows:
        assert row.images * row.step == pytest.approx(16)
        assert 0 <= row.waiting <= 1
    assert training.share == training.operations / training.peak > 0
    assert data.operations == data.share == 0
    assert data.waiting > 0.5


def test_a_precision_that_is_given_is_the_only_one(capsys):
    words = ["bench", "digits", "--model", "mlp", "--seconds", "0.05", "--set", "runtime.precision=bfloat16", "--json"]
    assert main([*words, "--set", "runtime.keep_memory=false", "--device", "cpu"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    paces = [row for row in rows if row["event"] == "pace"]
    assert [row["precision"] for row in paces if row["what"] != "data alone"] == ["bfloat16", "bfloat16"]


def test_features_that_are_computed_once_are_what_learns(tmp_path):
    """With linear transfer only a last layer learns: for it, 2 operations a weight forward and 2 for its gradient."""
    found = visus.bench(
        "digits", model="lenet5_full", seconds=0.05, device="cpu", watch=Silent(),
        settings=(
            "transfer.kind=linear", f"model.weights={kept(tmp_path)}", "runtime.precision=float32",
            "runtime.keep_memory=false",
        ),
    )  # fmt: skip
    training, *_ = found.rows
    assert training.operations / training.images == pytest.approx(4 * 84 * 10)


def kept(folder):
    """A file of weights of LeNet-5."""
    from safetensors.torch import save_file

    torch.manual_seed(0)
    path = folder / "lenet5.safetensors"
    save_file(visus.create_model("lenet5_full").state_dict(), path)
    return path


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_seconds_that_cannot_be_are_refused(seconds):
    with pytest.raises(SpecError, match="seconds can't be"):
        visus.bench("digits", seconds=seconds)


def test_it_needs_something_to_train(capsys):
    assert main(["bench"]) == 2
    assert "needs data or a recipe" in capsys.readouterr().err
