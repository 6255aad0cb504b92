"""Figures of masks against scikit-learn, torchmetrics, plain loops and hand-made cases."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, jaccard_score

from visus.metrics import MaskMeter
from visus.metrics.segmentation import boundary_f, edge, pairs
from visus.ops.objects import objects

VOID = 255
SCIKIT_IMAGE = (0.4666666666666667, 0.5714285714285714, 0.5)  # adapted_rand_error of 0.26.0


def masks(count: int = 6, classes: int = 4, side: int = 20, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of classes; what is said differs in a quarter of them; some pixels are void."""
    random = np.random.default_rng(seed)
    blocks = random.integers(0, classes, (count, side // 4, side // 4))
    said = np.where(random.random(blocks.shape) < 0.25, random.integers(0, classes, blocks.shape), blocks)
    true, said = (each.repeat(4, 1).repeat(4, 2).astype(np.uint8) for each in (blocks, said))
    true[random.random(true.shape) < 0.1] = VOID
    return said, true


def met(said: np.ndarray, true: np.ndarray, names: str = "abcd", boundary: int | None = None) -> MaskMeter:
    meter = MaskMeter(names, VOID, boundary)
    for one, other in zip(said, true, strict=True):
        meter.update(one, other)
    return meter


def test_overlaps_are_scikit_learns():
    said, true = masks()
    scores, known = met(said, true).scores(), true != VOID
    flat = true[known], said[known]
    assert scores["iou"].value == pytest.approx(jaccard_score(*flat, average="macro"))
    assert scores["dice"].value == pytest.approx(f1_score(*flat, average="macro"))
    assert scores["accuracy"].value == pytest.approx(accuracy_score(*flat))
    each = met(said, true).per_class()
    assert each["iou"] == pytest.approx(jaccard_score(*flat, average=None))
    assert each["dice"] == pytest.approx(f1_score(*flat, average=None))
    assert each["count"].tolist() == np.bincount(flat[0]).tolist()


def test_of_two_classes_the_second_is_the_foreground():
    said, true = masks(classes=2)
    scores, known = met(said, true, "ab").scores(), true != VOID
    assert scores["foreground_iou"].value == pytest.approx(jaccard_score(true[known], said[known]))
    assert scores["foreground_f1"].value == pytest.approx(f1_score(true[known], said[known]))
    assert "foreground_iou" not in met(*masks()).scores()


def test_a_class_without_true_pixels_counts_only_by_what_it_takes_from_others():
    true = np.zeros((1, 4, 4), np.uint8)
    true[0, 2:] = 1
    said = true.copy()
    said[0, 0] = 3  # 4 of the 8 pixels of class 0
    scores = met(said, true).scores()
    assert scores["iou"].value == pytest.approx((4 / 8 + 1) / 2)
    assert np.isnan(met(said, true).per_class()["iou"][3])


def test_it_agrees_with_torchmetrics():
    from torchmetrics.segmentation import MeanIoU

    said, true = masks(seed=3)
    true[true == VOID] = 0
    theirs = MeanIoU(4, per_class=True, input_format="index")
    # of one image: theirs takes the mean of images
    theirs.update(torch.from_numpy(said[:1]).long(), torch.from_numpy(true[:1]).long())
    assert met(said[:1], true[:1]).per_class()["iou"] == pytest.approx(theirs.compute().numpy(), rel=1e-5)


def test_intervals_hold_the_value_and_shrink_with_the_images():
    few, many = (met(*masks(count)).scores()["iou"] for count in (6, 96))
    assert few.low < few.value < few.high
    assert many.high - many.low < few.high - few.low
    assert met(*masks(1)).scores()["iou"].low is None


def test_images_without_known_pixels_count_nowhere():
    said, true = masks(3)
    blank = np.full_like(true[:1], VOID)
    alone, more = met(said, true), met(np.concatenate([said, said[:1]]), np.concatenate([true, blank]))
    for name, score in alone.scores().items():
        assert more.scores()[name].value == pytest.approx(score.value)


def slowly(said: np.ndarray, true: np.ndarray) -> float:
    """Csurka et al. 2013, pixel by pixel, of a class without void pixels."""

    def outline(mask: np.ndarray) -> np.ndarray:
        height, width = mask.shape
        return np.array([
            (y, x) for y, x in np.argwhere(mask)
            if any(0 <= v < height and 0 <= u < width and not mask[v, u]
                   for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)))
        ])  # fmt: skip

    near = max(1.0, 0.0075 * np.hypot(*said.shape))
    one, other = outline(said), outline(true)
    apart = np.sqrt(((one[:, None] - other[None]) ** 2).sum(2))
    precision, recall = (apart.min(1) <= near).mean(), (apart.min(0) <= near).mean()
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("seed", range(4))
def test_boundaries_by_a_plain_loop(seed):
    said, true = (each[0] == 1 for each in masks(1, 3, 32, seed))
    assert boundary_f(said, true, np.ones_like(said)) == pytest.approx(slowly(said, true))


