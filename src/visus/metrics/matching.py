"""Which detection finds which object: COCO's rules, for all images and classes at once.

A group is what one image has of one class. B: groups with objects and detections. D, G: the most detections and objects
of one. A: ranges of area. T: thresholds of IoU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

AT_ONCE = 1 << 25  # entries A·B·T·G that are matched together
CLOSE = 1 - 1e-10  # the highest threshold: IoU is rounded


@dataclass(frozen=True, slots=True)
class Group:
    """What one image has of one class.

    found: D×4 boxes (xyxy), by score downwards. true: G×4. areas: G, of the objects as they are annotated. crowd: G,
    those that are no single object, in which any number of detections may lie. ignored: G, that count neither way.
    zoom: how often an annotated area goes into that of its box.
    """

    found: np.ndarray
    true: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray
    ignored: np.ndarray
    zoom: float = 1.0


def match(
    groups: Sequence[Group], ranges: Sequence[tuple[float, float]], thresholds: Sequence[float]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """For each group: whether each detection finds an object, and whether it counts neither way; A×T×D bool each.

    Detections choose one after the other, by score: of the objects that are left the one with the highest IoU, if that
    reaches the threshold; one that counts before one that doesn't. A detection without an object whose area is out of
    the range doesn't count, nor does one that found an ignored object, or one that is out of the range.
    Rules: COCO's evaluation (Lin et al. 2014, arXiv:1405.0312), as its reference code has them.
    """
    limits = np.array(ranges, np.float64).reshape(-1, 2)
    wanted = np.minimum(np.array(thresholds, np.float64), CLOSE)
    matched = [np.zeros((len(limits), len(wanted), len(group.found)), bool) for group in groups]
    ignored = [each.copy() for each in matched]
    busy = [index for index, group in enumerate(groups) if len(group.found) and len(group.true)]
    busy.sort(key=lambda index: (len(groups[index].true), len(groups[index].found)))
    start = 0
    while start < len(busy):
        stop = start + 1
        while stop < len(busy):
            most = len(groups[busy[stop]].true) * (stop + 1 - start)
            if most * len(limits) * len(wanted) > AT_ONCE:
                break
            stop += 1
        part = busy[start:stop]
        for index, hits, passed in zip(part, *_match([groups[index] for index in part], limits, wanted), strict=True):
            matched[index], ignored[index] = hits, passed
        start = stop
    for group, hits, passed in zip(groups, matched, ignored, strict=True):
        if len(group.found):
            size = area(group.found) / group.zoom
            outside = (size < limits[:, :1]) | (size > limits[:, 1:])  # A×D
            np.logical_or(passed, ~hits & outside[:, None], out=passed)
    return matched, ignored


def _match(
    groups: Sequence[Group], limits: np.ndarray, wanted: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The same for groups that have both, without the rule of areas of detections. Arrays are A×T×B×G."""
    count, most = len(groups), max(len(group.true) for group in groups)
    deepest = max(len(group.found) for group in groups)
    ious = np.full((count, deepest, most), -1.0)
    crowd = np.zeros((count, most), bool)
    passed = np.ones((len(limits), count, most), bool)
    for index, group in enumerate(groups):
        objects = slice(0, len(group.true))
        ious[index, : len(group.found), objects] = overlap(group.found, group.true, group.crowd)
        crowd[index, objects] = group.crowd
        outside = (group.areas < limits[:, :1]) | (group.areas > limits[:, 1:])
        passed[:, index, objects] = outside | group.ignored | group.crowd
    taken = np.zeros((len(limits), len(wanted), count, most), bool)
    hits = np.zeros((len(limits), len(wanted), count, deepest), bool)
    ignored = hits.copy()
    depth = np.array([len(group.found) for group in groups])
    for step in range(deepest):
        now = np.flatnonzero(depth > step)
        iou = ious[now, step]
        free = (iou >= wanted[:, None, None]) & (~taken[:, :, now] | crowd[now])
        counts = free & ~passed[:, None, now]
        some = counts.any(-1)
        value = np.where(np.where(some[..., None], counts, free), iou, -1.0)
        best = most - 1 - value[..., ::-1].argmax(-1)  # the last of those with the same IoU
        exists = free.any(-1)
        hits[:, :, now, step] = exists
        ignored[:, :, now, step] = exists & ~some
        a, t, b = np.nonzero(exists)
        taken[a, t, now[b], best[a, t, b]] = True
    return (
        [hits[:, :, index, : len(group.found)] for index, group in enumerate(groups)],
        [ignored[:, :, index, : len(group.found)] for index, group in enumerate(groups)],
    )


def overlap(found_D4: np.ndarray, true_G4: np.ndarray, crowd_G: np.ndarray) -> np.ndarray:
    """D×G intersection over union; of a crowd over the detection's own area."""
    found, true = found_D4.astype(np.float64)[:, None], true_G4.astype(np.float64)[None]
    sides = np.minimum(found[..., 2:], true[..., 2:]) - np.maximum(found[..., :2], true[..., :2])
    both = np.where((sides > 0).all(-1), sides.prod(-1), 0.0)
    own, other = area(found), area(true)
    union = np.where(crowd_G, own, own + other - both)
    return np.divide(both, union, out=np.zeros_like(both), where=union > 0)


def area(boxes: np.ndarray) -> np.ndarray:
    """Of M×4 boxes, float64 in square pixels."""
    sides = boxes[..., 2:].astype(np.float64) - boxes[..., :2]
    return np.asarray(sides.prod(-1))
