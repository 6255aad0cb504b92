"""Boxes beside the same arithmetic done box by box."""

from __future__ import annotations

import math
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from visus.ops.boxes import (
    area,
    clip,
    from_center,
    giou,
    iou,
    moved,
    nms,
    offsets,
    paired_iou,
    soft_nms,
    suppressed,
    to_center,
)


def some(count: int, seed: int, size: float = 50) -> Tensor:
    """Boxes that overlap much, in float64."""
    draws = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=draws, dtype=torch.float64) * size
    return torch.cat((low, low + torch.rand(count, 2, generator=draws, dtype=torch.float64) * size), 1)


def plain_iou(one: list[float], other: list[float]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = width * height if width > 0 and height > 0 else 0.0
    union = sum((each[2] - each[0]) * (each[3] - each[1]) for each in (one, other)) - both
    return both / union if union else 0.0


def plain_nms(boxes: Tensor, scores: Tensor, threshold: float, labels: Tensor | None) -> list[int]:
    """As it is defined: the best that is left is kept, and what overlaps it is left out."""
    left = sorted(range(len(boxes)), key=lambda row: (-float(scores[row]), row))
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [
            row for row in left
            if (labels is not None and labels[row] != labels[best])
            or plain_iou(boxes[row].tolist(), boxes[best].tolist()) <= threshold
        ]  # fmt: skip
    return kept


def test_overlaps_are_those_of_each_with_each() -> None:
    one, other = some(7, 0), some(5, 1)
    expected = [[plain_iou(a, b) for b in other.tolist()] for a in one.tolist()]
    torch.testing.assert_close(iou(one, other), torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(paired_iou(one[:5], other), iou(one[:5], other).diagonal())


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((0, 0, 2, 2), (0, 0, 2, 2), 1.0),
        ((0, 0, 2, 2), (2, 0, 4, 2), 0.0),  # side by side: the box around both is full
        ((0, 0, 1, 1), (3, 0, 4, 1), -0.5),  # half of the box around both is empty
        ((0, 0, 2, 2), (1, 1, 3, 3), 1 / 7 - 2 / 9),
    ],
)
def test_generalised_iou(one: tuple[float, ...], other: tuple[float, ...], expected: float) -> None:
    """Values by its definition (Rezatofighi et al. 2019, algorithm 1)."""
    found = giou(torch.tensor([one], dtype=torch.float64), torch.tensor([other], dtype=torch.float64))
    assert found.item() == pytest.approx(expected)


def test_distant_boxes_are_drawn_together() -> None:
    box = torch.tensor([[0.0, 0, 1, 1]], dtype=torch.float64, requires_grad=True)
    giou(box, torch.tensor([[5.0, 0, 6, 1]], dtype=torch.float64)).sum().backward()
    assert box.grad is not None
    assert box.grad[0, 2] > 0  # its right side should go right
    assert torch.autograd.gradcheck(giou, (some(4, 0).requires_grad_(), some(4, 1)))


def test_boxes_without_area_overlap_nothing() -> None:
    flat = torch.tensor([[1.0, 1, 1, 5], [3, 3, 3, 3], [5, 5, 2, 2]])
    assert area(flat).tolist() == [0, 0, 0]
    assert iou(flat, flat).tolist() == [[0.0] * 3] * 3
    assert giou(flat, flat).isfinite().all()


def test_middle_and_size_and_back() -> None:
    boxes = some(6, 0)
    assert to_center(torch.tensor([[1.0, 2, 5, 10]])).tolist() == [[3, 6, 4, 8]]
    torch.testing.assert_close(from_center(to_center(boxes)), boxes)


def test_clipping() -> None:
    boxes = torch.tensor([[-3.0, -1, 4, 30], [12, 3, 20, 5]])
    assert clip(boxes, 20, 10).tolist() == [[0, 0, 4, 20], [10, 3, 10, 5]]


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 40), st.integers(0, 10**6), st.sampled_from([0.0, 0.3, 0.5, 0.9]), st.booleans(),
    st.sampled_from([1, 3, 8, 128]),
)  # fmt: skip
def test_suppression_is_that_of_going_box_by_box(
    count: int, seed: int, threshold: float, classes: bool, block: int
) -> None:
    boxes, draws = some(count, seed), torch.Generator().manual_seed(seed)
    scores = torch.randint(0, 10, (count,), generator=draws) / 10  # many are equal
    labels = torch.randint(0, 3, (count,), generator=draws) if classes else None
    with patch("visus.ops.boxes.BLOCK", block):
        assert nms(boxes, scores, threshold, labels).tolist() == plain_nms(boxes, scores, threshold, labels)


