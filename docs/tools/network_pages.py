"""The pages of the networks: the catalog, one page a family, the two charts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from html import escape
from itertools import chain
from pathlib import Path

import torch
from page_text import filled, md, put, shape

import visus
from visus import viz
from visus.explanation import Field, Line, Stage, Summary, diagram, folded, receptive_field, summarize
from visus.models import CATALOG, CHAPTERS, ENTRIES, FAMILIES, HUMAN_ERROR, Card
from visus.models.cards import Published

FIGURES = ("network", "input", "parameters", "multiply-adds", "classes", "top-1 %", "top-5 %", "on")
RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def write(folder: Path) -> None:
    """Write the pages and charts into a folder, unless they are there and nothing that they come from has changed.

    Counting 140 networks takes about a minute.
    """
    mark, now = folder / "networks" / ".digest", _digest()
    if mark.exists() and mark.read_text() == now:
        return
    put(folder / "networks.md", catalog())
    for old in set((folder / "networks").glob("*.md")) - {folder / "networks" / f"{name}.md" for name in FAMILIES}:
        old.unlink()
    for name in FAMILIES:
        put(folder / "networks" / f"{name}.md", family_page(name))
    put(folder / "errors_by_year.png", viz.png(viz.errors_by_year(ENTRIES, HUMAN_ERROR)))
    for against in ("multiply-adds", "parameters"):
        put(folder / f"accuracy_against_{against}.png", viz.png(viz.accuracy_against_cost(CATALOG, against)))
    mark.write_text(now)


def catalog() -> str:
    """Every network in one table a chapter, with links to its page."""
    parts = [
        "# The catalog\n",
        f"{len(CATALOG)} networks of {len(FAMILIES)} papers, written from the catalog when this page was built. Each "
        "name leads to a drawing of the network, its stages and its layers. Parameters and multiply-adds are for the "
        "input and the number of classes given, and a test holds each of them. What a stage sees is the side, in "
        "pixels of the image, of the window that a pixel of its map depends on, as if the image had no edges. Top-1 "
        "and top-5 errors are published ones, in percent, on the validation or test set named; each network's "
        "page says who measured them. They aren't ours.\n",
        "```{toctree}\n:hidden:\n:maxdepth: 1\n",
        *(f"{name} <networks/{name}>" for name in FAMILIES),
        "```\n",
    ]
    for chapter in CHAPTERS:
        parts.append(f"## {_sentence(chapter.__doc__ or '')}\n")
        for key, family in chapter.FAMILIES.items():
            parts.append(f"- [{key}](networks/{key}.md): {md(family.authors)}, {family.year}. {md(family.idea)}")
        lines = [_figures(name, card, f"networks/{card.family}.md") for name, card in chapter.CARDS.items()]
        parts += ["", *filled(FIGURES, lines, "llrrrrrl"), ""]
    return "\n".join(parts) + "\n"


def family_page(key: str) -> str:
    """The paper, what is new in it, how we read it, its variants, and each of them in full."""
    family = FAMILIES[key]
    cards = {name: card for name, card in CATALOG.items() if card.family == key}
    reference = f"[{md(family.reference)}]({family.link})" if family.link else md(family.reference)
    parts = [f"# {key}\n", f"*{md(family.title)}*, {md(family.authors)}, {family.year}: {reference}.\n"]
    if family.idea:
        parts.append(f"**What is new.** {md(family.idea)}\n")
    if family.departs:
        parts.append(f"**Where this departs from the paper.** {md(family.departs)}\n")
    for entry in ENTRIES:
        if key in entry.families:
            parts.append(
                f"**In the ImageNet challenge.** {entry.year}, {md(entry.network)} of the team {md(entry.team)}: "
                f"{entry.error} % top-5 error ({md(entry.about)}; {md(entry.source)}).\n"
            )
    parts += [*_variants(cards), ""]
    parts += chain.from_iterable(_network(name, card) for name, card in cards.items())
    return "\n".join(parts) + "\n"


def _variants(cards: dict[str, Card]) -> list[str]:
    """The table of a family's networks, and under it who measured the errors, by the raised numbers in it."""
    found = [card.published.source for card in cards.values() if card.published]
    numbers = {source: str(number) for number, source in enumerate(dict.fromkeys(found), start=1)}
    lines = []
    for name, card in cards.items():
        *cells, data = _figures(name, card)
        note = numbers[card.published.source].translate(RAISED) if card.published else ""
        lines.append((*cells, data + note))
    table = filled(FIGURES, lines, "llrrrrrl")
    if not numbers:
        return table
    listed = [f"{number}. {md(source)}" for source, number in numbers.items()]
    return [*table, "", "The errors are published ones, not ours. Their sources:", "", *listed]


