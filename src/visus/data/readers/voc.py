"""Pascal VOC: an XML file for each image, lists of splits, and PNG files of the class of each pixel.

Pixels count from 1, and the last one belongs to the box: left, top, right, bottom are xmin − 1, ymin − 1, xmax, ymax.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple, final

from msgspec.structs import replace as changed

from visus.data.dataset import Data, Dataset, split_order, threaded
from visus.data.image import printable
from visus.data.readers.base import Layout
from visus.data.readers.finder import Finder, read_bytes_of, read_text, split_of, stem
from visus.data.readers.frames import Beside, Made
from visus.data.readers.listing import SPLITS, Listing, Parts, few, in_order, shown
from visus.data.readers.numbering import numbering_of, read_classes
from visus.data.readers.objects import Object, ObjectTargets, gathered, size_of
from visus.data.readers.voc_xml import MAX_XML, Annotation, read_annotation
from visus.data.samples import FileSamples, Samples, Stored, shape_of
from visus.data.types import Schema, Skipped, Target
from visus.errors import DataError, UnreadableImage
from visus.text import counted

FOLDERS = ("annotations", "annotation")
MASKS = "segmentationclass"
PEEKED = 20  # XML files beside images that are looked into
# the classes of the challenge, by which its masks are numbered from 1 on
VOC20 = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip


class _Found(NamedTuple):
    """What belongs to each image, by its row: an annotation; the row of a mask. bad: whose annotation can't be read."""

    said: dict[int, tuple[Parts, Annotation]]
    masks: dict[int, int]
    bad: set[int]


def _recognises(listing: Listing) -> bool:
    if any(_is_mask(parts) for parts, _ in listing.files):
        return True
    files = [(parts, file) for parts, file in listing.texts if parts[-1].lower().endswith(".xml")]
    if any(len(parts) > 1 and parts[-2].casefold() in FOLDERS for parts, _ in files):
        return True
    stems = {(*parts[:-1], stem(parts[-1])) for parts, _ in listing.files}
    beside = (file for parts, file in files if (*parts[:-1], stem(parts[-1])) in stems)
    return any(_is_voc(file) for file in islice(beside, PEEKED))


def _is_voc(file: Stored) -> bool:
    """Whether an XML file is of objects: other things, too, lie beside images."""
    try:
        return b"<annotation" in read_bytes_of(file, MAX_XML)
    except UnreadableImage:
        return False


def _is_mask(parts: Parts) -> bool:
    return len(parts) > 1 and parts[-2].casefold() == MASKS


def arrange(root: str, title: str, listing: Listing, data: Data) -> Dataset:
    """The data set of VOC's files in a listing, as `Layout.arrange` says."""
    skipped, notes = list(listing.skipped), list(listing.notes)
    images = [
        row for row, (parts, _) in enumerate(listing.files)
        if not any(each.casefold().startswith("segmentation") for each in parts[:-1])
    ]  # fmt: skip
    finder = Finder([listing.files[row] for row in images])
    found = _belonging(listing, images, finder, skipped)
    wanted = _wanted(root, data, found, skipped)
    splits = _splits(listing, images, finder, "mask" in wanted, skipped, notes)
    if "boxes" in wanted:
        splits = {split: [row for row in rows if row not in found.bad] for split, rows in splits.items()}
    if "mask" in wanted:
        splits = {split: [row for row in rows if row in found.masks] for split, rows in splits.items()}
    if wanted == ("boxes", "mask"):
        splits = {split: [row for row in rows if row in found.said] for split, rows in splits.items()}
    splits = {split: rows for split, rows in splits.items() if rows}
    if not splits:
        raise DataError(f"{root}: no image has what is wanted: {' and '.join(wanted)}", "see `visus data check`")
    names = in_order({each.name for _, said in found.said.values() for each in said.objects})
    made = [_boxes(listing, splits, found, names, skipped)] if "boxes" in wanted else []
    labels = tuple(printable(name) for name in names)
    schema = Schema(targets=wanted, labels=labels if "boxes" in wanted else ())
    if "mask" in wanted:
        masks = [listing.files[found.masks[row]][1] for rows in splits.values() for row in rows]
        base = listing.files[next(iter(found.masks.values()))][0][:-2]
        classes = read_classes(listing, base) or read_classes(listing)
        if classes is None and names and set(names) <= set(VOC20):
            classes = [(name, None) for name in ("background", *VOC20)]
        numbering = numbering_of(root, masks, classes, data.ignore)
        schema = changed(schema, masks=tuple(map(printable, numbering.names)))
        made.append({
            split: Beside([listing.files[row][1] for row in rows],
                          [listing.files[found.masks[row]][1] for row in rows], "mask", numbering)
            for split, rows in splits.items()
        })  # fmt: skip
    samples: dict[str, Samples] = {
        split: FileSamples(
            [listing.files[row][1] for row in rows],
            made[0][split] if len(made) == 1 else Both(made[0][split], made[1][split]),
        )
        for split, rows in splits.items()
    }
    shape = shape_of([listing.files[row][1] for rows in splits.values() for row in rows])
    return Dataset(title, changed(schema, shape=shape), samples, tuple(notes), tuple(skipped), root)


