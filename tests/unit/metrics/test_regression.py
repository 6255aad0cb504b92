"""Figures of numbers beside scikit-learn's."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as peers

from visus.metrics import ValueMeter


def pairs(seed: int, n: int, values: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    true = random.normal(3, 2, size=(n, values))
    return torch.tensor(true + random.normal(size=true.shape)), torch.tensor(true)


def filled(predicted: torch.Tensor, true: torch.Tensor, batch: int = 10**9) -> ValueMeter:
    meter = ValueMeter(tuple("abc"[: true.shape[1]]))
    for rows in torch.split(torch.arange(len(true)), batch):
        meter.update(predicted[rows], true[rows])
    return meter


@pytest.mark.parametrize(("n", "values"), [(2, 1), (30, 1), (100, 3)])
def test_scores_are_scikit_learns(n, values):
    predicted, true = pairs(n, n, values)
    scores = filled(predicted, true).scores()
    assert scores["r2"].value == pytest.approx(peers.r2_score(true, predicted))
    assert scores["mae"].value == pytest.approx(peers.mean_absolute_error(true, predicted))
    assert scores["loss"].value == pytest.approx(peers.mean_squared_error(true, predicted))
    assert scores["rmse"].value == pytest.approx(peers.mean_squared_error(true.flatten(), predicted.flatten()) ** 0.5)
    for name in ("r2", "mae", "rmse"):
        assert scores[name].low <= scores[name].value <= scores[name].high
    assert [name for name, score in scores.items() if score.higher] == ["r2"]


@pytest.mark.parametrize("error", [0.0, 1.0])
@pytest.mark.parametrize("n", [2, 5])
def test_a_truth_that_is_constant_is_scored_as_scikit_learn_does(n, error):
    true = torch.full((n, 1), 1e6, dtype=torch.float64)
    scores = filled(true + error, true).scores()
    assert scores["r2"].value == peers.r2_score(true, true + error)
    assert np.isfinite([scores["r2"].low, scores["r2"].high]).all()


def test_one_pair_has_no_interval():
    scores = filled(torch.tensor([[1.5]]), torch.tensor([[1.0]])).scores()
    assert scores["mae"].value == 0.5
    assert scores["mae"].low is None
    assert np.isfinite(scores["r2"].value)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_the_interval_of_few_pairs_is_finite(n):
    scores = filled(*pairs(n, n, 1)).scores()
    assert -1e9 < scores["r2"].low <= scores["r2"].high <= 1


@given(st.integers(0, 99), st.integers(2, 30), st.integers(1, 9))
def test_batch_by_batch_is_all_at_once(seed, n, batch):
    predicted, true = pairs(seed, n, 2)
    one, other = filled(predicted, true), filled(predicted, true, batch)
    assert all(np.array_equal(a, b) for a, b in zip(one.pairs(), other.pairs(), strict=True))
