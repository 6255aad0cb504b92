"""SqueezeNet's module beside the same arithmetic."""

import torch

from visus.nn.fire import Fire


def test_a_fire_module_squeezes_and_expands_side_by_side():
    torch.manual_seed(0)
    fire, x = Fire(6, 3, 4, 5), torch.randn(2, 6, 5, 7)
    few = torch.einsum("nchw,sc->nshw", x, fire.squeeze.conv.weight.flatten(1)).clamp_min(0)
    small = torch.einsum("nshw,es->nehw", few, fire.small.conv.weight.flatten(1)).clamp_min(0)
    around = torch.zeros(2, 3, 7, 9)
    around[:, :, 1:-1, 1:-1] = few
    large = sum(
        torch.einsum("nshw,es->nehw", around[:, :, i : i + 5, j : j + 7], fire.large.conv.weight[:, :, i, j])
        for i in range(3)
        for j in range(3)
    ).clamp_min(0)
    assert torch.allclose(fire(x), torch.cat([small, large], 1), atol=1e-5)


def test_parameters_of_a_fire_module():
    # arXiv:1602.07360, table 1, fire2: 11,920 before pruning
    assert sum(p.numel() for p in Fire(96, 16, 64, 64).parameters()) == 11_920
    assert Fire(96, 16, 64, 64)(torch.randn(1, 96, 3, 2)).shape == (1, 128, 3, 2)
