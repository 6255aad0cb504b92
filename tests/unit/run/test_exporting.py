"""Models as files of other programs: they take images of any size and say what the model says."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

import visus
from tests import trees
from tests.helpers import encoded
from tests.runs import quick_run
from visus.errors import ModelError, RunError, SpecError
from visus.prediction.engines import quiet_openvino
from visus.run.exporting import SUFFIXES, export


def photographs(folder: Path, seeds: Iterable[int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        pixels = np.random.default_rng(seed).integers(0, 256, (40 + seed % 7, 70 - seed % 11, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{seed}.png")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network on images of several sizes, one epoch."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(60):
        photographs(folder / "data" / f"class{number % 3}", [number])
    return visus.train(
        folder / "data", model="resnet8", epochs=1, batch=8, size=(32, 32), device="cpu", run=folder / "run",
        settings=["preprocess.fit=crop", "preprocess.crop=0.875"],
    ).folder  # fmt: skip


def called(form: str, path: Path, x: np.ndarray) -> np.ndarray:
    """What a file says, read by the library that it is for and by nothing of ours."""
    if form == "onnx":
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return session.run(None, {session.get_inputs()[0].name: x})[0]
    if form == "openvino":
        openvino = quiet_openvino()
        return openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(x)[0]
    with torch.inference_mode():
        return torch.export.load(path).module()(torch.from_numpy(x))[0].numpy()


@pytest.mark.parametrize("form", SUFFIXES)
def test_a_file_takes_images_of_any_size_and_says_what_the_model_says(form, run, tmp_path):
    tolerance = 5e-2 if form == "openvino" else 1e-4  # its float32 rounds some pixels to a neighbouring value
    found = export(run, form, tmp_path / f"a{SUFFIXES[form]}", tolerance=tolerance)
    assert found.parity.samples > 3
    assert found.parity.difference <= tolerance
    predictor = visus.load(run)
    for height, width in ((70, 50), (50, 70), (32, 32), (20, 90)):
        x = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
        wanted = predictor.outputs(predictor.place(x)[None]).numpy()
        assert np.abs(called(form, found.path, x[None]) - wanted).max() <= tolerance * np.abs(wanted).max()


def test_placed_inputs_in_any_number(run, tmp_path):
    found = export(run, "onnx", tmp_path / "a.onnx", given="placed")
    predictor = visus.load(run)
    x = torch.randint(0, 256, (5, *predictor.shape), dtype=torch.uint8)
    assert np.allclose(called("onnx", found.path, x.numpy()), predictor.outputs(x), atol=1e-4)


def test_a_file_tells_its_labels_and_how_it_agrees(run, tmp_path):
    found = export(run, "onnx", tmp_path / "a.onnx", samples=5)
    session = onnxruntime.InferenceSession(str(found.path), providers=["CPUExecutionProvider"])
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["labels"]) == ["class0", "class1", "class2"]
    assert json.loads(facts["preprocess"])["size"] == [32, 32]
    parity = json.loads((tmp_path / "a.onnx.parity.json").read_text())
    assert (parity["samples"], parity["format"], parity["data"]) == (5, "onnx", "val")


def test_what_differs_is_not_given_out(run, tmp_path):
    with pytest.raises(ModelError, match=r"differs from the model by .* of the greatest output"):
        export(run, "onnx", tmp_path / "a.onnx", tolerance=-1.0)
    assert list(tmp_path.iterdir()) == []


def test_bad_requests_are_refused(run, tmp_path):
    with pytest.raises(SpecError, match="can't be exported to 'onxx'"):
        export(run, "onxx")
    with pytest.raises(SpecError, match=r"ends in \.onnx"):
        export(run, "onnx", tmp_path / "a.bin")
    (tmp_path / "a.onnx").write_bytes(b"mine")
    with pytest.raises(RunError, match="exists already"):
        export(run, "onnx", tmp_path / "a.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == b"mine"
    quick_run(tmp_path / "vectors", model="mlp")
    visus.fuse([run, run], tmp_path / "both")
    with pytest.raises(ModelError, match="is a fusion of several networks"):
        export(tmp_path / "both")


def test_photographs_of_a_folder_can_be_compared(run, tmp_path):
    photographs(tmp_path / "other" / "class1", range(4))
    photographs(tmp_path / "other" / "class2", range(4, 7))
    assert export(run, "onnx", tmp_path / "a.onnx", data=tmp_path / "other").parity.samples == 7


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector of red and green rectangles in images of two sizes."""
    folder = tmp_path_factory.mktemp("cells")
    random = np.random.default_rng(0)
    trees.put(folder / "data/data.yaml", "names: [red, green]\ntrain: images\n")
    for number in range(24):
        pixels, lines = drawn(random, (48, 64) if number % 2 else (60, 50))
        trees.put(folder / f"data/images/{number:02}.png", encoded(pixels))
        trees.put(folder / f"data/labels/{number:02}.txt", lines)
    return visus.train(
        folder / "data", model="resnet8", task="detect", epochs=12, batch=4, lr=0.01, size=(48, 64), device="cpu",
        run=folder / "run", settings=["task.width=16", "task.threshold=0.1", "data.val=0.3", "augment.shift=0.1"],
    ).folder  # fmt: skip


