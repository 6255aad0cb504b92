"""Two files for a sample, of one name in folders that say what they are: an image and its mask, a degraded image and
the image wanted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from visus.data.dataset import Data, Dataset, split_order
from visus.data.image import decode, printable
from visus.data.readers.base import Layout
from visus.data.readers.finder import alike, split_of, stem
from visus.data.readers.frames import Beside
from visus.data.readers.listing import Listing, Parts, few, in_order, shown
from visus.data.readers.numbering import looks_numbered, numbering_of, read_classes
from visus.data.samples import FileSamples, Samples, Stored, shape_of
from visus.data.types import Schema, Skipped
from visus.errors import DataError

IMAGES = frozenset(
    ("image", "images", "img", "imgs", "jpegimages", "photo", "photos", "frame", "frames", "input", "inputs")
)
MASKS = frozenset(
    (
        "mask", "masks", "label", "labels", "annotation", "annotations", "seg", "segmentation", "segmentations",
        "target", "targets", "gt", "ground_truth", "groundtruth",
    )
)  # fmt: skip
DEGRADED = frozenset(
    (
        "noisy", "degraded", "blur", "blurry", "blurred", "lq", "corrupted", "compressed", "damaged",
        "rainy", "hazy", "input", "inputs",
    )
)  # fmt: skip
CLEAN = frozenset(
    (
        "clean", "sharp", "original", "originals", "hq", "reference", "target", "targets", "gt",
        "ground_truth", "groundtruth",
    )
)  # fmt: skip
ENDINGS = ("_mask", "-mask", "_seg", "_label", "_gt")  # what a mask's name may have more than its image's


@dataclass(frozen=True)
class _Pairs:
    """rows: of the listing's files, the image and what belongs to it, by split. alone: what has no counterpart."""

    rows: dict[str, list[tuple[int, int]]]
    alone: list[Skipped]
    words: Counter[str]


def _pairs(listing: Listing, ones: Collection[str], others: Collection[str], what: str) -> _Pairs:
    """what: the word for the second of a pair."""
    first: dict[Parts, int] = {}
    second: dict[Parts, int] = {}
    words: Counter[str] = Counter()
    alone = []
    for row, (parts, _) in enumerate(listing.files):
        folders = tuple(each.casefold() for each in parts[:-1])
        at = next((at for at in reversed(range(len(folders))) if folders[at] in ones or folders[at] in others), None)
        if at is None:
            continue
        side = first if folders[at] in ones else second
        key = (*folders[:at], *folders[at + 1 :], alike(stem(parts[-1])))
        words[folders[at]] += 1
        if key in side:
            alone.append(Skipped(shown(parts), f"has the name of {shown(listing.files[side[key]][0])}: left out"))
        else:
            side[key] = row
    for key in [key for key in second if key not in first]:
        name = next((key[-1][: -len(each)] for each in ENDINGS if key[-1].endswith(each)), "")
        if name and (*key[:-1], name) in first and (*key[:-1], name) not in second:
            second[*key[:-1], name] = second.pop(key)
    rows: dict[str, list[tuple[int, int]]] = {}
    for key, row in first.items():
        if key in second:
            rows.setdefault(split_of(key[:-1]) or "train", []).append((row, second[key]))
        else:
            alone.append(Skipped(shown(listing.files[row][0]), f"has no {what}: left out"))
    alone += [
        Skipped(shown(listing.files[row][0]), f"is the {what} of no image: left out")
        for key, row in second.items()
        if key not in first
    ]
    return _Pairs({split: rows[split] for split in sorted(rows, key=split_order)}, alone, words)


def _masks(listing: Listing) -> _Pairs:
    return _pairs(listing, IMAGES, MASKS, "mask")


def _degraded(listing: Listing) -> _Pairs:
    return _pairs(listing, DEGRADED, CLEAN, "image wanted")


def _numbered(listing: Listing, pairs: _Pairs) -> bool:
    """Whether what belongs to the first image has few values."""
    return looks_numbered(listing.files[next(iter(pairs.rows.values()))[0][1]][1])


def _either(pairs: _Pairs) -> bool:
    """Whether the names of the folders leave open what they hold."""
    return set(pairs.words) <= (IMAGES & DEGRADED) | (MASKS & CLEAN)


def _has_masks(listing: Listing) -> bool:
    pairs = _masks(listing)
    return bool(pairs.rows) and (not _either(pairs) or _numbered(listing, pairs))


def _has_degraded(listing: Listing) -> bool:
    pairs = _degraded(listing)
    return bool(pairs.rows) and (not _either(pairs) or not _numbered(listing, pairs))


def _arrange_masks(root: str, title: str, listing: Listing, data: Data) -> Dataset:
    pairs = _masks(listing)
    files = [listing.files[other][1] for rows in pairs.rows.values() for _, other in rows]
    numbering = numbering_of(root, files, read_classes(listing), data.ignore)

    def targets(images: list[Stored], masks: list[Stored]) -> Beside:
        return Beside(images, masks, "mask", numbering)

    schema = Schema(targets=("mask",), masks=tuple(printable(name) for name in numbering.names))
    return _dataset(root, title, listing, pairs, schema, targets)


def _arrange_degraded(root: str, title: str, listing: Listing, data: Data) -> Dataset:
    pairs = _degraded(listing)
    for words in (DEGRADED, CLEAN):
        if len(several := in_order(words & pairs.words.keys())) > 1:
            raise DataError(
                f"{root}: {few(several)} are all there, and one is wanted", "keep one of them in the folder"
            )

    def targets(images: list[Stored], wanted: list[Stored]) -> Beside:
        return Beside(images, wanted, "image", _pixels)

    return _dataset(root, title, listing, pairs, Schema(targets=("image",)), targets)


def _pixels(file: Stored) -> tuple[np.ndarray, int]:
    found = decode(file.read(), printable(file.name))
    return found.pixels, found.orientation


def _dataset(
    root: str, title: str, listing: Listing, pairs: _Pairs, schema: Schema,
    targets: Callable[[list[Stored], list[Stored]], Beside],
) -> Dataset:  # fmt: skip
    shape = shape_of([listing.files[image][1] for rows in pairs.rows.values() for image, _ in rows])
    splits: dict[str, Samples] = {}
    for split, rows in pairs.rows.items():
        images = [listing.files[image][1] for image, _ in rows]
        splits[split] = FileSamples(images, targets(images, [listing.files[other][1] for _, other in rows]))
    notes = [*listing.notes, f"files of the same name belong together in {few(in_order(pairs.words))}"]
    skipped = (*listing.skipped, *pairs.alone)
    return Dataset(title, replace(schema, shape=shape), splits, tuple(notes), skipped, root)


MASKED = Layout(
    "masks", "images/ and masks/ with files of the same names", ("mask",), _has_masks, _arrange_masks
)  # fmt: skip
DEGRADED_PAIRS = Layout(
    "pairs", "noisy/ and clean/ (or degraded/, input/ …) with files of the same names", ("image",), _has_degraded,
    _arrange_degraded,
)  # fmt: skip
