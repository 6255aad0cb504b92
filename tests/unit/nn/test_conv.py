"""Paddings beside TensorFlow's rule, and what is normalised how."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from visus.models.parts import BatchNorm
from visus.nn import Classifier, ConvNormAct, DropPath, Pyramid, Residual, TensorFlowPad


def tensorflow_sides(n: int, f: int, s: int) -> tuple[int, int]:
    """As TensorFlow's documentation says it (tf.nn, "SAME"): by the remainder of the division, and more after."""
    whole = max(f - s, 0) if n % s == 0 else max(f - n % s, 0)
    return whole // 2, whole - whole // 2


@pytest.mark.parametrize("f", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("s", [1, 2, 3, 4])
def test_the_sides_and_the_size_are_tensorflows(f, s):
    for n in range(1, 24):
        x = torch.ones(1, 1, n, n)
        padded = TensorFlowPad((f, f), (s, s))(x)
        before, after = tensorflow_sides(n, f, s)
        assert padded.shape[-1] == n + before + after
        assert padded[0, 0, :, before].tolist() == [0.0] * before + [1.0] * n + [0.0] * after
        assert F.conv2d(padded, torch.ones(1, 1, f, f), stride=s).shape[-2:] == (-(-n // s), -(-n // s))


def test_an_odd_pixel_goes_to_the_right_and_the_bottom():
    """224 pixels, a window of 3 at stride 2: 112 windows span 225, so that one pixel is added, after them."""
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    padded = TensorFlowPad((3, 3), (2, 2))(x)
    assert padded.shape == (1, 1, 5, 5)
    assert torch.equal(padded[..., :4, :4], x)
    assert padded[..., 4, :].abs().sum() == padded[..., :, 4].abs().sum() == 0
    assert TensorFlowPad((3, 3), (2, 2))(torch.zeros(1, 1, 224, 224)).shape[-1] == 225


def test_rows_and_columns_of_their_own_and_another_value():
    padded = TensorFlowPad((1, 5), (1, 2), value=-1.0)(torch.zeros(1, 1, 3, 6))
    assert padded[0, 0, 0].tolist() == [-1, 0, 0, 0, 0, 0, 0, -1, -1]
    assert padded.shape == (1, 1, 3, 9)


@pytest.mark.parametrize(
    ("padding", "size", "stride", "side"),
    [
        ("symmetric", 3, 1, 10),
        ("symmetric", 3, 2, 5),
        ("valid", 3, 1, 8),
        ("valid", 3, 2, 4),
        ("tensorflow", 3, 1, 10),
        ("tensorflow", 3, 2, 5),
        ("tensorflow", 2, 1, 10),  # an even window: one more pixel at the end
        ("tensorflow", 4, 1, 10),
        (0, 3, 1, 8),
        (2, 3, 1, 12),
        ((0, 1), 3, 1, (8, 10)),
    ],
)
def test_paddings_of_a_unit(padding, size, stride, side):
    rows, columns = side if isinstance(side, tuple) else (side, side)
    unit = ConvNormAct(2, 3, size, stride, padding=padding)
    assert unit(torch.randn(1, 2, 10, 10)).shape == (1, 3, rows, columns)


@pytest.mark.parametrize("size", [2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_unit_with_tensorflows_padding_is_padding_and_a_convolution(size, stride):
    torch.manual_seed(0)
    unit = ConvNormAct(2, 3, size, stride, padding="tensorflow", norm=None, act=None)
    x = torch.randn(1, 2, 9, 9)
    before, after = tensorflow_sides(9, size, stride)
    wanted = F.conv2d(F.pad(x, (before, after, before, after)), unit.conv.weight, unit.conv.bias, stride)
    assert torch.allclose(unit(x), wanted, atol=1e-6)


def test_symmetric_and_tensorflows_padding_see_other_pixels_at_stride_2():
    torch.manual_seed(0)
    one = ConvNormAct(1, 1, 3, 2, padding="symmetric", norm=None, act=None)
    other = ConvNormAct(1, 1, 3, 2, padding="tensorflow", norm=None, act=None)
    other.load_state_dict(one.state_dict())
    x = torch.randn(1, 1, 8, 8)
    assert one(x).shape == other(x).shape
    assert not torch.allclose(one(x), other(x))


@pytest.mark.parametrize("groups", [1, 32, 256])
def test_weights_start_with_hes_variance_for_all_maps_out_whatever_the_groups(groups):
    """As in ResNeXt's code (facebookresearch/ResNeXt, models/resnext.lua): n = kW·kH·nOutputPlane, the variance 2/n."""
    torch.manual_seed(0)
    unit = ConvNormAct(256, 256, 3, groups=groups, norm=None)
    assert unit.conv.weight.shape == (256, 256 // groups, 3, 3)
    assert unit.conv.weight.std().item() == pytest.approx((2 / (3 * 3 * 256)) ** 0.5, rel=0.05)
    assert not unit.conv.bias.any()


def test_batch_norm_by_hand():
    """Ioffe & Szegedy 2015, algorithm 1, and the running statistics with the unbiased variance."""
    norm = BatchNorm(eps=0.01, momentum=0.25).build(2)
    nn.init.constant_(norm.weight, 3.0)
    nn.init.constant_(norm.bias, 0.5)
    x = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
    wanted = 3 * (x - mean[:, None, None]) / (var + 0.01)[:, None, None].sqrt() + 0.5
    assert torch.allclose(norm(x), wanted, atol=1e-5)
    assert torch.allclose(norm.running_mean, 0.25 * mean)
    assert torch.allclose(norm.running_var, 0.75 + 0.25 * x.var((0, 2, 3), unbiased=True), atol=1e-6)


def test_a_normalisation_without_a_scale_neither_learns_nor_keeps_one():
    norm = BatchNorm(scale=False).build(2)
    assert [name for name, _ in norm.named_parameters()] == ["bias"]
    assert set(norm.state_dict()) == {"bias", "running_mean", "running_var", "num_batches_tracked"}
    plain = BatchNorm().build(2)
    x = torch.randn(4, 2, 3, 3)
    assert torch.equal(norm(x), plain(x))  # the plain one's scale starts at 1


def test_a_path_is_dropped_for_whole_samples_and_the_mean_is_kept():
    torch.manual_seed(0)
    drop, x = DropPath(0.25), torch.ones(20_000, 2, 3)
    y = drop.train()(x)
    assert torch.equal(drop.eval()(x), x)
    kept = y[:, 0, 0] > 0
    assert torch.equal(y[kept], torch.full_like(y[kept], 1 / 0.75))  # of a sample all values, or none
    assert torch.equal(y[~kept], torch.zeros_like(y[~kept]))
    assert kept.float().mean().item() == pytest.approx(0.75, abs=0.015)  # five standard errors
    assert torch.equal(DropPath(0.0).train()(x), x)


def test_a_residual_drops_its_branch_and_never_its_skip():
    torch.manual_seed(0)
    block = Residual([nn.Conv2d(2, 2, 1)], nn.Identity(), act=None, drop=0.5).train()
    x = torch.randn(64, 2, 4, 4)
    left_out = [(each_y - each_x).abs().max().item() == 0 for each_x, each_y in zip(x, block(x), strict=True)]
    assert 10 < sum(left_out) < 54
    branch = block.branch(x)
    y = block.eval()(x)
    assert torch.allclose(y, x + branch, atol=1e-6)


def test_tokens_of_a_grid_are_maps():
    """The last rows·columns tokens are the patches, row by row; what comes before them is in no map."""
    pyramid = Pyramid([nn.Identity()], (5,), (16,), grid=(2, 3))
    tokens = torch.arange(2 * 7 * 5.0).reshape(2, 7, 5)
    (found,) = pyramid.maps(tokens)
    assert found.shape == (2, 5, 2, 3)
    assert torch.equal(found[1, :, 1, 2], tokens[1, 6])
    assert torch.equal(found[0, :, 0, 1], tokens[0, 2])
    assert torch.equal(pyramid.outputs(tokens)[0], tokens)


def test_outputs_are_what_stages_pass_on():
    torch.manual_seed(0)
    stages = [nn.Conv2d(1, 2, 3), nn.Conv2d(2, 3, 3)]
    pyramid, x = Pyramid(stages, (2, 3), (1, 1)), torch.randn(1, 1, 8, 8)
    first, second = pyramid.outputs(x)
    assert torch.equal(first, stages[0](x))
    assert torch.equal(second, stages[1](first))
    assert torch.equal(pyramid(x), second)
    assert [each.shape for each in pyramid.maps(x)] == [first.shape, second.shape]


def test_heads_and_their_shares_of_the_loss():
    torch.manual_seed(0)
    stages = [nn.Linear(4, 4), nn.Linear(4, 3)]
    aside, head = nn.Linear(4, 2), nn.Linear(3, 2)
    model = Classifier(Pyramid(stages, (4, 3), ()), head, {0: aside}, share=0.3)
    x = torch.randn(5, 4)
    (main, scores), (share, other) = model.graded(x)
    assert (main, share) == (1.0, 0.3)
    assert torch.equal(scores, head(stages[1](stages[0](x))))
    assert torch.equal(other, aside(stages[0](x)))
    assert torch.equal(model(x), scores)
