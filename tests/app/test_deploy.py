"""`visus optimize` and `visus export` in real processes, right and wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from tests.app.test_cli import visus
from tests.runs import quick_run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run on the digits, and an image."""
    folder = tmp_path_factory.mktemp("ä b")
    quick_run(folder / "run", epochs=2)
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4).save(folder / "a.png")
    return folder


def test_optimize_prints_the_table_and_predict_uses_the_choice(place: Path) -> None:
    before = visus("predict", "run", "a.png", cwd=place).stdout
    words = ("optimize", "run", "--batch", 1, 8, "--precision", "float32", "--engine", "pytorch", "onnxruntime")
    done = visus(*words, "--seconds", 0.05, cwd=place)
    assert done.stdout.count("chosen") == 2
    assert "engines on this machine" in done.stdout
    assert visus("predict", "run", "a.png", cwd=place).stdout == before
    (engines,) = (place / "run" / "model" / "engines").iterdir()
    engines.rename(engines.with_name("another"))
    done = visus("predict", "run", "a.png", cwd=place)
    assert done.stdout == before
    assert "PyTorch answers. `visus optimize` chooses anew" in done.stderr
    shutil.rmtree(place / "run" / "model" / "engines")


def test_json_lines(place: Path) -> None:
    words = ("optimize", "run", "--precision", "float32", "--engine", "pytorch", "--seconds", 0.05, "--json")
    facts = [json.loads(line) for line in visus(*words, cwd=place).stdout.splitlines()]
    (found,) = (each for each in facts if each["event"] == "optimize")
    assert [choice["kind"] for choice in found["choices"]] == [{"engine": "pytorch", "precision": "float32"}]


def test_export_writes_a_file_that_others_read(place: Path) -> None:
    done = visus("export", "run", "--out", "digits.onnx", cwd=place)
    assert "exported: digits.onnx" in done.stdout
    session = onnxruntime.InferenceSession(str(place / "digits.onnx"), providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {"input": np.zeros((1, 8, 8, 1), np.uint8)})
    assert scores.shape == (1, 10)


def test_typing_mistakes(place: Path) -> None:
    for words, said in (
        (("optimize", "runn"), "there is no such run or bundle"),
        (("optimize", "run", "--engine", "onnx"), "there is no engine 'onnx'"),
        (("optimize", "run", "--precision", "fp16"), "there is no precision 'fp16'"),
        (("optimize", "run", "--batch", "0"), "1 input at a time or more"),
        (("export", "run", "--to", "tflite"), 'Invalid value "tflite" for --to'),
        (("export", "run", "--out", "a.bin"), "ends in .onnx"),
        (("export", "run", "--data", "nowhere"), "nowhere"),
    ):
        assert said in visus(*words, cwd=place, status=2).stderr
