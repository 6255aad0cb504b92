"""Tables: a row a sample, its numbers or its image file, and what is to be said of it.

| the target column holds | the job |
|---|---|
| texts or truth values | classification; the classes in natural order |
| whole numbers, in a column named label, class, …, or few (see `means_classes`) | classification |
| other numbers, or several columns | regression |
| classes separated by "\\|"; or is named labels, beside images | multi-label classification; an empty cell: none |
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from visus.data.dataset import Data, Dataset, title_of
from visus.data.image import printable
from visus.data.readers.arrays import two_or_more
from visus.data.readers.base import Reader
from visus.data.readers.columns import Table, missing, number, read_csv, read_parquet
from visus.data.readers.listing import in_order
from visus.data.readers.npz import means_classes, read_npz
from visus.data.samples import ArraySamples, FileSamples, OnDisk, Samples, shape_of
from visus.data.types import Schema, Skipped, Target
from visus.errors import DataError

SAY_CLASSES = ("label", "labels", "class", "classes", "species", "category", "variety", "diagnosis")
SPLITS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


def read_table(path: Path, data: Data) -> Dataset:
    """A CSV, TSV or Parquet file whose rows are vectors, or name image files relative to its folder.

    Rows with missing values and missing image files are listed in `Dataset.skipped`.
    Raises DataError for a table that contradicts itself, with file, line, column and value.
    """
    table = (read_parquet if path.suffix.lower() == ".parquet" else read_csv)(path, data.columns)
    schema, targets, note = _targets(table, data)
    rows = [row for row, target in enumerate(targets) if target is not None]
    name = table.targets[0][0]
    skipped = table.skipped + [
        Skipped(f"{table.where}, {table.unit} {table.lines[row]}", f"no value in column {name!r}")
        for row, target in enumerate(targets)
        if target is None
    ]
    title = printable(title_of(path.with_suffix("")))
    files: dict[int, OnDisk] = {}
    if table.images is not None:
        files, lost = _files(table, rows, path.parent, table.images)
        rows, skipped = [row for row in rows if row in files], skipped + lost
    if not rows:
        raise DataError(
            f"{table.where}: all {len(skipped):,} rows had to be left out",
            f"the first: {skipped[0].name}: {skipped[0].cause}",
        )
    splits: dict[str, Samples] = {}
    for split, chosen in _splits(table, rows).items():
        said = [target for row in chosen if (target := targets[row]) is not None]
        called = f"{title}/{split}" if table.split is not None else title
        splits[split] = (
            FileSamples([files[row] for row in chosen], said)
            if table.images is not None
            else ArraySamples(called, table.numbers[chosen], said)
        )
    if table.images is not None:
        schema = msgspec.structs.replace(schema, shape=shape_of([files[row] for row in rows]))
    else:
        schema = msgspec.structs.replace(schema, inputs="vector", shape=(len(table.features),), features=table.features)
    return Dataset(title, schema, splits, (*table.notes, note), tuple(skipped), table.where)


def _targets(table: Table, data: Data) -> tuple[Schema, list[Target | None], str]:
    """The schema as far as targets go, each row's target (None where it is missing), and what was decided."""
    if len(table.targets) > 1:
        return _values(table)
    name, cells = table.targets[0]
    present = [cell for cell in cells if cell]
    if not present:
        raise DataError(f"{table.where}: the target column {name!r} is empty")
    if any("|" in cell for cell in present) or (table.images is not None and name.strip().lower() == "labels"):
        sets = [[part.strip() for part in cell.split("|") if not missing(part)] for cell in cells]
        names = tuple(in_order({part for parts in sets for part in parts}))
        place = {part: at for at, part in enumerate(names)}
        several = [Target(labels=tuple(sorted({place[part] for part in parts}))) for parts in sets]
        return Schema(targets=("labels",), labels=names), [*several], f"{len(names)} classes, several to a sample"
    numbers = [number(cell) for cell in present]
    known = [value for value in numbers if value is not None]
    whole = all(value.is_integer() for value in known)
    if len(known) == len(present):
        distinct = len(set(known))
        said = name.strip().lower() in SAY_CLASSES or data.numbers == "classes"
        if not whole or data.numbers == "values" or not (said or means_classes(distinct, len(known))):
            return _values(table)
        if not all(cell.isdigit() for cell in present) or len(set(present)) != distinct:  # "1", "1.0" and "-1"
            cells = [str(int(float(cell))) if cell else "" for cell in cells]
        names = tuple(sorted({cell for cell in cells if cell}, key=int))
    elif known and not whole:
        return _values(table)  # which names the cell that isn't a number
    else:
        names = tuple(in_order(set(present)))
    two_or_more(names, f"{table.where}, column {name!r}")
    note = f"{name!r} is taken for {len(names)} classes"
    if len(known) == len(present):
        note += "; for regression: --set data.numbers=values"
    by_name: dict[str, Target | None] = {cell: Target(label=at) for at, cell in enumerate(names)}
    return Schema(labels=names), [by_name.get(cell) for cell in cells], note


