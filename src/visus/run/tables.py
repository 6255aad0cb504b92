"""Rows of plain values, written one after another: JSON lines, CSV, Parquet."""

from __future__ import annotations

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, final

from visus.data.image import printable
from visus.errors import MissingPart, SpecError

Row = Mapping[str, Any]


class Writer(ABC):
    """Writes rows of the same columns into an open file."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    @abstractmethod
    def write(self, rows: Sequence[Row]) -> None:
        """Some rows more; a call may bring none."""

    @abstractmethod
    def close(self) -> None:
        """What comes last."""


@final
class _Lines(Writer):
    def write(self, rows: Sequence[Row]) -> None:
        self.file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())

    def close(self) -> None:
        return


@final
class _Csv(Writer):
    """Lists are joined by "|", as tables of ours are read; what has keys is JSON."""

    begun = False

    def write(self, rows: Sequence[Row]) -> None:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        if rows and not self.begun:
            table.writerow(rows[0])
            self.begun = True
        table.writerows([_cell(value) for value in row.values()] for row in rows)
        self.file.write(text.getvalue().encode())

    def close(self) -> None:
        if not self.begun:
            self.file.write(b"file\n")


@final
class _Parquet(Writer):
    """A row group a call. What has keys is a map of numbers."""

    writer: Any = None

    def write(self, rows: Sequence[Row]) -> None:
        import pyarrow

        if rows and self.writer is None:
            self._begin([pyarrow.field(name, _arrow(value)) for name, value in rows[0].items()])
        if rows:
            plain = [
                {key: list(each.items()) if isinstance(each, dict) else each for key, each in row.items()}
                for row in rows
            ]
            self.writer.write_table(pyarrow.Table.from_pylist(plain, schema=self.writer.schema))

    def close(self) -> None:
        import pyarrow

        if self.writer is None:
            self._begin([pyarrow.field("file", pyarrow.string())])
        self.writer.close()

    def _begin(self, fields: list[Any]) -> None:
        import pyarrow
        from pyarrow import parquet

        self.writer = parquet.ParquetWriter(self.file, pyarrow.schema(fields))


WRITERS: dict[str, type[Writer]] = {".jsonl": _Lines, ".csv": _Csv, ".parquet": _Parquet}


def writer_of(path: Path) -> type[Writer]:
    """What writes a file of this ending. Raises SpecError, and MissingPart without pyarrow."""
    found = WRITERS.get(path.suffix.lower())
    if found is None:
        raise SpecError(f"{printable(path)}: predictions are written as {', '.join(WRITERS)}", "name the file so")
    if found is _Parquet:
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise MissingPart("pyarrow", "writing .parquet", "parquet") from None
    return found


def _cell(value: Any) -> Any:
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return "|".join(map(str, value)) if isinstance(value, list) else value


def _arrow(value: Any) -> Any:
    """The type of a column, by its first value."""
    import pyarrow

    if isinstance(value, dict):
        return pyarrow.map_(pyarrow.string(), pyarrow.float64())
    if isinstance(value, list):
        return pyarrow.list_(pyarrow.string())
    return pyarrow.float64() if isinstance(value, float) else pyarrow.string()
