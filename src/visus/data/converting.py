"""Writing images with boxes as COCO, Pascal VOC or YOLO. Image files are copied byte for byte, or linked."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple
from xml.etree import ElementTree

import msgspec
import numpy as np
import yaml

from visus.data.dataset import Dataset
from visus.data.image import EXTENSIONS, Picture, as_png, header, printable, upright
from visus.data.readers.finder import alike
from visus.data.readers.frames import INVERSE, turn_boxes, turn_points
from visus.data.readers.objects import Marks, ObjectTargets
from visus.data.samples import FileSamples, OnDisk, Samples
from visus.data.shards import Runs
from visus.data.types import Boxes, Skipped
from visus.errors import DataError, UnreadableImage
from visus.files import replacing
from visus.text import counted

Format = Literal["coco", "voc", "yolo"]
SPLITS = ("train", "val", "test")
DIGITS = 6  # of coordinates in pixels
AT_ONCE = 256  # samples under way

Progress = Callable[[int, int], None]


class Converted(NamedTuple):
    """What was written. notes: what the format can't hold. skipped: images that couldn't be read."""

    images: int
    objects: int
    notes: tuple[str, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True)
class _Entry:
    """An image as it is written. file: its name. marks: in pixels of a frame of its size. channels: of the image."""

    file: str
    marks: Marks
    height: int
    width: int
    channels: int

    @property
    def stem(self) -> str:
        return self.file.rpartition(".")[0]


def convert(
    dataset: Dataset, out: Path, to: Format, *, link: bool = False, progress: Progress | None = None
) -> Converted:  # fmt: skip
    """Write a data set of images with boxes into a new or empty folder, which appears when it is whole.

    link: image files are other names of the source's own, which must be files on the same disk.
    Raises DataError.
    """
    _check(dataset, out)
    names = _names(dataset)
    total, done = sum(map(len, dataset.splits.values())), 0
    kinds: Counter[str] = Counter()
    used: set[int] = set()
    skipped: list[Skipped] = []
    images = objects = 0
    try:
        with replacing(out) as folder:
            for split, samples in dataset.splits.items():
                place = {"coco": folder / split, "voc": folder / "JPEGImages"}.get(to, folder / "images" / split)
                place.mkdir(parents=True, exist_ok=True)
                entries: list[_Entry] = []
                for entry in _written(samples, names[split], place, to == "yolo", link):
                    done += 1
                    if progress is not None:
                        progress(done, total)
                    if isinstance(entry, Skipped):
                        skipped.append(entry)
                    else:
                        entries.append(entry)
                        kinds.update(_kinds(entry.marks))
                        used.update(entry.marks.labels.tolist())
                _WRITERS[to](folder, split, entries, dataset.schema.labels)
                images += len(entries)
                objects += sum(len(each.marks.labels) for each in entries)
            if to == "yolo":
                _yaml(folder, dataset)
    except OSError as problem:
        raise DataError(
            f"{printable(out)}: can't be written: {(problem.strerror or str(problem)).lower()}",
            "mend that, or name another folder" + (", or leave --link out: links stay on one disk" if link else ""),
        ) from None
    kinds["class"] = len(dataset.schema.labels) - len(used)
    lost = kinds["crowd"] if to == "yolo" else 0
    return Converted(images, objects - lost, tuple(_lost(dataset, to, kinds)), tuple(skipped))


def _check(dataset: Dataset, out: Path) -> None:
    if "boxes" not in dataset.schema.targets:
        there = ", ".join(dataset.schema.targets) or "no targets"
        raise DataError(f"{dataset.name}: has {there}, and boxes are what these formats hold", "name another source")
    if wrong := [split for split in dataset.splits if split not in SPLITS]:
        raise DataError(f"{dataset.name}: has a split {printable(wrong[0])}", f"splits are {', '.join(SPLITS)}")
    try:
        if out.exists() and (not out.is_dir() or next(out.iterdir(), None) is not None):
            raise DataError(f"{printable(out)}: isn't an empty folder", "name an empty folder, or a new one")
    except OSError as problem:
        raise DataError(f"{printable(out)}: {(problem.strerror or str(problem)).lower()}", "name another") from None


def _names(dataset: Dataset) -> dict[str, list[str]]:
    """A file name for each sample, without folders and other than all others: its own where no other has it."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for split, samples in dataset.splits.items():
        found[split] = []
        for row in range(len(samples)):
            stored = samples.stored(row)
            path = PurePosixPath(alike(f"{split}_{row:06d}.png" if stored is None else stored.name))
            ending = path.suffix.lower() if path.suffix.lower() in EXTENSIONS else ".png"
            whole = "_".join(path.with_suffix("").parts) if path.suffix else str(path)
            found[split].append((_plain(path.stem), _plain(whole), ending))
    times = Counter(name.casefold() for each in found.values() for name, _, _ in each)
    taken: set[str] = set()
    names: dict[str, list[str]] = {}
    for split, each in found.items():
        names[split] = []
        for short, whole, ending in each:
            name = first = short if times[short.casefold()] == 1 else whole
            number = 1
            while name.casefold() in taken:
                number += 1
                name = f"{first}_{number}"
            taken.add(name.casefold())
            names[split].append(name + ending)
    return names


