"""The verbs that look things up: models, summary, recipes, version."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from visus.cli.show import line, printed, thousands, watcher

Json = Annotated[bool, Parameter(name="--json", negative="")]


def models(
    pattern: str = "*",
    *,
    sort: Literal["name", "year", "parameters", "multiply-adds", "error"] = "name",
    json: Json = False,
) -> None:
    """List the networks.

    Parameters
    ----------
    pattern
        A shell pattern, such as "resnet*".
    sort
        By what.
    json
        Lines of JSON instead of a table.
    """
    from visus.errors import NotFound, nearest
    from visus.models import CATALOG, FAMILIES, list_models

    names = list_models(pattern)
    if not names:
        raise NotFound(f"no network's name matches {pattern!r}", nearest(pattern.strip("*"), CATALOG))
    rows = []
    for name in names:
        card = CATALOG[name]
        family, figures, published = FAMILIES[card.family], card.figures, card.published
        rows.append(
            {
                "name": name, "year": family.year, "input": "×".join(map(str, card.input)),
                "parameters": figures and figures.parameters, "multiply_adds": figures and figures.multiply_adds,
                "error": published and published.top1_error, "data": published and published.data,
                "title": card.about or family.title, "reference": family.reference,
            }
        )  # fmt: skip
    if sort != "name":
        key = sort.replace("-", "_")
        rows.sort(key=lambda row: (row[key] is None, row[key]))
    if json:
        for row in rows:
            line(row)
        return

    def cell(value: object) -> str:
        return "" if value is None else thousands(value) if isinstance(value, int) else str(value)

    shown = [
        (
            str(row["name"]),
            str(row["year"]),
            str(row["input"]),
            cell(row["parameters"]),
            cell(row["multiply_adds"]),
            f"{row['error']:.2f} {row['data']}" if row["error"] is not None else "",
        )
        for row in rows
    ]
    watcher(False).table("", ("name", "year", "input", "parameters", "multiply-adds", "top-1 error %"), shown)


def summary(
    model: str,
    *,
    classes: int | None = None,
    channels: int | None = None,
    size: int | None = None,
    layers: bool = True,
    json: Json = False,
) -> None:
    """Show a network's layers: shapes, parameters, multiply-adds.

    Parameters
    ----------
    model
        A network of the catalog, or a run folder or bundle.
    classes
        Outputs; by default those of the published figures.
    channels
        Of the input: 1 or 3, usually.
    size
        The side of the input, in pixels.
    layers
        Whether to show each layer or only the sums.
    json
        Lines of JSON instead of a table.
    """
    from visus.explanation import summarize
    from visus.run.api import described

    network, shape, outputs = described(model, classes, channels, size)
    found = summarize(network, shape, outputs)
    totals = {
        "parameters": found.parameters,
        "buffers": found.buffers,
        "multiply_adds": found.multiply_adds,
        "bytes": 4 * (found.parameters + found.buffers),
    }
    if json:
        for row in found.rows if layers else ():
            line({"layer": row.name, "kind": row.kind, "shape": row.shape, "parameters": row.parameters,
                  "multiply_adds": row.multiply_adds})  # fmt: skip
        line({"model": model, "input": shape, "outputs": outputs, **totals})
        return
    watch = watcher(False)
    if layers:
        watch.table(
            "", ("layer", "kind", "shape out", "parameters", "multiply-adds"),
            [
                (row.name, row.kind, "×".join(map(str, row.shape)), thousands(row.parameters) if row.parameters else "",
                 thousands(row.multiply_adds) if row.multiply_adds else "")
                for row in found.rows
            ],
        )  # fmt: skip
    printed(
        f"{model}: input {'×'.join(map(str, shape))}, {outputs} outputs, {found.parameters:,} parameters"
        f" ({totals['bytes'] / 2**20:.1f} MiB in float32), {found.buffers:,} buffers,"
        f" {found.multiply_adds:,} multiply-adds an input"
    )


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


def version(*, json: Json = False) -> None:
    """Show the versions of Visus and of what it runs on.

    Parameters
    ----------
    json
        A line of JSON instead of words.
    """
    from visus.run.folder import environment

    found = environment(())
    del found["command"]
    if json:
        line(found)
        return
    for name, value in found.items():
        if isinstance(value, dict):
            for each, number in value.items():
                printed(f"{each:14} {number}")
        else:
            printed(f"{name:14} {', '.join(value) or 'none' if isinstance(value, list) else value}")
