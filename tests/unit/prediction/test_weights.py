"""Fitted weights: closed forms, a certificate that they are the best there are, and what they never are."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.predictors import PHOTOS, REGRESS, SIZES, TAGS
from visus.data.types import Targets
from visus.prediction import fit_weights
from visus.tasks import Classify, Regress

TASK = Classify()


def logits(*rows: tuple[float, ...]) -> torch.Tensor:
    """Of probabilities."""
    return torch.tensor(rows, dtype=torch.float64).log()


def loss(task, schema, outputs, target, weights, how="arithmetic") -> float:
    fused = task.fuse([each.double() for each in outputs], torch.tensor(weights).double(), how, schema)
    return task.errors(fused, target).mean().item()


def test_a_member_that_is_always_right_gets_all_the_weight():
    right = logits((0.98, 0.01, 0.01), (0.01, 0.98, 0.01), (0.01, 0.01, 0.98))
    guesses = logits(*[(0.4, 0.3, 0.3)] * 3)
    found = fit_weights(TASK, PHOTOS, [guesses, right, guesses], Targets(label=torch.arange(3)), "arithmetic")
    assert found == pytest.approx((0, 1, 0), abs=1e-6)


def test_members_that_say_the_same_count_alike():
    one, other = (torch.randn(20, 3, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    target = Targets(label=torch.arange(20) % 3)
    assert fit_weights(TASK, PHOTOS, [one, one], target, "arithmetic") == (0.5, 0.5)
    a, b, c = fit_weights(TASK, PHOTOS, [one, other, one], target, "arithmetic")
    assert a == pytest.approx(c, abs=1e-5)
    assert a + b + c == pytest.approx(1)


def test_one_member_has_all_the_weight():
    assert fit_weights(TASK, PHOTOS, [torch.randn(4, 3)], Targets(label=torch.arange(4) % 3), "arithmetic") == (1.0,)


def test_two_members_by_the_closed_form():
    """n₁ samples to which the members give the true class a₁ and b₁, n₂ to which they give it a₂ and b₂: the mean log
    of w·a + (1 − w)·b has its maximum where n₁d₁/(w·d₁ + b₁) + n₂d₂/(w·d₂ + b₂) = 0, with d = a − b."""
    (n1, a1, b1), (n2, a2, b2) = (5, 0.9, 0.3), (3, 0.2, 0.6)
    d1, d2 = a1 - b1, a2 - b2
    w = -(n1 * d1 * b2 + n2 * d2 * b1) / ((n1 + n2) * d1 * d2)
    assert 0.1 < w < 0.9
    one = logits(*[(a1, 1 - a1 - 0.01, 0.01)] * n1, *[(a2, 1 - a2 - 0.01, 0.01)] * n2)
    other = logits(*[(b1, 0.01, 1 - b1 - 0.01)] * n1, *[(b2, 0.01, 1 - b2 - 0.01)] * n2)
    target = Targets(label=torch.zeros(n1 + n2, dtype=torch.int64))
    found = fit_weights(TASK, PHOTOS, [one, other], target, "arithmetic")
    assert found == pytest.approx((w, 1 - w), abs=1e-5)


def test_values_by_least_squares():
    """Of two members the least squared error has w = Σ(y − b)(a − b)/Σ(a − b)², held to 0…1."""
    random = torch.Generator().manual_seed(0)
    true = torch.randn(50, 1, generator=random)
    a, b = (true + spread * torch.randn(50, 1, generator=random) for spread in (0.5, 0.8))
    task = Regress(mean=(0.0,), std=(7.0,))
    schema = SIZES.__class__(targets=("values",), values=("weight",))
    w = (((true - b) * (a - b)).sum() / (a - b).square().sum()).item()
    found = fit_weights(task, schema, [a, b], Targets(values=true), "arithmetic")
    assert found == pytest.approx((w, 1 - w), abs=1e-5)
    low = fit_weights(task, schema, [true, true + 1 + a.abs()], Targets(values=true), "arithmetic")
    assert low == pytest.approx((1, 0), abs=1e-5)


def test_targets_weigh_alike_whatever_their_units():
    """The second value's unit is a thousandth of the first's: the fit is the same in any unit."""
    random = torch.Generator().manual_seed(0)
    true, *said = (torch.randn(40, 2, generator=random) for _ in range(4))
    scale = torch.tensor([1.0, 1000.0])
    plain = fit_weights(Regress(mean=(0, 0), std=(1, 1)), SIZES, said, Targets(values=true), "arithmetic")
    scaled = fit_weights(
        Regress(mean=(0, 0), std=(1, 1000)),
        SIZES,
        [x * scale for x in said],
        Targets(values=true * scale),
        "arithmetic",
    )
    assert plain == pytest.approx(scaled, abs=1e-4)


CASES = {
    "classes": (TASK, PHOTOS, "arithmetic"),
    "classes, geometric": (TASK, PHOTOS, "geometric"),
    "labels": (TASK, TAGS, "arithmetic"),
    "labels, geometric": (TASK, TAGS, "geometric"),
    "values": (REGRESS, SIZES, "arithmetic"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
@settings(max_examples=25)
@given(
    count=st.integers(2, 5), samples=st.integers(2, 40), spread=st.sampled_from((0.3, 3.0, 30.0)),
    seed=st.integers(0, 2**32),
)  # fmt: skip
def test_no_weights_do_better(case, count, samples, spread, seed):
    """A convex error f has f(w) − min f ≤ max_m ∇f·(w − e_m) (Frank and Wolfe 1956): a certificate of the minimum."""
    task, schema, how = case
    random = torch.Generator().manual_seed(seed)
    width = len(schema.labels or schema.values)
    outputs = [spread * torch.randn(samples, width, generator=random) for _ in range(count)]
    target = Targets(
        label=torch.randint(width, (samples,), generator=random) if "label" in schema.targets else None,
        labels=(torch.rand(samples, width, generator=random) < 0.5).float() if "labels" in schema.targets else None,
        values=torch.randn(samples, width, generator=random) if schema.values else None,
    )
    found = fit_weights(task, schema, outputs, target, how)
    assert min(found) >= 0
    assert sum(found) == pytest.approx(1)
    weights = torch.tensor(found, dtype=torch.float64, requires_grad=True)
    error = task.errors(task.fuse([x.double() for x in outputs], weights, how, schema), target).mean()
    (slope,) = torch.autograd.grad(error, weights)
    gap = (slope @ weights.detach() - slope.min()).item()
    assert gap <= 1e-4 * max(1.0, error.item())
    least = min(loss(task, schema, outputs, target, each, how) for each in [*np.eye(count), np.full(count, 1 / count)])
    assert error.item() <= least + 1e-9
