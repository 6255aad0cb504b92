"""Figures with their intervals."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visus.metrics import Score, bootstrap, wilson

Z = 1.959963984540054  # the normal distribution's 97.5 % point


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_by_his_formula(pair):
    # Wilson 1927, JASA 22: (p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n)
    hits, n = pair
    p, found = hits / n, wilson(hits, n)
    middle, reach = p + Z**2 / (2 * n), Z * sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    assert found.value == p
    assert found.low == pytest.approx((middle - reach) / (1 + Z**2 / n), abs=1e-9)
    assert found.high == pytest.approx((middle + reach) / (1 + Z**2 / n), abs=1e-9)
    assert 0 <= found.low <= found.high <= 1


def test_the_bootstrap_of_a_mean_is_near_its_normal_interval():
    values = np.random.default_rng(1).normal(size=400)
    found = bootstrap(lambda rows: float(values[rows].mean()), 400, higher=True)
    half = Z * values.std() / 20
    assert found.value == values.mean()
    assert found.low == pytest.approx(values.mean() - half, abs=0.2 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.2 * half)


def test_the_bootstrap_repeats_itself_and_leaves_the_global_numbers_alone():
    values = np.random.default_rng(1).normal(size=50)
    before = np.random.get_state()[1].copy()
    one, other = (bootstrap(lambda rows: float(values[rows].mean()), 50, higher=True) for _ in range(2))
    assert one == other
    assert np.array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize(
    ("score", "text", "interval"),
    [
        (Score(value=0.5, n=4), "0.5", ""),
        (Score(value=1.98765, n=100, low=1.9, high=2.25), "1.988", "1.9 – 2.25"),
        (Score(value=0.98765, n=100, low=0.9, high=0.995, share=True), "98.77 %", "90.00 – 99.50 %"),
    ],
)
def test_a_score_as_people_read_it(score, text, interval):
    assert (score.text, score.interval) == (text, interval)
