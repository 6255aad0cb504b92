"""Which class each pixel of a mask is of: by its number, by its grey value, or by its colour."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from visus.data.dataset import threaded
from visus.data.image import printable, read_numbers
from visus.data.readers.finder import read_names
from visus.data.readers.listing import Listing, Parts, few
from visus.data.samples import Stored
from visus.data.types import VOID
from visus.errors import DataError, UnreadableImage

SCANNED = 1000  # masks that are read, evenly spaced, to learn their values
FILES = ("classes.txt", "class_names.txt", "classnames.txt", "labels.txt", "labelmap.txt", "class_dict.csv")
NUMBERS = 64  # values under it are numbers of classes, even where most don't occur
LEVELS = 8  # as many grey values may each be a class
COLOUR = 1 << 24  # marks a value as red, green, blue
_coloured = re.compile(r"(.*?)[\s,:;]+(\d{1,3})[\s,;]+(\d{1,3})[\s,;]+(\d{1,3})([\s,:;].*)?")

Class = tuple[str, int | None]  # its name; its colour, marked, where that is said


@dataclass(frozen=True)
class Numbering:
    """names: of the classes. codes: the values that pixels have, ascending, int64. classes: of each, uint8 or VOID."""

    names: tuple[str, ...]
    codes: np.ndarray
    classes: np.ndarray

    def __call__(self, file: Stored) -> tuple[np.ndarray, int]:
        """H×W uint8 classes in a file, and its own orientation. Raises UnreadableImage for a value of no class."""
        name = printable(file.name)
        numbers, orientation = read_numbers(file.read(), name)
        coloured = int(self.codes[-1]) >= COLOUR
        if coloured and numbers.ndim == 2:
            numbers = np.repeat(numbers[..., None], 3, 2)
        elif not coloured and numbers.ndim == 3 and (numbers == numbers[..., :1]).all():
            numbers = numbers[..., 0]
        codes = _codes(numbers)
        place = np.searchsorted(self.codes, codes).clip(max=len(self.codes) - 1)
        wrong = self.codes[place] != codes
        if wrong.any():
            raise UnreadableImage(name, f"has pixels of {_said(int(codes[wrong][0]))}, which is no class")
        return self.classes[place], orientation


def read_classes(listing: Listing, base: Parts = ()) -> list[Class] | None:
    """The classes that a file in a folder names, by number, some with colours; None where there is none."""
    found = {parts[-1].casefold(): file for parts, file in listing.texts if parts[:-1] == base}
    file = next((found[name] for name in FILES if name in found), None)
    if file is None:
        return None
    classes: list[Class] = []
    for line in read_names(file):
        if line.startswith("#") or line.casefold().startswith("name,"):
            continue
        match = _coloured.fullmatch(line)
        name = match[1] if match else re.sub(r"\s*:.*", "", line)
        colour = [] if match is None else [int(match[at]) for at in (2, 3, 4)]
        if max(colour, default=0) > 255:
            raise DataError(
                f"{printable(file.name)}: {printable(line)[:60]}: a colour has 0 to 255 of each", "mend the line"
            )
        if name != "__ignore__":
            classes.append((name or str(len(classes)), _packed(*colour) if colour else None))
    return classes or None


def numbering_of(root: str, files: Sequence[Stored], classes: list[Class] | None, ignore: int | None) -> Numbering:
    """How the values in masks are to be read.

    classes: as a file names them. ignore: the value that means no class; None: 255 where others are numbers.
    Raises DataError where values are no classes.
    """
    found, coloured = _scan(files)
    if classes is not None and len(classes) > VOID:
        raise DataError(f"{root}: {len(classes)} classes are named, and a mask holds {VOID}", "name fewer")
    if coloured and classes is not None and all(colour is not None for _, colour in classes):
        colours = {colour: at for at, (_, colour) in enumerate(classes) if colour is not None}
        if len(colours) < len(classes):
            raise DataError(f"{root}: two of the classes that are named have one colour", "give each its own")
        return _numbered(colours, classes, ignore)
    void = {ignore} if ignore is not None else set()
    values = sorted(found - void)
    if found and not values:
        raise DataError(f"{root}: its masks have no value but {ignore}, which means none", "leave data.ignore out")
    if not values:
        raise DataError(f"{root}: none of its masks can be read", "are they PNG files of 8 bits?")
    count = None if classes is None else len(classes)
    if coloured:
        _require(root, len(values) <= VOID and count in (None, len(values)), values, count)
        named = classes or [(_said(value), None) for value in values]
        return _numbered({value: at for at, value in enumerate(values)}, named, ignore)
    if set(values) <= {0, 255} and 255 in values and count in (None, 2):  # drawn in black and white
        return _numbered({0: 0, 255: 1}, classes or [("background", None), ("foreground", None)], ignore)
    numbers = [value for value in values if value != VOID or ignore is not None]
    most = numbers[-1] if numbers else 0
    if count is not None or most < NUMBERS or 2 * len(numbers) > most:
        _require(root, most < VOID or count is not None, values, count)
        size = most + 1 if count is None else count
        named = classes or [(str(number), None) for number in range(size)]
        return _numbered({number: number for number in range(size)}, named, VOID if ignore is None else ignore)
    _require(root, len(values) <= LEVELS, values, count)
    return _numbered({value: at for at, value in enumerate(values)}, [(_said(v), None) for v in values], ignore)


def looks_numbered(file: Stored) -> bool:
    """Whether an image has so few values that it can only be a mask."""
    try:
        numbers, _ = read_numbers(file.read(), printable(file.name))
    except UnreadableImage:
        return False
    return len(np.unique(_codes(numbers))) <= 4 * LEVELS


def _numbered(codes: dict[int, int], classes: Sequence[Class], ignore: int | None) -> Numbering:
    known = codes | ({} if ignore is None else {ignore: VOID})
    order = sorted(known)
    names = tuple(name for name, _ in classes)
    return Numbering(names, np.array(order, np.int64), np.array([known[code] for code in order], np.uint8))


def _scan(files: Sequence[Stored]) -> tuple[set[int], bool]:
    """The values in some of the masks, and whether they are colours."""

    def values(row: int) -> np.ndarray:
        try:
            numbers, _ = read_numbers(files[row].read(), printable(files[row].name))
        except UnreadableImage:
            return np.zeros(0, np.int64)  # it is reported, with its cause, when it is read as a target
        return np.unique(_codes(numbers))

    rows = range(0, len(files), max(1, -(-len(files) // SCANNED)))
    found = {int(value) for each in threaded(values, rows) for value in each}
    packed = {value for value in found if value >= COLOUR}
    if not packed:
        return found, False
    if all(len({value >> 16 & 255, value >> 8 & 255, value & 255}) == 1 for value in packed):
        return {value & 255 for value in found}, False  # grey, saved as colours
    return {value if value >= COLOUR else _packed(value, value, value) for value in found}, True


def _codes(numbers: np.ndarray) -> np.ndarray:
    """H×W int64: grey values and numbers as they are, colours packed and marked."""
    wide = numbers.astype(np.int64)
    return wide if wide.ndim == 2 else COLOUR | wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def _packed(red: int, green: int, blue: int) -> int:
    return COLOUR | red << 16 | green << 8 | blue


def _said(value: int) -> str:
    return f"#{value - COLOUR:06x}" if value >= COLOUR else f"value {value}"


def _require(root: str, fits: bool, values: Sequence[int], count: int | None) -> None:
    if not fits:
        raise DataError(
            f"{root}: its masks have {len(values):,} values ({few(_said(value) for value in values)})"
            + ("" if count is None else f", and {count} classes are named"),
            "a mask has a value for each class, in a PNG; JPEG and resizing blur them. classes.txt names the classes, "
            "each with red, green and blue where masks are coloured; data.ignore says which value means none",
        )
