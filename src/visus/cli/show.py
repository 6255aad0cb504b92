"""How the verbs show what they found."""

from __future__ import annotations

import json
import sys
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


def thousands(number: int) -> str:
    """1234567 → "1,234,567"."""
    return f"{number:,}"
