"""Rows and columns of a CSV or Parquet file: which column is what, and its cells without the rows that have gaps."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from visus.data.image import EXTENSIONS, printable
from visus.data.readers.arrays import open_regular
from visus.data.types import Skipped
from visus.errors import DataError, MissingPart, nearest

TARGETS = (
    "label", "labels", "class", "classes", "target", "targets", "y", "species", "category", "variety", "diagnosis",
    "outcome",
)  # fmt: skip
IMAGES = ("image", "images", "path", "file", "filename", "file_name", "filepath", "image_path", "image_name")
SPLIT = "split"
IDENTIFIERS = ("", "id", "index", "row", "unnamed: 0")  # they number the rows: a network would learn the file's order
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
ROWS = 1024  # at a time; the first as many decide which columns hold numbers


@dataclass(frozen=True, slots=True)
class Table:
    """What a table says, without the rows in which a feature is missing.

    where: the file, for errors. unit, lines: what the N rows are called in the file: "line" 2, 3, …
    features, numbers: the names of the F numeric columns, and N×F float32.
    targets: the names and N cells of the target columns, "" where a cell is missing.
    split, images: the N cells of those columns, where the table has them.
    """

    where: str
    unit: str
    lines: list[int]
    features: tuple[str, ...]
    numbers: np.ndarray
    targets: tuple[tuple[str, list[str]], ...]
    split: list[str] | None
    images: list[str] | None
    skipped: list[Skipped]
    notes: tuple[str, ...]

    def at(self, row: int, column: str) -> str:
        """The place of a cell, for errors."""
        return f"{self.where}, {self.unit} {self.lines[row]}, column {column!r}"


@dataclass(frozen=True, slots=True)
class Roles:
    """Which column is what, by number."""

    features: tuple[int, ...]
    targets: tuple[int, ...]
    split: int | None
    image: int | None
    notes: tuple[str, ...]

    @property
    def texts(self) -> tuple[int, ...]:
        """The columns of which the text is kept."""
        return (*self.targets, *(each for each in (self.split, self.image) if each is not None))


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows: their lines, n×F float64 features (nan where missing), and the cells of each text column."""

    lines: list[int]
    numbers: np.ndarray
    texts: list[list[str]]


def missing(cell: str) -> bool:
    """Whether a cell says that there is no value: it is empty, NA, nan, null or none."""
    return cell.strip().lower() in MISSING


def number(cell: str) -> float | None:
    """The number in a cell, or None."""
    try:
        return float(cell)
    except ValueError:
        return None


def choose(
    where: str, names: Sequence[str], first: Sequence[str], numeric: Sequence[bool], wanted: Sequence[str] | None
) -> Roles:
    """Decide what each column is.

    first: a cell of each column, "" where none was found. numeric: whether the columns hold numbers.
    wanted: the target columns that the user names.
    """
    folded = [name.strip().lower() for name in names]
    doubled = next((name for at, name in enumerate(names) if name and name in names[:at]), None)
    if doubled is not None:
        raise DataError(f"{where} has two columns named {doubled!r}", "rename one of them")
    split = folded.index(SPLIT) if SPLIT in folded else None
    files = (
        at
        for at, name in enumerate(folded)
        if name in IMAGES and not numeric[at] and Path(first[at].strip()).suffix.lower() in EXTENSIONS
    )
    image = next(files, None)
    if wanted:
        lost = next((name for name in wanted if name not in names and name.lower() not in folded), None)
        if lost is not None:
            raise DataError(f"{where} has no column {lost!r} for the target", nearest(lost, names))
        targets = tuple(names.index(name) if name in names else folded.index(name.lower()) for name in wanted)
        why = "as asked"
    else:
        usual = next((folded.index(name) for name in TARGETS if name in folded), None)
        rest = [at for at in range(len(names)) if at not in (split, image) and folded[at] not in IDENTIFIERS]
        if usual is None and not rest:
            raise DataError(f"{where} has no column for the target, only {', '.join(names)}", "add a column label")
        targets = (rest[-1] if usual is None else usual,)
        why = "the last column" if usual is None else "by its name"
        why += "; the setting data.target chooses another"
    taken = {*targets, split, image}
    features = tuple(
        at
        for at in range(len(names))
        if at not in taken and numeric[at] and folded[at] not in IDENTIFIERS and image is None
    )
    notes = [f"target: {', '.join(repr(names[at]) for at in targets)} ({why})"]
    left = [names[at] or f"column {at + 1}" for at in range(len(names)) if at not in taken and at not in features]
    if left:
        reason = "the images are the input" if image is not None else "text, empty, or a row's number"
        notes.append(f"columns that aren't used ({reason}): {', '.join(left)}")
    if image is None and not features:
        raise DataError(
            f"{where} has no numeric column beside the target {names[targets[0]]!r}, and no column of image files",
            "a column of image files is named image, path or filename, and its cells end in .jpg, .png, …",
        )
    return Roles(features, targets, split, image, tuple(notes))