def test_suppression_as_a_graph_is_that_of_going_box_by_box() -> None:
    """Several images at once, in one program for any number of them."""

    class Suppressing(nn.Module):
        def forward(self, boxes_NM4: Tensor, labels_NM: Tensor) -> Tensor:
            return suppressed(boxes_NM4, labels_NM, 0.4)

    def given(seeds: range) -> tuple[Tensor, Tensor]:
        draws = torch.Generator().manual_seed(seeds.start)
        return torch.stack([some(30, seed) for seed in seeds]), torch.randint(0, 3, (len(seeds), 30), generator=draws)

    batch = torch.export.Dim("batch")
    program = torch.export.export(Suppressing(), given(range(2)), dynamic_shapes=({0: batch}, {0: batch})).module()
    boxes_NM4, labels_NM = given(range(10, 17))
    order = -torch.arange(30.0)
    for boxes, labels, kept in zip(boxes_NM4, labels_NM, program(boxes_NM4, labels_NM), strict=True):
        assert kept.nonzero()[:, 0].tolist() == plain_nms(boxes, order, 0.4, labels)
    chain = torch.cat((torch.arange(90.0)[:, None] * torch.tensor([0.4, 0]),) * 2, 1) + torch.tensor([0.0, 0, 1, 1])
    assert suppressed(chain[None], torch.zeros(1, 90), 0.3)[0].nonzero()[:, 0].tolist() == list(range(0, 90, 2))


def test_suppression_along_a_chain() -> None:
    """Each box suppresses the next one only: every second is kept, after as many rounds as there are boxes."""
    low = torch.arange(300.0)[:, None] * torch.tensor([0.4, 0])
    boxes = torch.cat((low, low + 1), 1)  # neighbours at 0.43, the next but one at 0.11
    assert nms(boxes, -torch.arange(300.0), 0.3).tolist() == list(range(0, 300, 2))


def test_soft_suppression() -> None:
    """By hand: the best is taken, and lowers the others by exp(−IoU²/σ), of its own class only."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 10]])
    scores = torch.tensor([0.9, 0.8, 0.7])
    rows, lowered = soft_nms(boxes, scores, sigma=0.5)
    assert rows.tolist() == [0, 1, 2]
    after_first = [0.8 * math.exp(-(0.5**2) / 0.5), 0.7 * math.exp(-1 / 0.5)]
    assert lowered.tolist() == pytest.approx([0.9, after_first[0], after_first[1] * math.exp(-(0.5**2) / 0.5)])
    rows, lowered = soft_nms(boxes, scores, labels_M=torch.tensor([0, 1, 1]))
    assert rows.tolist() == [0, 1, 2]
    assert lowered.tolist() == pytest.approx([0.9, 0.8, 0.7 * math.exp(-(0.5**2) / 0.5)])
    rows, lowered = soft_nms(boxes, scores, least=0.6)
    assert rows.tolist() == [0]
    assert soft_nms(boxes[:0], scores[:0])[0].shape == (0,)


def test_offsets_are_those_of_the_published_equations():
    # Girshick et al. 2014, equations 6–9: t_x = (G_x − P_x)/P_w, t_w = log(G_w/P_w), of middles and sides
    box, other = torch.tensor([[10.0, 20.0, 30.0, 60.0]]), torch.tensor([[20.0, 20.0, 60.0, 40.0]])
    wanted = torch.tensor([[(40 - 20) / 20, (30 - 40) / 40, math.log(40 / 20), math.log(20 / 40)]])
    torch.testing.assert_close(offsets(box, other), wanted)


def test_moved_by_their_offsets_boxes_are_the_others():
    one, other = some(40, 0), some(40, 1)
    assert torch.allclose(moved(one, offsets(one, other)), other)


def test_no_side_grows_without_limit():
    found = moved(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[0.0, 0.0, 50.0, 0.0]]))
    assert to_center(found)[0].tolist() == pytest.approx([1, 1, 128, 2])
