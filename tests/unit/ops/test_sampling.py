"""Which regions are learnt from: by the rules of Fast R-CNN, §2.3, counted."""

import torch
from torch import Tensor

from visus.ops.boxes import iou
from visus.ops.sampling import Sampled, sample

TRUE = torch.tensor([[[10.0, 10.0, 50.0, 50.0], [60.0, 60.0, 100.0, 100.0]]])
LABELS, ALL, NONE = torch.tensor([[2, 0]]), torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, 2, dtype=torch.bool)


def regions() -> Tensor:
    """1×400×4, many of them near the objects."""
    draws = torch.Generator().manual_seed(0)
    near = TRUE[0].repeat(100, 1) + 12 * torch.randn(200, 4, generator=draws)
    low = 80 * torch.rand(200, 2, generator=draws)
    return torch.cat((near, torch.cat((low, low + 40), 1)))[None]


def taken(boxes: Tensor, *, there: Tensor = ALL, void: Tensor = NONE, count: int = 64, least: float = 0.1) -> Sampled:
    torch.manual_seed(0)
    real = torch.ones(boxes.shape[:2], dtype=torch.bool)
    return sample(boxes, real, TRUE, LABELS, there, void, count=count, share=0.25, least=least)


def test_a_quarter_are_objects_and_the_rest_background_near_them():
    found = taken(regions())
    fits, which = iou(found.boxes[0], TRUE[0]).max(1)
    assert found.boxes.shape == (1, 64, 4)
    assert (found.label > 0).sum() == 16
    assert (found.label == 0).sum() == 48
    one = found.label[0] > 0
    assert (fits[one] >= 0.5).all()
    assert ((fits[~one] >= 0.1) & (fits[~one] < 0.5)).all()
    assert torch.equal(found.object[0][one], which[one])
    assert torch.equal(found.label[0][one], 1 + LABELS[0][which[one]])


def test_another_draw_takes_others():
    first = taken(regions())
    second = sample(regions(), torch.ones(1, 400, dtype=torch.bool), TRUE, LABELS, ALL, NONE, count=64, share=0.25)
    assert not torch.equal(first.boxes, second.boxes)


def test_where_regions_are_few_all_are_taken_and_the_true_boxes_too():
    found = taken(torch.tensor([[[12.0, 10.0, 50.0, 50.0], [20.0, 20.0, 70.0, 70.0]]]))
    assert sorted(found.label[0].tolist()) == [0, 1, 3, 3]


def test_background_that_is_far_from_all_is_taken_where_there_is_no_other():
    far = torch.tensor([[[0.0, 80.0, 20.0, 100.0]] * 5])
    assert sorted(taken(far).label[0].tolist()) == [0, 0, 0, 0, 0, 1, 3]
    near = torch.cat((far, torch.tensor([[[20.0, 20.0, 70.0, 70.0]]])), 1)
    assert sorted(taken(near).label[0].tolist()) == [-1, -1, -1, -1, -1, 0, 1, 3]


def test_regions_in_what_says_nothing_are_neither():
    inside = torch.tensor([[[12.0, 12.0, 48.0, 48.0], [15.0, 20.0, 30.0, 40.0], [0.0, 60.0, 30.0, 90.0]]])
    found = taken(inside, void=torch.tensor([[True, False]]))
    rows = {tuple(box): label for box, label in zip(found.boxes[0].tolist(), found.label[0].tolist(), strict=True)}
    assert rows == {
        (12, 12, 48, 48): -1, (15, 20, 30, 40): -1, (0, 60, 30, 90): 0, (60, 60, 100, 100): 1, (10, 10, 50, 50): -1,
    }  # fmt: skip


def test_an_image_without_objects_is_background():
    found = taken(regions(), there=NONE, count=8)
    assert found.label.tolist() == [[0] * 8]