def read_csv(path: Path, wanted: Sequence[str] | None) -> Table:
    """A table of text, UTF-8, separated by commas, semicolons or tabs.

    The first row names the columns; one of numbers alone means that there are no names: f0, f1, …
    Raises DataError with file, line and column for rows of another length and for text among numbers.
    """
    where = printable(path)
    try:
        with io.TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            file.seek(0)
            choices = "\t" if path.suffix.lower() == ".tsv" else ",;\t"
            comma = max(choices, key=lambda each: len(next(csv.reader([head], delimiter=each), [])))
            return _from_rows(where, csv.reader(file, delimiter=comma), wanted)
    except UnicodeDecodeError as problem:
        raise DataError(f"{where} isn't UTF-8 text: {problem}", "save it as CSV UTF-8") from None
    except csv.Error as problem:
        raise DataError(f"{where} isn't a table of text: {problem}") from None


def read_parquet(path: Path, wanted: Sequence[str] | None) -> Table:
    """A Parquet file. Raises MissingPart without pyarrow, DataError for a damaged file."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingPart("pyarrow", "reading a Parquet file", "parquet") from None
    where = printable(path)
    with open_regular(path) as file:
        try:
            opened = parquet.ParquetFile(file)
            names = opened.schema_arrow.names
            kinds = pyarrow.types
            numeric = [
                kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_boolean(kind) or kinds.is_decimal(kind)
                for kind in opened.schema_arrow.types
            ]
            heads: list[Any] = list(islice(opened.iter_batches(batch_size=ROWS), 1))
            first = [_first(_cells(column)) for head in heads for column in head.columns] or [""] * len(names)
            roles = choose(where, names, first, numeric, wanted)
            nested = next((names[at] for at in roles.texts if kinds.is_nested(opened.schema_arrow.types[at])), None)
            if nested is not None:
                raise DataError(
                    f"{where}: the cells of column {nested!r} are lists or records", "choose another target"
                )
            used = [names[at] for at in (*roles.features, *roles.texts)]
            return _gather(where, "row", names, roles, _parquet_blocks(opened, used, len(roles.features)))
        except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as problem:  # the last two: damaged cells
            raise DataError(f"{where} can't be read as Parquet: {printable(str(problem))}") from None


def _from_rows(where: str, rows: Any, wanted: Sequence[str] | None) -> Table:
    """rows: a csv.reader, which counts the lines."""
    head: list[str] = next(rows, [])
    if not head:
        raise DataError(f"{where} is empty", "its first row names the columns")
    nameless = all(number(cell) is not None for cell in head)
    names = [f"f{at}" for at in range(len(head))] if nameless else [cell.strip() for cell in head]
    ahead: list[tuple[int, list[str]]] = [(rows.line_num, head)] if nameless else []
    numbered = _whole(where, names, rows)
    ahead += islice(numbered, ROWS)
    if not ahead:
        raise DataError(f"{where} has no rows beneath the names of its columns")
    first = [_first(row[at] for _, row in ahead) for at in range(len(names))]
    roles = choose(where, names, first, [number(cell) is not None for cell in first], wanted)
    return _gather(where, "line", names, roles, _csv_blocks(where, names, roles, ahead, numbered))


def _whole(where: str, names: list[str], rows: Any) -> Iterator[tuple[int, list[str]]]:
    """The line and cells of each row that isn't blank."""
    for row in rows:
        if len(row) == len(names):
            yield rows.line_num, row
        elif row:
            raise DataError(f"{where}, line {rows.line_num}: {len(row)} cells, and there are {len(names)} columns")


