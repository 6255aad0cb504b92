"""Ways back to the pixels: enlarging, unpooling, and U-Net's cropping."""

import pytest
import torch
from torch.nn import functional as F

from visus.models import TINY
from visus.models.decoders import FCN, SegNet
from visus.models.vgg import VGG
from visus.nn.pixelwise import Enlarge
from visus.nn.unet import middle


@pytest.mark.parametrize("factor", [2, 3, 4, 8, 32])
def test_enlarging_starts_as_bilinear_interpolation(factor):
    x = torch.randn(2, 3, 5, 7)
    found = Enlarge(3, factor, learned=True)(x)
    wanted = F.interpolate(x, scale_factor=factor, mode="bilinear")
    assert found.shape == wanted.shape
    inner = slice(factor, -factor)  # at the edges a transposed convolution sees nothing beyond, interpolation a copy
    assert torch.allclose(found[..., inner, inner], wanted[..., inner, inner], atol=1e-5)


def test_what_is_fixed_has_no_parameters():
    assert list(Enlarge(3, 2, learned=False).parameters()) == []
    assert [p.shape for p in Enlarge(3, 2, learned=True).parameters()] == [(3, 1, 4, 4)]


@pytest.mark.parametrize("skips", [0, 1, 2])
def test_an_fcn_answers_for_every_pixel_of_sides_that_no_stride_divides(skips):
    torch.manual_seed(0)
    model = FCN(skips=skips).build(TINY["vgg"], (3, 49, 50), 4).eval()
    x = torch.randn(2, 3, 49, 50)
    assert model(x).shape == (2, 4, 49, 50)
    assert torch.equal(model(x), torch.zeros(2, 4, 49, 50))  # the scores' layers start at zero, as in the paper
    assert len(model.finer) == skips


def test_an_fcns_pooled_maps_are_vggs_own():
    model = FCN(skips=2).build(TINY["vgg"], (3, 48, 48), 4).eval()
    maps = model.backbone.maps(torch.randn(1, 3, 48, 48))
    for level, pooled in model.joining:
        assert pooled
        following = model.backbone.stages[level + 1][0]  # the pooling with which the next stage begins
        assert torch.equal(following(maps[level]), F.max_pool2d(maps[level], 2))
    assert [maps[level].shape[-1] // 2 for level, _ in model.joining] == [12, 24]


def test_segnet_puts_values_where_pooling_took_them_from():
    torch.manual_seed(0)
    model = SegNet().build(VGG(kernels=((3,),), widths=(4,)), (3, 8, 9), 5).eval()
    seen = []
    model.last.register_forward_hook(lambda _, inputs, output: seen.append(inputs[0]))
    x = torch.randn(1, 3, 8, 9)
    assert model(x).shape == (1, 5, 8, 9)
    (before, pooled), (unpooled,) = model.backbone.maps(x), seen
    kept = unpooled != 0
    assert torch.equal(unpooled[kept], before[kept])
    assert torch.equal(F.max_pool2d(unpooled, 2), pooled)


def test_the_middle_of_what_is_larger():
    x = torch.arange(30).view(1, 5, 6)
    assert middle(x, 3, 2).tolist() == [[[8, 9], [14, 15], [20, 21]]]
    assert torch.equal(middle(x, 5, 6), x)
