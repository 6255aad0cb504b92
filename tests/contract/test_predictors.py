"""What every predictor holds to, whatever it is made of: callers can't tell them apart."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers import encoded, pixels
from tests.predictors import LABELS, each_kind
from visus.data.loader import Streamed, prepare, read_all
from visus.data.samples import ArraySamples, FileSamples, OnDisk
from visus.data.types import Target, Targets
from visus.errors import BundleError, DataError, UnreadableImage
from visus.prediction import Predictor, Viewed, load, save
from visus.run.evaluation import evaluate_predictor

KINDS = each_kind()


def chosen(which):
    found = {name: each for name, each in KINDS.items() if which(each)}
    return pytest.mark.parametrize("predictor", found.values(), ids=list(found))


each_predictor = chosen(lambda predictor: True)
each_of_images = chosen(lambda predictor: predictor.schema.inputs == "image")
each_kept = chosen(lambda predictor: not isinstance(predictor, Viewed))  # views are kept as a fusion of one
COUNT = 5


def sources(predictor: Predictor, count: int = COUNT) -> list[np.ndarray]:
    if predictor.schema.inputs == "vector":
        return list(np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32))
    return [pixels(seed, 14 + seed, 20 - seed) // (seed + 1) for seed in range(count)]


def target(predictor: Predictor, row: int) -> Target:
    if predictor.schema.values:
        return Target(values=(3.0 + row, -1.0))
    return Target(labels=(row % 3,)) if "labels" in predictor.schema.targets else Target(label=row % 3)


def numbers(prediction) -> np.ndarray:
    return prediction.values if hasattr(prediction, "values") else prediction.probabilities


@each_predictor
def test_a_placed_input_has_the_shape_that_is_told(predictor):
    for value in sources(predictor):
        placed = predictor.place(value)
        assert placed.shape == predictor.shape
        assert placed.dtype == (torch.uint8 if predictor.schema.inputs == "image" else torch.float32)
        assert torch.equal(predictor.place_many(torch.from_numpy(value.copy())[None])[0], placed)


@each_predictor
def test_an_answer_does_not_depend_on_what_is_asked_with_it(predictor):
    together = predictor(sources(predictor))
    assert len(together) == COUNT
    for one, source in zip(together, sources(predictor), strict=True):
        np.testing.assert_allclose(numbers(predictor(source)), numbers(one), atol=1e-5)
    for one, other in zip(together, predictor(sources(predictor), batch=2), strict=True):
        np.testing.assert_allclose(numbers(one), numbers(other), atol=1e-5)


@each_predictor
def test_answers_differ_and_are_in_the_names_of_the_data(predictor):
    first, second = predictor(sources(predictor, 2))
    assert not np.allclose(numbers(first), numbers(second), atol=1e-4)
    assert numbers(first).shape == (len(predictor.schema.labels or predictor.schema.values),)
    if predictor.schema.targets == ("label",):
        assert numbers(first).sum() == pytest.approx(1, abs=1e-5)
        assert {name for name, _ in first.top(3)} == set(LABELS)


@each_predictor
def test_outputs_are_on_its_device_and_carry_no_gradients(predictor):
    placed = torch.stack([predictor.place(each) for each in sources(predictor)])
    outputs = predictor.outputs(placed)
    assert outputs.device == predictor.device
    assert not outputs.requires_grad
    assert len(outputs) == COUNT


@each_of_images
def test_every_kind_of_source_gives_the_same_answer(predictor, tmp_path):
    image = Image.fromarray(pixels(3, 20, 16))
    image.save(tmp_path / "a.png")
    kinds = [tmp_path / "a.png", str(tmp_path / "a.png"), (tmp_path / "a.png").read_bytes(), image, np.asarray(image)]
    first, *others = [numbers(predictor(each)) for each in kinds]
    assert all(np.array_equal(first, each) for each in others)


@each_of_images
def test_what_cannot_be_read_is_named_and_the_rest_is_answered(predictor, tmp_path):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(encoded(pixels(1, 20, 16)))
    bad.write_bytes(b"no image")
    found = dict(predictor.stream([bad, good, tmp_path / "nothing.png"]))
    assert [type(found[path]) is UnreadableImage for path in found] == [True, False, True]
    np.testing.assert_allclose(numbers(found[good]), numbers(predictor(good)), atol=1e-5)
    with pytest.raises(UnreadableImage, match=r"bad\.png: isn't an image"):
        predictor([good, bad])
    with pytest.raises(DataError, match="float64 3×3"):
        predictor(np.zeros((3, 3)))


@each_of_images
def test_a_prediction_shows_the_image_that_it_is_of(predictor):
    source = pixels(2, 33, 21)
    assert np.array_equal(predictor(source).image, source)


@each_predictor
def test_it_is_measured_as_it_answers(predictor, tmp_path):
    values = [each if each.ndim == 1 else each[:14, :15] for each in sources(predictor)]
    samples = ArraySamples("set", np.stack(values), [target(predictor, row) for row in range(COUNT)])
    meter = predictor.task.meter(predictor.schema)
    placed = torch.stack([predictor.place(each) for each in values])
    truth = Targets.collate(samples.targets, predictor.schema)
    predictor.task.measure(meter, predictor.outputs(placed), truth)
    wanted = meter.scores()
    for kind in (
        read_all(samples, predictor.schema, predictor, 0.0),
        Streamed(samples, predictor.schema, predictor, 0.0),
    ):
        found = evaluate_predictor(predictor, kind, batch=2, cases=True)
        assert found.scores.keys() == wanted.keys()
        for name, score in found.scores.items():
            assert score.n == COUNT
            assert score.value == pytest.approx(wanted[name].value, rel=1e-4, abs=1e-6)
        assert len(found.worst) == len(found.some) == COUNT
        errors = [case.error for case in found.worst]
        assert errors == sorted(errors, reverse=True)


@each_of_images
def test_an_image_that_cannot_be_read_is_left_out_of_all(predictor, tmp_path):
    files = []
    for row in range(4):
        data = b"no image" if row == 1 else encoded(pixels(row, 20, 16))
        (tmp_path / f"{row}.png").write_bytes(data)
        files.append(OnDisk(tmp_path / f"{row}.png", f"{row}.png", len(data)))
    samples = FileSamples(files, [target(predictor, row) for row in range(4)])
    prepared = prepare(samples, predictor.schema, predictor, bad=0.5)
    assert {score.n for score in evaluate_predictor(predictor, prepared).scores.values()} == {3}
    assert [each.name for each in prepared.skipped] == ["1.png"]


@each_kept
def test_a_bundle_answers_the_same_wherever_it_lies(predictor, tmp_path):
    save(tmp_path / "a" / "bundle", predictor, sources(predictor, 2))
    (tmp_path / "elsewhere").mkdir()
    moved = shutil.move(tmp_path / "a" / "bundle", tmp_path / "elsewhere" / "other name")
    again = load(moved)
    assert type(again) is type(predictor)
    assert len(again.manifest.goldens) == 2
    for one, other in zip(again(sources(predictor)), predictor(sources(predictor)), strict=True):
        np.testing.assert_allclose(numbers(one), numbers(other), atol=1e-6)
    save(tmp_path / "again", again, sources(predictor, 1))  # what was loaded can be kept anew
    assert len(load(tmp_path / "again").manifest.goldens) == 1


@each_kept
def test_a_bundle_whose_weights_were_changed_is_refused(predictor, tmp_path):
    save(tmp_path / "bundle", predictor, ())
    path = max((tmp_path / "bundle").rglob("model.safetensors"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 0x40
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"model\.safetensors: is damaged: its checksum fails"):
        load(tmp_path / "bundle")
