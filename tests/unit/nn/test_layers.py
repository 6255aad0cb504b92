"""Layers beside the same arithmetic written out by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from visus.errors import WeightsError
from visus.models.lenet import C3_TABLE
from visus.nn import (
    AveragePool,
    ConvNormAct,
    Gate,
    PadShortcut,
    Prototypes,
    Rescale,
    Residual,
    ScaledTanh,
    SparseConv2d,
    Subsample,
    Tanh,
    WholeConv2d,
    load_state,
    pooled_head,
)

# Table I of LeCun et al. 1998, as printed: a row for each map of S2, a column for each of C3.
TABLE_I = """
X...XXX..XXXX.XX
XX...XXX..XXXX.X
XXX...XXX..X.XXX
.XXX..XXXX..X.XX
..XXX..XXXX.XX.X
...XXX..XXXX.XXX
"""


def printed() -> torch.Tensor:
    """16×6: whether map out i sees map in j."""
    return torch.tensor([[mark == "X" for mark in row] for row in TABLE_I.split()]).T


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_as_large_as_its_map_is_one(memory: torch.memory_format) -> None:
    layer = WholeConv2d(16, 120, (5, 4)).to(memory_format=memory)  # type: ignore[call-overload]
    x_NCHW = torch.randn(3, 16, 5, 4).contiguous(memory_format=memory).requires_grad_()
    there = x_NCHW.detach().clone().requires_grad_()
    weight, bias = (each.detach().clone().requires_grad_() for each in (layer.weight, layer.bias))
    found, expected = layer(x_NCHW), F.conv2d(there, weight, bias)
    assert found.shape == layer.eval()(x_NCHW).shape == (3, 120, 1, 1)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(layer(x_NCHW), expected)
    (found**2).sum().backward()
    (expected**2).sum().backward()
    for mine, plain in ((x_NCHW, there), (layer.weight, weight), (layer.bias, bias)):
        torch.testing.assert_close(mine.grad, plain.grad, rtol=1e-4, atol=1e-4)


def test_c3_has_the_papers_connections():
    assert [tuple(row.nonzero().flatten().tolist()) for row in printed()] == list(C3_TABLE)
    assert printed().sum() == 60


def test_a_sparse_convolution_is_a_dense_one_with_zeros():
    torch.manual_seed(0)
    sparse, dense = SparseConv2d(C3_TABLE, 6, 5), nn.Conv2d(6, 16, 5)
    mask = printed()
    with torch.no_grad():
        dense.weight.zero_()
        number = 0
        for out in range(16):
            for into in range(6):
                if mask[out, into]:
                    dense.weight[out, into] = sparse.kernels[number]
                    number += 1
        dense.bias.copy_(sparse.bias)
    x = torch.randn(2, 6, 14, 14, requires_grad=True)
    assert torch.allclose(sparse(x), dense(x), atol=1e-6)
    weight = torch.randn(2, 16, 10, 10)
    (sparse(x) * weight).sum().backward()
    (dense(x) * weight).sum().backward()
    assert torch.allclose(sparse.kernels.grad, dense.weight.grad[mask], atol=1e-4)
    assert sum(p.numel() for p in sparse.parameters()) == 1_516  # the paper, §II.B
    assert sparse.density == 60 / 96


def test_a_sparse_convolution_starts_within_the_papers_bounds():
    layer = SparseConv2d(C3_TABLE, 6, 5)
    start = 0
    for row, maps in enumerate(C3_TABLE):  # appendix A: ±2.4 over the number of inputs
        bound = 2.4 / (25 * len(maps))
        kernels = layer.kernels[start : start + len(maps)]
        assert bound * 0.8 < kernels.abs().max() <= bound
        assert layer.bias[row].abs() <= bound
        start += len(maps)


def test_subsampling_is_a_coefficient_times_the_mean_of_four_plus_a_bias():
    layer, x = Subsample(3), torch.randn(2, 3, 6, 8)
    with torch.no_grad():
        layer.coefficient.copy_(torch.tensor([1.0, 2.0, -1.0]).view(3, 1, 1))
        layer.bias.copy_(torch.tensor([0.0, 0.5, 4.0]).view(3, 1, 1))
    four = x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]
    wanted = four / 4 * torch.tensor([1.0, 2.0, -1.0]).view(3, 1, 1) + torch.tensor([0.0, 0.5, 4.0]).view(3, 1, 1)
    assert torch.allclose(layer(x), wanted, atol=1e-6)


def test_scaled_tanh_maps_one_to_one():
    # appendix A: f(1) = 1 and f(−1) = −1, to the four digits of 1.7159
    assert ScaledTanh()(torch.tensor([-1.0, 0.0, 1.0])).tolist() == pytest.approx([-1, 0, 1], abs=1e-4)


def test_prototypes_are_minus_squared_distances_to_fixed_codes():
    layer, x = Prototypes(84, 10), torch.randn(3, 84)
    assert layer.codes.abs().eq(1).all()
    assert len({tuple(code) for code in layer.codes.tolist()}) == 10
    for n in range(3):
        for k in range(10):
            distance = sum((x[n, i].item() - layer.codes[k, i].item()) ** 2 for i in range(84))
            assert layer(x)[n, k].item() == pytest.approx(-distance / 16, rel=1e-4)  # 16: see the class
    assert not list(layer.parameters())
    assert layer(layer.codes).argmax(1).tolist() == list(range(10))
    assert torch.equal(Prototypes(84, 10).codes, layer.codes)


@pytest.mark.parametrize(("c_in", "c_out"), [(4, 8), (3, 6), (4, 7), (5, 5)])
@pytest.mark.parametrize("side", [6, 7])
def test_a_padded_shortcut_takes_every_second_pixel_and_adds_zero_channels(c_in, c_out, side):
    x = torch.randn(2, c_in, side, side + 1)
    found = PadShortcut(c_in, c_out, 2)(x)
    kept = x[..., ::2, ::2]
    before = (c_out - c_in) // 2
    assert found.shape == (2, c_out, *kept.shape[2:])
    assert torch.equal(found[:, before : before + c_in], kept)
    assert (found != 0).sum() == (kept != 0).sum()
    assert found.shape[2:] == F.conv2d(x, torch.zeros(1, c_in, 3, 3), stride=2, padding=1).shape[2:]


def test_a_gate_is_squeeze_and_excite_written_out():
    # Hu et al. 2017, equations 2–4: z_c the mean of map c, s = σ(W₂ relu(W₁ z)), x̃_c = s_c · x_c
    gate, x = Gate(6, 2), torch.randn(3, 6, 4, 5)
    w1, b1, w2, b2 = (p.detach() for p in gate.parameters())
    for n in range(3):
        z = x[n].flatten(1).mean(1)
        s = 1 / (1 + torch.exp(-(w2.flatten(1) @ torch.relu(w1.flatten(1) @ z + b1) + b2)))
        assert torch.allclose(gate(x)[n], s[:, None, None] * x[n], atol=1e-6)


def test_a_residual_is_relu_of_the_sum():
    branch, skip, x = nn.Conv2d(2, 3, 1), nn.Conv2d(2, 3, 1), torch.randn(1, 2, 4, 4)
    assert torch.equal(Residual([branch], skip)(x), (branch(x) + skip(x)).clamp_min(0))


def test_a_residual_leaves_its_input_alone():
    x = torch.randn(1, 2, 4, 4)
    before = x.clone()
    Residual([nn.Conv2d(2, 2, 1)], nn.Identity())(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("act", ["relu", None])
def test_convolution_normalisation_activation(act):
    torch.manual_seed(0)
    layer, x = ConvNormAct(4, 6, 3, 2, groups=2, act=act), torch.randn(8, 4, 7, 9)
    y = F.conv2d(x, layer.conv.weight, stride=2, padding=1, groups=2)
    mean, variance = y.mean((0, 2, 3), keepdim=True), y.var((0, 2, 3), keepdim=True, correction=0)
    wanted = (y - mean) / (variance + 1e-5).sqrt()
    assert torch.allclose(layer(x), wanted.clamp_min(0) if act else wanted, atol=1e-5)
    assert layer.conv.bias is None


def test_convolutions_start_with_hes_spread():
    # He et al. 2015 (arXiv:1502.01852), equation 14: the variance is 2 over the fan-out, 3·3·64
    weight = ConvNormAct(32, 64, 3).conv.weight
    assert weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.05)


def test_a_pooled_head_is_a_linear_layer_on_the_means():
    head, x = pooled_head(5, 3), torch.randn(2, 5, 4, 7)
    assert torch.allclose(head(x), x.mean((2, 3)) @ head[2].weight.T + head[2].bias, atol=1e-6)


def test_rescale():
    assert Rescale((1.0, -1.0), (2.0, 0.5))(torch.tensor([[1.0, 2.0]])).tolist() == [[3.0, 0.0]]


def test_weights_that_fit_are_loaded():
    one, other = nn.Linear(2, 3), nn.Linear(2, 3)
    load_state(one, other.state_dict(), "w.safetensors")
    assert torch.equal(one.weight, other.weight)


def test_weights_that_do_not_fit_are_named_and_the_network_is_left_alone():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    given = {
        "0.weight": torch.zeros(3, 2),
        "0.bias": torch.zeros(4),
        "1.weight": torch.zeros(()),
        "2.x": torch.zeros(1),
    }
    with pytest.raises(WeightsError) as raised:
        load_state(model, given, "w.safetensors")
    for line in (
        "w.safetensors doesn't fit",
        "1.bias: not in w.safetensors",
        "2.x: not in the network",
        "0.bias: 4 in w.safetensors, 3 in the network",
        "1.weight: scalar in w.safetensors, 1×3 in the network",
    ):
        assert line in raised.value.problem
    assert "0.weight" not in raised.value.problem
    assert "same model" in raised.value.remedy
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_long_list_of_differences_is_cut():
    model = nn.Sequential(*(nn.Linear(1, 1) for _ in range(10)))
    with pytest.raises(WeightsError, match="and 12 more"):
        load_state(model, {}, "nothing")


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("layer", [Tanh(), ScaledTanh()])
def test_a_tanh_that_learns_is_one(layer: nn.Module, memory: torch.memory_format) -> None:
    x_NCHW = (4 * torch.randn(64, 6, 28, 28)).contiguous(memory_format=memory).requires_grad_()
    there = x_NCHW.detach().double().requires_grad_()
    slope, scale = (2 / 3, 1.7159) if isinstance(layer, ScaledTanh) else (1, 1)
    expected = scale * torch.tanh(slope * there)
    g_NCHW = torch.randn_like(x_NCHW)
    found = layer(x_NCHW)
    found.backward(g_NCHW)
    expected.backward(g_NCHW.double())
    assert found.stride() == x_NCHW.stride()
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=5e-7)
    torch.testing.assert_close(x_NCHW.grad.double(), there.grad, rtol=1e-5, atol=3e-6)
    torch.testing.assert_close(layer.eval()(x_NCHW).double(), expected, rtol=3e-7, atol=1e-9)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("channels", [6, 16])
def test_a_pool_that_learns_is_the_mean_of_windows(channels: int, memory: torch.memory_format) -> None:
    layer = AveragePool(channels).to(memory_format=memory)  # type: ignore[call-overload]
    x_NCHW = torch.randn(3, channels, 7, 10).contiguous(memory_format=memory).requires_grad_()
    there = x_NCHW.detach().clone().requires_grad_()
    windows = there[:, :, :6].unflatten(3, (5, 2)).unflatten(2, (3, 2))
    found, expected = layer(x_NCHW), windows.mean((3, 5))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(layer.eval()(x_NCHW), expected)
    found.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(x_NCHW.grad, there.grad)
    assert not layer.state_dict()
