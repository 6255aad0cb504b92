"""Average precision of detections, and the suppression of overlapping ones, in one interleaved run.

    python benchmarks/detection.py [--images 5000] [--boxes 100] [--rounds 3] [--threads 1]

Boxes are made like those of COCO's 5,000 validation images: 80 classes, most of them rare, 7 objects an image on
average, and detections in clusters round objects, the nearer the surer, with false ones among them. pycocotools and
Visus take the same arrays, and all figures must be equal to 1e-6, or the script fails:

    pycocotools    COCOeval of arrays in memory: evaluate and accumulate, with and without making its index (loadRes)
    visus          DetectionMeter: update, and average precision and recall for the same areas and numbers of detections

Suppression is class by class, at IoU 0.5, image by image; what is kept must be the same (corners of detections are
whole numbers, so that no rounding decides):

    python         the definition, box by box, in lists
    numpy          the loop that most repositories have: the best box against all that are left, for each class
    visus          visus.ops.boxes.nms
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from machine import describe

from visus.data.types import Boxes
from visus.metrics.detection import MOST, RANGES, DetectionMeter, Found
from visus.ops.boxes import nms

CLASSES, SIDE, OBJECTS = 80, 640, 7.3
OVERLAP = 0.5
COUNTS = (1, 10, MOST)  # detections of an image and class that count


def made(images: int, boxes: int, seed: int = 0) -> tuple[list[Boxes], list[Found]]:
    """Objects, and `boxes` detections of each image."""
    chance = np.random.default_rng(seed)
    share = 1 / np.arange(1, CLASSES + 1)
    truth, found = [], []
    for _ in range(images):
        count = max(1, chance.poisson(OBJECTS))
        labels = chance.choice(CLASSES, count, p=share / share.sum())
        sides = np.exp(chance.normal(4, 1, (count, 2))).clip(8, SIDE - 1)
        low = chance.uniform(0, SIDE - sides)
        xyxy = np.concatenate([low, low + sides], 1)
        truth.append(Boxes(xyxy.astype(np.float32), labels, crowd=chance.random(count) < 0.02))
        owner = chance.integers(0, count, boxes)
        away = chance.exponential(0.15, (boxes, 1))  # in sides of the object
        near = xyxy[owner] + away * chance.normal(0, 1, (boxes, 4)) * np.tile(sides[owner], 2)
        near = near.clip(0, SIDE - 1).round()
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        said = np.where(chance.random(boxes) < 0.8, labels[owner], chance.integers(0, CLASSES, boxes))
        scores = (np.exp(-4 * away[:, 0]) * chance.uniform(0.3, 1, boxes)).round(4)
        found.append(Found(near.astype(np.float32), scores, said))
    return truth, found


def ours(truth: list[Boxes], found: list[Found]) -> np.ndarray:
    """2×T×K×A×3: average precision and recall."""
    meter = DetectionMeter([str(each) for each in range(CLASSES)])
    meter.update(found, truth)
    kinds = (meter.average_precision, meter.average_recall)
    return np.array([
        [[kind(area=area, most=most).T for most in COUNTS] for area in RANGES] for kind in kinds
    ]).transpose(0, 3, 4, 1, 2)  # fmt: skip


def known(truth: list[Boxes]) -> Any:
    """The objects as pycocotools indexes them."""
    from pycocotools.coco import COCO

    annotations = [
        {"image_id": image, "category_id": int(label), "bbox": [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()],
         "area": float((box[2] - box[0]) * (box[3] - box[1])), "iscrowd": int(crowd)}
        for image, each in enumerate(truth)
        for box, label, crowd in zip(each.xyxy.astype(float), each.labels, each.crowd, strict=True)
    ]  # fmt: skip
    found = COCO()
    found.dataset = {
        "images": [{"id": image} for image in range(len(truth))],
        "annotations": [{**each, "id": number} for number, each in enumerate(annotations, 1)],
        "categories": [{"id": label, "name": str(label)} for label in range(CLASSES)],
    }
    found.createIndex()
    return found


def rows_of(found: list[Found]) -> np.ndarray:
    """The detections as pycocotools takes them: image, left, top, width, height, score, class."""
    return np.concatenate([
        np.column_stack([np.full(len(each.scores), image), each.xyxy[:, :2].astype(float),
                         each.xyxy[:, 2:].astype(float) - each.xyxy[:, :2], each.scores, each.labels])
        for image, each in enumerate(found)
    ])  # fmt: skip


def theirs(objects: Any, detections: Any) -> np.ndarray:
    """The same as `ours`."""
    from pycocotools.cocoeval import COCOeval

    evaluation = COCOeval(objects, detections, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
    averaged = np.where(precision[:, 0] < 0, np.nan, precision.mean(1))
    return np.stack([averaged, np.where(recall < 0, np.nan, recall)])


def in_lists(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> list[int]:
    """Suppression in Python."""
    left = sorted(range(len(boxes)), key=lambda row: -scores[row])
    rows, names = boxes.tolist(), labels.tolist()
    kept = []
    while left:
        best, *left = left
        kept.append(best)
        a, own = rows[best], names[best]
        area, others = (a[2] - a[0]) * (a[3] - a[1]), []
        for row in left:
            b = rows[row]
            if names[row] == own:
                both = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
                if both > OVERLAP * (area + (b[2] - b[0]) * (b[3] - b[1]) - both):
                    continue
            others.append(row)
        left = others
    return kept


def in_numpy(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> list[int]:
    """Suppression in NumPy, class by class."""
    left, top, right, bottom = boxes.T
    areas = (right - left) * (bottom - top)
    kept: list[int] = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        order = rows[np.argsort(-scores[rows], kind="stable")]
        while order.size:
            best, rest = order[0], order[1:]
            kept.append(int(best))
            wide = np.maximum(0, np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest]))
            tall = np.maximum(0, np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest]))
            both = wide * tall
            order = rest[both <= OVERLAP * (areas[best] + areas[rest] - both)]
    return kept


def in_torch(boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor) -> list[int]:
    """Suppression as Visus does it."""
    kept: list[int] = nms(boxes, scores, OVERLAP, labels).tolist()
    return kept


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came of it."""
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints as it goes
        found = work()
    return time.perf_counter() - began, found


