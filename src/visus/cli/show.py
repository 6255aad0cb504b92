"""How the verbs show what they found."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visus.run.watch import Watch


def watcher(as_json: bool) -> Watch:
    """Lines of JSON, or words for a person."""
    from visus.run.watch import Lines, Terminal

    return Lines() if as_json else Terminal()


def line(facts: dict[str, Any]) -> None:
    """One JSON object on a line of its own."""
    print(json.dumps(facts), flush=True)


def printed(text: str) -> None:
    """A line of text that any terminal can show."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def check_ending(path: Path, suffix: str) -> None:
    """Raise SpecError where a file that the user named doesn't end as what is written to it does."""
    from visus.data.image import printable
    from visus.errors import SpecError

    if path.suffix.lower() != suffix:
        raise SpecError(
            f"{printable(path)}: it is written as {suffix[1:].upper()}", f"name it {printable(path.stem)}{suffix}"
        )


def write(path: Path, suffix: str, data: bytes | str) -> None:
    """Write a file that the user named, and the folders on its way. Raises SpecError where that can't be."""
    from visus.data.image import printable
    from visus.errors import SpecError
    from visus.files import write_atomic

    check_ending(path, suffix)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)
    except OSError as problem:
        raise SpecError(f"{printable(path)}: can't be written: {(problem.strerror or str(problem)).lower()}") from None


def folder(path: Path) -> Path:
    """A folder that the user named, made if it isn't there: before there is work to lose. Raises SpecError."""
    from visus.data.image import printable
    from visus.errors import SpecError

    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise SpecError(f"{printable(path)}: is a file, and a folder is wanted", "name a folder with --out") from None
    except OSError as problem:
        raise SpecError(f"{printable(path)}: can't be made: {(problem.strerror or str(problem)).lower()}") from None
    return path


def thousands(number: int) -> str:
    """1234567 → "1,234,567"."""
    return f"{number:,}"
