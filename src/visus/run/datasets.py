"""Showing and checking data sets, and writing them as shards or in another layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from time import localtime, strftime
from typing import get_args

import numpy as np
from msgspec.structs import replace

from visus import viz
from visus.data.cache.digests import digests_folder
from visus.data.cache.folder import GIGABYTE, clear, entries, pixels_folder
from visus.data.check import Finding, write_table
from visus.data.check import check as check_dataset
from visus.data.converting import Converted, Format
from visus.data.converting import convert as write_converted
from visus.data.dataset import Dataset, title_of
from visus.data.image import Picture
from visus.data.open import open_dataset
from visus.data.samples import Samples
from visus.data.sharding import SIZE, write_shards
from visus.data.shards import LEFT_OUT, Manifest
from visus.data.types import Boxes
from visus.errors import DataError, UnreadableImage, require_known
from visus.run.recipe import compose
from visus.run.watch import Silent, Watch
from visus.text import counted

SHOWN = 24  # samples on a sheet
SHEETS = 4  # of suspects
LETTERS = 23  # of a name under a picture
AROUND = 12  # pixels that are shown around a box, at least
ENLARGED = 400  # pixels of the longer side, up to which what is shown is enlarged
LISTED = 20  # findings in the table on the terminal; all are in the file


def kept(remove: bool, watch: Watch) -> None:
    """Tell what is kept of large sets of images, or remove it."""
    root = pixels_folder()
    removed, found = clear(root, digests_folder()) if remove else ([], entries(root))
    if remove:
        watch.say(f"{sum(each.bytes for each in removed) / GIGABYTE:.1f} GB of decoded images removed from {root}")
    rows = []
    for each in found:
        size = "×".join(str(side) for side in each.about["placing"]["size"])
        used = "in use" if each.busy else strftime("%Y-%m-%d", localtime(each.used))
        full = f"{each.kept:,} of {each.images:,}"
        rows.append((each.about["where"], size, full, f"{each.bytes / GIGABYTE:.1f}", used))
        facts = {"where": each.about["where"], "size": size, "images": each.images, "kept": each.kept}
        facts |= {"bytes": each.bytes, "used": each.used, "busy": each.busy, "path": str(each.path)}
        watch.event("kept", facts)
    if rows:
        watch.table("in use" if remove else "", ("images of", "size", "kept", "GB", "last used"), rows)
    elif not remove:
        watch.say(f"nothing is kept in {root}")


def show(source: str, out: Path | None, settings: Iterable[str], watch: Watch) -> None:
    """Tell what a data set holds, and draw some of it into `out`."""
    dataset = open_dataset(compose({"data": {"source": source}}, settings).data)
    schema = dataset.schema
    shape = "×".join(str(side) if side else "any" for side in schema.shape)
    watch.say(f"{dataset.name}: {schema.inputs}s of {shape}, with {', '.join(schema.targets) or 'no targets'}")
    counts = {split: _counts(samples) for split, samples in dataset.splits.items()}
    sizes = {split: len(samples) for split, samples in dataset.splits.items()}
    watch.table("", ("split", "samples"), [(split, f"{count:,}") for split, count in sizes.items()])
    if schema.labels:
        rows = [(name, *(f"{counts[split][index]:,}" for split in counts)) for index, name in enumerate(schema.labels)]
        watch.table("", ("class", *counts), rows[:100])
    if dataset.source:
        watch.say(f"source: {dataset.source}")
    for note in dataset.notes:
        watch.say(f"note: {note}")
    watch.event(
        "data",
        {"name": dataset.name, "inputs": schema.inputs, "shape": schema.shape, "targets": schema.targets,
         "labels": schema.labels, "samples": sizes, "notes": dataset.notes,
         "counts": {split: [count[i] for i in range(len(schema.labels))] for split, count in counts.items()}},
    )  # fmt: skip
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for path in _draw(dataset, counts, out):
            watch.say(str(path))


def check(source: str, out: Path | None, settings: Iterable[str], watch: Watch) -> None:
    """Find what is wrong, write findings.csv and suspects.png. Raises DataError when there are errors."""
    dataset = open_dataset(compose({"data": {"source": source, "allow_empty": True}}, settings).data)
    with watch.work(f"checking {dataset.name}") as bar:
        findings = check_dataset(dataset, bar)
    for finding in findings:
        watch.event("finding", asdict(finding))
    counts = Counter(finding.severity for finding in findings)
    for note in dataset.notes:
        watch.say(f"note: {note}")
    if not findings:
        watch.say(f"{dataset.name}: nothing was found, in {sum(map(len, dataset.splits.values())):,} samples")
        return
    out = out or Path("runs") / f"check-{title_of(Path(source))}"
    out.mkdir(parents=True, exist_ok=True)
    write_table(findings, out / "findings.csv")
    rows = [(f.severity, f.kind, f.split, f.name, f.text) for f in findings[:LISTED]]
    watch.table(dataset.name, ("", "kind", "split", "sample", "finding"), rows)
    if len(findings) > LISTED:
        watch.say(f"… and {len(findings) - LISTED} more")
    summary = ", ".join(
        f"{counts[kind]} {kind}{'' if counts[kind] == 1 else 's'}"
        for kind in ("error", "warning", "note")
        if counts[kind]
    )
    watch.say(f"{summary}: {out / 'findings.csv'}")
    suspects = _suspects(dataset, findings)
    for number, start in enumerate(range(0, len(suspects), SHOWN), 1):
        images, captions = zip(*suspects[start : start + SHOWN], strict=True)
        path = out / ("suspects.png" if number == 1 else f"suspects-{number}.png")
        watch.say(str(viz.save(viz.sheet(images, captions, "Suspects"), path)))
    if counts["error"]:
        raise DataError(
            f"{dataset.name}: {counts['error']} error{'' if counts['error'] == 1 else 's'}",
            f"see {out / 'findings.csv'}",
        )


def shard(
    source: str | Path,
    out: str | Path,
    *,
    size: int = SIZE,
    count: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    settings: Iterable[str] = (),
    watch: Watch | None = None,
) -> Manifest:
    """Write a data set of images as shards: tars that hold some thousand samples each, mixed, beside a list of them.

    source: a named data set or a path. out: a new or empty folder, or one in which this was begun: then it goes on.
    size: bytes of a shard, about; or count: samples of one. seed: of the shuffle that deals samples to shards.
    workers: shards written at a time; by default one a core. settings: of the data, such as `data.bad=0.05`.
    Raises VisusError.
    """
    watch, out = watch or Silent(), Path(out)
    data = compose({"data": {"source": str(source)}}, settings).data
    dataset = open_dataset(data)
    with watch.work(f"writing {dataset.name}") as bar:
        found = write_shards(
            dataset, out, size=size, count=count, seed=seed, workers=workers, bad=data.bad, progress=bar
        )
    splits = {shard.split: [each for each in found.shards if each.split == shard.split] for shard in found.shards}
    rows = [
        (split, str(len(shards)), f"{sum(each.samples for each in shards):,}",
         f"{sum(each.size for each in shards) / 1e6:,.1f}")
        for split, shards in splits.items()
    ]  # fmt: skip
    watch.table(str(out), ("split", "shards", "samples", "MB"), rows)
    if found.left_out:
        watch.say(f"{counted(found.left_out, 'item')} can't be used and were left out: {out / LEFT_OUT}")
    facts = {
        split: {"shards": len(shards), "samples": sum(each.samples for each in shards)}
        for split, shards in splits.items()
    }
    watch.event("shards", {"folder": str(out), "splits": facts, "left_out": found.left_out})
    return found


def convert(
    source: str | Path,
    out: str | Path,
    to: Format,
    *,
    link: bool = False,
    settings: Iterable[str] = (),
    watch: Watch | None = None,
) -> Converted:
    """Write a data set of images with boxes as COCO, Pascal VOC or YOLO. The source is never changed.

    source: a named data set or a path. out: a new or empty folder, which appears when it is whole. to: "coco", "voc" or
    "yolo". link: image files become other names of the source's, and take no room. settings: of the data, such as
    `data.layout=voc`. Raises VisusError.
    """
    watch, out = watch or Silent(), Path(out)
    require_known("the format", to, get_args(Format))
    data = compose({"data": {"source": str(source)}}, settings).data
    dataset = open_dataset(replace(data, target="boxes") if data.target is None else data)
    with watch.work(f"writing {dataset.name}") as bar:
        found = write_converted(dataset, out, to, link=link, progress=bar)
    for note in found.notes:
        watch.say(f"note: {note}")
    for each in found.skipped[:LISTED]:
        watch.say(f"left out: {each.name}: {each.cause}")
    if len(found.skipped) > LISTED:
        watch.say(f"… and {len(found.skipped) - LISTED} more")
    watch.say(f"{out}: {counted(found.images, 'image')}, {counted(found.objects, 'object')}")
    facts = {"folder": str(out), "images": found.images, "objects": found.objects, "notes": found.notes}
    watch.event("converted", facts | {"skipped": [asdict(each) for each in found.skipped]})
    return found


def _counts(samples: Samples) -> Counter[int]:
    found: Counter[int] = Counter()
    for row in range(len(samples)):
        try:
            target = samples.target(row)
        except UnreadableImage:
            continue  # it is counted nowhere: reading it says why
        if target.boxes is not None:
            found.update(target.boxes.labels.tolist())
        else:
            found.update([target.label] if target.label is not None else target.labels or ())
    return found


def _draw(dataset: Dataset, counts: dict[str, Counter[int]], out: Path) -> list[Path]:
    paths = []
    if labels := dataset.schema.labels:
        table = {split: [count[index] for index in range(len(labels))] for split, count in counts.items()}
        paths.append(viz.save(viz.counts(labels, table), out / "classes.png"))
    samples = next(iter(dataset.splits.values()))
    rows = np.unique(np.linspace(0, len(samples) - 1, min(SHOWN, len(samples))).round().astype(int)).tolist()
    images, captions = [], []
    for row in rows:
        image = _image(samples, row)
        if image is None:
            continue
        target = samples.target(row)
        if target.boxes is not None and labels:
            numbers = target.boxes.labels.tolist()
            image = viz.draw_boxes(image, target.boxes.xyxy, colors=[viz.palette(number) for number in numbers])
        images.append(image)
        captions.append(_end(samples.name(row)) if target.label is None else labels[target.label])
    if images:
        paths.append(viz.save(viz.sheet(images, captions, dataset.name), out / "samples.png"))
    return paths


def _suspects(dataset: Dataset, findings: Sequence[Finding]) -> list[tuple[np.ndarray, str]]:
    """Pictures of what was found, the worst first, with the boxes that it is about, and captions."""
    rows = {
        (split, samples.name(row)): row for split, samples in dataset.splits.items() for row in range(len(samples))
    }  # fmt: skip
    about: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        if (finding.split, finding.name) in rows:
            about.setdefault((finding.split, finding.name), []).append(finding)
    found: list[tuple[np.ndarray, str]] = []
    for (split, name), said in about.items():
        samples, row = dataset.splits[split], rows[split, name]
        image = _image(samples, row)
        if image is not None:
            kinds = {each.box: each.kind for each in reversed(said) if each.box is not None}
            drawn = _drawn(image, samples.target(row).boxes, kinds) if kinds else image
            found.append((drawn, f"{said[0].kind}\n{_end(name)}"))
        if len(found) == SHEETS * SHOWN:
            break
    return found


def _end(name: str) -> str:
    """The part of a long name that tells it from others."""
    return name if len(name) <= LETTERS else f"…{name[1 - LETTERS :]}"


def _drawn(image: np.ndarray, boxes: Boxes | None, kinds: dict[int, str]) -> np.ndarray:
    """The part of an image around some of its boxes, enlarged, with these and the others on it."""
    assert boxes is not None
    height, width = image.shape[:2]
    near = np.nan_to_num(boxes.xyxy[list(kinds)].astype(np.float64)).clip(0, [width, height, width, height])
    low, high = near[:, :2].min(0), near[:, 2:].max(0)
    room = np.maximum((high - low) / 2, AROUND)
    left, top = np.maximum(low - room, 0).astype(int).tolist()
    right, bottom = np.minimum(high + room + 1, (width, height)).astype(int).tolist()
    scale = max(1, ENLARGED // max(right - left, bottom - top))
    part = viz.colour(image)[top:bottom, left:right].repeat(scale, 0).repeat(scale, 1)
    colors = [viz.WRONG if row in kinds else viz.RIGHT for row in range(len(boxes))]
    order = sorted(range(len(boxes)), key=lambda row: row in kinds)  # what it is about comes last, over the others
    xyxy = (boxes.xyxy - np.array([left, top, left, top])) * scale
    return viz.draw_boxes(part, xyxy[order], colors=[colors[row] for row in order])


def _image(samples: Samples, row: int) -> np.ndarray | None:
    """The pixels to show; None for a vector, and for a file that can't be read, which is a finding by itself."""
    try:
        found = samples.read(row)
    except UnreadableImage:
        return None
    return found.pixels if isinstance(found, Picture) else None
