"""Class folders: `root/<class>/**/image`, or `root/train/<class>/image` with `val` and `test` beside it.

A split's folder may be called train or training; val, valid, validation or dev; test or testing, in any case.
"""

from __future__ import annotations

import re

from visus.data.dataset import Data, Dataset
from visus.data.image import printable
from visus.data.readers.base import Layout
from visus.data.readers.listing import SPLITS, Listing, Parts, endings, few, in_order, shown
from visus.data.samples import FileSamples, Samples, Stored, shape_of
from visus.data.types import Schema, Target
from visus.errors import DataError

# folders that hold the parts of samples of another job; their names are never classes
NOT_CLASSES = frozenset(
    (
        "annotation", "annotations", "image", "images", "imagesets", "img", "imgs", "input", "inputs", "jpegimages",
        "label", "labels", "mask", "masks", "segmentationclass", "segmentationobject", "target", "targets",
    )
)  # fmt: skip
NUMBERED_TRAIN = re.compile(r"train(ing)?\d{2,}", re.IGNORECASE)  # train2017, train400


def arrange(root: str, title: str, listing: Listing, data: Data) -> Dataset:
    """The data set of class folders that a listing holds.

    root: what the user gave, for errors and as the source. title: of the data set.
    Raises DataError where there are no class folders, only one, an empty one (unless data.allow_empty), or one in
    val or test that train lacks.
    """
    notes = list(listing.notes)
    heads = _split_folders(root, listing, notes)
    heads = dict(sorted(heads.items(), key=lambda head: ("train", "val", "test").index(head[1])))
    classes = {head: _classes(head, listing) for head in heads}
    _check_classes(root, listing, classes, data, notes)
    names = in_order(set().union(*classes.values()))
    if ("train" in heads.values()) and (stray := _stray(heads, classes)):
        raise DataError(f"{root}: {shown(stray)} is a class that has no training folder", "add it, or remove this one")
    number = {name: index for index, name in enumerate(names)}
    chosen: dict[str, list[tuple[str, Stored]]] = {split: [] for split in heads.values()}
    loose = []
    for parts, file in listing.files:
        head = next((each for each in heads if parts[: len(each)] == each), None)
        if head is not None and len(parts) > len(head) + 1:
            chosen[heads[head]].append((parts[len(head)], file))
        elif head is not None:
            loose.append(shown(parts))
    if loose:
        notes.append(f"outside of every class folder, ignored: {few(loose)}")
    if ignored := listing.ignored():
        notes.append(f"{ignored.total():,} files with other endings ignored: {endings(ignored)}")
    splits: dict[str, Samples] = {
        split: FileSamples([file for _, file in entries], [Target(label=number[name]) for name, _ in entries])
        for split, entries in chosen.items()
    }
    shape = shape_of([file for entries in chosen.values() for _, file in entries])
    labels = tuple(name.encode("utf-8", "backslashreplace").decode() for name in names)
    schema = Schema(inputs="image", shape=shape, targets=("label",), labels=labels)
    return Dataset(title, schema, splits, tuple(notes), tuple(listing.skipped), root)


def _split_folders(root: str, listing: Listing, notes: list[str]) -> dict[Parts, str]:
    """The folders whose children are classes, and the split of each: `{("val",): "val", …}` or `{(): "train"}`."""
    holding = {parts[0] for parts, _ in listing.files if len(parts) > 1}
    if not holding:
        raise DataError(f"{root}: its images lie in no class folder", "put those of each class in a folder of its own")
    nested = {folder[0] for folder in listing.folders if len(folder) > 1}
    named = in_order(top for top in nested if top.casefold() in SPLITS)
    beside = holding.difference(named)
    # where only train has folders in it, it may be the class of trains beside the class of buses
    if len(named) > 1 or (named and all(top.casefold() in SPLITS for top in beside)):
        heads: dict[Parts, str] = {}
        for top in named:
            split = SPLITS[top.casefold()]
            if split in heads.values():
                other = next(shown(head) for head, known in heads.items() if known == split)
                raise DataError(f"{root}: {other} and {printable(top)} are both the {split} split", "keep one of them")
            heads[(top,)] = split
        if ignored := {folder[0] for folder in listing.folders}.difference(named):
            notes.append(f"beside the splits, without class folders, ignored: {few(in_order(ignored))}")
        return heads
    flat = [top for top in in_order(holding - nested) if top.casefold() in SPLITS]
    numbered = [top for top in in_order(holding - nested) if NUMBERED_TRAIN.fullmatch(top)]
    if len(flat) < len(holding):
        flat = numbered if len(numbered) == 1 else []  # several may be the names of trains
    if flat:
        raise DataError(
            f"{root}: {printable(flat[0])} looks like a split, but its images lie in no class folder",
            "for classification put those of each class in a folder of its own, as in train/cat/1.jpg",
        )
    return {(): "train"}


def _classes(head: Parts, listing: Listing) -> set[str]:
    depth = len(head)
    return {folder[depth] for folder in listing.folders if len(folder) > depth and folder[:depth] == head}


def _check_classes(root: str, listing: Listing, classes: dict[Parts, set[str]], data: Data, notes: list[str]) -> None:
    names = in_order(set().union(*classes.values()))
    if all(name.casefold() in NOT_CLASSES for name in names):
        raise DataError(
            f"{root}: {few(names)}: these folders hold the parts of samples, not classes",
            "class folders bear the names of classes, as in cat/1.jpg and dog/1.jpg",
        )
    filled = {parts[: len(head) + 1] for parts, _ in listing.files for head in classes if len(parts) > len(head) + 1}
    empty = [
        (*head, name) for head, found in classes.items() for name in in_order(found) if (*head, name) not in filled
    ]
    if empty and not data.allow_empty:
        first = shown(empty[0])
        lost = [f"; {each.name}: {each.cause}" for each in listing.skipped if each.name.startswith(f"{first}/")]
        raise DataError(
            f"{root}: the class folder {first} holds no image{lost[0] if lost else ''}",
            "remove it, or set data.allow_empty = true where that is meant",
        )
    if empty:
        notes.append(f"class folders without an image: {few([shown(each) for each in empty])}")
    known = in_order({head[-1] for head in filled})
    if len(known) < 2:
        raise DataError(
            f"{root}: has images of one class only ({few(known) or 'none'}); a classifier needs two or more",
            "each class needs a folder of its own: add one of images of another class",
        )


def _stray(heads: dict[Parts, str], classes: dict[Parts, set[str]]) -> Parts | None:
    """The first class folder of val or test that train lacks."""
    known = next(classes[head] for head, split in heads.items() if split == "train")
    return next(((*head, name) for head in heads for name in in_order(classes[head] - known)), None)


def _recognises(listing: Listing) -> bool:
    return any(len(parts) > 1 for parts, _ in listing.files)


CLASSES = Layout("classes", "a folder for each class", ("label",), _recognises, arrange)
