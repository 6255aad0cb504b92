"""COCO's JSON: one file for a split, beside folders of images.

Boxes are left, top, width and height in pixels; outlines are polygons or runs, compressed or not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from visus.data.dataset import Data, Dataset, split_order, title_of
from visus.data.image import printable
from visus.data.readers.base import Layout, Reader
from visus.data.readers.finder import Finder, decoded, read_bytes_of, split_of, stem
from visus.data.readers.listing import Listing, Parts, few, shown, walk
from visus.data.readers.objects import Object, ObjectTargets, Way, gathered, mask_names, number, shared_names, size_of
from visus.data.samples import FileSamples, OnDisk, Samples, Stored, shape_of
from visus.data.types import Schema, Skipped
from visus.errors import DataError, UnreadableImage
from visus.text import counted

MAX_JSON = 4 << 30  # bytes
KEYS = (b'"images"', b'"annotations"', b'"categories"')
DEPTH = 3  # folders above a JSON file that may say what it is of
OTHERS = ("captions", "keypoints", "panoptic", "stuff", "image_info")  # what COCO's other files are called


class _Image(msgspec.Struct):
    id: Any = None
    file_name: Any = None
    width: Any = None
    height: Any = None


class _Annotation(msgspec.Struct):
    id: Any = None
    image_id: Any = None
    category_id: Any = None
    bbox: Any = None
    segmentation: msgspec.Raw = msgspec.Raw(b"null")
    area: Any = None
    iscrowd: Any = 0
    difficult: Any = 0
    truncated: Any = 0


class _Category(msgspec.Struct):
    id: Any = None
    name: Any = None


class _File(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def _candidates(listing: Listing) -> list[tuple[Parts, Stored]]:
    """The JSON files that may be COCO's: not those that lie beside each image."""
    stems = {(*parts[:-1], stem(parts[-1])) for parts, _ in listing.files}
    return [
        (parts, file)
        for parts, file in listing.texts
        if parts[-1].lower().endswith(".json")
        and len(parts) <= DEPTH
        and (*parts[:-1], stem(parts[-1])) not in stems
        and not any(word in parts[-1].lower() for word in OTHERS)
    ]


def _is_coco(file: Stored) -> bool:
    try:
        data = read_bytes_of(file, MAX_JSON)
    except UnreadableImage:
        return False
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        data = decoded(data).encode()
    return all(key in data for key in KEYS)


def _recognises(listing: Listing) -> bool:
    return any(_is_coco(file) for _, file in _candidates(listing))


def arrange(root: str, title: str, listing: Listing, data: Data) -> Dataset:
    """The data set of the COCO files in a listing, as `Layout.arrange` says."""
    found: dict[str, tuple[Parts, Stored]] = {}
    files = [each for each in _candidates(listing) if _is_coco(each[1])]
    for parts, file in files:
        split = split_of((*parts[:-1], *re.split(r"[^A-Za-z0-9]+", stem(parts[-1]))))
        if not split and len(files) > 1:
            raise DataError(
                f"{root}: {shown(parts)}: which split is it?", "call it train, val or test, or give it alone"
            )
        split = split or "train"
        if split in found:
            raise DataError(
                f"{root}: {shown(found[split][0])} and {shown(parts)} are both the {split} split",
                "give one of them as the path, or keep one",
            )
        found[split] = parts, file
    return _dataset(root, title, listing, found, _way(data))


def _way(data: Data) -> Way:
    wanted = data.columns or ("boxes",)
    return "mask" if wanted == ("mask",) else "objects" if "objects" in wanted else "boxes"


