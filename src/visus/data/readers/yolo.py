"""YOLO's text files: a line for each object, its class, middle, width and height in shares of the image.

`data.yaml` names the classes and the splits, as folders of images or as lists of them. The text of an image lies in
labels/ where the image lies in images/, or beside it. More than four numbers are the corners of a polygon.
"""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any

import msgspec
import yaml

from visus.data.dataset import Data, Dataset, split_order, threaded, title_of
from visus.data.image import printable
from visus.data.readers.base import Layout, Reader
from visus.data.readers.finder import Finder, alike, parts_of, read_names, read_text, split_of, stem
from visus.data.readers.listing import Listing, Parts, few, shown, walk
from visus.data.readers.objects import Object, ObjectTargets, Way, gathered, mask_names, shared_names
from visus.data.samples import FileSamples, OnDisk, Samples, Stored, shape_of
from visus.data.types import Schema, Skipped
from visus.errors import DataError, UnreadableImage
from visus.text import counted

MAX_YAML = 1 << 20  # bytes
PEEKED = 20  # texts beside images that are looked into, to tell objects from captions
NAMES = ("classes.txt", "obj.names", "classes.names")
SPLITS = ("train", "val", "test")
MOST = 100_000  # classes: a number from there on is a mistake, and would take memory for all before it
SLACK = 0.01  # shares of the image by which a middle or a side may be over it, and still be meant as a share


@dataclass
class _Said:
    """What data.yaml says. names: of the classes, by number. splits: the paths of each."""

    names: dict[int, str] = field(default_factory=dict)
    splits: dict[str, list[str]] = field(default_factory=dict)
    root: str = ""


def _recognises(listing: Listing) -> bool:
    stems = {(*parts[:-1], stem(parts[-1])) for parts, _ in listing.files}
    texts = [(parts, file) for parts, file in listing.texts if parts[-1].lower().endswith(".txt")]
    if any("labels" in map(str.casefold, parts[:-1]) and parts[-1].casefold() not in NAMES for parts, _ in texts):
        return True
    beside = (file for parts, file in texts if (*parts[:-1], stem(parts[-1])) in stems)
    return any(_is_yolo(file) for file in islice(beside, PEEKED))


def _is_yolo(file: Stored) -> bool:
    """Whether a text is of objects: what lies beside an image may as well be a caption."""
    try:
        lines = [line.split() for line in read_text(file, MAX_YAML).splitlines() if line.strip()]
    except UnreadableImage:
        return False
    return bool(lines) and all(not isinstance(_object(0, "", words), str) for words in lines)


def arrange(root: str, title: str, listing: Listing, data: Data) -> Dataset:
    """The data set of YOLO's files in a listing, as `Layout.arrange` says."""
    found = [(parts, file) for parts, file in listing.texts if parts[-1].lower().endswith((".yaml", ".yml"))]
    said = [(parts, each) for parts, file in found if len(parts) < 3 and (each := _yaml(file, shown(parts))).names]
    if len(said) > 1:
        raise DataError(
            f"{root}: {few(shown(parts) for parts, _ in said)} all name classes", "give one of them as the path"
        )
    return _dataset(root, title, listing, said[0][1] if said else _Said(), data)


def _yaml(file: Stored, where: str) -> _Said:
    """Raises DataError for what names neither classes nor splits in a way that is known."""
    try:
        # all is text, and nothing is made of tags: a class may be called no, which YAML takes for false
        found = yaml.load(read_text(file, MAX_YAML), Loader=yaml.BaseLoader)
    except UnreadableImage as problem:
        raise DataError(problem.problem, "copy it again") from None
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        raise DataError(f"{where}: isn't YAML: {str(problem) or type(problem).__name__}", "mend it") from None
    if not isinstance(found, dict):
        return _Said()
    return _Said(_classes(found.get("names"), where), _paths(found), str(found.get("path") or ""))


def _classes(names: Any, where: str) -> dict[int, str]:
    if names is None or names == "":
        return {}
    pairs = enumerate(names) if isinstance(names, list) else names.items() if isinstance(names, dict) else ()
    classes = {int(key): name for key, name in pairs if str(key).isdecimal() and isinstance(name, str)}
    if not classes or len(classes) != len(names) or max(classes) >= MOST:
        raise DataError(
            f"{where}: names can't be {printable(reprlib.repr(names))[:60]}", "names: [cat, dog], or 0: cat, 1: dog"
        )
    return classes


