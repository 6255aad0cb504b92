"""Average precision beside pycocotools, and beside VOC's rules gone through box by box."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest

from visus.data.types import Boxes
from visus.metrics import matching
from visus.metrics.detection import DRAWS, RANGES, THRESHOLDS, DetectionMeter, Found

coco = pytest.importorskip("pycocotools.coco")
cocoeval = pytest.importorskip("pycocotools.cocoeval")

CASES = ((0, 40, 3, 12), (1, 60, 5, 30), (2, 25, 1, 60), (3, 100, 20, 40))  # seed, images, classes, objects at most


def made(seed: int, images: int, classes: int, most: int) -> tuple[list[Boxes], list[Found]]:
    """Objects of all sizes, crowds among them, and detections near them, twice, of wrong classes, and of nothing; many
    have the same score."""
    chance = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(images):
        count = chance.integers(0, most)
        low = chance.uniform(0, 200, (count, 2))
        sides = chance.choice([8, 30, 60, 150], (count, 1)) * chance.uniform(0.5, 1.5, (count, 2))
        xyxy = np.concatenate([low, low + sides], 1).astype(np.float32)
        labels = chance.integers(0, classes, count)
        areas = (xyxy[:, 2:].astype(float) - xyxy[:, :2]).prod(1) * chance.uniform(0.5, 1, count)
        truth.append(Boxes(xyxy, labels, areas=areas, crowd=chance.random(count) < 0.15))
        seen = chance.random(count) < 0.8
        near = xyxy[seen] + chance.normal(0, 3, (seen.sum(), 4))
        said = np.where(chance.random(len(near)) < 0.9, labels[seen], chance.integers(0, classes, len(near)))
        more = chance.integers(0, most)
        wrong = np.concatenate([chance.uniform(0, 200, (more, 2)), chance.uniform(200, 350, (more, 2))], 1)
        boxes = np.concatenate([near, wrong, near[:2]])
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        names = np.concatenate([said, chance.integers(0, classes, more), said[:2]])
        found.append(Found(boxes, chance.random(len(boxes)).round(2), names))
    return truth, found


def measured(truth: list[Boxes], found: list[Found], classes: int) -> DetectionMeter:
    meter = DetectionMeter([str(each) for each in range(classes)])
    half = len(truth) // 2
    meter.update(found[:half], truth[:half])
    meter.update(found[half:], truth[half:])
    return meter


def by_pycocotools(truth: list[Boxes], found: list[Found], classes: int) -> Any:
    def wh(box: np.ndarray) -> list[float]:
        left, top, right, bottom = map(float, box)
        return [left, top, right - left, bottom - top]

    annotations = [
        {"image_id": image, "category_id": int(label), "bbox": wh(box), "area": float(area), "iscrowd": int(crowd)}
        for image, each in enumerate(truth)
        for box, label, area, crowd in zip(each.xyxy, each.labels, each.areas, each.crowd, strict=True)  # type: ignore[arg-type]
    ]
    results = [
        {"image_id": image, "category_id": int(label), "bbox": wh(box), "score": float(score)}
        for image, each in enumerate(found)
        for box, label, score in zip(each.xyxy, each.labels, each.scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        known = coco.COCO()
        known.dataset = {
            "images": [{"id": image} for image in range(len(truth))],
            "annotations": [{**each, "id": number + 1} for number, each in enumerate(annotations)],
            "categories": [{"id": label, "name": str(label)} for label in range(classes)],
        }
        known.createIndex()
        evaluation = cocoeval.COCOeval(known, known.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.mark.parametrize("case", CASES)
def test_figures_are_pycocotools(case: tuple[int, int, int, int]) -> None:
    truth, found = made(*case)
    meter, theirs = measured(truth, found, case[2]), by_pycocotools(truth, found, case[2])
    for where, area in enumerate(RANGES):
        for rank, most in enumerate((1, 10, 100)):
            precision_TRK = theirs.eval["precision"][:, :, :, where, rank]
            expected = np.where(precision_TRK[:, 0] < 0, np.nan, precision_TRK.mean(1)).T
            np.testing.assert_allclose(meter.average_precision(area=area, most=most), expected, rtol=0, atol=1e-9)
            recall_TK = theirs.eval["recall"][:, :, where, rank]
            expected = np.where(recall_TK < 0, np.nan, recall_TK).T
            np.testing.assert_allclose(meter.average_recall(area=area, most=most), expected, rtol=0, atol=1e-9)
    scores = meter.scores()
    for name, index in (("map", 0), ("map50", 1), ("map75", 2), ("recall", 8)):
        assert scores[name].value == pytest.approx(theirs.stats[index], abs=1e-9)
        assert scores[name].n == len(truth)


def test_it_makes_no_difference_how_many_groups_are_matched_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, found = made(*CASES[1])
    once = measured(truth, found, 5).average_precision(area="small")
    monkeypatch.setattr(matching, "AT_ONCE", 5000)
    np.testing.assert_array_equal(measured(truth, found, 5).average_precision(area="small"), once)


def test_a_resampled_set_is_its_images_again() -> None:
    truth, found = made(1, 30, 3, 20)
    times = np.random.default_rng(0).integers(0, 3, 30)
    again = [index for index, count in enumerate(times) for _ in range(count)]
    meter = measured(truth, found, 3)
    expected = measured([truth[each] for each in again], [found[each] for each in again], 3).average_precision()
    # detections of equal score in copies of an image stand together here, and apart there
    np.testing.assert_allclose(meter.average_precision(times=times), expected, rtol=0, atol=0.01)
    score = meter.scores()["map50"]
    assert score.low is not None
    assert score.high is not None
    assert score.low < score.value < score.high
    draws = [np.nanmean(meter.average_precision(times=each)[:, 0]) for each in resampled(30)]
    assert (score.low, score.high) == pytest.approx(np.quantile(draws, [0.025, 0.975]))


def resampled(n: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [np.bincount(random.integers(0, n, n), minlength=n) for _ in range(DRAWS)]


def by_voc(truth: list[Boxes], found: list[Found], label: int, points: bool) -> float:
    """The rules as the development kit states them, detection by detection."""
    queue = [
        (-float(score), image, row)
        for image, each in enumerate(found)
        for row, (score, name) in enumerate(zip(each.scores, each.labels, strict=True))
        if name == label
    ]
    objects = sum(int((each.labels == label).sum()) for each in truth)
    taken: set[tuple[int, int]] = set()
    hits, recall, precision = 0, [], []
    for number, (_, image, row) in enumerate(sorted(queue), 1):
        box, best, where = found[image].xyxy[row], 0.5, -1
        for index, other in enumerate(truth[image].xyxy.astype(float)):
            if truth[image].labels[index] == label:
                width, height = (
                    min(box[2], other[2]) - max(box[0], other[0]),
                    min(box[3], other[3]) - max(box[1], other[1]),
                )
                both = max(width, 0.0) * max(height, 0.0)
                own = [(each[2] - each[0]) * (each[3] - each[1]) for each in (box, other)]
                if both / (sum(own) - both) > best:
                    best, where = both / (sum(own) - both), index
        if where >= 0 and (image, where) not in taken:
            taken.add((image, where))
            hits += 1
        recall.append(hits / objects)
        precision.append(hits / number)
    if points:
        levels = [
            max((p for r, p in zip(recall, precision, strict=True) if r >= t / 10), default=0.0) for t in range(11)
        ]
        return sum(levels) / 11
    area, last = 0.0, 0.0
    for index, level in enumerate(recall):
        area, last = area + (level - last) * max(precision[index:]), level
    return area


@pytest.mark.parametrize("points", [False, True])
def test_figures_by_vocs_rules(points: bool) -> None:
    truth, found = made(4, 30, 3, 15)
    truth = [Boxes(each.xyxy, each.labels) for each in truth]
    expected = [by_voc(truth, found, label, points) for label in range(3)]
    np.testing.assert_allclose(measured(truth, found, 3).voc(points=points), expected, rtol=0, atol=1e-12)


def test_difficult_objects_count_neither_way() -> None:
    """Two objects, of which the second is difficult: found or not, it changes nothing."""
    truth = Boxes(
        np.array([[0, 0, 9, 9], [20, 20, 29, 29]], np.float32), np.array([0, 0]), difficult=np.array([False, True])
    )
    both = Found(truth.xyxy, np.array([0.5, 0.9]), np.array([0, 0]))
    for each in (both, Found(both.xyxy[:1], both.scores[:1], both.labels[:1])):
        meter = measured([truth], [each], 1)
        assert meter.voc().tolist() == [1.0]
        assert meter.average_precision().tolist() == [[1.0] * len(THRESHOLDS)]


def test_a_curve_by_hand() -> None:
    truth = Boxes(np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32), np.array([0, 0]))
    found = Found(
        np.array([[0, 0, 10, 10], [50, 50, 60, 60], [20, 0, 30, 10]], float),
        np.array([0.9, 0.8, 0.7]),
        np.zeros(3, int),
    )
    curve = measured([truth], [found], 1).curve(0)
    assert curve.precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3])
    assert curve.recall.tolist() == [0.5, 0.5, 1.0]
    assert curve.scores.tolist() == [0.9, 0.8, 0.7]
    assert curve.objects == 2
    # 51 recalls up to a half have a precision of 1, the other 50 of 2/3
    assert measured([truth], [found], 1).average_precision()[0, 0] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_nothing_found_and_nothing_there() -> None:
    none = Found(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))
    there = Boxes(np.array([[0, 0, 9, 9]], np.float32), np.array([0]))
    meter = measured([there, Boxes(np.zeros((0, 4), np.float32), np.zeros(0, int))], [none, none], 2)
    assert meter.average_precision()[:, 0].tolist() == pytest.approx([0.0, np.nan], nan_ok=True)
    assert meter.scores()["map50"].value == 0
    assert np.isnan(DetectionMeter(["a"]).scores()["map"].value)
