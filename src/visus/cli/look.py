"""The verbs that look things up: recipes, version."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from visus.cli.learn import Json
from visus.cli.show import line, printed, watcher


def recipes(name: str | None = None, *, json: Json = False) -> None:
    """List the recipes, or show one.

    Parameters
    ----------
    name
        A recipe, to be shown as TOML: visus recipes NAME > mine.toml
    json
        Lines of JSON instead of words.
    """
    import tomli_w

    from visus.run.recipe_files import list_recipes, read_recipe

    if name is not None:
        found = read_recipe(name)
        line(found) if json else print(tomli_w.dumps(found), end="")
        return
    rows = []
    for each, plain in list_recipes().items():
        expect = plain.get("expect", {})
        if json:
            line({"name": each, **plain})
        figure = (
            f"{expect['metric']} {expect['value']} ± {expect['tolerance']} in {expect['seconds']:.0f} s"
            if expect
            else ""
        )
        rows.append((each, plain.get("about", ""), figure))
    if not json:
        watcher(False).table("", ("recipe", "what it does", "expects"), rows)
        printed("\nRun one with: visus train --recipe NAME")


def version(*, all_: Annotated[bool, Parameter(name="--all", negative="")] = False, json: Json = False) -> None:
    """Show the versions of Visus and of what it runs on.

    Parameters
    ----------
    all_
        Threads and accelerators too, for which torch is loaded.
    json
        A line of JSON instead of words.
    """
    from visus.machine import described

    found = described()
    if all_:
        from visus.run.folder import environment

        found = {name: value for name, value in environment(()).items() if name != "command"}
    if json:
        line(found)
        return
    for name, value in found.items():
        if isinstance(value, dict):
            for each, number in value.items():
                printed(f"{each:14} {number}")
        else:
            printed(f"{name:14} {', '.join(value) or 'none' if isinstance(value, list) else value}")
