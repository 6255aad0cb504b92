"""Asking a library that lives in another Python, and what is said when that can't be done."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import metadata, util
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.libraries import VERSION, change, library, squeezenet
from visus.errors import WeightsError
from visus.weights.ask import ask
from visus.weights.peer import filled, question, sampled
from visus.weights.peers import PEERS
from visus.weights.translate import entries

PEER = replace(PEERS["torchvision:squeezenet1_1"], input=(3, 40, 50))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", library(tmp_path / "library"))


def refused(**settings) -> WeightsError:
    with pytest.raises(WeightsError) as raised:
        ask(PEER, **settings)
    return raised.value


@pytest.mark.usefixtures("installed")
def test_the_answer_is_what_the_librarys_network_says_when_the_formula_fills_it():
    found = ask(PEER, ["features.0", "nowhere"], count=2)
    assert set(found) == {"logits", "layer:features.0", "facts"}
    model, x = squeezenet(), torch.from_numpy(question(PEER.input, 2))
    model.load_state_dict({n: torch.from_numpy(filled(n, tuple(t.shape))) for n, t in model.state_dict().items()})
    with torch.inference_mode():
        assert np.allclose(found["logits"], model(x), rtol=1e-4, atol=1e-6)
        assert np.allclose(found["layer:features.0"], sampled(model.features[0](x).numpy()), rtol=1e-4, atol=1e-6)
    facts = json.loads(found["facts"].tobytes())
    assert facts["tensors"] == {entry.theirs: list(entry.shape) for entry in entries(PEER, 1000)}
    assert facts["versions"] == {"torchvision": VERSION, "torch": metadata.version("torch")}


@pytest.mark.usefixtures("installed")
def test_a_file_and_images_are_passed_on(tmp_path, monkeypatch):
    """Where all weights are nought but the last biases, the scores are these biases, for each image."""
    state = {name: torch.zeros_like(tensor) for name, tensor in squeezenet().state_dict().items()}
    state["classifier.1.bias"] = torch.arange(1000.0)
    torch.save(state, tmp_path / "mine.pth")
    monkeypatch.chdir(tmp_path)
    found = ask(PEER, file=Path("mine.pth"), images=np.ones((3, 3, 48, 33), np.float32), count=9)
    assert np.array_equal(found["logits"], np.tile(np.arange(1000.0), (3, 1)))


@pytest.mark.skipif(util.find_spec("torchvision") is not None, reason="this Python has torchvision")
def test_a_python_without_the_library_is_told_apart():
    error = refused()
    assert "torchvision's squeezenet1_1 failed: ModuleNotFoundError: No module named 'torchvision'" in error.problem
    assert "--python" in error.remedy


@pytest.mark.parametrize("name", ["nowhere", "no program", "a folder"])
def test_what_is_no_python_is_named(tmp_path, name):
    (tmp_path / "no program").write_text("")
    (tmp_path / "a folder").mkdir()
    error = refused(python=tmp_path / name)
    assert f"{tmp_path / name} can't be run: " in error.problem
    assert "--python" in error.remedy


def test_a_program_that_answers_nothing_is_no_python(tmp_path):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    error = refused(python=program)
    assert error.problem == f"{program}: ends without an answer: it is no Python"
    assert "--python" in error.remedy


def test_an_error_of_the_library_is_quoted(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", library(tmp_path / "library", change("features.3", "1 / 0")))
    error = refused()
    assert error.problem.endswith("torchvision's squeezenet1_1 failed: ZeroDivisionError: division by zero")
    assert error.remedy == ""  # another Python wouldn't help


@pytest.mark.usefixtures("installed")
def test_a_file_of_another_network_is_the_librarys_to_refuse(tmp_path):
    torch.save({"fc.weight": torch.zeros(10, 4)}, tmp_path / "other.pth")
    assert "fc.weight" in refused(file=tmp_path / "other.pth").problem


def test_files_without_a_library_can_not_be_asked(tmp_path):
    with pytest.raises(WeightsError, match="efficientnet_lite_pytorch can't be asked"):
        ask(PEERS["efficientnet_lite_pytorch:lite0"], python=tmp_path / "nowhere")
