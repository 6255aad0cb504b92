"""What README.md and docs/ say is so: figures, links, commands, settings, code."""

import importlib
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.helpers import encoded, pixels
from tests.trees import put
from visus.cli.main import app
from visus.data.dataset import Data
from visus.data.open import open_dataset
from visus.models import CATALOG, FAMILIES
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


def test_the_annotations_that_are_shown_are_of_one_box(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    xml, json, yaml, line = (
        next(re.finditer(pattern, text, re.MULTILINE | re.DOTALL))[1]
        for pattern in (
            r"^```xml\n(.*?)^```",
            r"^```json\n(.*?)^```",
            r"^```yaml\n(.*?)^```",
            r"^```text\n(0 0\..*?)^```",
        )
    )
    for kind, image, said in (
        ("voc", "JPEGImages/000001.jpg", {"Annotations/000001.xml": xml}),
        ("coco", "train2017/000001.jpg", {"annotations/instances_train2017.json": json}),
        ("yolo", "images/train/1.jpg", {"data.yaml": yaml, "labels/train/1.txt": line}),
    ):
        put(tmp_path / kind / image, encoded(pixels(0, 500, 353), "JPEG"))
        for name, each in said.items():
            put(tmp_path / kind / name, each)
        found = open_dataset(Data(source=str(tmp_path / kind))).splits["train"].target(0).boxes
        assert found is not None
        assert found.xyxy[0] == pytest.approx([48, 240, 195, 371], abs=1e-3)


@pytest.fixture(scope="module")
def pages() -> Iterator[ModuleType]:
    """What writes the pages of the networks when the documentation is built."""
    sys.path.insert(0, str(ROOT / "docs" / "tools"))
    try:
        yield importlib.import_module("network_pages")
    finally:
        sys.path.remove(str(ROOT / "docs" / "tools"))


def test_the_catalog_leads_to_every_network(pages: ModuleType) -> None:
    text = pages.catalog()
    for name, card in CATALOG.items():
        assert f"| [{name}](networks/{card.family}.md#{name}) |" in text
    for family in FAMILIES:
        assert f"\n{family} <networks/{family}>\n" in text


def test_a_familys_page_numbers_the_source_of_every_error(pages: ModuleType) -> None:
    text = pages.family_page("alexnet")
    for name, note in (("alexnet", "¹"), ("alexnet_owt", "²")):
        published = CATALOG[name].published
        assert published is not None
        row = next(line for line in text.splitlines() if line.startswith(f"| [{name}]"))
        assert row.endswith(f"| {published.top1_error:.2f} | {published.top5_error:.2f} | ImageNet{note} |")
        assert f"\n{'_¹²'.index(note)}. {published.source}\n" in text.replace("\\_", "_")
    assert FAMILIES["alexnet"].idea in text


def test_a_familys_page_has_all_of_its_networks(pages: ModuleType) -> None:
    text = pages.family_page("lenet5")
    assert text.startswith("# lenet5\n\n*Gradient-based learning applied to document recognition*, LeCun")
    assert "](https://doi.org/10.1109/5.726791)" in text
    assert "**What is new.**" in text
    assert "**Where this departs from the paper.**" in text
    # counts and error as the paper has them (§II.B and §III.B); the maps of its figure 2
    assert "| [lenet5](#lenet5) | 1×32×32 | 60,000 | 325,680 | 10 | 0.95 | MNIST¹ |" in text
    assert "60,000 parameters, 840 buffers" in text
    assert "Published: 0.95 % top-1 error on MNIST: the paper, §III.B." in text
    for row in (
        "| `stages.0` | 5×5 conv | 6×28×28 | 1 | 5 | 156 | 117,600 |",
        "| `head` | linear 84, then prototypes | 10 |  |  | 10,164 | 10,080 |",
    ):
        assert row in text
    for name in ("lenet5", "lenet5_full"):
        assert f"\n## {name}\n" in text
        assert f'visus.create_model("{name}", classes=10)' in text
        assert f"$ visus summary {name}\n$ visus train photos/ --model {name}\n" in text
    assert text.count("<svg ") == text.count('<details class="layers">') == 2


def test_a_familys_page_names_its_entries_to_the_challenge(pages: ModuleType) -> None:
    assert "2015, ResNet of the team MSRA: 3.57 % top-5 error" in pages.family_page("resnet")


def test_pages_are_written_once(pages: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "FAMILIES", {"mlp": FAMILIES["mlp"]})
    (tmp_path / "networks").mkdir()
    (tmp_path / "networks" / "gone.md").write_text("# A family that was taken out")
    pages.write(tmp_path)
    names = {each.relative_to(tmp_path).as_posix() for each in tmp_path.rglob("*") if each.is_file()}
    assert names == {
        "networks.md", "networks/mlp.md", "networks/.digest", "errors_by_year.png",
        "accuracy_against_multiply-adds.png", "accuracy_against_parameters.png",
    }  # fmt: skip
    monkeypatch.setattr(pages, "family_page", None)  # whoever calls it again fails
    pages.write(tmp_path)
