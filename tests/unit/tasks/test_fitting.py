"""Machines and moves beside scikit-learn's of all regions at once."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.svm import LinearSVC

from visus.tasks.fitting import NORM, Machines, Moves


def features(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(seed))


def test_machines_are_those_of_all_objects_and_all_regions_away_from_them():
    # one image after the other gives what scikit-learn gives of all at once: none is left out before the first fit
    machines = Machines(1, 0.01)
    objects, regions = features(6, 0) + 1, features(40, 1) - 1
    fits = torch.zeros(40, 1)
    fits[:4] = 0.5  # near an object: neither
    machines.add(objects, torch.zeros(6, dtype=torch.int64), regions, fits)
    weight, bias = machines.fitted()
    scale = NORM / objects.norm(dim=1).mean().item()
    plain = LinearSVC(C=0.01, dual=False, class_weight={1: 2.0}, intercept_scaling=10.0)
    plain.fit(scale * torch.cat((objects, regions[4:])).numpy(), np.repeat([1, 0], [6, 36]))
    assert weight.numpy() == pytest.approx(scale * plain.coef_, rel=1e-3)
    assert bias.numpy() == pytest.approx(plain.intercept_, rel=1e-3, abs=1e-4)


def test_a_class_without_objects_is_never_found():
    machines = Machines(2, 0.01)
    machines.add(features(3, 0) + 1, torch.zeros(3, dtype=torch.int64), features(9, 1), torch.zeros(9, 2))
    weight, bias = machines.fitted()
    assert not weight[1].any()
    assert bias[1] == -10


def test_moves_are_a_ridge_regression_of_each_class():
    moves, inputs, wanted = Moves(2, 10.0), features(30, 0), features(30, 1)[:, :4]
    labels = torch.arange(30) % 3 // 2  # a third are of class 1
    moves.add(inputs, wanted, labels)
    weight, bias = moves.fitted()
    scale = NORM / inputs.norm(dim=1).mean().item()
    for label in (0, 1):
        plain = Ridge(alpha=10.0).fit(scale * inputs[labels == label].numpy(), wanted[labels == label].numpy())
        assert weight[label].numpy() == pytest.approx(scale * plain.coef_, rel=1e-3, abs=1e-5)
        assert bias[label].numpy() == pytest.approx(plain.intercept_, rel=1e-3, abs=1e-5)
