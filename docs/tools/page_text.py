"""What the pages that are written from the code are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path


def md(text: str) -> str:
    """Text as Markdown that shows it as it is, but for `code`."""
    parts = re.split(r"(`[^`]+`)", text)
    parts[::2] = [re.sub(r"([\\*_<>\[\]$#])", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def rows(head: Sequence[str], lines: Iterable[Sequence[str]], align: str = "") -> list[str]:
    """The lines of a table. align: a letter for each column, "r" for figures, "l" for the rest."""
    rule = ["--:" if each == "r" else "---" for each in align.ljust(len(head), "l")]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in (head, rule, *lines)]


def filled(head: Sequence[str], lines: Iterable[Sequence[str]], align: str) -> list[str]:
    """The lines of a table without the columns in which nothing stands."""
    lines = list(lines)
    kept = [column for column in range(len(head)) if any(line[column] for line in lines)]
    return rows(
        [head[at] for at in kept], [[line[at] for at in kept] for line in lines], "".join(align[at] for at in kept)
    )


def shape(sizes: Sequence[int]) -> str:
    return "×".join(map(str, sizes))


def put(path: Path, content: str | bytes) -> None:
    """Write a file, unless it holds just that: pages that stay as they are aren't built anew."""
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_bytes() != data:
        path.write_bytes(data)
