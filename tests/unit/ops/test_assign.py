"""Which points learn which object, beside the rule written out point by point (arXiv:2108.07755, §3.2)."""

import pytest
import torch
from torch import Tensor

from visus.ops.assign import Assigned, align

POINTS = torch.tensor([(x + 0.5, y + 0.5) for y in range(6) for x in range(8)]) * 8


def overlap(one: list[float], other: list[float]) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    tall = min(one[3], other[3]) - max(one[1], other[1])
    both = max(wide, 0) * max(tall, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return both / (sum(areas) - both)


def plainly(
    scores: Tensor, boxes: Tensor, true: list[list[float]], labels: list[int], count: int
) -> tuple[list[int], list[float]]:
    """One image, where every object has points inside, and no two measures are alike."""
    wanted: dict[int, list[int]] = {}
    for index, (box, label) in enumerate(zip(true, labels, strict=True)):
        inside = [at for at, (x, y) in enumerate(POINTS.tolist()) if box[0] < x < box[2] and box[1] < y < box[3]]
        measure = {at: scores[at, label].item() * overlap(box, boxes[at].tolist()) ** 6 for at in inside}
        for at in sorted(inside, key=lambda at: -measure[at])[:count]:
            wanted.setdefault(at, []).append(index)
    owner = {at: max(some, key=lambda index: overlap(true[index], boxes[at].tolist())) for at, some in wanted.items()}
    object, share = [-1] * len(POINTS), [0.0] * len(POINTS)
    for index, (box, label) in enumerate(zip(true, labels, strict=True)):
        mine = [at for at, of in owner.items() if of == index]
        measure = {at: scores[at, label].item() * overlap(box, boxes[at].tolist()) ** 6 for at in mine}
        best = max((overlap(box, boxes[at].tolist()) for at in mine), default=0.0)
        for at in mine:
            object[at], share[at] = index, measure[at] / max(measure.values()) * best
    return object, share


def scene(seed: int, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * torch.tensor([32.0, 16.0])
    true = torch.cat((corner, corner + 14 + torch.rand(count, 2, generator=generator) * 18), 1)
    labels = torch.randint(3, (count,), generator=generator)
    scores = torch.rand(len(POINTS), 3, generator=generator)
    sides = 4 + torch.rand(len(POINTS), 4, generator=generator) * 16
    boxes = torch.cat((POINTS - sides[:, :2], POINTS + sides[:, 2:]), 1)
    return scores, boxes, true, labels


@pytest.mark.parametrize("count", [1, 3, 10])
def test_it_is_the_rule_written_out_for_batches_of_unequal_images(count):
    scenes = [scene(seed, objects) for seed, objects in enumerate((1, 4, 6))]
    most = max(len(each[2]) for each in scenes)
    true, labels, real = torch.zeros(3, most, 4), torch.zeros(3, most, dtype=torch.int64), torch.zeros(3, most).bool()
    for row, (_, _, boxes, classes) in enumerate(scenes):
        true[row, : len(boxes)], labels[row, : len(boxes)], real[row, : len(boxes)] = boxes, classes, True
    scores, boxes = torch.stack([each[0] for each in scenes]), torch.stack([each[1] for each in scenes])
    found = align(scores, boxes, POINTS, true, labels, real, points=count)
    for row, (own_scores, own_boxes, own_true, own_labels) in enumerate(scenes):
        object, share = plainly(own_scores, own_boxes, own_true.tolist(), own_labels.tolist(), count)
        assert found.object[row].tolist() == object
        assert found.share[row].tolist() == pytest.approx(share, rel=1e-4, abs=1e-7)


def test_an_image_without_objects_gives_no_point_any():
    found = align(torch.rand(2, 48, 3), torch.rand(2, 48, 4), POINTS, *nothing(2))
    assert_none(found)


def nothing(count: int) -> tuple[Tensor, Tensor, Tensor]:
    return torch.zeros(count, 1, 4), torch.zeros(count, 1, dtype=torch.int64), torch.zeros(count, 1, dtype=torch.bool)


def assert_none(found: Assigned) -> None:
    assert (found.object == -1).all()
    assert (found.share == 0).all()


def test_an_object_between_all_points_is_learnt_by_the_nearest():
    true = torch.tensor([[[14.5, 14.0, 17.5, 18.0]]])  # points lie at 12 and 20
    boxes = torch.cat((POINTS - 6, POINTS + 6), 1)[None]
    found = align(torch.full((1, 48, 1), 0.5), boxes, POINTS, true, torch.tensor([[0]]), torch.tensor([[True]]))
    chosen = (found.object[0] == 0).nonzero()[:, 0]
    assert len(chosen) == 1
    assert (POINTS[chosen[0]] - torch.tensor([16.0, 16.0])).abs().max() == 4


def test_an_object_that_no_box_meets_is_still_given_points():
    true = torch.tensor([[[0.0, 0.0, 30.0, 30.0]]])
    away = torch.full((1, 48, 4), 500.0) + torch.tensor([0.0, 0.0, 5.0, 5.0])
    found = align(torch.rand(1, 48, 1), away, POINTS, true, torch.tensor([[0]]), torch.tensor([[True]]), points=4)
    chosen = POINTS[found.object[0] == 0]
    assert len(chosen) == 4
    assert (chosen - 15).norm(dim=1).max() <= (POINTS - 15).norm(dim=1).sort().values[3] + 1e-4
