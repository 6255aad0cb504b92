"""Class folders: `root/<class>/**/image`, or `root/train/<class>/image` with `val` and `test` beside it.

A split's folder may be called train or training; val, valid, validation or dev; test or testing, in any case.
Links to folders are followed, but no folder is entered twice, so that a loop ends. Hidden files are left alone.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath

from natsort import natsort_keygen, ns

from visus.data.dataset import Data, Dataset, title_of
from visus.data.image import EXTENSIONS, printable
from visus.data.readers.base import Reader
from visus.data.samples import FileSamples, OnDisk, Samples, Stored, shape_of
from visus.data.types import Schema, Skipped, Target
from visus.errors import DataError

Parts = tuple[str, ...]

SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test"} | dict.fromkeys(
    ("val", "valid", "validation", "dev"), "val"
)
# folders that hold the parts of samples of another job; their names are never classes
NOT_CLASSES = frozenset(
    (
        "annotation", "annotations", "image", "images", "imagesets", "img", "imgs", "input", "inputs", "jpegimages",
        "label", "labels", "mask", "masks", "segmentationclass", "segmentationobject", "target", "targets",
    )
)  # fmt: skip
NUMBERED_TRAIN = re.compile(r"train(ing)?\d{2,}", re.IGNORECASE)  # train2017, train400
LOOKED_AT = 10_000  # folder entries, to recognise the layout
NAMED = 8  # at most so many names in one note

_natural = natsort_keygen(alg=ns.IGNORECASE)


@dataclass(frozen=True)
class Listing:
    """What was found under a root, before it is known what it means.

    files: each image with the parts of its path from the root. folders: every folder, the empty ones too.
    others: how many other files, by ending. skipped, notes: as in `Dataset`.
    """

    files: list[tuple[Parts, Stored]] = field(default_factory=list)
    folders: set[Parts] = field(default_factory=set)
    others: Counter[str] = field(default_factory=Counter)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def is_image(name: str) -> bool:
    """Whether a file's ending is that of an image; if not, it is ignored."""
    return PurePosixPath(name).suffix.lower() in EXTENSIONS


def is_hidden(name: str) -> bool:
    """Whether a file or folder is the system's, not the user's: .git, ._cat.jpg, __MACOSX, Thumbs.db."""
    return name.startswith(".") or name.lower() in ("__macosx", "thumbs.db", "desktop.ini")


def in_order(names: Iterable[str]) -> list[str]:
    """Names as a person sorts them: 2 before 10, a beside A; the same on every file system and in every locale.

    >>> in_order(["img10", "img2", "IMG3"])
    ['img2', 'IMG3', 'img10']
    """
    return sorted(names, key=lambda name: (_natural(name), name))


def arrange(root: str, title: str, listing: Listing, data: Data) -> Dataset:
    """The data set of class folders that a listing holds.

    root: what the user gave, for errors and as the source. title: of the data set.
    Raises DataError where there are no class folders, only one, an empty one (unless data.allow_empty), or one in
    val or test that train lacks.
    """
    if not listing.files:
        found = f", only {listing.others.total():,} other files ({_endings(listing)})" if listing.others else ""
        raise DataError(f"{root}: holds no image{found}", f"images end in {', '.join(sorted(EXTENSIONS))}")
    notes = list(listing.notes)
    heads = _split_folders(root, listing, notes)
    heads = dict(sorted(heads.items(), key=lambda head: ("train", "val", "test").index(head[1])))
    classes = {head: _classes(head, listing) for head in heads}
    _check_classes(root, listing, classes, data, notes)
    names = in_order(set().union(*classes.values()))
    if ("train" in heads.values()) and (stray := _stray(heads, classes)):
        raise DataError(f"{root}: {_shown(stray)} is a class that has no training folder", "add it, or remove this one")
    number = {name: index for index, name in enumerate(names)}
    chosen: dict[str, list[tuple[str, Stored]]] = {split: [] for split in heads.values()}
    loose = []
    for parts, file in sorted(listing.files, key=lambda entry: ([_natural(each) for each in entry[0]], entry[0])):
        head = next((each for each in heads if parts[: len(each)] == each), None)
        if head is not None and len(parts) > len(head) + 1:
            chosen[heads[head]].append((parts[len(head)], file))
        elif head is not None:
            loose.append(_shown(parts))
    if loose:
        notes.append(f"outside of every class folder, ignored: {few(loose)}")
    if listing.others:
        notes.append(f"{listing.others.total():,} files with other endings ignored: {_endings(listing)}")
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
                other = next(_shown(head) for head, known in heads.items() if known == split)
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
        first = _shown(empty[0])
        lost = [f"; {each.name}: {each.cause}" for each in listing.skipped if each.name.startswith(f"{first}/")]
        raise DataError(
            f"{root}: the class folder {first} holds no image{lost[0] if lost else ''}",
            "remove it, or set data.allow_empty = true where that is meant",
        )
    if empty:
        notes.append(f"class folders without an image: {few([_shown(each) for each in empty])}")
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


