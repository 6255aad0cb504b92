"""Certificates: what is the same, what isn't, and what they say of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec.structs import replace as changed

from tests.libraries import VERSION, change, library, squeezenet
from visus.errors import WeightsError
from visus.weights.certify import (
    QUESTIONS,
    TOLERANCE,
    Certificate,
    LayerCheck,
    certify,
    page,
    read_certificate,
    write_certificate,
)
from visus.weights.goldens import read_golden, replay
from visus.weights.peers import PEERS

PEER = replace(PEERS["torchvision:squeezenet1_1"], input=(3, 64, 64))
ROLLED = change("classifier.1", "torch.cat([y[:2], y[2:].roll(1, 1)])")  # each score a class later, of the last inputs
Certify = Callable[..., Certificate]


@pytest.fixture(scope="module")
def same(tmp_path_factory: pytest.TempPathFactory) -> tuple[Certificate, Path]:
    """A library that computes what we do, certified; and the golden file of it."""
    folder = tmp_path_factory.mktemp("same")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", library(folder / "library"))
        return certify(PEER, golden=folder / "golden.json"), folder / "golden.json"


@pytest.fixture
def altered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certify:
    """Certify a library with changes."""

    def certified(*changes: str, **settings) -> Certificate:
        monkeypatch.setenv("PYTHONPATH", library(tmp_path / "library", *changes))
        return certify(PEER, **settings)

    return certified


@pytest.fixture
def ramp(tmp_path: Path) -> Path:
    """A file of weights whose scores are 0, 1, … 999 for every image: all is nought but the last biases."""
    state = {name: torch.zeros_like(tensor) for name, tensor in squeezenet().state_dict().items()}
    state["classifier.1.bias"] = torch.arange(1000.0)
    torch.save(state, tmp_path / "ramp.pth")
    return tmp_path / "ramp.pth"


def test_a_library_that_computes_the_same_is_certified(same):
    found, _ = same
    assert found.holds
    assert found.relative < 1e-6
    assert found.worst.relative < 1e-6
    assert (found.top1_agreement, found.same_top1, found.inputs) == (1.0, f"{QUESTIONS} of {QUESTIONS}", QUESTIONS)
    assert (found.library, found.theirs, found.network) == ("torchvision", "squeezenet1_1", "squeezenet1_1")
    assert (found.weights, found.input, found.versions["torchvision"]) == ("formula", (3, 64, 64), VERSION)
    layers = {name.rpartition(".")[0] for name in squeezenet().state_dict()}
    assert sorted(layer.theirs for layer in found.layers) == sorted(layers)


def test_a_golden_file_says_what_the_certificate_does_without_the_library(same):
    _, path = same
    golden = read_golden(path)
    shapes = {name: "x".join(map(str, tensor.shape)) for name, tensor in squeezenet().state_dict().items()}
    assert golden.tensors == shapes
    assert replay(PEER, golden) < 1e-6
    assert replay(PEER, changed(golden, scores=golden.scores[::-1])) > TOLERANCE


def test_a_layer_that_computes_something_else_is_found(altered):
    found = altered(ROLLED)
    assert not found.holds
    assert [layer.theirs for layer in found.layers if layer.relative > 1e-6] == [found.worst.theirs] == ["classifier.1"]
    assert (found.top1_agreement, found.same_top1) == (0.5, "2 of 4")


def test_a_file_of_weights_takes_the_place_of_the_formula(altered, ramp):
    found = altered(ROLLED, file=ramp)
    assert (found.difference, found.relative) == (999, 1)  # of class 0, to which the score of the last one has come
    assert found.weights == f"ramp.pth sha256:{hashlib.sha256(ramp.read_bytes()).hexdigest()}"


def test_a_layer_twice_as_large_differs_by_half_and_those_before_it_by_nothing(altered):
    found = altered(change("features.7.expand3x3", "2 * y"))
    assert not found.holds
    relative = [(layer.theirs, layer.relative) for layer in found.layers]
    place = [name for name, _ in relative].index("features.7.expand3x3")
    assert relative[place][1] == pytest.approx(0.5)
    assert all(value < 1e-6 for _, value in relative[:place])


def test_numbers_that_are_none_agree_with_nothing(altered):
    found = altered(change("features.12.expand3x3", "y / 0"))
    assert not found.holds
    assert (found.relative, found.worst.theirs) == (float("inf"), "features.12.expand3x3")


def test_another_number_of_scores_agrees_with_nothing(altered):
    found = altered("model.classifier.append(nn.ZeroPad2d((0, 0, 0, 0, 0, 1)))")
    assert not found.holds
    assert found.relative == float("inf")


def test_images_take_the_place_of_questions(altered):
    """The library's first layer adds the mean of what it sees: of images that are all 1, exactly 1."""
    found = altered(change("features.0", "y + x[0].mean()"), images=np.ones((3, 3, 40, 48), np.float32))
    assert (found.inputs, found.input) == (3, (3, 40, 48))
    assert found.layers[0].difference == pytest.approx(1)


