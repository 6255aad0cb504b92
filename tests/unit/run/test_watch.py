"""What a person is shown: tables with whole names."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from visus.run.watch import Terminal

NAME = "backbone.stages.3.a.very.long.name.of.a.layer.that.goes.on.and.on"
ROWS = [(NAME, "some words that a narrow terminal may well break", "12,345,678"), ("b", "short", "1")]


def shown(terminal: bool, width: int) -> list[str]:
    watch = Terminal()
    watch.console = Console(file=io.StringIO(), width=width, force_terminal=terminal, soft_wrap=True, color_system=None)
    watch.table("", ("layer", "about it", "numbers"), ROWS)
    return watch.console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [40, 80, 100])
def test_a_terminal_breaks_words_apart_and_never_a_name(width):
    lines = shown(True, width)
    assert any(line.startswith(f"{NAME} ") for line in lines)
    assert any(line.rstrip().endswith("12,345,678") for line in lines)
    assert len(lines) > 3  # the words in the middle


def test_nothing_is_broken_in_a_pipe():
    lines = shown(False, 40)
    assert len(lines) == 3
    assert " ".join(lines[1].split()) == " ".join(ROWS[0])


def test_a_table_is_no_wider_than_it_must_be():
    assert max(len(line) for line in shown(True, 300)) == len("  ".join(ROWS[0]))
