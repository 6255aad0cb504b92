"""The verbs that look at networks: models, history, summary."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from visus.cli.bounds import bounds
from visus.cli.learn import Json
from visus.cli.show import line, printed, thousands, watcher, write
from visus.text import compact

if TYPE_CHECKING:
    from visus.models import Card


def models(
    pattern: str = "*",
    *,
    family: str | None = None,
    year: str | None = None,
    parameters: str | None = None,
    multiply_adds: str | None = None,
    error: str | None = None,
    data: str | None = None,
    sort: Literal["name", "year", "parameters", "multiply-adds", "error"] | None = None,
    descending: Annotated[bool, Parameter(negative="")] = False,
    chart: Path | None = None,
    against: Literal["multiply-adds", "parameters"] = "multiply-adds",
    json: Json = False,
) -> None:
    """List the networks, all of them or those that are asked for, and draw what their accuracy costs.

    Ranges include both ends, and either may be left out: 2012..2015, ..10M, 1G.. (k, M, G: thousands, millions,
    thousands of millions).

    Parameters
    ----------
    pattern
        A shell pattern, such as "resnet*".
    family
        Only the networks of one paper, such as senet.
    year
        Of the paper: 2015, or a range.
    parameters
        A range, such as ..10M.
    multiply_adds
        A range, for one input, such as ..500M.
    error
        A range of the published top-1 error in percent, on the data that --data names, by default ImageNet.
    data
        Only networks with a published error on these data, such as ImageNet or CIFAR-10.
    sort
        By what, the smallest first, those of which it isn't known last; by default that of the catalog, by
        lineage. Errors are
        compared on the data that --data names, by default ImageNet.
    descending
        The other way round.
    chart
        A PNG file to draw to: published accuracy of the listed networks against what they cost.
    against
        What the chart takes as cost.
    json
        Lines of JSON instead of a table.
    """
    from visus.errors import NotFound, nearest
    from visus.models import CATALOG, STANDARD, list_models

    names = list_models(
        pattern, family=family, year=bounds("--year", year), parameters=bounds("--parameters", parameters),
        multiply_adds=bounds("--multiply-adds", multiply_adds), error=bounds("--error", error), data=data,
        sort=sort, descending=descending,
    )  # fmt: skip
    if not names:
        among = len(list_models(pattern))
        if not among:
            raise NotFound(f"no network's name matches {pattern!r}", nearest(pattern.strip("*"), CATALOG))
        ranges = {"--year": year, "--parameters": parameters, "--multiply-adds": multiply_adds, "--error": error}
        asked = {"--family": family, **ranges, "--data": data}
        exact = [f"{option} ..{text}" for option, text in ranges.items() if text and ".." not in text]
        raise NotFound(
            f"none is left of the {among} networks that match {pattern!r}: "
            + " ".join(f"{option} {text}" for option, text in asked.items() if text),
            f"{' '.join(exact)} for all up to that" if exact else "",
        )
    if chart is not None:
        from visus import viz

        cards = {name: CATALOG[name] for name in names}
        write(chart, ".png", viz.png(viz.accuracy_against_cost(cards, against, data or STANDARD, CATALOG)))
    if json:
        for name in names:
            line(_facts(name, CATALOG[name]))
        if chart is not None:
            line(_file("chart", chart))
        return
    marks = {name: _elsewhere(CATALOG[name]) for name in names}
    wide = max(map(len, marks.values()))
    watcher(False).table(
        "", ("name", "year", "input", "params", "mult-adds", "top-1 error %"),
        [_row(name, CATALOG[name], f"{marks[name]:<{wide}}") for name in names],
    )  # fmt: skip
    count = "1 network" if len(names) == 1 else f"{len(names)} networks"
    printed(f"\n{count}; errors are published ones, on {STANDARD} where nothing else is said")
    if error is not None or sort == "error":
        printed(f"compared by their error on {data or STANDARD}, those without one last")
    _say("chart", chart)


def _facts(name: str, card: Card) -> dict[str, Any]:
    """All that is known of a network, for a program."""
    from visus.models import FAMILIES

    family, figures, published = FAMILIES[card.family], card.figures, card.published
    return {
        "name": name, "family": card.family, "title": family.title, "authors": family.authors, "year": family.year,
        "reference": family.reference, "link": family.link or None, "about": card.about, "input": card.input,
        "fixed": card.fixed, "crop": card.crop, "classes": card.outputs,
        "parameters": figures and figures.parameters, "multiply_adds": figures and figures.multiply_adds,
        "top1_error": published and published.top1_error, "top5_error": published and published.top5_error,
        "data": published and published.data, "source": published and published.source,
    }  # fmt: skip


def _row(name: str, card: Card, mark: str) -> tuple[str, ...]:
    from visus.models import FAMILIES

    figures, published = card.figures, card.published
    error = published.top1_error if published else None
    return (
        name,
        str(FAMILIES[card.family].year),
        "×".join(map(str, card.input)),
        compact(figures.parameters) if figures else "",
        compact(figures.multiply_adds) if figures else "",
        f"{error:5.2f} {mark}" if error is not None else "",
    )


def _elsewhere(card: Card) -> str:
    """The data that a network's error is on, where they aren't those that errors are on by default."""
    from visus.models import STANDARD

    return card.published.data if card.published and card.published.data != STANDARD else ""


def history(*, chart: Path | None = None, json: Json = False) -> None:
    """Show the best entries to the ImageNet challenge, year by year: the winners, and who came second in 2014.

    Parameters
    ----------
    chart
        A PNG file to draw to: the error of each year beside that of a person.
    json
        Lines of JSON instead of a table.
    """
    from visus.models import CATALOG, ENTRIES, HUMAN_ERROR

    if chart is not None:
        from visus import viz

        write(chart, ".png", viz.png(viz.errors_by_year(ENTRIES, HUMAN_ERROR)))
    if json:
        from visus.spec import tree

        for entry in ENTRIES:
            line(tree(entry))
        line({"human_error": HUMAN_ERROR, **_file("chart", chart)})
        return
    rows = []
    for entry in ENTRIES:
        names = [name for name, card in CATALOG.items() if card.family in entry.families]
        here = f"{names[0]} … ({len(names)})" if len(names) > 1 else "".join(names)
        rows.append((str(entry.year), entry.network, entry.team, f"{entry.error:.1f}", str(entry.layers or ""), here))
    watcher(False).table("", ("year", "network", "team", "top-5 error %", "layers", "in the catalog"), rows)
    printed(f"\nOn the test set; a trained person errs in about {HUMAN_ERROR} % (arXiv:1409.0575).")
    _say("chart", chart)


def _file(kind: str, path: Path | None) -> dict[str, str]:
    return {} if path is None else {kind: str(path)}


def _say(kind: str, path: Path | None) -> None:
    if path is not None:
        printed(f"{kind}: {path}")


def summary(
    model: str,
    *,
    classes: int | None = None,
    channels: int | None = None,
    size: int | None = None,
    layers: bool = True,
    diagram: Path | None = None,
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
    diagram
        An SVG file to draw the stages to.
    json
        Lines of JSON instead of a table.
    """
    from visus.models import find

    if not Path(model).exists():
        find(model)  # a mistyped name is answered before torch is loaded
    from visus.explanation import diagram as drawn
    from visus.explanation import summarize
    from visus.run.api import described

    network, shape, outputs = described(model, classes, channels, size)
    found = summarize(network, shape, outputs)
    if diagram is not None:
        write(diagram, ".svg", drawn(found, model, paper=True))
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
        line({"model": model, "input": shape, "outputs": outputs, **totals, **_file("diagram", diagram)})
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
    _say("diagram", diagram)
