"""Detectors that look at regions, from files to a bundle that answers again."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

import visus
from tests.helpers import encoded
from tests.trees import put, voc
from visus.errors import SpecError
from visus.run.optimizing import optimize
from visus.run.watch import Silent

SETTINGS = {
    "fast_rcnn": ("task.regions=30", "task.samples=8", "task.hidden=16", "task.grid=3"),
    "rcnn": ("task.regions=30", "task.samples=8", "task.window=16", "task.cost=1.0"),
}
SMALL = ("model.spec.depths=[1,1,1]", "model.spec.widths=[8,16,32]", "augment.flip=true")
COLOURS = {"red": 0, "green": 1}


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    """A square in each of 18 images of 30×40 pixels, red or green."""
    root, random = tmp_path_factory.mktemp("squares"), np.random.default_rng(0)
    said, drawn = {}, {}
    for number in range(18):
        left, top = random.integers(2, 20), random.integers(2, 10)
        colour = list(COLOURS)[number % 2]
        image = random.integers(90, 130, (30, 40, 3)).astype(np.uint8)
        image[top : top + 16, left : left + 16, COLOURS[colour]] = 250
        said[f"{number}"] = [(colour, (left + 1, top + 1, left + 16, top + 16))]
        drawn[f"{number}"] = encoded(image)
    names = list(said)
    voc(root, said, train=names[:12], val=names[12:])
    for name, data in drawn.items():
        put(root / f"JPEGImages/{name}.png", data)
    return root


@pytest.fixture(scope="module", params=sorted(SETTINGS))
def run(request, squares, tmp_path_factory):
    return visus.train(
        squares, task=request.param, model="resnet8", epochs=1, batch=6, run=tmp_path_factory.mktemp("runs") / "run",
        settings=[*SETTINGS[request.param], *SMALL, "data.layout=voc"], device="cpu", watch=Silent(),
    )  # fmt: skip


def test_its_bundle_says_the_same_again(run, squares):
    again = visus.evaluate(run.folder, device="cpu")
    assert again.scores["map50"].value == run.scores["map50"].value
    found = run.predictor()(squares / "JPEGImages/12.png")
    assert {each["label"] for each in found.row()["objects"]} <= set(COLOURS)
    assert tomllib.loads((run.folder / "recipe.toml").read_text())["task"]["kind"] in SETTINGS


def test_what_is_no_graph_is_neither_exported_nor_optimised(run, tmp_path):
    with pytest.raises(SpecError, match="no graph"):
        visus.export(run.folder, out=tmp_path / "model.onnx")
    assert not list(Path(tmp_path).iterdir())
    with pytest.raises(SpecError, match="no graph"):
        optimize(run.folder, device="cpu")
