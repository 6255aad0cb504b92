"""What is peculiar to plain networks: the settings that make none, the least images, the sign of the scores."""

import pytest
import torch
from torch import nn

from visus.data.types import Schema
from visus.errors import ModelError
from visus.models import CATALOG, TINY, Network, build_classifier, signed
from visus.models.alexnet import AlexNet
from visus.models.catalog import classic
from visus.models.layers import Convolution, MaxPool
from visus.models.nin import MLPConv, NiN
from visus.models.parts import BatchNorm
from visus.models.squeezenet import SqueezeNet
from visus.models.vgg import VGG
from visus.tasks import Classify, Regress

CONV = Convolution(filters=8, size=3, padding=1)


@pytest.mark.parametrize(
    "spec",
    [
        AlexNet(stages=()),
        AlexNet(stages=((CONV,), ())),
        AlexNet(stages=((Convolution(filters=8, size=3, groups=2),),)),
        NiN(blocks=()),
        VGG(kernels=(), widths=()),
        VGG(kernels=((3,),)),
        VGG(kernels=((3,), ()), widths=(4, 8)),
        SqueezeNet(expand=4, squeeze=0.1),
        SqueezeNet(expand=1),
        SqueezeNet(large=0.0),
        SqueezeNet(large=0.999, expand=16, increment=0),
    ],
    ids=str,
)
def test_settings_that_make_no_network_are_refused(spec: Network):
    with pytest.raises(ModelError):
        build_classifier(spec, (3, 64, 64), 3)


@pytest.mark.parametrize(
    "spec",
    [
        AlexNet(stages=((CONV, MaxPool(size=2)), (CONV,)), grid=1, hidden=(), dropout=0.0),
        NiN(blocks=(MLPConv(first=CONV, mixed=()),), scores="linear"),
        VGG(kernels=((3,), (1,)), widths=(8, 8), norm=BatchNorm(scale=False), grid=1, hidden=(8,)),
        SqueezeNet(depths=(1,), stem=CONV, pool=MaxPool(size=2), expand=16, scores="linear"),
    ],
    ids=str,
)
def test_other_settings_build_and_learn(spec: Network):
    torch.manual_seed(0)
    model = build_classifier(spec, (3, 16, 20), 4)
    model(torch.randn(4, 3, 16, 20)).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


# torchvision 0.29 gives these least sizes with its weights (`meta["min_size"]`): alexnet 63, vgg 32, squeezenet1_0 21,
# squeezenet1_1 17. The others by ⌊(n − f)/s⌋ + 1 backwards: AlexNet 1 ← 3 ← 7 ← 15 ← 14·4 + 11; ZFNet (rounded up)
# 1 ← 2 ← 4 ← 3·2 + 5 ← 22 ← 21·2 + 7 − 2; nin 1 ← 2 ← 4 ← 8 ← 7·4 + 11; nin_cifar 1 ← 2 ← 4.
LEAST = {
    "alexnet": 67, "alexnet_one_tower": 67, "alexnet_owt": 63, "zfnet": 47, "zfnet_512": 47, "nin": 39, "nin_cifar": 4,
    "squeezenet1_0": 21, "squeezenet1_1": 17,
} | {name: 32 for name in CATALOG if name.startswith("vgg")}  # fmt: skip


@pytest.mark.parametrize("name", sorted(classic.CARDS))
def test_the_least_image_of_each_network(name):
    spec, least = CATALOG[name].spec, LEAST[name]
    with torch.device("meta"):
        maps = spec.build((3, least, least)).eval().maps(torch.empty(1, 3, least, least))
    assert tuple(maps[-1].shape[2:]) == (1, 1)
    with pytest.raises(ModelError, match=f"3×{least}×{least - 1}"):
        spec.build((3, least, least - 1))


@pytest.mark.parametrize("family", ["nin", "squeezenet"])
def test_scores_are_rectified_as_published_and_signed_where_a_task_needs_it(family):
    x, image = torch.randn(2, 3, 32, 32), {"inputs": "image", "shape": (3, 32, 32)}
    classes = Schema(**image, targets=("label",), labels=("cat", "dog", "emu"))
    tags = Schema(**image, targets=("labels",), labels=("cat", "dog", "emu"))
    values = Schema(**image, targets=("values",), values=("weight", "height", "length"))
    regress = Regress(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    for task, schema, negative in ((Classify(), classes, False), (Classify(), tags, True), (regress, values, True)):
        model = task.assemble(TINY[family], schema).eval()
        *_, maps = (layer for layer in model.modules() if isinstance(layer, nn.Conv2d))
        nn.init.constant_(maps.bias, -100)
        assert (model(x) < 0).all() == negative


def test_networks_whose_scores_have_a_sign_are_left_as_they_are():
    assert all(signed(spec) is spec for family, spec in TINY.items() if family not in ("nin", "squeezenet"))