def _figures(name: str, card: Card, page: str = "") -> tuple[str, ...]:
    figures, published = card.figures, card.published
    counts = (f"{figures.parameters:,}", f"{figures.multiply_adds:,}", f"{figures.classes:,}") if figures else ("",) * 3
    errors = (published.top1_error, published.top5_error) if published else (None, None)
    percents = ("" if error is None else f"{error:.2f}" for error in errors)
    return (f"[{name}]({page}#{name})", shape(card.input), *counts, *percents, published.data if published else "")


def _network(name: str, card: Card) -> Iterator[str]:
    """One network: its drawing, its stages, how to make it, its layers."""
    summary = summarize(card.spec, card.input, card.outputs)
    yield f"## {name}\n"
    if card.about:
        yield f"{md(_sentence(card.about))}.\n"
    yield f"```{{raw}} html\n{diagram(summary, name)}```\n"
    yield from _stages(summary, receptive_field(card.spec, card.input))
    size = 4 * (summary.parameters + summary.buffers) / 2**20
    yield (
        f"\nFor an input of {shape(card.input)} and {card.outputs:,} classes: {summary.parameters:,} parameters, "
        f"{summary.buffers:,} buffers ({size:.1f} MiB together in float32), {summary.multiply_adds:,} multiply-adds.\n"
    )
    if card.published is not None:
        yield f"Published: {_published(card.published)}.\n"
    if summary.auxiliary:
        yield f"{summary.auxiliary:,} of the parameters are those of heads that only help while training.\n"
    yield f'```python\nnet = visus.create_model("{name}", classes=10)\n```\n'
    yield f"```console\n$ visus summary {name}\n$ visus train photos/ --model {name}\n```\n"
    yield f"```{{raw}} html\n{_layers(summary)}\n```\n"


def _published(found: Published) -> str:
    errors = {"top-1": found.top1_error, "top-5": found.top5_error}
    said = " and ".join(f"{error:.2f} % {kind} error" for kind, error in errors.items() if error is not None)
    return f"{said} on {found.data}: {md(found.source)}"


def _stages(summary: Summary, fields: Sequence[Field]) -> list[str]:
    def cells(stage: Stage, field: Field | None) -> tuple[str, ...]:
        tokens = "" if stage.map == stage.shape else f", as {stage.shape[0]} tokens"
        return (
            f"`{stage.name}`",
            md(", then ".join(map(str, stage.blocks))),
            shape(stage.map) + tokens,
            str(stage.stride or ""),
            _sees(field) if field else "",
            f"{stage.parameters:,}",
            f"{stage.multiply_adds:,}",
        )

    head = ("stage", "made of", "output", "stride", "sees", "parameters", "multiply-adds")
    return filled(head, map(cells, summary.stages, (*fields, None)), "lllrrrr")


def _sees(field: Field) -> str:
    """A receptive field in pixels: one number where it is square."""
    high, wide = ("all" if span is None else f"{span.size:,}" for span in (field.rows, field.columns))
    return high if high == wide else f"{high} × {wide}"


def _layers(summary: Summary) -> str:
    """The table of the layers, folded away; as HTML, since reading thousands of rows as Markdown takes long."""

    def cells(line: Line) -> str:
        times = f"{line.count} × " if line.count > 1 else ""
        kind = f"{times}the same as {line.like}" if line.like else line.kind
        counts = "".join(
            f"<td>{count:,}</td>" if count else "<td></td>" for count in (line.parameters, line.multiply_adds)
        )
        return f"<tr><td>{escape(line.name)}</td><td>{escape(kind)}</td><td>{shape(line.shape)}</td>{counts}</tr>"

    names = ("layer", "kind", "output", "parameters", "multiply-adds")
    return "\n".join(
        [
            f'<details class="layers"><summary>The {len(summary.rows)} layers</summary>',
            '<div class="table-wrapper container"><table class="docutils"><thead><tr>',
            *(f"<th>{name}</th>" for name in names),
            "</tr></thead><tbody>",
            *map(cells, folded(summary.rows)),
            "</tbody></table></div></details>",
        ]
    )


def _sentence(text: str) -> str:
    """The first sentence, with a capital letter and without its full stop."""
    first = text.strip().split(".\n")[0].removesuffix(".")
    return first[:1].upper() + first[1:]


def _digest() -> str:
    """Of all that the pages come from: this folder and the package."""
    found = hashlib.sha256(torch.__version__.encode())
    for root in (Path(__file__).parent, Path(visus.__file__).parent):
        for path in sorted(root.rglob("*.py")):
            found.update(path.read_bytes())
    return found.hexdigest()