def _walk(root: Path, listing: Listing) -> Iterator[bool]:
    """Fill the listing. Yields after each entry whether it was an image in a folder: a look can stop there."""
    again: list[Parts] = []
    seen: set[tuple[int, int]] = set()
    waiting: deque[tuple[Parts, Path]] = deque([((), root)])
    links: list[tuple[Parts, Path]] = []
    while waiting or links:
        if not waiting:  # links come last, in order: what can be reached without one has its own name
            links.sort(key=lambda link: ([_natural(each) for each in link[0]], link[0]), reverse=True)
            waiting.append(links.pop())
        parts, folder = waiting.popleft()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                again.append(parts)
                continue
            seen.add((status.st_dev, status.st_ino))
            if parts:
                listing.folders.add(parts)
            with os.scandir(folder) as entries:
                for entry in entries:
                    if is_hidden(entry.name):
                        continue
                    below = (*parts, entry.name)
                    if (mode := _look(below, entry, listing)) is not None and stat.S_ISDIR(mode):
                        (links if entry.is_symlink() else waiting).append((below, Path(entry.path)))
                    yield bool(parts) and mode is not None and stat.S_ISREG(mode) and is_image(entry.name)
        except OSError as problem:
            raise DataError(
                f"{printable(folder)}: this folder can't be listed: {(problem.strerror or str(problem)).lower()}",
                "check its permissions",
            ) from None
    if again:
        listing.notes.append(f"links to folders that were read already, not followed: {few(map(_shown, again))}")


def _look(parts: Parts, entry: os.DirEntry[str], listing: Listing) -> int | None:
    """Note one entry of a folder. Its mode, or None if it can't be looked at. Opens nothing."""
    try:
        status = entry.stat()
    except OSError as problem:
        cause = "is a broken link" if isinstance(problem, FileNotFoundError) else (problem.strerror or "").lower()
        listing.skipped.append(Skipped(_shown(parts), cause))
        return None
    if stat.S_ISREG(status.st_mode):
        if is_image(entry.name):
            listing.files.append((parts, OnDisk(Path(entry.path), "/".join(parts), status.st_size)))
        else:
            listing.others[PurePosixPath(entry.name).suffix.lower()] += 1
    elif not stat.S_ISDIR(status.st_mode):
        kind = "FIFO" if stat.S_ISFIFO(status.st_mode) else "socket" if stat.S_ISSOCK(status.st_mode) else "device"
        listing.skipped.append(Skipped(_shown(parts), f"is a {kind}, not a file"))
    return status.st_mode


def _shown(parts: Parts) -> str:
    return printable("/".join(parts))


def few(names: Iterable[str]) -> str:
    """Some names for one line: the first ones, and how many there are."""
    each = [printable(name) for name in names]
    return ", ".join(each if len(each) <= NAMED else [*each[:NAMED], f"… ({len(each):,} in all)"])


def _endings(listing: Listing) -> str:
    return few(ending or "no ending" for ending in sorted(listing.others))


def _recognises(root: Path) -> bool:
    try:
        return root.is_dir() and any(islice(_walk(root, Listing()), LOOKED_AT))
    except DataError:
        return True  # a folder in it can't be listed: reading says which
    except OSError:
        return False


def _read(root: Path, data: Data) -> Dataset:
    listing = Listing()
    for _ in _walk(root, listing):
        pass
    listing.skipped.sort(key=lambda skipped: (_natural(skipped.name), skipped.name))
    return arrange(printable(root), printable(title_of(root)), listing, data)


FOLDERS = Reader(
    "folders", "a folder for each class, or train/, val/ and test/ with a folder for each class", _recognises, _read
)
