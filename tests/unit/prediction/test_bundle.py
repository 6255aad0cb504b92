"""Bundles: whole or refused, and the same answer as in training. FAULTS 37, 38."""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import visus
from tests.runs import quick_run
from visus.data.dataset import Data
from visus.data.splits import divide
from visus.errors import BundleError, DataError, NotFound, UnreadableImage, WeightsError
from visus.prediction import NetworkPredictor, save
from visus.prediction import bundle as bundle_module
from visus.prediction.bundle import is_bundle
from visus.prediction.manifest import Manifest


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> visus.Run:
    return quick_run(tmp_path_factory.mktemp("runs") / "digits", epochs=3)


@pytest.fixture
def bundle(run: visus.Run, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(run.folder / "model", tmp_path / "model"))


def change(bundle: Path, **facts: Any) -> None:
    path = bundle / "visus.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def test_a_bundle_answers_as_the_run_did(run: visus.Run) -> None:
    predictor = visus.load(run.folder)
    test = divide(visus.open_dataset(Data(source="digits")), Data(source="digits"), 0).splits["test"]
    images = [test.read(row).pixels for row in range(len(test))]  # type: ignore[union-attr]
    right = [said.label == str(test.target(row).label) for row, said in enumerate(predictor(images))]
    assert np.mean(right) == pytest.approx(run.scores["accuracy"].value)  # measured in the run, in batches of 256


def test_every_kind_of_source_gives_the_same_answer(run: visus.Run, tmp_path: Path) -> None:
    predictor = visus.load(run.folder)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "a.png")
    sources = [
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        (tmp_path / "a.png").read_bytes(),
        image,
        pixels,
        pixels[..., None],
    ]
    answers = [predictor(source).probabilities for source in sources]
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer, answers[0])
    assert answers[0].sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(predictor(sources, batch=4)[5].probabilities, answers[0], atol=1e-6)


def test_a_prediction_has_names_and_a_picture(run: visus.Run) -> None:
    said = visus.load(run.folder)(np.zeros((8, 8), np.uint8))
    assert [label for label, _ in said.top(10)] == sorted("0123456789", key=lambda name: -said.probabilities[int(name)])
    assert said.row()["confidence"] == pytest.approx(said.top(1)[0][1])
    assert said.plot().get_axes()


def test_what_cannot_be_read_is_named(run: visus.Run, tmp_path: Path) -> None:
    predictor = visus.load(run.folder)
    with pytest.raises(UnreadableImage, match=r"nothing\.png: no such file"):
        predictor(tmp_path / "nothing.png")
    with pytest.raises(DataError, match="float64 8×8"):
        predictor(np.zeros((8, 8)))


def test_a_changed_weight_is_noticed(bundle: Path) -> None:
    path = bundle / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 0x40
    path.write_bytes(data)
    with pytest.raises(BundleError, match="checksum fails"):
        visus.load(bundle)


def test_drift_from_the_goldens_is_refused(bundle: Path) -> None:
    import hashlib

    import safetensors.torch

    tensors = safetensors.torch.load_file(bundle / "model.safetensors")
    name = next(name for name, tensor in tensors.items() if tensor.ndim == 2)
    tensors[name] = tensors[name] * 1.01
    data = safetensors.torch.save(tensors)
    (bundle / "model.safetensors").write_bytes(data)
    change(bundle, weights=hashlib.sha256(data).hexdigest())  # as a careful forger would
    with pytest.raises(BundleError, match="golden input 1 gives another answer"):
        visus.load(bundle)


def test_goldens_are_pictures_of_the_data(bundle: Path) -> None:
    goldens = json.loads((bundle / "visus.json").read_text())["goldens"]
    assert len(goldens) == 4
    assert all(Image.open(io.BytesIO(base64.b64decode(each["image"]))).size == (8, 8) for each in goldens)
    assert all(len(each["output"]) == 10 for each in goldens)


def test_37_weights_of_another_network_are_refused_by_key_and_shape(bundle: Path) -> None:
    manifest = json.loads((bundle / "visus.json").read_text())
    change(bundle, network={**manifest["network"], "hidden": [64, 128]})
    with pytest.raises(WeightsError) as caught:
        visus.load(bundle)
    assert "backbone.stages.0.1.weight: 128×64 in " in str(caught.value)
    assert "64×64 in the network" in str(caught.value)
    change(bundle, network={**manifest["network"], "hidden": [128]})
    with pytest.raises(WeightsError, match="not in the network"):
        visus.load(bundle)