def _paths(found: dict[str, Any]) -> dict[str, list[str]]:
    splits = {}
    for key in ("train", "val", "valid", "test"):
        given = found.get(key)
        paths = given if isinstance(given, list) else [given] if given else []
        if paths and all(isinstance(each, str) for each in paths):
            splits[split_of((key,))] = paths
    return splits


def _dataset(root: str, title: str, listing: Listing, said: _Said, data: Data) -> Dataset:
    skipped, notes = list(listing.skipped), list(listing.notes)
    splits = _splits(root, listing, said.splits, skipped, notes) if said.splits else _by_folders(listing)
    names = said.names or _listed(listing)
    way: Way = "mask" if data.columns == ("mask",) else "objects" if "objects" in (data.columns or ()) else "boxes"
    texts = {tuple(map(alike, parts)): at for at, (parts, _) in enumerate(listing.texts)}
    made: dict[str, tuple[list[Stored], list[Object]]] = {}
    for split, rows in splits.items():
        files = [listing.files[row][1] for row in rows]
        made[split] = files, _objects(root, listing, rows, texts, names, skipped)
    most = max((each.label for _, objects in made.values() for each in objects), default=-1)
    size = max(names, default=most) + 1
    if not size:
        raise DataError(f"{root}: no class is named, and there is no object", "name the classes in data.yaml: names")
    labels = tuple(printable(names.get(number) or str(number)) for number in range(size))
    notes += shared_names(labels)
    samples: dict[str, Samples] = {}
    for split, (files, objects) in made.items():
        marks, mended = gathered(objects, [None] * len(files), files)
        skipped += mended
        samples[split] = FileSamples(files, ObjectTargets(files, marks, way))
    shape = shape_of([file for files, _ in made.values() for file in files])
    schema = Schema(shape=shape, targets=("boxes",), labels=labels)
    if way == "mask":
        schema = Schema(shape=shape, targets=("mask",), masks=mask_names(root, labels))
    return Dataset(title, schema, samples, tuple(notes), tuple(skipped), root)


def _by_folders(listing: Listing) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row, (parts, _) in enumerate(listing.files):
        found.setdefault(split_of(parts[:-1]) or "train", []).append(row)
    return {split: found[split] for split in sorted(found, key=split_order)}


def _splits(
    root: str, listing: Listing, given: dict[str, list[str]], skipped: list[Skipped], notes: list[str]
) -> dict[str, list[int]]:
    """The rows of the images of each split that data.yaml names and that is here."""
    folders = [tuple(map(alike, parts[:-1])) for parts, _ in listing.files]
    finder = Finder(listing.files)
    found: dict[str, list[int]] = {}
    taken: set[int] = set()
    for split in SPLITS:
        rows: list[int] = []
        for path in given.get(split, ()):
            here = _rows_of(path, listing, folders, finder, skipped)
            if not here:
                notes.append(f"{split} is {printable(path)} in data.yaml, and that isn't here, or holds no image")
            rows += here
        if twice := len(taken.intersection(rows)):
            notes.append(
                f"{counted(twice, 'image')} of {split} in an earlier split, too: the first of train, val, test holds"
            )
        if rows := [row for row in dict.fromkeys(rows) if row not in taken]:
            found[split] = rows
            taken.update(rows)
    if not found:
        named = few(path for paths in given.values() for path in paths)
        raise DataError(f"{root}: none of the folders that data.yaml names is here: {named}", "mend its paths")
    if unused := len(listing.files) - len(taken):
        notes.append(f"{counted(unused, 'image')} in no split of data.yaml, left out")
    return found


def _rows_of(
    path: str, listing: Listing, folders: Sequence[Parts], finder: Finder, skipped: list[Skipped]
) -> list[int]:
    """The images in a folder, or in a list, that a path of data.yaml means: the longest end of it that is here."""
    wanted = parts_of(path)
    if path.lower().endswith(".txt"):
        lists = Finder(listing.texts)
        at = lists.find(path)
        if isinstance(at, str):
            return []
        rows = []
        where, file = listing.texts[at]
        for number, line in enumerate(read_names(file), 1):
            row = finder.find(line, where[:-1]) if line else None
            if isinstance(row, str):
                skipped.append(Skipped(f"{shown(where)} line {number}", f"{printable(line)}: {row}: left out"))
            elif row is not None:
                rows.append(row)
        return rows
    for start in range(len(wanted) + 1):
        end = wanted[start:]
        rows = [row for row, folder in enumerate(folders) if folder[: len(end)] == end]
        if rows and (end or not wanted):
            return rows
    return []


