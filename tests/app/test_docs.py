"""What README.md and docs/ say is so: figures, links, commands, settings, code."""

import re
import runpy
import shlex
from pathlib import Path

import pytest

from visus.cli.main import app
from visus.models import CATALOG
from visus.run.recipe import compose

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "reference").glob("*.md")])


def blocks(language: str) -> list[str]:
    found = []
    for page in PAGES:
        found += re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return found


def commands() -> list[list[str]]:
    """The words after `visus` of every command that is shown."""
    lines = [line for block in blocks("console") for line in block.splitlines() if line.startswith("$ visus ")]
    return [shlex.split(line.partition(">")[0], comments=True)[2:] for line in lines]


def test_the_figures_in_the_readme_are_those_of_the_recipes() -> None:
    filled = runpy.run_path(str(ROOT / "docs" / "tools" / "figures.py"))["filled"]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text == filled(text), "run `make figures`"


def test_the_readme_gives_the_two_commands_first() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\$ (\S+ \S+)", text, re.MULTILINE)[:2] == ["make demo", "make test"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    written_by_the_build = "reference/generated/"
    local = [each for each in targets if "://" not in each and written_by_the_build not in f"{each}"]
    absent = [each for each in local if not (page.parent / each).exists() and not each.startswith("generated/")]
    assert not absent


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_are_understood(words: list[str]) -> None:
    _, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    settings, model = bound.arguments.get("settings", []), bound.arguments.get("model")
    if "lrr" not in " ".join(settings):  # the page shows what a typo gives
        compose({"model": {"name": model}} if model in CATALOG else {}, settings)


def test_there_are_commands_to_try() -> None:
    assert len(commands()) > 20


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.splitlines()[-1])
def test_python_compiles(code: str) -> None:
    compile(code, "page", "exec")


def test_recipes_in_the_pages_are_recipes() -> None:
    import tomllib

    for text in blocks("toml"):
        compose(tomllib.loads(text))