def drawn(random: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, str]:
    """An image of noise with two rectangles, and the lines of YOLO that say where they are."""
    height, width = size
    pixels, lines = random.integers(0, 60, (*size, 3), dtype=np.uint8), ""
    for label in (0, 1):
        tall, wide = random.integers(12, 20, 2)
        top, left = random.integers(0, height - tall), label * (width // 2) + random.integers(0, width // 2 - wide)
        pixels[top : top + tall, left : left + wide, label] = 255
        x, y = (left + wide / 2) / width, (top + tall / 2) / height
        lines += f"{label} {x:.6f} {y:.6f} {wide / width:.6f} {tall / height:.6f}\n"
    return pixels, lines


@pytest.mark.parametrize(("form", "tolerance"), [("openvino", 2e-2), ("torch-export", 1e-4)])
def test_a_detectors_file_finds_what_the_detector_finds(form, tolerance, cells, tmp_path):
    found = export(cells, form, tmp_path / f"a{SUFFIXES[form]}", tolerance=tolerance)
    assert found.parity.samples > 3
    assert found.parity.difference <= tolerance
    assert found.parity.same == 1.0 or form == "openvino"


def test_a_detectors_onnx_file_names_what_it_finds_in_images_of_any_size(cells, tmp_path):
    found = export(cells, "onnx", tmp_path / "a.onnx", samples=4)
    assert (found.parity.samples, found.parity.same) == (4, 1.0)
    session = onnxruntime.InferenceSession(str(found.path), providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_outputs()] == ["boxes", "scores", "labels"]
    predictor = visus.load(cells)
    for height, width in ((40, 80), (60, 48)):
        pixels, _ = drawn(np.random.default_rng(height), (height, width))
        wanted = predictor(pixels)
        boxes, scores, labels = (each[0] for each in session.run(None, {session.get_inputs()[0].name: pixels[None]}))
        there = scores >= 0.1
        assert len(wanted) > 0
        assert np.allclose(boxes[there], wanted.xyxy, atol=0.02)
        assert np.allclose(scores[there], wanted.scores, atol=1e-4)
        assert np.array_equal(labels[there], wanted.labels)


def test_a_detectors_own_output_can_be_had(cells, tmp_path):
    path = export(cells, "torch-export", tmp_path / "a.pt2", samples=2, raw=True).path
    scores, boxes = torch.export.load(path).module()(torch.zeros(1, 48, 64, 3, dtype=torch.uint8))
    assert scores.shape == (1, boxes.shape[1], 2)