def compared(sides: dict[str, Callable[[], Any]], rounds: int, same: Callable[[Any, Any], bool]) -> None:
    """Each side in turns; the medians, and how many times Visus's seconds they are. All must come to the same."""
    took: dict[str, list[float]] = {name: [] for name in sides}
    results: dict[str, Any] = {}
    for _ in range(rounds):
        for name, work in sides.items():
            seconds, results[name] = timed(work)
            took[name].append(seconds)
    medians = {name: statistics.median(each) for name, each in took.items()}
    for name, each in took.items():
        if not same(results[name], results["visus"]):
            raise SystemExit(f"{name} and visus differ")
        ratio = medians[name] / medians["visus"]
        print(f"  {name:30} {medians[name]:8.2f} s  {ratio:7.2f} ×   ({', '.join(f'{one:.2f}' for one in each)})")
    print(flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--boxes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(describe())
    print(f"pycocotools: {version('pycocotools')}, numpy: {version('numpy')}, threads used: {arguments.threads}\n")
    truth, found = made(arguments.images, arguments.boxes)
    total = sum(map(len, truth))
    print(f"average precision and recall: {arguments.images:,} images, {total:,} objects of {CLASSES} classes, "
          f"{arguments.boxes} detections an image")  # fmt: skip
    rows = rows_of(found)
    with contextlib.redirect_stdout(io.StringIO()):
        objects = known(truth)
        detections = objects.loadRes(rows)
    compared(
        {
            "pycocotools": lambda: theirs(objects, detections),
            "pycocotools, with its index": lambda: theirs(objects, objects.loadRes(rows)),
            "visus": lambda: ours(truth, found),
        },
        arguments.rounds,
        lambda one, other: np.allclose(one, other, rtol=0, atol=1e-6, equal_nan=True),
    )
    meter = DetectionMeter([str(each) for each in range(CLASSES)])
    meter.update(found, truth)
    seconds, scores = timed(meter.scores)
    said = ", ".join(f"{name} {score.value:.4f}" for name, score in scores.items())
    print(f"  with intervals by 200 resamplings of the images: {seconds:.1f} s ({said})\n")
    for images, boxes in ((arguments.images, arguments.boxes), (max(1, arguments.images // 50), 10 * arguments.boxes)):
        _, given = made(images, boxes, seed=1)
        arrays = [(each.xyxy, each.scores, each.labels) for each in given]
        tensors = [tuple(map(torch.from_numpy, each)) for each in arrays]
        print(f"suppression: {images:,} images, {boxes:,} boxes in each")
        compared(
            {
                "python": lambda arrays=arrays: [in_lists(*each) for each in arrays],
                "numpy": lambda arrays=arrays: [in_numpy(*each) for each in arrays],
                "visus": lambda tensors=tensors: [in_torch(*each) for each in tensors],
            },
            arguments.rounds,
            lambda one, other: [sorted(each) for each in one] == [sorted(each) for each in other],
        )


if __name__ == "__main__":
    main()
