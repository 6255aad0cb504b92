"""Arrays in a NumPy archive: `np.savez("set.npz", x=…, y=…)`.

| inputs | become |
|---|---|
| N×F numbers | vectors |
| N×H×W or N×H×W×C uint8, C 1 or 3 | images |

| targets | become |
|---|---|
| N whole numbers | class numbers; of vectors only where the array is called labels or they are few (`means_classes`) |
| N texts or truth values | classes by name |
| N×K of 0 and 1, whole numbers | the classes that apply (multi-label) |
| N or N×V other numbers | regression values |
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
import numpy as np
from numpy.lib import format as npy

from visus.data.dataset import Data, Dataset, title_of
from visus.data.image import printable
from visus.data.readers.arrays import (
    MAX_BYTES,
    MAX_RATIO,
    claimed,
    classes,
    fill,
    finite,
    open_regular,
    times,
    two_or_more,
)
from visus.data.readers.listing import in_order
from visus.data.samples import ArraySamples
from visus.data.types import Schema, Skipped, Target
from visus.errors import DataError, nearest

INPUTS = ("x", "data", "images", "image", "features", "inputs")
TARGETS = ("y", "target", "targets", "labels", "label")
NAMES = ("label_names", "class_names", "target_names", "classes", "names")
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
HEADERS = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
    (3, 0): npy.read_array_header_2_0,  # 3.0 differs only in the names of a record's fields, which aren't read
}


def read_npz(path: Path, data: Data) -> Dataset:
    """The arrays x and y, or x_train, y_train, x_test, y_test (x_val, y_val); MedMNIST's train_images … too.

    Members are compared with the file's size before anything is allocated, and pickled objects are never loaded.
    Raises DataError for arrays that don't fit together, and for labels out of range with their index and value.
    """
    where = printable(path)
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            with zipfile.ZipFile(file) as archive:
                pairs, names = _members(archive, where, data)
                arrays = {
                    split: tuple(_array(archive, member, where, size) for member in pair)
                    for split, pair in pairs.items()
                }
                known = tuple(str(each) for each in _array(archive, names, where, size)) if names else None
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as problem:
            raise DataError(f"{where}: the archive is damaged: {problem}", "save or fetch it anew") from None
    inputs, skipped = {}, list[Skipped]()
    labels: dict[str, tuple[str, np.ndarray]] = {}
    for split, (x, y) in arrays.items():
        x_name, y_name = (f"{where}: {member}" for member in pairs[split])
        if len(x) != len(y):
            raise DataError(f"{x_name} has {len(x):,} rows, {y_name} {len(y):,}: each needs its target")
        inputs[split], whole, gaps = _inputs(x, x_name)
        labels[split] = (y_name, y[whole, 0] if y.ndim == 2 and y.shape[1] == 1 else y[whole])
        skipped += gaps
    said = all(each.ndim == 4 for each in inputs.values()) or any("label" in y.lower() for _, y in pairs.values())
    schema, targets = _targets(labels, known, said, data.numbers)
    title = printable(title_of(path.with_suffix("")))
    return Dataset(
        name=title,
        schema=_shaped(schema, inputs, where),
        splits={
            split: ArraySamples(f"{title}/{split}" if len(inputs) > 1 else title, inputs[split], targets[split])
            for split in inputs
        },
        notes=tuple(f"{split}: inputs are the array {x}, targets {y}" for split, (x, y) in pairs.items()),
        skipped=tuple(skipped),
        source=where,
    )


def means_classes(values: int, rows: int) -> bool:
    """Whether whole numbers are taken for classes: up to 20 different ones, each twice or more on average.

    >>> means_classes(3, 150), means_classes(21, 5000), means_classes(9, 10)
    (True, False, False)
    """
    return values <= 20 and 2 * values <= rows


def _members(archive: zipfile.ZipFile, where: str, data: Data) -> tuple[dict[str, tuple[str, str]], str | None]:
    """Split → the names of its inputs and targets, and the name of the array of class names."""
    there = [name.removesuffix(".npy") for name in archive.namelist()]
    targets = data.columns or TARGETS
    pairs = {}
    for prefix, split in {"": "train", **SPLITS}.items():
        x, y = (
            next((name for stem in stems for name in _spellings(stem, prefix) if name in there), None)
            for stems in (INPUTS, targets)
        )
        if x and y and split not in pairs:
            pairs[split] = (x, y)
    if not pairs:
        raise DataError(
            f"{where} holds the arrays {', '.join(map(printable, there)) or '(none)'}: no inputs with their targets",
            nearest(data.columns[0], there)
            if data.columns
            else "name them x and y, or x_train, y_train, x_test, y_test (and x_val, y_val)",
        )
    return pairs, next((name for name in NAMES if name in there), None)


def _spellings(stem: str, split: str) -> tuple[str, ...]:
    if not split:
        return stem, stem.upper()
    return tuple(form for each in (stem, stem.upper()) for form in (f"{each}_{split}", f"{split}_{each}"))


def _array(archive: zipfile.ZipFile, member: str, where: str, size: int) -> np.ndarray:
    """One member, whose header's claim is first held against its size in the archive, and that against the file's."""
    info = archive.getinfo(member if member in archive.NameToInfo else f"{member}.npy")
    name = f"{where}: {member}"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{name} is compressed in a way that NumPy doesn't write", "save it with np.savez_compressed")
    with archive.open(info) as opened:
        stream = cast(BinaryIO, opened)
        try:
            shape, fortran, dtype = HEADERS[npy.read_magic(stream)](stream)
        except Exception as problem:  # a hostile header makes its parser raise nearly every type
            raise DataError(f"{name} isn't an .npy array: {problem}") from None
        if dtype.hasobject or dtype.names or dtype.kind not in "biufUS":
            raise DataError(
                f"{name} holds {'Python objects' if dtype.hasobject else dtype}, which are never loaded",
                "save plain numbers or texts: np.savez(…, x=np.asarray(x, dtype=np.float32))",
            )
        total, room = claimed(shape, dtype), info.file_size - opened.tell()
        if min((0, *shape)) < 0 or total != room or total > min(size * MAX_RATIO, MAX_BYTES):
            raise DataError(
                f"{name} claims {times(shape)} values of {dtype.itemsize} bytes, {total:,} bytes in all; its entry has "
                f"{room:,}, the whole file {size:,}",
                "the header or the file is damaged: save or fetch it anew",
            )
        if not shape:
            raise DataError(f"{name} is a single value, not an array")
        values = fill(stream, shape[::-1] if fortran else shape, dtype, name)
        stream.read(1)  # the end of the stream, where its checksum is compared
    return values.T if fortran else values


def _inputs(x: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray, list[Skipped]]:
    """N×H×W×C uint8 or N×F float32, which rows were kept (N bool), and the others."""
    if x.ndim == 2 and x.dtype.kind in "biuf":
        return finite(x, name)
    if x.ndim == 3 and x.dtype == np.uint8:
        x = x[..., None]
    if x.ndim == 4 and x.dtype == np.uint8 and x.shape[3] in (1, 3):
        return np.ascontiguousarray(x), np.ones(len(x), bool), []
    if x.ndim == 4 and x.dtype == np.uint8 and x.shape[1] in (1, 3):
        raise DataError(f"{name} is {times(x.shape)}: channels come last", "np.moveaxis(x, 1, 3)")
    raise DataError(
        f"{name} is {times(x.shape)} {x.dtype}: vectors are N×F numbers, images N×H×W or N×H×W×C uint8 with C 1 or 3",
        "images with other pixels: scale them to 0 … 255 and save them as uint8",
    )


def _targets(
    labels: Mapping[str, tuple[str, np.ndarray]], known: tuple[str, ...] | None, said: bool, wanted: str | None
) -> tuple[Schema, dict[str, list[Target]]]:
    """The schema as far as targets go, and the targets of each split. said: that whole numbers are classes."""
    columns = [y for _, y in labels.values()]
    first = next(iter(labels.values()))[0]
    if len({(y.ndim, y.shape[1:], y.dtype.kind in "US") for y in columns}) > 1 or columns[0].ndim > 2:
        raise DataError(f"{first}: the targets are {', '.join(times(y.shape) for y in columns)}, not N or N×K in each")
    together = np.concatenate(columns)
    if together.dtype.kind in "US" or (together.dtype.kind == "b" and together.ndim == 1):
        names = tuple(in_order(set(together.astype(str).reshape(-1).tolist())))
        two_or_more(names, first)
        place = {name: number for number, name in enumerate(names)}
        return Schema(labels=names), {
            split: [Target(label=place[name]) for name in y.astype(str).reshape(len(y)).tolist()]
            for split, (_, y) in labels.items()
        }
    whole = bool((together == np.floor(together)).all())
    if together.ndim == 2 and whole and set(np.unique(together).tolist()) <= {0, 1}:
        names = known or tuple(str(number) for number in range(together.shape[1]))
        if len(names) != together.shape[1]:
            raise DataError(f"{first} has {together.shape[1]} columns, and {len(names)} classes have names")
        return Schema(targets=("labels",), labels=names), {
            split: [Target(labels=tuple(np.flatnonzero(row).tolist())) for row in y] for split, (_, y) in labels.items()
        }
    few = means_classes(len(np.unique(together)), len(together))
    if together.ndim == 1 and whole and wanted != "values" and (said or known or few or wanted == "classes"):
        names, found = classes({split: (name, y.astype(np.int64)) for split, (name, y) in labels.items()}, known)
        return Schema(labels=names), found
    values = {split: (name, y.reshape(len(y), -1)) for split, (name, y) in labels.items()}
    for name, y in values.values():
        if gaps := finite(y, name)[2]:
            raise DataError(f"{gaps[0].name}: {gaps[0].cause}", "leave rows without a target out")
    number = next(iter(values.values()))[1].shape[1]
    titles = ("y",) if number == 1 else tuple(f"y{column}" for column in range(number))
    return Schema(targets=("values",), values=titles), {
        split: [Target(values=tuple(row)) for row in y.astype(float).tolist()] for split, (_, y) in values.items()
    }


def _shaped(schema: Schema, inputs: Mapping[str, np.ndarray], where: str) -> Schema:
    """The schema with its inputs; they must be alike in all splits, but for the size of images."""
    shapes = {each.shape[1:] for each in inputs.values()}
    if len({len(shape) for shape in shapes}) > 1 or len({shape[-1] for shape in shapes}) > 1:
        raise DataError(f"{where}: the splits' inputs are {', '.join(times(each.shape) for each in inputs.values())}")
    shape = next(iter(shapes))
    if len(shape) == 1:
        names = tuple(f"f{number}" for number in range(shape[0]))
        return msgspec.structs.replace(schema, inputs="vector", shape=shape, features=names)
    return msgspec.structs.replace(schema, shape=(shape[2], *(shape[:2] if len(shapes) == 1 else (0, 0))))
