"""What predictors take, what they refuse, and how they and their answers are printed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.helpers import pixels
from tests.predictors import PHOTOS, ROWS, SIZES, TAGS, each_kind, network
from visus.errors import DataError, ModelError, SpecError
from visus.tasks import Classification, Regression, Tagging

IMAGE = pixels(0, 14, 20)


@pytest.mark.parametrize("wrong", [None, 5, torch.zeros(3, 14, 20), (each for each in [IMAGE])])
def test_what_is_no_image_is_refused_by_its_type(wrong):
    with pytest.raises(DataError, match=f"type {type(wrong).__name__}"):
        network()(wrong)


def test_an_open_file_is_no_list_of_images(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with (tmp_path / "a.png").open("rb") as file, pytest.raises(DataError, match="give a file's path"):
        network()(file)


def test_a_tuple_is_a_list():
    assert [each.label for each in network()((IMAGE, IMAGE))] == [network()(IMAGE).label] * 2


@pytest.mark.parametrize("change", [torch.Tensor.numpy, lambda x: x[0], lambda x: x.to(torch.uint8), lambda x: None])
def test_a_network_takes_batches_of_numbers_alone(change):
    predictor = network()
    x = predictor.preprocess(IMAGE)
    assert predictor.predict(x).shape == (1, 3)
    with pytest.raises(DataError, match="give a float tensor of N×3×10×12"):
        predictor.predict(change(x))


@pytest.mark.parametrize("change", [torch.Tensor.numpy, lambda y: y[0], lambda y: y[:, :2], lambda y: None])
def test_only_scores_are_said_in_words(change):
    predictor = network()
    scores = predictor.predict(predictor.preprocess(IMAGE))
    assert predictor.decode_predictions(scores, top=1) == [predictor(IMAGE).top(1)]
    with pytest.raises(DataError, match="give a tensor of N×3"):
        predictor.decode_predictions(change(scores))
    with pytest.raises(ModelError, match="doesn't name classes"):
        network(schema=SIZES).decode_predictions(scores)


@pytest.mark.parametrize("count", [-1, 0, 1.5, None])
def test_counts_are_whole_numbers_from_one_up(count):
    predictor = network()
    scores = predictor.predict(predictor.preprocess(IMAGE))
    for ask in (
        lambda: predictor(IMAGE).top(count),
        lambda: network(schema=TAGS)(IMAGE).top(count),
        lambda: predictor.decode_predictions(scores, top=count),
        lambda: predictor([IMAGE], batch=count),
    ):
        with pytest.raises(SpecError, match=f"can't be {count}"):
            ask()


def test_predictions_are_one_short_line():
    labels = tuple(f"class {number}" for number in range(1000))
    shares = np.full(1000, 0.5 / 999, np.float32)
    shares[7] = 0.5
    assert (
        repr(Classification(shares, labels, IMAGE))
        == str(Classification(shares, labels))
        == ("Classification(class 7 50.0%)")
    )
    assert repr(Tagging(shares, labels, 0.4, IMAGE)) == "Tagging(class 7)"
    assert repr(Tagging(shares, labels, 0.6)) == "Tagging(none of the labels)"
    assert repr(Tagging(shares, labels, 0.0)).endswith("class 4, … (1000 in all))")
    assert repr(Regression(np.array([3.14159, 2.0]), ("weight", "height"))) == "Regression(weight 3.142, height 2)"


@pytest.mark.parametrize("name", list(each_kind()))
def test_predictors_are_one_short_line(name):
    predictor = each_kind()[name]
    assert repr(predictor).startswith(f"{type(predictor).__name__}(")
    assert " at 0x" not in repr(predictor)
    assert len(repr(predictor)) < 80


def test_a_predictor_says_what_it_is():
    assert repr(network(schema=PHOTOS)) == "NetworkPredictor(net0, input 3×10×12; 3 classes)"
    assert repr(network(schema=ROWS)) == "NetworkPredictor(net0, input 4; 3 classes)"
