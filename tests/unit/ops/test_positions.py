"""Positions for another grid."""

import pytest
import torch

from visus.ops.positions import resize_positions


def table(extra: int, rows: int, columns: int) -> torch.Tensor:
    """1×T×2 numbers of −6 … 6 that any program can make."""
    i = torch.arange((extra + rows * columns) * 2)
    return ((7 * i * i + 3 * i) % 13 - 6).float().view(1, -1, 2)


# timm 1.0.31, timm.layers.resample_abs_pos_embed(table(1, *old), new, old, num_prefix_tokens=1), torch 2.15
TIMM = {
    ((2, 3), (4, 5)): [
        [-6.0, 4.0], [2.421753, 0.741398], [1.894864, 1.559482], [1.441176, 1.911765], [3.4054, -3.176252],
        [4.762486, -6.597114], [1.262534, 1.354447], [0.622974, 2.059862], [-0.035714, 2.207143],
        [1.723508, -3.085875], [2.967924, -6.619407], [-1.036119, 2.570081], [-1.899094, 3.052079],
        [-2.964286, 2.792857], [-1.611567, -2.906664], [-0.590566, -6.663612], [-2.195338, 3.18313],
        [-3.170983, 3.552458], [-4.441176, 3.088235], [-3.293458, -2.816287], [-2.385128, -6.685904],
    ],
    ((5, 4), (2, 3)): [
        [-6.0, 4.0], [-1.202671, 1.337342], [1.142585, -2.421279], [1.599013, 0.094172], [-2.833153, 3.136527],
        [-0.918416, -0.702609], [3.157058, -2.403785],
    ],
    ((3, 3), (2, 5)): [
        [-6.0, 4.0], [0.458403, 1.687877], [-0.220311, 2.377495], [-0.950241, 2.430176], [0.73774, -3.272779],
        [1.943002, -7.067809], [1.943002, 2.482268], [0.73774, 2.243573], [-0.950241, 1.739968],
        [-0.220311, 0.904531], [0.458403, 0.407281],
    ],
}  # fmt: skip


@pytest.mark.parametrize(("old", "new"), sorted(TIMM))
def test_they_are_those_of_timm(old, new):
    found = resize_positions(table(1, *old), old, new)
    assert torch.allclose(found[0], torch.tensor(TIMM[old, new]), atol=1e-5)


@pytest.mark.parametrize("extra", [0, 1, 2])
def test_the_same_grid_changes_nothing(extra):
    given = torch.randn(1, extra + 12, 5)
    assert torch.equal(resize_positions(given, (3, 4), (3, 4), extra), given)


@pytest.mark.parametrize("new", [(1, 1), (2, 9), (14, 14)])
def test_a_constant_stays_constant_and_what_is_extra_is_kept(new):
    given = torch.cat([torch.tensor([[5.0, -5.0]]), torch.tensor([[2.0, 3.0]]).expand(35, 2)])
    found = resize_positions(given, (7, 5), new)
    assert found.shape == (1 + new[0] * new[1], 2)
    assert torch.equal(found[0], given[0])
    assert torch.allclose(found[1:], torch.tensor([2.0, 3.0]), atol=1e-5)


def test_rows_and_columns_are_not_confused():
    rows = torch.arange(3.0).repeat_interleave(6).view(-1, 1)  # the number of the row
    found = resize_positions(rows, (3, 6), (3, 12), extra=0).view(3, 12)
    assert torch.allclose(found, torch.arange(3.0).view(3, 1).expand(3, 12), atol=1e-5)


def test_both_layouts_are_taken():
    given = torch.randn(1, 13, 4)
    assert torch.equal(resize_positions(given[0], (3, 4), (5, 6)), resize_positions(given, (3, 4), (5, 6))[0])


def test_gradients_flow():
    given = torch.randn(1, 7, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: resize_positions(x, (2, 3), (3, 5)), given)


@pytest.mark.parametrize(
    ("count", "old", "new", "match"),
    [(12, (3, 4), (5, 6), "12 positions aren't 1 and a grid of 3×4"), (13, (3, 4), (0, 2), "0×2")],
)
def test_bad_input(count, old, new, match):
    with pytest.raises(ValueError, match=match):
        resize_positions(torch.zeros(count, 2), old, new)
