"""What a run comes to, and telling people of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from msgspec.structs import replace
from torch import nn

from visus.data.loader import Loader, Prepared
from visus.metrics import Score
from visus.prediction import NetworkPredictor, Predictor, read_manifest
from visus.prediction import load as load_bundle
from visus.prediction import save as save_bundle
from visus.prediction.bundle import MANIFEST
from visus.run.evaluation import Evaluation, rows_of
from visus.run.folder import RunFolder, existing
from visus.run.recipe import Recipe
from visus.run.report import REPORT
from visus.run.resolve import Plan
from visus.run.state import State
from visus.run.watch import Watch
from visus.spec import tree
from visus.training.checkpoint import newest

GOLDENS = 4


@dataclass(frozen=True)
class Run:
    """A finished run. split: the one that the scores are of. history: one row an epoch. best: which row's weights were
    kept, None where nothing was trained."""

    folder: Path
    recipe: Recipe = field(repr=False)
    scores: dict[str, Score]
    split: str
    history: tuple[dict[str, float], ...] = field(repr=False)
    best: int | None = field(repr=False)

    def predictor(self) -> Predictor:
        """The bundle, loaded."""
        return load_bundle(self.folder)


def finished(path: Path) -> Run | None:
    """A run that came to its end, as `train` gave it; None where something is still to be done."""
    report, bundle = path / REPORT, path / "model" / MANIFEST
    if not report.is_file() or not bundle.is_file() or report.stat().st_mtime < bundle.stat().st_mtime:
        return None
    folder, manifest = existing(path), read_manifest(path)
    recipe = folder.recipe()
    before = (manifest.recipe or {}).get("budget", {}).get("epochs")  # of a run that was extended and then stopped
    if before != recipe.budget.epochs or manifest.split is None:
        return None
    facts = newest(folder.checkpoints)[0].facts
    return Run(path, recipe, manifest.scores, manifest.split, tuple(facts["history"]), facts["best"])


def bundle(folder: RunFolder, predictor: NetworkPredictor, prepared: Prepared, found: Evaluation, split: str) -> None:
    """Write the model, with the scores of an evaluation, and some samples of a split as goldens."""
    values = [prepared.samples.read(row) for row in prepared.rows[:GOLDENS].tolist()]
    inputs = [value if isinstance(value, np.ndarray) else value.pixels for value in values]
    manifest = replace(predictor.manifest, split=split, scores=found.scores)
    save_bundle(folder.model, NetworkPredictor(manifest, predictor.model), inputs)


def announce(plan: Plan, whole: nn.Module, loaders: dict[str, Loader], where: str, say: Callable[[str], None]) -> None:
    """What is trained on what. whole: the network. where: on which device."""
    sizes = ", ".join(f"{name} {len(loader.prepared.rows)}" for name, loader in loaders.items())
    say(f"data: {plan.dataset.name} ({sizes})")
    for note in plan.dataset.notes:
        say(f"  note: {note}")
    if labels := plan.schema.labels:
        shown = ", ".join(labels[:12]) + (f", … ({len(labels)} classes)" if len(labels) > 12 else "")
        say(f"labels: {shown}")
    count, shape = sum(p.numel() for p in whole.parameters()), "×".join(map(str, plan.preprocess.shape))
    say(
        f"model: {plan.recipe.model.name}, {count:,} parameters, input {shape}, on {where} "
        f"in {plan.recipe.runtime.precision}"
    )


def tell(folder: RunFolder, found: Evaluation, split: str, state: State, watch: Watch) -> None:
    """The figures of a finished run."""
    which = "" if split == "test" else ": no test split, so these samples also chose the model"
    watch.table(
        f"{split}{which}" + (f", {found.degraded}" if found.degraded else ""),
        ("", "value", "95 % interval", "n"),
        rows_of(found.scores),
    )
    watch.event("scores", {"split": split, "scores": {k: tree(v) for k, v in found.scores.items()}})
    folder.log(f"{split}: " + ", ".join(f"{name} {score.text}" for name, score in found.scores.items()))
    lines = [f"trained in {state.seconds:.1f} s; report: {folder.path / REPORT}"]
    if state.skipped:
        lines.insert(0, f"{state.skipped} steps were skipped because a gradient wasn't finite")
    for line in lines:
        watch.say(line)
        folder.log(line)
