"""The dense connection."""

import pytest
import torch
from torch import nn

from visus.nn.dense import DenseLayer


def test_a_dense_layer_appends_its_branch_to_its_input():
    layer, x = DenseLayer([nn.Conv2d(3, 5, 1), nn.Tanh()]), torch.randn(2, 3, 4, 6)
    found = layer(x)
    assert found.shape == (2, 8, 4, 6)
    assert torch.equal(found[:, :3], x)
    weight, bias = layer.branch[0].weight[:, :, 0, 0], layer.branch[0].bias
    assert torch.allclose(
        found[:, 3:], torch.einsum("oc,nchw->nohw", weight, x).add(bias.view(-1, 1, 1)).tanh(), atol=1e-6
    )


def test_layers_in_a_row_see_everything_before_them():
    """The paper, equation 2: x_ℓ = H_ℓ([x_0, x_1, …, x_{ℓ−1}])."""
    first, second, x = DenseLayer([nn.Conv2d(1, 2, 1)]), DenseLayer([nn.Conv2d(3, 2, 1)]), torch.randn(1, 1, 3, 3)
    one = first.branch(x)
    assert torch.equal(second(first(x)), torch.cat([x, one, second.branch(torch.cat([x, one], 1))], 1))


def test_a_branch_that_changes_the_size_is_refused():
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        DenseLayer([nn.Conv2d(1, 1, 3)])(torch.randn(1, 1, 5, 5))
