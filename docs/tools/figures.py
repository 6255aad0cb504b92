"""The table of recipes with the figures that each expects, as README.md shows it between two marks.

python docs/tools/figures.py README.md      writes it there
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from visus.run.recipe_files import list_recipes

BEGIN = "<!-- figures: written by `make figures` from the recipes -->"
END = "<!-- figures end -->"


def figures() -> str:
    """A row for each recipe that comes with Visus."""
    rows = ["| recipe | what it does | what a fresh run gave | took | on |", "|---|---|---|--:|---|"]
    for name, plain in list_recipes().items():
        expect = plain.get("expect")
        cells = _cells(expect) if expect else ("not measured yet", "", "")
        rows.append(f"| `{name}` | {plain.get('about', '')} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def filled(text: str) -> str:
    """The text with the table between the marks as it is now. Raises ValueError where a mark is missing."""
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"the text has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{figures()}{END}{after}"


def _cells(expect: dict[str, Any]) -> tuple[str, str, str]:
    metric = str(expect["metric"]).replace("_", " ")
    figure = f"{metric} {expect['value']:g} ± {expect['tolerance']:g} (seed {expect.get('seed', 0)})"
    return figure, f"{expect['seconds']:.0f} s", str(expect["machine"])


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
