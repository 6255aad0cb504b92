"""Restoration from a folder of pictures to restored files: trained, measured, predicted."""

import csv
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

import visus
from tests.helpers import encoded
from visus.cli.main import main
from visus.data.image import read_pixels
from visus.data.open import open_dataset
from visus.data.splits import divide
from visus.errors import DataError, RunError, SpecError
from visus.run.optimizing import optimize
from visus.run.predicting import predict_to
from visus.run.recipe import compose
from visus.run.resolve import resolve

SETTINGS = (
    'task.degrade=[{kind="noise", sigma=25.0}]', 'model.spec={kind="dncnn", depth=4, channels=8, fold=2}',
    "preprocess.size=[48,48]", "preprocess.margin=8", "augment.patch={size=16, count=4, turn=true}",
    "data.val=0.2", "data.test=0.25", "runtime.device='cpu'", "runtime.precision='float32'", "runtime.compile='off'",
)  # fmt: skip
NOISY = "Gaussian noise of σ 25"


def picture(seed: int, height: int, width: int) -> np.ndarray:
    """Squares of one colour, H×W×3 uint8."""
    coarse = np.random.default_rng(seed).integers(20, 236, (-(-height // 8), -(-width // 8), 3))
    return np.kron(coarse, np.ones((8, 8, 1), np.int64))[:height, :width].astype(np.uint8)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Pictures of many sizes in class folders, and a run trained on them."""
    folder = tmp_path_factory.mktemp("restoring")
    for seed in range(20):
        file = folder / "photos" / "ab"[seed % 2] / f"{seed}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded(picture(seed, 30 + 3 * seed, 80 - 2 * seed)))
    visus.train(
        folder / "photos", task="restore", model="dncnn", epochs=2, batch=4, lr=0.01, settings=SETTINGS,
        run=folder / "run", watch=visus.run.watch.Silent(),
    )  # fmt: skip
    return folder


def test_a_run_is_measured_again_as_it_was_and_says_what_was_done_to_the_images(place, capsys):
    found = visus.evaluate(place / "run", device="cpu")
    again = visus.evaluate(place / "run", device="cpu")
    kept = json.loads((place / "run" / "model" / "visus.json").read_text())
    assert found.evaluation.degraded == NOISY
    for name in ("psnr", "ssim", "loss"):
        assert found.scores[name].value == again.scores[name].value
        assert found.scores[name].value == pytest.approx(kept["scores"][name]["value"], rel=1e-6)
        assert found.scores[name].n == 5
    assert {path.name for path in found.draw(place / "drawn")} == {"worst.png", "samples.png"}
    assert NOISY in (place / "run" / "report.html").read_text(encoding="utf-8")
    assert main(["evaluate", str(place / "run"), "--device", "cpu"]) == 0
    assert f"photos, test, {NOISY}" in capsys.readouterr().out


def test_it_is_measured_on_other_pictures_whatever_their_folders_are_called(place, tmp_path):
    for seed, name in enumerate(("boats", "hills")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(encoded(picture(seed, 50, 41)))
    assert visus.evaluate(place / "run", tmp_path, device="cpu").scores["psnr"].n == 2


def test_a_bundle_stays_small_and_answers_as_it_did(place):
    kept = json.loads((place / "run" / "model" / "visus.json").read_text())
    assert all(len(golden["output"]) == 4096 for golden in kept["goldens"])
    visus.load(place / "run")


@pytest.mark.parametrize("sides", [(9, 9), (48, 48), (33, 130)])
def test_it_restores_pictures_of_any_size(place, sides):
    found = visus.load(place / "run")(picture(1, *sides))
    assert found.restored.shape == (*sides, 3)
    assert np.array_equal(found.image, picture(1, *sides))


def test_windows_leave_no_seams(place):
    """What the network sees, 4 convolutions on folded pixels, is less than the margin: windows change nothing."""
    predictor, pixels = visus.load(place / "run"), picture(2, 90, 110)
    whole = predictor.network_outputs(predictor.place(pixels)[None])
    parts = predictor.outputs(predictor.place(pixels)[None])
    inner = (..., slice(10, -10), slice(10, -10))
    assert torch.allclose(whole[inner], parts[inner], atol=1e-5)


def test_restored_images_are_written_as_files(place, tmp_path, capsys):
    noisy = tmp_path / "noisy"
    for folder in ("x", "y"):
        (noisy / folder).mkdir(parents=True)
        (noisy / folder / "1.png").write_bytes(encoded(picture(5, 40, 50)))
    (noisy / "bad.png").write_bytes(b"no image")
    found = predict_to(place / "run", [noisy], tmp_path / "out", device="cpu")
    assert (found.predictions, found.unreadable) == (2, 1)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1-2.png", "1.png"]
    (row,) = csv.DictReader(found.bad_files.read_text(encoding="utf-8").splitlines())
    assert row["file"].endswith("bad.png")
    said = visus.load(place / "run")(noisy / "x" / "1.png").restored
    assert np.array_equal(read_pixels(tmp_path / "out" / "1.png"), said)
    assert main(["predict", str(place / "run"), str(noisy / "x" / "1.png"), "--to", str(tmp_path / "a.webp")]) == 0
    assert "a.webp" in capsys.readouterr().out
    with Image.open(tmp_path / "a.webp") as image:
        assert (image.format, image.size) == ("WEBP", (50, 40))
    table = predict_to(place / "run", [noisy / "x"], tmp_path / "a.jsonl", device="cpu").path
    assert json.loads(table.read_text())["width"] == 50


def test_nothing_is_replaced_unasked_and_what_was_given_never(place, tmp_path):
    given = tmp_path / "1.png"
    given.write_bytes(encoded(picture(5, 40, 50)))
    predict_to(place / "run", [given], tmp_path / "out", device="cpu")
    with pytest.raises(RunError, match=r"(?s)is there already.*--overwrite"):
        predict_to(place / "run", [given], tmp_path / "out", device="cpu")
    predict_to(place / "run", [given], tmp_path / "out", device="cpu", overwrite=True)
    for to in (given, tmp_path):
        with pytest.raises(RunError, match="is an image to be restored"):
            predict_to(place / "run", [given], to, device="cpu", overwrite=True)
    assert given.read_bytes() == encoded(picture(5, 40, 50))
    with pytest.raises(SpecError, match="one image file, and there are 2 inputs"):
        predict_to(place / "run", [given, given], tmp_path / "b.png", device="cpu")
    with pytest.raises(SpecError, match=re.escape("predictions are written as .jsonl")):
        predict_to(place / "run", [given], tmp_path / "b.txt", device="cpu")


def test_an_engine_is_measured_on_images_of_8_bits_and_that_is_said(place):
    optimize(place / "run", precisions=("float32",), engines=("pytorch",), seconds=0.01, device="cpu")
    assert visus.load(place / "run").eight_bits
    found = visus.evaluate(place / "run", device="cpu")
    assert found.evaluation.degraded == f"{NOISY}, rounded to 8 bits"
    assert np.isfinite(found.scores["psnr"].value)


def planned(place, *settings, source="photos"):
    data = {"source": str(place / source) if source == "photos" else source}
    recipe = compose({"data": data, "model": {"name": "dncnn"}, "task": {"kind": "restore"}}, settings)
    return resolve(recipe, divide(open_dataset(recipe.data), recipe.data, 0), lambda text: None)


def test_what_is_left_open_is_chosen_for_images_as_they_are(place):
    plan = planned(place, SETTINGS[0])
    assert (plan.preprocess.fit, plan.preprocess.size, plan.augment.patch.size) == ("tile", (256, 256), 64)
    assert plan.schema.targets == plan.schema.labels == ()
    small = planned(place, SETTINGS[0], source="digits")
    assert (small.preprocess.size, small.preprocess.core, small.preprocess.channels) == ((24, 24), (8, 8), 1)
    assert small.task.mean == small.preprocess.mean


@pytest.mark.parametrize(
    ("settings", "problem", "said"),
    [
        ((), DataError, "needs pairs of images, or clean ones"),
        ((SETTINGS[0], "preprocess.fit='crop'"), SpecError, "restored as they are"),
        ((SETTINGS[0], "data.source='diabetes'"), DataError, "about images"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_read(place, settings, problem, said):
    with pytest.raises(problem, match=said):
        planned(place, *settings)