def _belonging(listing: Listing, images: Sequence[int], finder: Finder, skipped: list[Skipped]) -> _Found:
    """Annotations and masks by the rows of their images. What belongs to none is noted."""

    def read(at: int) -> Annotation | str:
        try:
            return read_annotation(files[at][1])
        except UnreadableImage as problem:
            return problem.cause

    files = [(parts, file) for parts, file in listing.texts if parts[-1].lower().endswith(".xml")]
    said: dict[int, tuple[Parts, Annotation]] = {}
    bad: set[int] = set()
    for (parts, _), found in zip(files, threaded(read, range(len(files))), strict=True):
        place = finder.find(stem(parts[-1]), parts[:-1], ending=False)
        if isinstance(found, str):
            skipped.append(Skipped(shown(parts), f"{found}: left out, and its image"))
            bad.update([] if isinstance(place, str) else [images[place]])
            continue
        if isinstance(place, str) and found.filename:
            place = finder.find(found.filename, parts[:-1])
        if isinstance(place, str):
            skipped.append(Skipped(shown(parts), f"{place}: left out"))
        elif images[place] in said:
            other = shown(said[images[place]][0])
            skipped.append(Skipped(shown(parts), f"is of the same image as {other}: left out"))
        else:
            said[images[place]] = parts, found
            skipped += [Skipped(shown(parts), cause) for cause in found.bad]
    masks: dict[int, int] = {}
    for row, (parts, _) in enumerate(listing.files):
        if not _is_mask(parts):
            continue
        place = finder.find(stem(parts[-1]), parts[:-1], ending=False)
        if isinstance(place, str):
            skipped.append(Skipped(shown(parts), f"{place}: left out"))
        else:
            masks.setdefault(images[place], row)
    return _Found(said, masks, bad)


def _wanted(root: str, data: Data, found: _Found, skipped: Sequence[Skipped]) -> tuple[str, ...]:
    """What is to be read. Raises DataError where that is to be chosen, or isn't there."""
    there = {"boxes": len(found.said), "mask": len(found.masks)}
    if data.columns is not None:
        if missing := [each for each in data.columns if not there[each]]:
            raise DataError(f"{root}: no image has {' or '.join(missing)}", "leave data.target out")
        return tuple(each for each in there if each in data.columns)
    kinds = tuple(each for each, count in there.items() if count)
    if not kinds:
        causes = few(f"{each.name}: {each.cause}" for each in skipped[:3])
        raise DataError(f"{root}: no image has an annotation or a mask that can be read: {causes}", "mend the files")
    if len(kinds) == 2 and set(found.said) != set(found.masks):
        raise DataError(
            f"{root}: {counted(there['boxes'], 'image')} with boxes, {there['mask']:,} with a mask",
            'choose: --set data.target=boxes, --set data.target=mask, or --set \'data.target=["boxes", "mask"]\' '
            "for those with both",
        )
    return kinds


