"""The learning-rate finder: which rate it raises, and how."""

from itertools import count

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from visus.data.types import Batch, Targets
from visus.run.find_rate import HIGH, LOW, STEPS, sweep
from visus.training import SGD, Group, Player, ready


@pytest.mark.parametrize("share", [1.0, 0.125])
def test_the_rate_that_is_raised_is_the_top_layers_whatever_share_of_it_the_lower_ones_have(share):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    groups = Group(tuple(model[0].parameters()), share), Group(tuple(model[2].parameters()))
    player = Player("c", groups, lambda batch: {"loss": F.cross_entropy(model(batch.inputs), batch.target.label)})
    learners = ready([player], SGD(lr=0.2))
    x, used = torch.randn(8, 3), []
    batch = Batch(x, Targets(label=(x.sum(1) > 0).long()), torch.arange(8))
    top = learners[0].optimizer.param_groups[-1]
    found = sweep(learners, (batch for _ in count()), torch.float32, lambda done, total: used.append(top["lr"]))
    assert list(found.rates) == used == pytest.approx([LOW * (HIGH / LOW) ** (n / STEPS) for n in range(len(used))])