def test_a_layer_with_its_activation_inside_is_held_against_ours_behind_the_activation(altered):
    """As timm's normalisations are: a layer that has an `act` gives what that makes of it."""
    layer = "features.3.squeeze"
    found = altered(f'model.get_submodule("{layer}").act = nn.ReLU()', change(layer, "y.relu()"))
    assert found.holds
    assert {each.ours for each in found.layers if each.theirs == layer} == {"backbone.stages.1.1.squeeze.act"}
    assert found.worst.relative < 1e-6


@pytest.mark.parametrize("given", ["file", "images"])
def test_a_golden_file_of_anything_but_the_formula_is_refused(tmp_path, given):
    settings = {"file": tmp_path / "x.pth"} if given == "file" else {"images": np.zeros((1, 3, 64, 64), np.float32)}
    with pytest.raises(WeightsError) as raised:
        certify(PEER, golden=tmp_path / "golden.json", **settings)
    assert "--goldens" in raised.value.remedy


# What is written.


def made(difference: float, inputs: int = 4, agreement: float = 1.0) -> Certificate:
    layers = (LayerCheck(ours="a.conv", theirs="x", difference=difference, relative=difference / 2),
              LayerCheck(ours="b.conv", theirs="y", difference=0.0, relative=0.0))  # fmt: skip
    return Certificate(
        library="timm", theirs="net_tf", network="net", versions={"visus": "1", "timm": "2.3"}, weights="formula",
        input=(3, 8, 9), inputs=inputs, layers=layers, difference=difference, relative=difference / 2,
        top1_agreement=agreement,
    )  # fmt: skip


@pytest.mark.parametrize("difference", [1e-7 / 3, 999.0, float("inf")])
def test_a_certificate_is_read_as_it_was_written(tmp_path, difference):
    path = tmp_path / "new" / "folder" / "c.json"
    assert write_certificate(made(difference), path) == path
    assert read_certificate(path) == made(difference)
    assert len(path.read_text().splitlines()) == len(made(difference).layers) + 3  # a layer a line
    assert json.loads(path.read_text())["theirs"] == "net_tf"


@pytest.mark.parametrize(("relative", "holds"), [(TOLERANCE, True), (1.01 * TOLERANCE, False), (float("nan"), False)])
def test_a_certificate_holds_up_to_the_tolerance(relative, holds):
    assert made(2 * relative).holds == holds


def test_a_page_has_every_layer_and_says_whether_the_two_agree():
    text = page(made(0.002, inputs=1000, agreement=0.999))
    assert text.startswith("# net and timm's net_tf\n\nWeights: formula. Inputs: 1000 of 3×8×9. visus 1, timm 2.3.\n")
    assert "**The two do not agree.** Scores differ by at most 2.0e-03, 1.0e-03 of the greatest" in text
    assert "the same class for 999 of 1,000." in text  # which isn't 100 %
    assert re.findall(r"^\|.*\|$", text, re.M)[2:] == [
        "| `a.conv` | `x` | 2.0e-03 | 1.0e-03 |", "| `b.conv` | `y` | 0.0e+00 | 0.0e+00 |",
    ]  # fmt: skip
    assert "The two agree. Scores differ by at most 2.0e-05, 1.0e-05 of the greatest" in page(made(2e-5))
