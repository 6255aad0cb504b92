"""A recipe gives what it says: a fresh run is within the tolerance of its [expect]."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import visus
from tests.helpers import real_data
from visus.run.recipe import compose
from visus.run.recipe_files import list_recipes
from visus.run.watch import Silent

pytestmark = pytest.mark.learn
RECIPES = list_recipes()
# to the end, on a machine of their own
UNMEASURED = {
    "bccd", "bccd-fast-rcnn", "bccd-yolo", "denoise-25", "membrane-small", "membrane-unet",
    "scenes-detect", "scenes-localise", "scenes-rcnn", "scenes-segment",
}  # fmt: skip
# a set by name → what VISUS_DATA has of it
REAL = {
    "fashion-mnist": "fashion-mnist",
    "membrane": "membrane.tar",
    "bccd": "bccd.tar",
    "denoise": "greyscale-denoise.tar",
}
LONGEST = 30  # seconds that a recipe may take in every run of the tests


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_whole(name: str) -> None:
    recipe = compose(RECIPES[name], where=name)
    assert recipe.about
    assert (recipe.expect is None) == (name in UNMEASURED)
    assert recipe.expect is None or recipe.expect.seed == recipe.seed


@pytest.mark.parametrize("name", sorted(set(RECIPES) - UNMEASURED))
def test_a_fresh_run_gives_what_is_expected(name: str, tmp_path: Path) -> None:
    expect: dict[str, Any] = RECIPES[name]["expect"]
    if expect["seconds"] > LONGEST and not os.environ.get("VISUS_SLOW"):
        pytest.skip(f"takes {expect['seconds']:.0f} s; set VISUS_SLOW=1 to run it")
    if (source := RECIPES[name]["data"]["source"]) in REAL:
        real_data(REAL[source])
    run = visus.train(recipe=name, run=tmp_path / "run", device="cpu", watch=Silent())
    assert run.split == "test"
    assert run.scores[expect["metric"]].value == pytest.approx(expect["value"], abs=expect["tolerance"])


def test_a_sample_of_the_long_ones_learns_real_photographs(tmp_path: Path) -> None:
    real_data("fashion-mnist")
    run = visus.train(recipe="fashion-mnist-lenet5", epochs=1, run=tmp_path / "run", device="cpu", watch=Silent())
    assert run.scores["accuracy"].value > 0.8  # six epochs: 0.90
