"""Optimisers: which parameters decay, at which rate; the arithmetic is torch's."""

import msgspec
import pytest
import torch
from torch import nn

from visus.errors import SpecError
from visus.spec import decode, tree
from visus.training import SGD, AdamW, Group, Player, ready


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


@pytest.mark.parametrize("kind", [SGD, AdamW])
def test_weights_decay_and_vectors_do_not(kind):
    model = network()
    optim = kind(weight_decay=0.3).build([Group(tuple(model.parameters()))])
    decay = {id(p): group["weight_decay"] for group in optim.param_groups for p in group["params"]}
    assert len(decay) == 6
    assert {name: decay[id(p)] for name, p in model.named_parameters()} == {
        "0.weight": 0.3, "0.bias": 0.0, "1.weight": 0.0, "1.bias": 0.0, "3.weight": 0.3, "3.bias": 0.0,
    }  # fmt: skip


def test_each_group_has_its_share_of_the_rate():
    model = network()
    groups = (Group(tuple(model[0].parameters()), 0.1), Group(tuple(model[3].parameters())))
    optim = SGD(lr=0.5).build(groups)
    rate = {id(p): group["lr"] for group in optim.param_groups for p in group["params"]}
    assert rate[id(model[0].weight)] == rate[id(model[0].bias)] == pytest.approx(0.05)
    assert rate[id(model[3].weight)] == rate[id(model[3].bias)] == 0.5
    (learner,) = ready([Player("one", groups, lambda batch: {})], SGD(lr=0.5))
    assert sorted(learner.rates) == pytest.approx([0.05, 0.05, 0.5, 0.5])


@pytest.mark.parametrize(
    ("ours", "peer"),
    [
        (SGD(lr=0.1, momentum=0.8, weight_decay=0.01),
         lambda p: torch.optim.SGD(p, 0.1, momentum=0.8, nesterov=True, weight_decay=0.01)),
        (SGD(lr=0.1, momentum=0.8, nesterov=False, weight_decay=0.01),
         lambda p: torch.optim.SGD(p, 0.1, momentum=0.8, weight_decay=0.01)),
        (SGD(lr=0.1, momentum=0, weight_decay=0), lambda p: torch.optim.SGD(p, 0.1)),
        (AdamW(lr=0.1, betas=(0.8, 0.9), weight_decay=0.1),
         lambda p: torch.optim.AdamW(p, 0.1, betas=(0.8, 0.9), weight_decay=0.1)),
    ],
    ids=["nesterov", "momentum", "plain", "adamw"],
)  # fmt: skip
def test_steps_are_torchs(ours, peer):
    torch.manual_seed(0)
    start = torch.randn(4, 3)
    one, other = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optims = ours.build([Group((one,))]), peer([other])
    for _ in range(5):
        gradient = torch.randn(4, 3)
        one.grad, other.grad = gradient.clone(), gradient.clone()
        for optim in optims:
            optim.step()
    assert torch.allclose(one, other, atol=1e-6)
    assert not torch.equal(one, start)


def test_a_players_own_optimiser_comes_before_the_recipes():
    model = network()
    mine = Player("a", (Group(tuple(model.parameters())),), lambda batch: {}, optim=SGD(lr=0.7))
    given = Player.of("b", model, lambda batch: {})
    learners = ready([mine, given], AdamW(lr=0.2))
    assert isinstance(learners[0].optimizer, torch.optim.SGD)
    assert isinstance(learners[1].optimizer, torch.optim.AdamW)
    assert set(learners[0].rates) == {0.7}


def test_frozen_parameters_are_not_a_players():
    model = network()
    model[0].requires_grad_(False)
    player = Player.of("a", model, lambda batch: {})
    assert len(player.parameters) == 4
    assert all(p.requires_grad for p in player.parameters)


@pytest.mark.parametrize(
    "settings", [{"lr": 0}, {"lr": -1}, {"momentum": 1.0}, {"weight_decay": -0.1}, {"lr": float("nan")}]
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(SpecError):
        decode({**tree(SGD()), **settings}, SGD)
    assert msgspec.convert(tree(SGD()), SGD) == SGD()
