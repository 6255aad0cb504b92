"""plots/*.png and report.html of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date

import torch
from matplotlib.figure import Figure

from visus import __version__, viz
from visus.explanation.summary import summarize_module
from visus.files import write_atomic
from visus.metrics import Score
from visus.models import CATALOG, FAMILIES
from visus.run.evaluation import Evaluation, rows_of
from visus.run.folder import RunFolder
from visus.run.resolve import Plan
from visus.spec import dumps
from visus.text import spoken, titled

TITLES = {
    "curves": ("Learning curves", "One point an epoch; the marked epoch is the one that was kept."),
    "confusion": (
        "Confusion matrix",
        "Rows: the truth. Columns: what was predicted. The darker, the larger the share "
        "of the row; right is blue, wrong is orange.",
    ),
    "per_class": ("Class by class", "Precision, recall and F1, with the number of samples of each class."),
    "worst": ("Worst errors", "The samples with the greatest error: wrong labels and hard images show here first."),
    "samples": ("Samples", "Spread evenly over the split, not chosen."),
    "calibration": ("Calibration", "Of the samples predicted with a confidence of 90 %, are 90 % right?"),
    "scatter": ("Predicted against true", "On the line the prediction is exact."),
    "residuals": ("Residuals", "Predicted minus true."),
}
HEADLINES = 4
REPORT = "report.html"  # the last that a run writes: where it is, the run is finished


def write_report(
    folder: RunFolder, plan: Plan, found: Evaluation, split: str, history: Sequence[Mapping[str, float]],
    best: int | None, seconds: float,
) -> None:  # fmt: skip
    """The pictures of an evaluation, and the page that holds them."""
    figures: dict[str, Figure] = {}
    if history:
        figures["curves"] = viz.learning_curves(history, None if best is None else int(history[best]["epoch"]))
    figures |= plan.task.draw(found.meter, found.worst, found.some, plan.schema)
    pictures = []
    for name, figure in figures.items():
        path = viz.save(figure, folder.plots / f"{name}.png")
        title, note = TITLES.get(name.rstrip("_0123456789"), (titled(spoken(name)), ""))
        pictures.append(viz.Picture(title, note, path.read_bytes()))
    page = viz.render(
        f"{plan.recipe.model.name} on {plan.dataset.name}",
        f"Visus {__version__}, {date.today().isoformat()}, {folder.path.name}",
        [(titled(f"{split} {spoken(name)}"), _headline(score)) for name, score in _headlines(found, plan)],
        tables=_tables(plan, found, split, history, seconds),
        pictures=pictures,
        texts=_texts(folder, plan, split),
    )
    write_atomic(folder.path / REPORT, page.encode("utf-8", errors="xmlcharrefreplace"))


def _condition(found: Evaluation) -> str:
    """What was done to the images first."""
    return f", {found.degraded}" if found.degraded else ""


def _headlines(found: Evaluation, plan: Plan) -> list[tuple[str, Score]]:
    goal = plan.task.goal(plan.schema)
    rest = [(name, score) for name, score in found.scores.items() if name != goal]
    return [(goal, found.scores[goal]), *rest][:HEADLINES]


def _headline(score: Score) -> str:
    interval = f"95 % interval {_unbroken(score.interval)}, " if score.interval else ""
    return f"{score.text} ({interval}{_unbroken(f'n = {score.n}')})"


def _unbroken(text: str) -> str:
    """The text with spaces at which no line is broken."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def _tables(
    plan: Plan, found: Evaluation, split: str, history: Sequence[Mapping[str, float]], seconds: float
) -> list[viz.Table]:
    with torch.device("meta"):
        whole = plan.task.assemble(plan.network, plan.preprocess.seen(plan.schema)).eval()
        counts = summarize_module(whole, torch.empty(1, *plan.preprocess.shape))
    card = CATALOG[plan.recipe.model.name]
    family = FAMILIES[card.family]
    model = [
        ("network", f"{plan.recipe.model.name}: {family.title} ({family.authors}, {family.year}; {family.reference})"),
        ("input", "×".join(map(str, plan.preprocess.shape))),
        ("parameters", f"{counts.parameters:,}"),
        ("multiply-adds an input", f"{counts.multiply_adds:,}"),
        ("epochs", str(len(history))),
        ("training time", f"{seconds:.1f} s"),
        ("seed", str(plan.recipe.seed)),
    ]
    figures = [[*cells[:2], _unbroken(cells[2]), *cells[3:]] for cells in rows_of(found.scores)]
    data = [(name, f"{len(samples):,} samples") for name, samples in plan.dataset.splits.items()]
    data.append(("source", plan.dataset.source or plan.recipe.data.source))
    return [
        viz.Table(
            f"Figures on the {split} split{_condition(found)}", ("figure", "value", "95 % interval", "n"), figures
        ),
        viz.Table("Model", ("", ""), model),
        viz.Table("Data", ("", ""), data),
    ]


def _texts(folder: RunFolder, plan: Plan, split: str) -> list[viz.Text]:
    texts = []
    if split != "test":
        texts.append(
            viz.Text(
                "No test split", f"The figures are on the {split} split, which also chose the model: on new data "
                "they will be somewhat worse.", "warning",
            )
        )  # fmt: skip
    texts += [viz.Text("Data", note, "note") for note in plan.dataset.notes]
    texts.append(viz.Text("Recipe", dumps(plan.recipe), "code"))
    environment = json.loads((folder.path / "environment.json").read_text(encoding="utf-8"))
    texts.append(viz.Text("Environment", json.dumps(environment, indent=1), "code"))
    return texts