def _dataset(root: str, title: str, listing: Listing, found: dict[str, tuple[Parts, Stored]], way: Way) -> Dataset:
    parsed = {split: _parsed(root, parts, file) for split, (parts, file) in found.items()}
    names, skipped = _names(root, parsed, found), list(listing.skipped)
    finder = Finder(listing.files)
    splits: dict[str, Samples] = {}
    notes, used = list(listing.notes), set()
    for split in sorted(found, key=split_order):
        rows, targets, left = _samples(parsed[split], split, found[split][0], names, finder, listing.files, way)
        skipped += left
        used.update(rows)
        splits[split] = FileSamples([listing.files[row][1] for row in rows], targets)
        if way == "boxes" and any(each is not None for marks in targets.marks for each in marks.outlines):
            notes.append(f"{split}: outlines of objects are there: data.target = objects or mask reads them")
    if not any(map(len, splits.values())):
        raise DataError(
            f"{root}: none of the images that {few(shown(parts) for parts, _ in found.values())} names is here",
            "put the images into a folder beside it",
        )
    if unused := len(listing.files) - len(used):
        notes.append(f"{counted(unused, 'image')} that no annotation file names, left out")
    labels = tuple(names.values())
    notes += shared_names(labels)
    shape = shape_of([listing.files[row][1] for row in sorted(used)])
    if way == "mask":
        schema = Schema(shape=shape, targets=("mask",), masks=mask_names(root, labels))
    else:
        schema = Schema(shape=shape, targets=("boxes",), labels=labels)
    return Dataset(title, schema, splits, tuple(dict.fromkeys(notes)), tuple(skipped), root)


def _parsed(root: str, parts: Parts, file: Stored) -> _File:
    where = f"{root}: {shown(parts)}"
    try:
        data = read_bytes_of(file, MAX_JSON)
        try:
            return msgspec.json.decode(data, type=_File)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # a mark at its begin, another encoding, or NaN, which JSON hasn't but Python writes
            plain = json.loads(decoded(data), parse_constant=lambda _: None)
            return msgspec.json.decode(msgspec.json.encode(plain), type=_File)
    except UnreadableImage as problem:
        raise DataError(f"{where}: {problem.cause}", "copy it again") from None
    except (ValueError, RecursionError) as problem:
        text = str(problem) or type(problem).__name__
        raise DataError(
            f"{where}: isn't COCO's JSON: {text}", "images, annotations and categories are wanted"
        ) from None


def _names(root: str, parsed: dict[str, _File], found: dict[str, tuple[Parts, Stored]]) -> dict[object, str]:
    """The names of classes by their ids, in the order of the ids; equal in all files."""
    names: dict[object, str] = {}
    for split, file in parsed.items():
        for each in file.categories:
            where = f"{root}: {shown(found[split][0])}"
            if not isinstance(each.id, int | str) or not isinstance(each.name, str):
                raise DataError(f"{where}: the category {each.id!r} has no name or id", "give it both")
            if names.setdefault(each.id, each.name) != each.name:
                raise DataError(
                    f"{where}: the category {each.id} is {printable(each.name)}, and elsewhere "
                    f"{printable(names[each.id])}",
                    "number categories alike in all files",
                )
    if not names:
        raise DataError(f"{root}: there are no categories", "name the classes: categories is empty")
    order = sorted(names, key=lambda key: (isinstance(key, str), key))
    return {key: names[key] for key in order}


def _samples(
    file: _File, split: str, parts: Parts, names: dict[object, str], finder: Finder,
    files: Sequence[tuple[Parts, Stored]], way: Way,
) -> tuple[list[int], ObjectTargets, list[Skipped]]:  # fmt: skip
    """The rows of the images, their targets, and what was left out or clipped."""
    where, left = shown(parts), list[Skipped]()
    place: dict[object, int] = {}  # of an image's id: its place in rows, or −1 where it is left out
    taken: dict[int, object] = {}  # of a row: the id of its image
    sizes: list[tuple[int, int]] = []
    for image in file.images:
        row = finder.find(image.file_name, parts[:-1], split) if isinstance(image.file_name, str) else "has no name"
        name = f"{where}: image {_text(image.id)}"
        if not isinstance(image.id, int | str):
            left.append(Skipped(name, "has no id: left out"))
        elif image.id in place:
            left.append(Skipped(name, "has the id of another image: left out"))
        elif isinstance(row, str):
            place[image.id] = -1
            left.append(Skipped(f"{name} ({printable(str(image.file_name))})", f"{row}: left out"))
        elif row in taken:
            place[image.id] = -1
            left.append(Skipped(name, f"is of the same file as image {_text(taken[row])}: left out"))
        else:
            place[image.id], taken[row] = len(taken), image.id
            sizes.append(size_of(files[row][1], image.height, image.width))
    rows = list(taken)
    objects = _objects(file, where, place, {key: number for number, key in enumerate(names)}, left)
    stored = [files[row][1] for row in rows]
    marks, mended = gathered(objects, sizes, stored)
    return rows, ObjectTargets(stored, marks, way), left + mended


