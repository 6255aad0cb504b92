"""Which detection finds which object: COCO's rules, for all images and classes at once.

A group is what one image has of one class. B: groups with objects and detections. D, G: the most detections and objects
of one. A: ranges of area. T: thresholds of IoU.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

AT_ONCE = 1 << 26  # bytes of the largest array where groups are matched together
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
) -> tuple[np.ndarray, np.ndarray]:
    """Whether each detection finds an object, and whether it counts neither way: A×T×D bool each, of the detections of
    all groups, one group after the other.

    Detections choose one after the other, by score: of the objects that are left the one with the highest IoU, if that
    reaches the threshold; one that counts before one that doesn't. A detection without an object whose area is out of
    the range doesn't count, nor does one that found an ignored object, or one that is out of the range.
    Rules: COCO's evaluation (Lin et al. 2014, arXiv:1405.0312), as its reference code has them.
    """
    limits = np.array(ranges, np.float64).reshape(-1, 2)
    wanted = np.minimum(np.array(thresholds, np.float64), CLOSE)
    depths, counts = (np.array([len(getattr(each, name)) for each in groups], int) for name in ("found", "true"))
    starts = np.cumsum(depths) - depths
    matched = np.zeros((len(limits), len(wanted), int(depths.sum())), bool)
    ignored = matched.copy()
    busy = np.flatnonzero((depths > 0) & (counts > 0))
    busy = busy[np.lexsort((depths[busy], counts[busy]))]
    for part in _parts(busy, depths, counts, len(limits) * len(wanted)):
        hits, passed = _match([groups[index] for index in part.tolist()], limits, wanted)
        group, place = np.nonzero(np.arange(hits.shape[-1]) < depths[part, None])
        at = starts[part][group] + place
        matched[..., at], ignored[..., at] = hits[..., group, place], passed[..., group, place]
    if matched.size:
        zooms = np.repeat([group.zoom for group in groups], depths)
        sizes = area(np.concatenate([group.found for group in groups])) / zooms
        outside = (sizes < limits[:, :1]) | (sizes > limits[:, 1:])  # A×D
        ignored |= ~matched & outside[:, None]
    return matched, ignored


def counted(groups: Sequence[Group], ranges: Sequence[tuple[float, float]]) -> np.ndarray:
    """How many objects of each group are to be found, of each range: A×groups."""
    found = np.zeros((len(ranges), len(groups)))
    if groups:
        group = np.repeat(np.arange(len(groups)), [len(each.true) for each in groups])
        areas = np.concatenate([each.areas for each in groups])
        counts = ~np.concatenate([each.crowd | each.ignored for each in groups])
        for row, (low, high) in zip(found, ranges, strict=True):
            np.add.at(row, group, counts & (areas >= low) & (areas <= high))
    return found


def _parts(busy: np.ndarray, depths: np.ndarray, counts: np.ndarray, times: int) -> Iterator[np.ndarray]:
    """Groups that are matched together: as many as fit. times: A·T."""
    start = 0
    while start < len(busy):
        stop, deepest = start, 0
        while stop < len(busy):
            most, deepest = int(counts[busy[stop]]), max(deepest, int(depths[busy[stop]]))
            each = max(times * most, times * deepest, 8 * most * deepest)  # marks are bytes, overlaps float64
            if stop > start and (stop + 1 - start) * each > AT_ONCE:
                break
            stop += 1
        yield busy[start:stop]
        start = stop


def _match(groups: Sequence[Group], limits: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same for groups that have both, A×T×B×D each, without the rule of areas of detections. Others are A×T×B×G."""
    depth, objects = (np.array([len(getattr(each, name)) for each in groups]) for name in ("found", "true"))
    count, deepest, most = len(groups), int(depth.max()), int(objects.max())
    said, there = np.arange(deepest) < depth[:, None], np.arange(most) < objects[:, None]
    found, true = np.zeros((count, deepest, 4)), np.zeros((count, most, 4))
    found[said] = np.concatenate([group.found for group in groups])
    true[there] = np.concatenate([group.true for group in groups])
    crowd, passed = np.zeros((count, most), bool), np.ones((len(limits), count, most), bool)
    crowd[there] = np.concatenate([group.crowd for group in groups])
    areas = np.concatenate([group.areas for group in groups])
    outside = (areas < limits[:, :1]) | (areas > limits[:, 1:])
    passed[:, there] = outside | np.concatenate([group.ignored | group.crowd for group in groups])
    ious = np.where(said[..., None] & there[:, None], overlap(found, true, crowd), -1.0)
    taken = np.zeros((len(limits), len(wanted), count, most), bool)
    hits = np.zeros((len(limits), len(wanted), count, deepest), bool)
    ignored = hits.copy()
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
    return hits, ignored


def overlap(found_D4: np.ndarray, true_G4: np.ndarray, crowd_G: np.ndarray) -> np.ndarray:
    """D×G intersection over union; of a crowd over the detection's own area. Dimensions before these are kept."""
    found, true = found_D4.astype(np.float64)[..., :, None, :], true_G4.astype(np.float64)[..., None, :, :]
    wide = np.minimum(found[..., 2], true[..., 2]) - np.maximum(found[..., 0], true[..., 0])
    tall = np.minimum(found[..., 3], true[..., 3]) - np.maximum(found[..., 1], true[..., 1])
    both = np.maximum(wide, 0) * np.maximum(tall, 0)
    own, other = area(found), area(true)
    union = np.where(crowd_G[..., None, :], own, own + other - both)
    return np.asarray(np.divide(both, union, out=np.zeros_like(both), where=union > 0))


def area(boxes: np.ndarray) -> np.ndarray:
    """Of M×4 boxes, float64 in square pixels."""
    left, top, right, bottom = np.moveaxis(boxes.astype(np.float64), -1, 0)
    return np.asarray((right - left) * (bottom - top))
