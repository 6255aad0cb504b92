"""What is wrong with a data set, or worth knowing: every sample is read once and looked at."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields
from os import cpu_count
from pathlib import Path
from typing import Literal

import numpy as np
from natsort import natsort_keygen, ns

from visus.data.dataset import Dataset, split_order
from visus.data.image import Picture, printable
from visus.data.readers.listing import few
from visus.data.samples import Samples
from visus.data.types import VOID, Boxes, Schema, Target
from visus.errors import DataError, UnreadableImage

Severity = Literal["error", "warning", "note"]
_Said = tuple[Severity, str, str, int | None]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
IMBALANCE = 10  # times as many samples of one class as of another
LEAST_SIDE = 8  # pixels
LEAST_BOX = 2  # pixels
COVERED = 0.9  # share of a box that another of its class covers, from which on both may be one object
ASPECT = 10  # of the longer side to the shorter one
AT_ONCE = 1024  # samples under way: what is decoded is looked at and let go

_natural = natsort_keygen(alg=ns.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was noticed.

    severity: "error": wrong, "warning": likely to mislead, "note": good to know. kind: a few words, the same for all of
    a kind. split: "" for the whole data set. name: of the sample, class or feature, or "". text: one sentence.
    box: which of the sample's boxes it is about.
    """

    severity: Severity
    kind: str
    split: str
    name: str
    text: str
    box: int | None = None


@dataclass(frozen=True, slots=True)
class _Look:
    """What is kept of a sample once it was looked at. digest: None if it can't be read. values: of a vector."""

    findings: tuple[Finding, ...]
    target: tuple[object, ...]
    classes: tuple[int, ...]
    digest: bytes | None = None
    values: np.ndarray | None = None


def check(dataset: Dataset, progress: Callable[[int, int], None] | None = None) -> list[Finding]:
    """All findings, the worst first, then by split, then by name in natural order.

    progress: called with how many samples were looked at, and how many there are.
    """
    findings = [Finding("note", "notice", "", "", note) for note in dataset.notes]
    findings += [
        Finding("warning", "mended" if each.mended else "skipped", "", each.name, each.cause)
        for each in dataset.skipped
    ]
    total, done = sum(map(len, dataset.splits.values())), 0
    seen: dict[bytes, tuple[str, str, tuple[object, ...]]] = {}
    counts: dict[str, Counter[int]] = {}
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    for split in sorted(dataset.splits, key=split_order):
        samples, counts[split] = dataset.splits[split], Counter()
        for row, look in enumerate(_looks(samples, split, dataset.schema)):
            findings += look.findings
            counts[split].update(look.classes)
            if look.digest is not None:
                this = (split, samples.name(row), look.target)
                first = seen.setdefault(look.digest, this)
                if first is not this:
                    findings += _twice(first, this)
            if look.values is not None:
                low = look.values.copy() if low is None else np.fmin(low, look.values)
                high = look.values.copy() if high is None else np.fmax(high, look.values)
            done += 1
            if progress is not None:
                progress(done, total)
    findings += _classes(dataset.schema, counts)
    if low is not None and high is not None:
        findings += _features(dataset.schema, low, high)
    return sorted(findings, key=_order)