def _objects(
    file: _File, where: str, place: dict[object, int], numbers: dict[object, int], left: list[Skipped]
) -> list[Object]:
    """The annotations of the images that have a place; what is wrong with others is added to `left`."""
    found = []
    seen: set[object] = set()
    for each in file.annotations:
        name = f"annotation {_text(each.id)}"
        owner = place.get(each.image_id) if isinstance(each.image_id, int | str) else None
        box = _box(each.bbox)
        if isinstance(each.id, int | str) and each.id in seen:
            cause = "has the id of another annotation"
        elif owner is None:
            cause = f"is of an image {_text(each.image_id)} that isn't listed"
        elif not isinstance(each.category_id, int | str) or each.category_id not in numbers:
            cause = f"has a category {_text(each.category_id)} that isn't listed"
        elif box is None:
            cause = "has a box that isn't of four numbers"
        else:
            seen.add(each.id if isinstance(each.id, int | str) else None)
            if owner < 0:
                continue  # its image is left out, which is said
            text = bytes(each.segmentation)
            area = number(each.area) if isinstance(each.area, int | float) and each.area >= 0 else float("nan")
            found.append(
                Object(owner, name, box, numbers[each.category_id], _flag(each.iscrowd), _flag(each.difficult),
                       _flag(each.truncated), area, None if text in (b"null", b"[]", b"{}") else text)
            )  # fmt: skip
            continue
        left.append(Skipped(f"{where}: {name}", f"{cause}: left out"))
    return found


def _flag(given: object) -> bool:
    """Whether it is said that something is so: 1, true, or either as text."""
    return given is True or (isinstance(given, int | float | str) and str(given).casefold() in ("1", "1.0", "true"))


def _text(key: object) -> str:
    return printable(str(key))[:40]


def _box(given: object) -> tuple[float, float, float, float] | None:
    """Left, top, right, bottom of a box; NaN where its file says so."""
    if not isinstance(given, list) or len(given) != 4:
        return None
    if not all(each is None or (isinstance(each, int | float) and not isinstance(each, bool)) for each in given):
        return None
    left, top, width, height = (float("nan") if each is None else number(each) for each in given)
    return left, top, left + width, top + height


def _is_json(path: Path) -> bool:
    try:
        if path.suffix.lower() != ".json" or not path.is_file():
            return False
        return _is_coco(OnDisk(path, path.name, path.stat().st_size))
    except OSError:
        return False


def _read(path: Path, data: Data) -> Dataset:
    """One file, and the images below its folder, or beside it."""
    folder = path.resolve().parent
    root = folder.parent if folder.name.casefold() in ("annotations", "annotation") else folder
    listing = Listing()
    for _ in walk(root, listing):
        pass
    listing.sort()
    file = OnDisk(path, path.name, path.stat().st_size)
    parts = (*folder.relative_to(root).parts, path.name)
    return _dataset(printable(path), printable(title_of(path)), listing, {"train": (parts, file)}, _way(data))


COCO = Layout(
    "coco", "COCO's JSON beside folders of images", ("boxes", "objects", "mask"), _recognises, arrange
)  # fmt: skip
COCO_FILE = Reader("coco", "a .json file of COCO, beside folders of images", _is_json, _read)
