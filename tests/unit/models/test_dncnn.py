"""DnCNN as published, and folded."""

import pytest
import torch
from torch import nn

from visus.data.types import Schema
from visus.errors import ModelError
from visus.models import CATALOG, TINY, stage_shapes
from visus.models.dncnn import DnCNN, Straight
from visus.nn.restorer import Restorer
from visus.tasks import Restore

# the authors' code (github.com/cszn/DnCNN, TrainingCodes/dncnn_pytorch): biases in the first convolution alone
PUBLISHED = {
    name: 9 * 64 + 64 + (depth - 2) * (9 * 64 * 64 + 2 * 64) + 9 * 64
    for name, depth in (("dncnn", 17), ("dncnn_blind", 20))
}


def restorer(spec: DnCNN, channels: int = 1, **more) -> Restorer:
    torch.manual_seed(0)
    task = Restore(mean=(0.0,) * channels, std=(1.0,) * channels, **more)
    model = task.assemble(spec, Schema(shape=(channels, 40, 40), targets=("image",)))
    assert isinstance(model, Restorer)
    return model.eval()


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_has_as_many_parameters_as_the_authors(name):
    model = restorer(CATALOG[name].spec)
    assert sum(parameter.numel() for parameter in model.parameters()) == PUBLISHED[name]
    assert {"dncnn": 556_096, "dncnn_blind": 667_072}[name] == PUBLISHED[name]


def test_it_sees_as_far_as_the_paper_says():
    # §III.A: 3×3 convolutions d deep see (2d + 1)×(2d + 1) pixels
    model, x = restorer(CATALOG["dncnn"].spec), torch.ones(1, 1, 63, 63, requires_grad=True)
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.1)
    (model(x)[0, 0, 31, 31] - x[0, 0, 31, 31]).backward()
    rows = x.grad[0, 0].abs().sum(1).nonzero()[:, 0]
    assert (rows.min().item(), rows.max().item()) == (31 - 17, 31 + 17)


def test_it_is_the_authors_network():
    """Their layers, given our weights, say the same."""
    model = restorer(DnCNN(depth=5, channels=6))
    layers = []
    for index, each in enumerate([*model.inner.backbone.stages[:1], *model.inner.backbone.stages[1]]):
        theirs = nn.Conv2d(6 if index else 1, 6, 3, padding=1, bias=index == 0)
        theirs.load_state_dict(each.conv.state_dict())
        layers += [theirs, *([nn.BatchNorm2d(6, eps=1e-4, momentum=0.95)] if index else []), nn.ReLU()]
    last = nn.Conv2d(6, 1, 3, padding=1, bias=False)
    last.load_state_dict(model.inner.last.state_dict())
    x = torch.rand(2, 1, 21, 18)
    with torch.no_grad():
        assert torch.allclose(model(x), x - nn.Sequential(*layers, last).eval()(x), atol=1e-6)


@pytest.mark.parametrize("fold", [1, 2, 3])
def test_it_takes_images_of_any_size_and_at_first_leaves_them_nearly_as_they_are(fold):
    model = restorer(DnCNN(depth=4, channels=8, fold=fold))
    for sides in ((1, 1), (7, 12), (40, 41)):
        x = torch.rand(2, 1, *sides)
        found = model(x)
        assert found.shape == x.shape
        assert torch.allclose(found, x, atol=0.05)
        assert not torch.equal(found, x)


def test_folding_moves_nothing():
    """An image moved by the side of a square is restored to the same, moved."""
    model = restorer(DnCNN(depth=4, channels=8, fold=2))
    nn.init.normal_(model.inner.last.weight, std=0.3)
    x = torch.rand(1, 1, 40, 40)
    with torch.no_grad():
        here, there = model(x), model(x.roll((2, 4), (2, 3)))
    assert torch.allclose(here[..., 10:28, 10:26], there[..., 12:30, 14:30], atol=1e-5)
    assert stage_shapes(DnCNN(depth=4, channels=8, fold=2), (3, 41, 40)) == [(8, 21, 20)] * 2


def test_the_straight_decoder_takes_networks_of_one_resolution_alone():
    with pytest.raises(ModelError, match="one resolution"):
        Straight().build(TINY["resnet"], (3, 32, 32), 3)