def _plain(name: str) -> str:
    """A name that is one line, and one part of a path, on any system."""
    return re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*]', "_", printable(name).strip())[-200:] or "_"


def _written(
    samples: Samples, names: Sequence[str], folder: Path, seen: bool, link: bool
) -> Iterator[_Entry | Skipped]:  # fmt: skip
    """Write the images of a split. seen: annotations are of the image as it is seen, whatever EXIF says."""

    def one(row: int) -> _Entry | Skipped:
        try:
            return _one(samples, row, folder / names[row], seen, link)
        except UnreadableImage as problem:
            return Skipped(samples.name(row), problem.cause)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        rows = iter(range(len(samples)))
        while some := list(islice(rows, AT_ONCE)):
            yield from pool.map(one, some)


def _one(samples: Samples, row: int, path: Path, seen: bool, link: bool) -> _Entry:
    stored = samples.stored(row)
    if stored is None:
        picture = samples.read(row)
        assert isinstance(picture, Picture)
        data = as_png(picture.pixels)
    else:
        data = stored.read()
    channels, height, width, orientation = header(data, samples.name(row))
    marks = _marks(samples, row, (height, width), orientation, seen)
    if not link:
        path.write_bytes(data)
    elif isinstance(stored, OnDisk):
        os.link(stored.path.resolve(), path)
    else:
        raise DataError(f"{samples.name(row)}: isn't a file of its own, so it can't be linked", "leave --link out")
    assert marks.size is not None
    return _Entry(path.name, marks, *marks.size, channels)


def _marks(samples: Samples, row: int, size: tuple[int, int], orientation: int, seen: bool) -> Marks:
    """The objects in pixels. size: height and width of the image as it is seen."""
    known = samples.targets if isinstance(samples, FileSamples) else None
    if isinstance(known, ObjectTargets):
        marks = replace(known.turned(row)[0], outlines=known.outlines(row), size=size)
        if known.marks[row].size is not None and not seen:
            known.is_stored(row)  # raises where it is of another image
            return known.marks[row]
    else:
        boxes = samples.target(row).boxes
        assert boxes is not None
        marks = _of(boxes, size)
    if seen or orientation == 1:
        return marks
    back = INVERSE.get(orientation, orientation)
    outlines = tuple(None if each is None else _turned(each, back, size) for each in marks.outlines)
    stored = size[::-1] if orientation >= 5 else size
    return replace(marks, xyxy=turn_boxes(marks.xyxy, back, size), outlines=outlines, size=(stored[0], stored[1]))


def _of(boxes: Boxes, size: tuple[int, int]) -> Marks:
    count = len(boxes)
    none = np.zeros(count, bool)
    outlines: tuple[bytes | None, ...] = (None,) * count
    if boxes.masks is not None:
        outlines = tuple(msgspec.json.encode(Runs.of(mask)) for mask in boxes.masks)
    return Marks(
        size, boxes.xyxy.astype(np.float64), boxes.labels, none if boxes.crowd is None else boxes.crowd,
        none if boxes.difficult is None else boxes.difficult, none,
        np.full(count, np.nan) if boxes.areas is None else boxes.areas, outlines,
    )  # fmt: skip


def _turned(outline: bytes, orientation: int, size: tuple[int, int]) -> bytes:
    """An outline in an image of some height and width, turned with it."""
    found = msgspec.json.decode(outline)
    if isinstance(found, list):
        points = [turn_points(np.array(each, np.float64).reshape(-1, 2), orientation, size) for each in found]
        return msgspec.json.encode([each.reshape(-1).tolist() for each in points])
    mask = msgspec.convert(found, Runs).mask()
    return msgspec.json.encode(Runs.of(upright(mask[..., None], orientation)[..., 0]))


def _kinds(marks: Marks) -> dict[str, int]:
    """How many objects have what not every format holds."""
    return {
        "crowd": int(marks.crowd.sum()), "difficult": int(marks.difficult.sum()),
        "truncated": int(marks.truncated.sum()), "area": int((~np.isnan(marks.areas)).sum()),
        "outline": sum(each is not None for each in marks.outlines),
    }  # fmt: skip