def _splits(
    listing: Listing, images: Sequence[int], finder: Finder, masks: bool, skipped: list[Skipped], notes: list[str]
) -> dict[str, list[int]]:
    """The rows of the images of each split: by lists, or else by folders."""
    lists = _lists(listing, masks)
    if not lists:
        found: dict[str, list[int]] = {}
        for row in images:
            found.setdefault(split_of(listing.files[row][0][:-1]) or "train", []).append(row)
        return {split: found[split] for split in sorted(found, key=split_order)}
    chosen: dict[int, str] = {}
    twice = 0
    for split, at in sorted(lists, key=lambda each: split_order(each[0])):
        parts, file = listing.texts[at]
        try:
            lines = read_text(file).splitlines()
        except UnreadableImage as problem:
            raise DataError(problem.problem, "copy it again") from None
        for number, line in enumerate(lines, 1):
            words = (line.strip(), line.partition(" ")[0])  # names may have spaces, and marks may follow them
            ways = ((word, ending) for word in words for ending in (False, True))  # some lists have endings
            places = [finder.find(word, parts[:-3], ending=ending) for word, ending in ways]
            place = next((each for each in places if isinstance(each, int)), places[0])
            if not words[0]:
                continue
            if isinstance(place, str):
                skipped.append(Skipped(f"{shown(parts)} line {number}", f"{printable(words[0])}: {place}: left out"))
            else:
                twice += chosen.setdefault(images[place], split) != split
    if twice:
        notes.append(f"{counted(twice, 'image')} in the lists of several splits: the first of train, val, test holds")
    if unlisted := len(images) - len(chosen):
        notes.append(f"{counted(unlisted, 'image')} in no list of a split, left out")
    order = sorted(set(chosen.values()), key=split_order)
    return {split: [row for row in images if chosen.get(row) == split] for split in order}


def _lists(listing: Listing, masks: bool) -> list[tuple[str, int]]:
    """The lists of splits among the texts: those of the job where there are some; trainval where there is no train."""
    by_kind: dict[str, dict[Parts, dict[str, int]]] = {}
    for at, (parts, _) in enumerate(listing.texts):
        word = stem(parts[-1]).casefold()
        if len(parts) > 2 and parts[-3].casefold() == "imagesets" and (word in SPLITS or word == "trainval"):
            by_kind.setdefault(parts[-2].casefold(), {}).setdefault(parts[:-3], {})[SPLITS.get(word, word)] = at
    for kind in ("segmentation", "main") if masks else ("main", "segmentation"):
        if kind in by_kind:
            return [
                ("train" if split == "trainval" else split, at)
                for lists in by_kind[kind].values()
                for split, at in lists.items()
                if split != "trainval" or not {"train", "val"} & lists.keys()
            ]
    return []


def _boxes(
    listing: Listing, splits: dict[str, list[int]], found: _Found, names: Sequence[str], skipped: list[Skipped]
) -> dict[str, Sequence[Target]]:
    """The boxes of each split's images."""
    numbers = {name: number for number, name in enumerate(names)}
    made: dict[str, Sequence[Target]] = {}
    for split, rows in splits.items():
        objects, sizes = [], []
        for image, row in enumerate(rows):
            parts, said = found.said.get(row, ((), Annotation()))
            sizes.append(size_of(listing.files[row][1], said.height, said.width))
            for number, each in enumerate(said.objects, 1):
                left, top, right, bottom = each.sides
                objects.append(
                    Object(image, f"{shown(parts)} object {number}", (left - 1, top - 1, right, bottom),
                           numbers[each.name], difficult=each.difficult, truncated=each.truncated)
                )  # fmt: skip
        files = [listing.files[row][1] for row in rows]
        marks, mended = gathered(objects, sizes, files)
        skipped += mended
        made[split] = ObjectTargets(files, marks, "boxes")
    return made


@final
class Both(Made):
    """Boxes of one, masks of another."""

    def __init__(self, boxes: Sequence[Target], masks: Sequence[Target]) -> None:
        self.boxes, self.masks = boxes, masks

    def __len__(self) -> int:
        return len(self.boxes)

    def made(self, row: int) -> Target:
        return replace(self.boxes[row], mask=self.masks[row].mask)


VOC = Layout(
    "voc", "Pascal VOC's JPEGImages/, Annotations/ and SegmentationClass/", ("boxes", "mask"), _recognises, arrange
)  # fmt: skip