def _values(table: Table) -> tuple[Schema, list[Target | None], str]:
    """Regression values; a row that lacks one of them has no target."""
    rows: list[tuple[float, ...] | None] = [()] * len(table.lines)
    for name, cells in table.targets:
        for row, cell in enumerate(cells):
            value = number(cell) if cell else None
            if cell and (value is None or not abs(value) <= np.finfo(np.float32).max):
                raise DataError(
                    f"{table.at(row, name)}: {cell!r} isn't a number that float32 can hold",
                    "a target of numbers holds numbers only; empty, NA or nan where there is none",
                )
            before = rows[row]
            rows[row] = None if value is None or before is None else (*before, value)
    names = tuple(name for name, _ in table.targets)
    note = f"{', '.join(map(repr, names))}: numbers, taken for regression; for classes: --set data.numbers=classes"
    return (
        Schema(targets=("values",), values=names),
        [None if values is None else Target(values=values) for values in rows],
        note,
    )


def _splits(table: Table, rows: Sequence[int]) -> dict[str, list[int]]:
    """The rows of each split that the table has."""
    if table.split is None:
        return {"train": list(rows)}
    found: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for row in rows:
        split = SPLITS.get(table.split[row].lower())
        if split is None:
            raise DataError(
                f"{table.at(row, 'split')}: {table.split[row]!r} is none of the splits train, val, test",
                "rename the column if it means something else",
            )
        found[split].append(row)
    return {split: chosen for split, chosen in found.items() if chosen}


def _files(
    table: Table, rows: Sequence[int], folder: Path, names: Sequence[str]
) -> tuple[dict[int, OnDisk], list[Skipped]]:
    """Row → its image file, and the rows whose file isn't there."""
    found: dict[int, OnDisk] = {}
    lost = []
    for row in rows:
        cause = "" if names[row] else "names no file"
        if not cause:
            try:
                status = (folder / names[row]).stat()
                cause = "" if stat.S_ISREG(status.st_mode) else "isn't a regular file"
            except OSError as problem:
                cause = (problem.strerror or str(problem)).lower()
            except ValueError as problem:  # a NUL in the name
                cause = str(problem)
        if cause:
            lost.append(Skipped(printable(names[row]), f"{cause} ({table.where}, {table.unit} {table.lines[row]})"))
        else:
            found[row] = OnDisk(folder / names[row], names[row], status.st_size)
    return found, lost


def _refuse(path: Path, data: Data) -> Dataset:
    raise DataError(f"{printable(path)} is a single array, without targets", 'np.savez("set.npz", x=…, y=…)')


_BY_SUFFIX: dict[str, Callable[[Path, Data], Dataset]] = {
    ".csv": read_table,
    ".tsv": read_table,
    ".parquet": read_table,
    ".npz": read_npz,
    ".npy": _refuse,
}

TABLES = Reader(
    name="tables",
    layout="table: a .csv, .tsv or .parquet file of numbers or image files, or an .npz with x and y",
    recognises=lambda path: path.suffix.lower() in _BY_SUFFIX and path.is_file(),
    read=lambda path, data: _BY_SUFFIX[path.suffix.lower()](path, data),
)