def _csv_blocks(
    where: str,
    names: list[str],
    roles: Roles,
    rows: list[tuple[int, list[str]]],
    more: Iterator[tuple[int, list[str]]],
) -> Iterator[Block]:
    pick = itemgetter(*roles.features) if len(roles.features) > 1 else lambda row: [row[at] for at in roles.features]
    while rows:
        numbers = []
        for line, row in rows:
            try:
                numbers.append(list(map(float, pick(row))))
            except ValueError:
                numbers.append(
                    [_strict(row[at], f"{where}, line {line}, column {names[at]!r}") for at in roles.features]
                )
        yield Block(
            [line for line, _ in rows],
            np.array(numbers, np.float64).reshape(len(rows), len(roles.features)),
            [["" if missing(row[at]) else row[at].strip() for _, row in rows] for at in roles.texts],
        )
        rows = list(islice(more, ROWS))


def _strict(cell: str, place: str) -> float:
    """A number, nan for a missing one."""
    value = math.nan if missing(cell) else number(cell)
    if value is None:
        raise DataError(
            f"{place}: {cell!r} isn't a number",
            "a column that starts with a number holds numbers only; empty, NA or nan where there is none",
        )
    return value


def _parquet_blocks(opened: Any, used: list[str], count: int) -> Iterator[Block]:
    """used: the names of the columns, the numeric ones first. count: how many those are."""
    start = 0
    for batch in opened.iter_batches(batch_size=ROWS, columns=used):
        columns = [batch.column(name) for name in used]
        numbers = [column.cast("float64").to_numpy(zero_copy_only=False) for column in columns[:count]]
        yield Block(
            list(range(start, start + len(batch))),
            np.stack(numbers, 1) if numbers else np.empty((len(batch), 0)),
            [_cells(column) for column in columns[count:]],
        )
        start += len(batch)


def _cells(column: Any) -> list[str]:
    """The cells of an Arrow column as text, "" where missing."""
    return ["" if cell is None or missing(str(cell)) else str(cell).strip() for cell in column.to_pylist()]


def _first(cells: Iterable[str]) -> str:
    return next((cell for cell in cells if not missing(cell)), "")


def _gather(where: str, unit: str, names: Sequence[str], roles: Roles, blocks: Iterable[Block]) -> Table:
    """All blocks as one table, without the rows in which a feature is missing."""
    lines: list[int] = []
    numbers: list[np.ndarray] = []
    texts: list[list[str]] = [[] for _ in roles.texts]
    skipped: list[Skipped] = []
    for block in blocks:
        gaps = np.isnan(block.numbers)
        with np.errstate(over="ignore"):  # what doesn't fit is reported by line and column
            single = block.numbers.astype(np.float32)
        if np.isinf(single).any():
            row, column = np.argwhere(np.isinf(single))[0].tolist()
            raise DataError(
                f"{where}, {unit} {block.lines[row]}, column {names[roles.features[column]]!r}: "
                f"{block.numbers[row, column]} isn't a number that float32 can hold"
            )
        whole = ~gaps.any(1)
        kept = np.flatnonzero(whole).tolist()
        numbers.append(single[whole])
        lines += [block.lines[row] for row in kept]
        for column_of_all, cells in zip(texts, block.texts, strict=True):
            column_of_all += [cells[row] for row in kept]
        for row in np.flatnonzero(~whole).tolist():
            name = names[roles.features[gaps[row].argmax()]]
            skipped.append(Skipped(f"{where}, {unit} {block.lines[row]}", f"no value in column {name!r}"))
    if not lines:
        raise DataError(
            f"{where} has no row without gaps" if skipped else f"{where} has no rows",
            f"the first: {skipped[0].name}: {skipped[0].cause}" if skipped else "",
        )
    by_column = dict(zip(roles.texts, texts, strict=True))
    return Table(
        where=where,
        unit=unit,
        lines=lines,
        features=tuple(names[at] for at in roles.features),
        numbers=np.concatenate(numbers),
        targets=tuple((names[at], by_column[at]) for at in roles.targets),
        split=None if roles.split is None else by_column[roles.split],
        images=None if roles.image is None else by_column[roles.image],
        skipped=skipped,
        notes=roles.notes,
    )
