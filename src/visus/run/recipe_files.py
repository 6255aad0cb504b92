"""Recipes as files: those that come with Visus, and the user's own."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from visus.errors import NotFound, nearest
from visus.spec import read_toml


def read_recipe(name: str) -> dict[str, Any]:
    """The tree of a recipe: one that comes with Visus, by name, or a TOML file. Raises NotFound or SpecError."""
    known = list_recipes()
    if name in known:
        return known[name]
    path = Path(name)
    if path.is_dir() and (path / "recipe.toml").is_file():
        path = path / "recipe.toml"
    if path.suffix == ".toml" or path.exists():
        return read_toml(path)
    raise NotFound(f"there is no recipe named {name!r}", nearest(name, known))


def list_recipes() -> dict[str, dict[str, Any]]:
    """The recipes that come with Visus: name → tree."""
    folder = resources.files("visus") / "recipes"
    files = sorted((each for each in folder.iterdir() if each.name.endswith(".toml")), key=lambda each: each.name)
    return {each.name.removesuffix(".toml"): tomllib.loads(each.read_text(encoding="utf-8")) for each in files}
