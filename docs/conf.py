"""Sphinx: `make docs`. Nothing is fetched while it builds."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "tools"))
import generate

import visus

project, author, copyright = "Visus", "The Visus authors", "the Visus authors"
version = release = visus.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
exclude_patterns = ["_build", "tools"]
nitpicky = False

html_theme = "furo"
html_title = f"Visus {release}"
html_static_path = ["_static"]
html_css_files = ["visus.css"]
html_copy_source = False
html_show_sphinx = False
pygments_style, pygments_dark_style = "friendly", "monokai"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
maximum_signature_line_length = 88
python_use_unqualified_type_names = True


def setup(app: Any) -> None:
    generate.write(Path(__file__).parent / "reference" / "generated")
    app.connect("autodoc-process-docstring", _plain)


def _plain(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Our docstrings are plain text: shown as they are, with `code`, examples and the settings' names marked up."""
    found: list[str] = []
    for paragraph in "\n".join(lines).strip("\n").split("\n\n"):
        rows = paragraph.splitlines()
        if rows and rows[0].lstrip().startswith(">>>"):
            found += [*rows, ""]
        elif any(row.startswith(("  ", "\t")) for row in rows):  # lines that are meant to stand by themselves
            found += [*("| " + _escaped(row) if row.strip() else "|" for row in rows), ""]
        else:
            found += [*_split(" ".join(row.strip() for row in rows)), ""]
    lines[:] = found


def _split(text: str) -> list[str]:
    """One paragraph, or, where it explains names ("shape: C×H×W. seed: …"), a line for each of them."""
    name = r"[a-z][A-Za-z_0-9]*"
    marks = list(re.finditer(rf"(?:^|(?<=[.;)] ))({name}(?:, {name})*): ", text))
    if not marks:
        return [_escaped(text)]
    found = [_escaped(text[: marks[0].start()].strip()), ""] if marks[0].start() else []
    for index, mark in enumerate(marks):
        end = marks[index + 1].start() if index + 1 < len(marks) else len(text)
        names = ", ".join(f"**{_escaped(each)}**" for each in mark[1].split(", "))
        said, raises, rest = text[mark.end() : end].strip().partition(" Raises ")
        found.append(f"| {names}: {_escaped(said)}")
        if raises:
            found += ["", _escaped(f"Raises {rest}"), ""]
    return found


def _escaped(text: str) -> str:
    parts = re.split(r"`([^`]+)`", text)
    return "".join(
        f"``{part}``" if index % 2 else re.sub(r"([\\*_|`])", r"\\\1", part) for index, part in enumerate(parts)
    )