def test_37_another_number_of_classes_is_refused(bundle: Path) -> None:
    manifest = json.loads((bundle / "visus.json").read_text())
    change(bundle, schema={**manifest["schema"], "labels": list("0123456789AB")})
    with pytest.raises(WeightsError, match=r"head\.weight: 10×128 in .*12×128 in the network"):
        visus.load(bundle)


def test_38_a_newer_format_is_refused_naming_both_versions(bundle: Path) -> None:
    change(bundle, format=2, version="9.1.0", thresholds_v2=[0.5])
    with pytest.raises(BundleError, match=rf"format 2, written by Visus 9.1.0; this is Visus {visus.__version__}"):
        visus.load(bundle)


def test_a_bundle_of_the_first_kind_still_loads(bundle: Path) -> None:
    path = bundle / "visus.json"
    plain = json.loads(path.read_text())
    assert plain.pop("kind") == "network"  # before there were fusions it wasn't said
    path.write_text(json.dumps(plain))
    assert visus.load(bundle).schema.labels == tuple("0123456789")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "1"}', '{"format": 1}'])
def test_a_damaged_description_is_refused(bundle: Path, text: str) -> None:
    (bundle / "visus.json").write_text(text)
    with pytest.raises(BundleError, match=r"visus\.json"):
        visus.load(bundle)


def test_missing_things_are_named(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such run or bundle"):
        visus.load(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match="isn't a run or a bundle"):
        visus.load(tmp_path / "empty")
    (bundle / "model.safetensors").unlink()
    with pytest.raises(BundleError, match="can't be read"):
        visus.load(bundle)


def test_a_bundle_of_vectors(tmp_path: Path) -> None:
    from visus.run.watch import Silent

    run = visus.train("diabetes", model="mlp", epochs=2, lr=0.01, run=tmp_path / "run", device="cpu", watch=Silent())
    predictor = visus.load(run.folder)
    said = predictor(np.zeros(10, np.float32))
    assert said.row().keys() == {"progression"}
    with pytest.raises(DataError, match="takes vectors of 10 numbers, not an array of 9"):
        predictor(np.zeros(9, np.float32))
    table = tmp_path / "new.csv"
    table.write_text(
        "bmi,age,sex,bp,s1,s2,s3,s4,s5,s6\n" + "32.1,59,2,101,157,93.2,38,4,4.8598,87\n"
    )  # in another order
    ((_, by_name),) = visus.predict(run.folder, [table])
    in_order = predictor(np.array([59, 2, 32.1, 101, 157, 93.2, 38, 4, 4.8598, 87], np.float32))
    assert by_name.row() == in_order.row()  # type: ignore[union-attr]
    table.write_text("bmi,age\n1,2\n")
    with pytest.raises(DataError, match="lacks the columns sex, bp"):
        list(visus.predict(run.folder, [table]))


def test_outputs_do_not_carry_gradients(run: visus.Run) -> None:
    predictor = visus.load(run.folder)
    assert not predictor.outputs(torch.zeros(1, 1, 8, 8, dtype=torch.uint8)).requires_grad


def test_a_bundle_is_found_where_a_crash_left_it_between_two_renames(run: visus.Run, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run.folder, tmp_path / "run"))
    shutil.copytree(copy / "model", copy / ".model.replacing")
    (copy / "model").rename(copy / ".model.replaced")
    (copy / ".model.replaced" / "model.safetensors").unlink()  # the new one is wanted
    pixels = np.zeros((8, 8, 1), np.uint8)
    wanted = visus.load(run.folder)(pixels).probabilities
    for path in (copy, copy / "model"):
        assert is_bundle(path)
        np.testing.assert_array_equal(visus.load(path)(pixels).probabilities, wanted)
    predictor = visus.load(copy)
    assert isinstance(predictor, NetworkPredictor)
    save(copy / "model", predictor, [pixels])
    np.testing.assert_array_equal(visus.load(copy / "model")(pixels).probabilities, wanted)
    assert not list(copy.glob(".model*"))


def test_a_bundle_that_is_replaced_while_it_is_read_is_read_again(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.zeros((8, 8, 1), np.uint8)
    other = visus.load(bundle)
    assert isinstance(other, NetworkPredictor)
    for parameter in other.model.parameters():
        parameter.data.zero_()
    read = bundle_module._described

    def described(path: Path) -> Manifest:
        found = read(path)
        monkeypatch.undo()
        save(bundle, other, [pixels])  # by another process, between its description and its weights
        return found

    monkeypatch.setattr(bundle_module, "_described", described)
    np.testing.assert_allclose(visus.load(bundle)(pixels).probabilities, 0.1, atol=1e-6)
