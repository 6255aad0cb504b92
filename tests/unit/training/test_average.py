"""The average of weights is the one of its formula."""

import pytest
import torch
from torch import nn

from visus.training.average import Average


@pytest.mark.parametrize("each", [False, True])
def test_it_forgets_its_start_and_then_moves_slowly(each):
    model = nn.BatchNorm1d(2)
    average = Average(model, 0.6, each=each)
    wanted = None
    for number, value in enumerate([3.0, -1.0, 5.0, 2.0, 8.0, 0.5, 7.0, 1.0, 4.0, 6.0]):
        with torch.no_grad():
            model.weight.fill_(value)
            model.running_mean.fill_(-value)
        average.update_parameters(model)
        decay = min(0.6, (1 + number) / (10 + number))  # 0.1, 2/11 … and 0.6 from the twelfth step on
        wanted = value if wanted is None else decay * wanted + (1 - decay) * value  # the first is taken as it is
        assert average.module.weight.tolist() == pytest.approx([wanted] * 2)
        assert average.module.running_mean.tolist() == pytest.approx([-wanted] * 2)


def test_it_ends_with_the_decay_asked_for():
    model = nn.Linear(1, 1)
    average = Average(model, 0.5)
    for _ in range(9):
        average.update_parameters(model)
    before = average.module.weight.item()
    with torch.no_grad():
        model.weight.add_(1.0)
    average.update_parameters(model)  # (1 + 9)/(10 + 9) is more than a half
    assert average.module.weight.item() == pytest.approx(before + 0.5)