def write_table(findings: list[Finding], path: Path) -> None:
    """The findings as CSV in UTF-8, one a row, under a header. Raises DataError if the file can't be written."""
    try:
        with open(path, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            table = csv.writer(file)
            table.writerow(field.name for field in fields(Finding))
            table.writerows(astuple(finding) for finding in findings)
    except OSError as problem:
        raise DataError(
            f"{printable(path)}: can't be written: {(problem.strerror or str(problem)).lower()}", "name another file"
        ) from None


def _order(finding: Finding) -> tuple[object, ...]:
    severity = SEVERITIES.index(finding.severity)
    return severity, split_order(finding.split), _natural(finding.name), finding.name, finding.kind, finding.text


def _looks(samples: Samples, split: str, schema: Schema) -> Iterator[_Look]:
    """Look at each sample, on all cores."""

    def look(row: int) -> _Look:
        return _look(samples, row, split, schema)

    with ThreadPoolExecutor(cpu_count() or 1) as pool:
        for start in range(0, len(samples), AT_ONCE):
            yield from pool.map(look, range(start, min(start + AT_ONCE, len(samples))))


def _look(samples: Samples, row: int, split: str, schema: Schema) -> _Look:
    found: list[_Said] = []
    digest = values = sample = None
    target, cause = Target(), ""
    try:
        target = samples.target(row)
    except UnreadableImage as problem:
        cause = problem.cause
    try:
        sample = samples.read(row)
        digest = samples.digest(row)
    except UnreadableImage as problem:
        cause = problem.cause
    if cause:
        found.append(("error", "unreadable", cause, None))
    elif isinstance(sample, Picture):
        found += _picture(sample)
        found += _boxes(target, sample.pixels.shape[:2], len(schema.labels))
        found += _mask(target, sample.pixels.shape[:2], schema)
    elif sample is not None:
        values = sample
        if bad := np.flatnonzero(~np.isfinite(sample)).tolist():
            names = few(_feature(schema, at) for at in bad)
            found.append(("error", "not a number", f"NaN or infinity in {names}", None))
    labels = target.labels if target.labels is not None else () if target.label is None else (target.label,)
    if schema.labels:
        found += [
            ("error", "label out of range", f"label {label}, where there are 0 to {len(schema.labels) - 1}", None)
            for label in labels
            if not 0 <= label < len(schema.labels)
        ]
    present = labels if target.boxes is None else tuple(target.boxes.labels.tolist())
    name = samples.name(row)
    findings = tuple(Finding(severity, kind, split, name, text, box) for severity, kind, text, box in found)
    return _Look(findings, (target.label, target.labels, target.values), present, digest, values)


def _picture(picture: Picture) -> Iterator[_Said]:
    height, width = picture.pixels.shape[:2]
    for note in picture.notes:
        yield "note", "notice", note, None
    if (picture.pixels == picture.pixels[0, 0]).all():
        colour = ", ".join(str(value) for value in picture.pixels[0, 0])
        yield "warning", "constant image", f"all its pixels are {colour}", None
    if min(height, width) < LEAST_SIDE:
        yield "note", "tiny image", f"{width}×{height} pixels", None
    if max(height, width) > ASPECT * min(height, width):
        text = f"{width}×{height} pixels: one side is over {ASPECT} times the other"
        yield "note", "extreme proportions", text, None


def _boxes(target: Target, size: tuple[int, ...], classes: int) -> Iterator[_Said]:
    if target.boxes is None:
        return
    height, width = size
    for at, (box, label) in enumerate(zip(target.boxes.xyxy.tolist(), target.boxes.labels.tolist(), strict=True)):
        left, top, right, bottom = box
        where = "({:g}, {:g}, {:g}, {:g})".format(*box)
        if not np.isfinite(box).all():
            yield "error", "bad box", f"box {where} isn't of numbers", at
        elif right <= left or bottom <= top:
            yield "warning", "degenerate box", f"box {where} has no area", at
        elif left < 0 or top < 0 or right > width or bottom > height:
            yield "warning", "box outside", f"box {where} leaves the image of {width}×{height} pixels", at
        elif min(right - left, bottom - top) < LEAST_BOX:
            yield "warning", "tiny box", f"box {where} is {right - left:g}×{bottom - top:g} pixels", at
        elif left < 1 and top < 1 and right > width - 1 and bottom > height - 1:
            yield "note", "box of all", f"box {where} is the whole image of {width}×{height} pixels", at
        if classes and not 0 <= label < classes:
            text = f"box {where} has label {label}, where there are 0 to {classes - 1}"
            yield "error", "label out of range", text, at
    yield from _doubled(target.boxes)


def _doubled(boxes: Boxes) -> Iterator[_Said]:
    """Boxes of which another of their class, no crowd, covers nearly all: each pair once."""
    single = np.flatnonzero(np.isfinite(boxes.xyxy).all(1) & (True if boxes.crowd is None else ~boxes.crowd))
    xyxy, labels = boxes.xyxy[single].astype(np.float64), boxes.labels[single]
    for at in range(1, len(single)):
        corner = np.minimum(xyxy[:at, 2:], xyxy[at, 2:]) - np.maximum(xyxy[:at, :2], xyxy[at, :2])
        areas = (xyxy[: at + 1, 2:] - xyxy[: at + 1, :2]).clip(0).prod(1)
        covered = corner.clip(0).prod(1) / np.maximum(np.minimum(areas[:at], areas[at]), 1e-9)
        for other in np.flatnonzero((covered >= COVERED) & (labels[:at] == labels[at])).tolist():
            inner, outer = (at, other) if areas[at] <= areas[other] else (other, at)
            texts = ["({:g}, {:g}, {:g}, {:g})".format(*xyxy[each]) for each in (inner, outer)]
            text = f"box {texts[0]} is covered to {covered[other]:.0%} by {texts[1]} of the same class"
            yield "warning", "covered box", text, int(single[inner])


def _mask(target: Target, size: tuple[int, ...], schema: Schema) -> Iterator[_Said]:
    if target.mask is None:
        return
    if target.mask.shape != size:
        high, wide = target.mask.shape
        yield "error", "mask of another size", f"{wide}×{high} pixels, and the image has {size[1]}×{size[0]}", None
    for label in np.unique(target.mask).tolist() if schema.masks else ():
        if label != VOID and label >= len(schema.masks):
            text = f"pixels of class {label}, where there are 0 to {len(schema.masks) - 1}"
            yield "error", "mask out of range", text, None


def _twice(first: tuple[str, str, tuple[object, ...]], again: tuple[str, str, tuple[object, ...]]) -> Iterator[Finding]:
    (split_a, name_a, target_a), (split_b, name_b, target_b) = first, again
    if target_a != target_b:
        yield Finding("error", "conflicting labels", split_b, name_b, f"is {split_a} {name_a}, with another label")
    if split_a != split_b:
        yield Finding("warning", "leak", split_b, name_b, f"is also in {split_a}, as {name_a}")
    elif target_a == target_b:
        yield Finding("note", "duplicate", split_b, name_b, f"is the same as {name_a}")


def _classes(schema: Schema, counts: dict[str, Counter[int]]) -> Iterator[Finding]:
    """Of labels within range."""
    if not schema.labels or not any(counts.values()):
        return
    known = range(len(schema.labels))
    what = "object" if "boxes" in schema.targets else "sample"
    used = [label for label in known if any(count[label] for count in counts.values())]
    if "label" in schema.targets and len(used) == 1:
        name = printable(schema.labels[used[0]])
        yield Finding(
            "error", "one class only", "", name, "every sample has this label: there is nothing to tell apart"
        )
    for split, count in counts.items():
        if missing := [schema.labels[label] for label in known if not count[label]]:
            yield Finding("warning", "class missing", split, "", f"no {what} of {few(missing)}")
        present = [label for label in known if count[label]]
        most, least = max(present, key=count.__getitem__, default=0), min(present, key=count.__getitem__, default=0)
        if present and count[most] >= IMBALANCE * count[least]:
            rare, often = printable(schema.labels[least]), printable(schema.labels[most])
            yield Finding(
                "warning", "imbalance", split, rare, f"{count[least]:,} {what}s of {rare}, {count[most]:,} of {often}"
            )


def _features(schema: Schema, low: np.ndarray, high: np.ndarray) -> Iterator[Finding]:
    for at in np.flatnonzero(low == high).tolist():
        yield Finding("warning", "constant feature", "", _feature(schema, at), f"is {low[at]:g} in every sample")
    for at in np.flatnonzero(np.isnan(low)).tolist():
        yield Finding("warning", "constant feature", "", _feature(schema, at), "is NaN in every sample")


def _feature(schema: Schema, at: int) -> str:
    return printable(schema.features[at]) if at < len(schema.features) else f"feature {at}"