def test_a_boundary_may_be_off_by_a_share_of_the_diagonal():
    true = np.zeros((300, 400), bool)  # a diagonal of 500, so 3.75 pixels
    true[:, 200:] = True
    known = np.ones_like(true)
    assert boundary_f(np.roll(true, 3, 1) & true, true, known) == 1
    assert boundary_f(np.roll(true, 4, 1) & true, true, known) == 0
    assert boundary_f(known, known, known) == 1  # nowhere a boundary
    assert boundary_f(true, known, known) == 0


def test_what_is_beside_void_is_no_boundary():
    mask, known = np.zeros((5, 5), bool), np.ones((5, 5), bool)
    mask[1:4, 1:4] = True
    assert edge(mask, known).sum() == 8
    known[:, 4] = False
    assert edge(mask, known)[2].tolist() == [False, True, False, False, False]


def test_pairs_of_pixels_by_a_plain_loop():
    said, true = (each[0, :12, :12] % 3 for each in masks(1, 4, 20, 5))
    said, true = objects(said, said > 0), objects(true, true > 0)
    inside = true > 0
    one, other = said[inside], true[inside]
    both = by_true = by_said = 0
    for i in range(len(one)):
        for j in range(len(one)):
            if i != j:
                by_true += other[i] == other[j]
                by_said += one[i] == one[j]
                both += one[i] == one[j] and other[i] == other[j]
    found = pairs(said, true)
    assert (found.both, found.true, found.said) == (both, by_true, by_said)
    assert found.split == pytest.approx(both / by_true)
    assert found.merge == pytest.approx(both / by_said)
    assert found.f == pytest.approx(2 / (by_true / both + by_said / both))


def test_pairs_are_scikit_images():
    # skimage.metrics.adapted_rand_error(true, said) gave SCIKIT_IMAGE: error, precision, recall
    true = np.array([[1, 1, 0, 2, 2], [1, 1, 0, 2, 2], [0, 0, 0, 0, 0], [3, 3, 3, 0, 4], [3, 3, 3, 0, 4]])
    said = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [0, 0, 0, 0, 0], [2, 0, 3, 0, 4], [2, 0, 3, 0, 4]])
    found = pairs(said, true)
    error, precision, recall = SCIKIT_IMAGE
    assert 1 - found.f == pytest.approx(error, abs=1e-12)
    assert sorted((found.merge, found.split)) == pytest.approx(sorted((precision, recall)), abs=1e-12)


def test_merged_and_split_objects_show_in_their_figures():
    true = np.zeros((6, 9), np.uint8)
    true[:, 4] = 1  # a membrane between two cells
    merged, split = np.zeros_like(true), true.copy()
    split[3, :4] = 1
    scores = {name: met(said[None], true[None], "cm", 1).scores() for name, said in
              (("right", true), ("merged", merged), ("split", split))}  # fmt: skip
    assert [scores["right"][name].value for name in ("rand_f", "rand_split", "rand_merge")] == [1, 1, 1]
    assert scores["merged"]["rand_split"].value == 1
    assert scores["merged"]["rand_merge"].value == pytest.approx(2 * 24 * 23 / (48 * 47))
    assert scores["split"]["rand_merge"].value == 1
    assert scores["split"]["rand_split"].value < 0.9
    assert "rand_f" not in met(true[None], true[None], "cm").scores()