def _listed(listing: Listing) -> dict[int, str]:
    for parts, file in listing.texts:
        if parts[-1].casefold() in NAMES:
            return dict(enumerate(read_names(file)))
    return {}


def _objects(
    root: str, listing: Listing, rows: Sequence[int], texts: dict[Parts, int], names: dict[int, str],
    skipped: list[Skipped],
) -> list[Object]:  # fmt: skip
    """The objects of some images, by their places in `rows`. Raises DataError for a class without a name."""

    def lines(place: int) -> tuple[Parts, list[str]] | Skipped | None:
        at = next((texts[path] for path in _texts_of(listing.files[rows[place]][0]) if path in texts), None)
        if at is None:
            return None
        parts, file = listing.texts[at]
        try:
            return parts, read_text(file).splitlines()
        except UnreadableImage as problem:
            return Skipped(shown(parts), f"{problem.cause}: left out")

    found = []
    for image, text in enumerate(threaded(lines, range(len(rows)))):
        if isinstance(text, Skipped):
            skipped.append(text)
        elif text is not None:
            where = shown(text[0])
            for number, line in enumerate(text[1], 1):
                if not (words := line.split()):
                    continue
                each = _object(image, f"{where} line {number}", words)
                if isinstance(each, str):
                    skipped.append(Skipped(f"{where} line {number}", f"{each}: left out: {printable(line)[:60]}"))
                elif names and each.label not in names:
                    raise DataError(
                        f"{root}: {where} line {number}: class {each.label}, where there are 0 to {max(names)}",
                        "mend it, or name the class in data.yaml",
                    )
                else:
                    found.append(each)
    return found


def _texts_of(image: Parts) -> list[Parts]:
    """Where the text of an image may lie: in labels/ for images/, or beside it."""
    parts = tuple(map(alike, image))
    name = f"{stem(parts[-1])}.txt"
    found = [
        (*parts[:at], "labels", *parts[at + 1 : -1], name)
        for at in reversed(range(len(parts) - 1))
        if parts[at].casefold() in ("images", "jpegimages")
    ]
    return [*found, (*parts[:-1], name)]


def _object(image: int, at: str, words: Sequence[str]) -> Object | str:
    """An object; or what is wrong with its line."""
    label, *values = (_number(word) for word in words)
    if not isfinite(label) or not 0 <= label < MOST or label != int(label):
        return f"has no class: {printable(words[0])[:20]}"
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        return f"has {len(words)} numbers, where 5 are wanted, or the corners of a polygon"
    places = values[:2] if len(values) == 4 else values  # a side below 0 is a box without area
    if max(values) > 1 + SLACK or min(places) < -SLACK:
        return "isn't in shares of the image, 0 to 1"
    if len(values) == 4:
        x, y, width, height = values
        return Object(image, at, (x - width / 2, y - height / 2, x + width / 2, y + height / 2), int(label))
    if not all(map(isfinite, values)):
        return "isn't of numbers"
    box = (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
    return Object(image, at, box, int(label), outline=msgspec.json.encode([values]))


def _number(word: str) -> float:
    """NaN for what is no number, which is refused in each place."""
    try:
        return float(word)
    except ValueError:
        return float("nan")


def _is_yaml(path: Path) -> bool:
    try:
        return path.suffix.lower() in (".yaml", ".yml") and path.is_file()
    except OSError:
        return False


def _read(path: Path, data: Data) -> Dataset:
    """What a data.yaml is of: the folder that it names, or its own."""
    said = _yaml(OnDisk(path, path.name, path.stat().st_size), printable(path))
    folder = path.resolve().parent
    try:
        root = folder / said.root if said.root and (folder / said.root).is_dir() else folder
    except (OSError, ValueError):
        root = folder
    listing = Listing()
    for _ in walk(root, listing):
        pass
    listing.sort()
    if not said.names:
        raise DataError(f"{printable(path)}: names no classes", "names: [cat, dog]")
    return _dataset(printable(path), printable(title_of(folder)), listing, said, data)


YOLO = Layout(
    "yolo", "YOLO's images/, labels/ and data.yaml", ("boxes", "objects", "mask"), _recognises, arrange
)  # fmt: skip
YOLO_FILE = Reader("yolo", "a data.yaml of YOLO, beside folders of images", _is_yaml, _read)
