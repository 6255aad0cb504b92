"""What is peculiar to YOLO's networks; as detectors they are held to the paper in tests/unit/tasks/test_yolo.py."""

import pytest
import torch
from torch import nn

from visus.errors import ModelError
from visus.models import CATALOG, build_classifier
from visus.models.darknet import Darknet
from visus.models.parts import BatchNorm

STAGES = (((7, 8),), ((1, 4), (3, 8)))


@pytest.mark.parametrize("stages", [(), (((3, 8),), ())])
def test_a_table_that_makes_no_network_is_refused(stages):
    with pytest.raises(ModelError, match="at least one row"):
        build_classifier(Darknet(stages=stages), (3, 32, 32), 3)


# backwards through 2×2 pooling: 1 ← 2 ← 4 ← 8 ← 16, and 15·2 + 1 by the first convolution of stride 2; 2⁶ = 64
@pytest.mark.parametrize(("name", "least"), [("yolo_v1", 31), ("fast_yolo", 64)])
def test_the_least_image(name, least):
    spec = CATALOG[name].spec
    with torch.device("meta"):
        maps = spec.build((3, least, least)).maps(torch.empty(1, 3, least, least))
    assert tuple(maps[-1].shape[2:]) == (1, 1)
    with pytest.raises(ModelError, match=f"3×{least}×{least - 1}"):
        spec.build((3, least, least - 1))


@pytest.mark.parametrize("norm", [None, BatchNorm()])
def test_each_convolution_has_its_rectifier_and_biases_where_no_normalisation_follows(norm):
    torch.manual_seed(0)
    model = build_classifier(Darknet(stages=STAGES, norm=norm), (3, 16, 20), 4)
    convolutions = [each for each in model.modules() if isinstance(each, nn.Conv2d)]
    assert [each.bias is None for each in convolutions] == [norm is not None] * 3
    assert sum(isinstance(each, nn.LeakyReLU) for each in model.modules()) == 3
    assert sum(isinstance(each, nn.BatchNorm2d) for each in model.modules()) == (3 if norm else 0)
    model(torch.randn(4, 3, 16, 20)).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())
