"""How a run tells what it does: to a terminal, to a file or pipe, or as lines of JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any, Protocol, final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

ENDLESS = 10_000  # columns: more than any table has


class Bar(Protocol):
    """A piece of work under way."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """So much of it is done; note: a few words about now."""


class Watch(Protocol):
    """Who is told."""

    def say(self, text: str) -> None:
        """One line."""

    def event(self, kind: str, facts: Mapping[str, Any]) -> None:
        """Something that a program may want to know, such as an epoch's figures."""

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A short table; the first column names its rows."""

    def work(self, title: str) -> Any:
        """A context manager that gives a Bar."""


@final
class Silent:
    """Tells nobody."""

    def say(self, text: str) -> None:
        return

    def event(self, kind: str, facts: Mapping[str, Any]) -> None:
        return

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        return

    @contextmanager
    def work(self, title: str) -> Iterator[Bar]:
        yield lambda done, total, note="": None


@final
class Terminal:
    """Tells a person: with a progress bar on a terminal, with plain lines in a file or pipe."""

    def __init__(self, file: IO[str] | None = None) -> None:
        self.console = Console(file=file or sys.stdout, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        self.console.print(Text(_encodable(text, self.console)))

    def event(self, kind: str, facts: Mapping[str, Any]) -> None:
        return

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A terminal breaks what is too long for it between words; names stay whole, and lines in a file or pipe."""
        shown = Table(title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False)
        for index, name in enumerate(columns):
            numbers = all(not row[index] or row[index][0] in "+-−.0123456789" for row in rows)
            whole = not any(" " in row[index] for row in rows)  # names, numbers and shapes
            shown.add_column(name, justify="right" if numbers and index else "left", no_wrap=whole)
        for row in rows:
            shown.add_row(*[Text(_encodable(cell, self.console)) for cell in row])
        needed = self.console.measure(shown, options=self.console.options.update(width=ENDLESS))
        room = self.console.width if self.console.is_terminal else ENDLESS
        shown.width = min(needed.maximum, max(needed.minimum, room))
        self.console.print(shown)

    @contextmanager
    def work(self, title: str) -> Iterator[Bar]:
        if not self.console.is_terminal:
            yield lambda done, total, note="": None
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(title, total=None, note="")
            last = 0.0

            def update(done: int, total: int, note: str = "") -> None:
                nonlocal last
                now = time.monotonic()
                if done >= total or now - last > 0.1:
                    progress.update(task, completed=done, total=total, note=note)
                    last = now

            yield update


@final
class Lines:
    """Tells a program: one JSON object a line."""

    def __init__(self, file: IO[str] | None = None) -> None:
        self.file = file or sys.stdout

    def say(self, text: str) -> None:
        self.event("message", {"text": text})

    def event(self, kind: str, facts: Mapping[str, Any]) -> None:
        self.file.write(json.dumps({"event": kind, **facts}) + "\n")
        self.file.flush()

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        return

    @contextmanager
    def work(self, title: str) -> Iterator[Bar]:
        yield lambda done, total, note="": None


def _encodable(text: str, console: Console) -> str:
    """The text with what the stream can't encode written as escapes, so that an old terminal shows it all the same."""
    return text.encode(console.encoding, "backslashreplace").decode(console.encoding)