def _lost(dataset: Dataset, to: Format, kinds: Mapping[str, int]) -> Iterator[str]:
    told = {
        "coco": {},
        "voc": {
            "crowd": "VOC has no crowds: they are written as difficult", "outline": "VOC has no outlines of objects",
            "area": "VOC has no areas of objects", "class": "VOC names no class that has no object",
        },
        "yolo": {
            "crowd": "YOLO has no crowds: they are left out", "outline": "outlines of objects aren't written",
            "difficult": "YOLO has no mark for difficult objects: they are written as any other",
            "truncated": "YOLO has no mark for truncated objects", "area": "YOLO has no areas of objects",
        },
    }[to]  # fmt: skip
    for kind, text in told.items():
        if kinds[kind]:
            yield f"{text} ({counted(kinds[kind], 'class' if kind == 'class' else 'object')})"
    if "mask" in dataset.schema.targets:
        yield "masks of images aren't written"
    if dataset.skipped:
        yield f"{len(dataset.skipped):,} items were left out or clipped when the source was read"


def _number(value: float) -> float | int:
    """A coordinate in pixels, as short as it can be written."""
    short = round(value, DIGITS)
    return int(short) if short == int(short) else short


def _coco(folder: Path, split: str, entries: Sequence[_Entry], labels: Sequence[str]) -> None:
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number, each in enumerate(entries, 1):
        images.append({"id": number, "file_name": each.file, "width": each.width, "height": each.height})
        marks = each.marks
        for row, (left, top, right, bottom) in enumerate(marks.xyxy.tolist()):
            area, outline = marks.areas[row], marks.outlines[row]
            one = {
                "id": len(annotations) + 1, "image_id": number, "category_id": int(marks.labels[row]) + 1,
                "bbox": [_number(each) for each in (left, top, right - left, bottom - top)],
                "area": _number((right - left) * (bottom - top) if np.isnan(area) else area),
                "iscrowd": int(marks.crowd[row]),
                "segmentation": [] if outline is None else msgspec.Raw(outline),
            }  # fmt: skip
            extra = {kind: 1 for kind in ("difficult", "truncated") if getattr(marks, kind)[row]}
            annotations.append(one | extra)
    categories = [{"id": number, "name": name} for number, name in enumerate(labels, 1)]
    found = {"images": images, "annotations": annotations, "categories": categories}
    path = folder / "annotations" / f"instances_{split}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.encode(found))


def _voc(folder: Path, split: str, entries: Sequence[_Entry], labels: Sequence[str]) -> None:
    for name in ("Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for each in entries:
        tree = ElementTree.Element("annotation")
        _leaf(tree, "folder", "JPEGImages")
        _leaf(tree, "filename", each.file)
        size = ElementTree.SubElement(tree, "size")
        for name, value in (("width", each.width), ("height", each.height), ("depth", each.channels)):
            _leaf(size, name, value)
        marks = each.marks
        for row, box in enumerate(marks.xyxy.tolist()):
            one = ElementTree.SubElement(tree, "object")
            _leaf(one, "name", labels[int(marks.labels[row])])
            _leaf(one, "truncated", int(marks.truncated[row]))
            _leaf(one, "difficult", int(marks.difficult[row] or marks.crowd[row]))
            bounds = ElementTree.SubElement(one, "bndbox")
            for name, value, first in zip(("xmin", "ymin", "xmax", "ymax"), box, (1, 1, 0, 0), strict=True):
                _leaf(bounds, name, _number(value + first))
        ElementTree.indent(tree)
        (folder / "Annotations" / f"{each.stem}.xml").write_bytes(ElementTree.tostring(tree, "utf-8"))
    lines = "".join(f"{each.stem}\n" for each in entries)
    (folder / "ImageSets/Main" / f"{split}.txt").write_text(lines, encoding="utf-8")


def _leaf(parent: ElementTree.Element, name: str, value: object) -> None:
    ElementTree.SubElement(parent, name).text = str(value)


def _yolo(folder: Path, split: str, entries: Sequence[_Entry], labels: Sequence[str]) -> None:
    place = folder / "labels" / split
    place.mkdir(parents=True)
    for each in entries:
        marks = each.marks
        shares = marks.xyxy / [each.width, each.height, each.width, each.height]
        middle, side = (shares[:, :2] + shares[:, 2:]) / 2, shares[:, 2:] - shares[:, :2]
        lines = [
            f"{label} " + " ".join(f"{value:.8f}".rstrip("0").rstrip(".") for value in values) + "\n"
            for label, values, crowd in zip(
                marks.labels.tolist(), np.concatenate([middle, side], 1).tolist(), marks.crowd.tolist(), strict=True
            )
            if not crowd
        ]
        (place / f"{each.stem}.txt").write_text("".join(lines), encoding="utf-8")


def _yaml(folder: Path, dataset: Dataset) -> None:
    found = {split: f"images/{split}" for split in SPLITS if split in dataset.splits}
    names = dict(enumerate(dataset.schema.labels))
    text = yaml.safe_dump({**found, "names": names}, allow_unicode=True, sort_keys=False)
    (folder / "data.yaml").write_text(text, encoding="utf-8")


_WRITERS: dict[Format, Callable[[Path, str, Sequence[_Entry], Sequence[str]], None]] = {
    "coco": _coco, "voc": _voc, "yolo": _yolo,
}  # fmt: skip
