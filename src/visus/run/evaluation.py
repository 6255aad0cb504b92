"""Measuring a model on a split, and keeping a few cases to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from visus.data.image import Picture
from visus.data.loader import Loader
from visus.data.types import Schema
from visus.metrics import Score
from visus.run.watch import Bar
from visus.tasks import AnyTask, Case

KEPT = 24  # cases: the worst, and as many spread evenly over the split


@dataclass(frozen=True)
class Evaluation:
    """What was found. meter: the task's. worst: by error, the greatest first. some: spread over the split."""

    scores: dict[str, Score]
    meter: Any
    worst: tuple[Case, ...] = ()
    some: tuple[Case, ...] = ()


def evaluate_model(
    model: nn.Module,
    task: AnyTask,
    schema: Schema,
    loader: Loader,
    *,
    precision: torch.dtype = torch.float32,
    cases: bool = False,
    bar: Bar | None = None,
) -> Evaluation:
    """Measure a model on every sample of a loader's split; the model is left in the mode it was in.

    cases: whether to keep some samples with their predictions.
    """
    meter: Any = task.meter(schema)
    training = model.training
    model.eval()
    total, done = len(loader.prepared.rows), 0
    spread = set(torch.linspace(0, total - 1, min(KEPT, total)).round().long().tolist())
    worst: list[Case] = []
    some: list[Case] = []
    with torch.inference_mode():
        for batch in loader.evaluate():
            with torch.autocast(loader.device.type, precision, enabled=precision != torch.float32):
                output = model(batch.inputs)
            errors = task.measure(meter, output, batch)
            if cases:
                predictions = task.decode(output, schema)
                bad = errors.topk(min(KEPT, len(errors))).indices.tolist()
                good = [index for index in range(len(batch)) if done + index in spread]
                rows, values = batch.rows.tolist(), errors.tolist()
                kept = {i: _case(loader, rows[i], predictions[i], values[i]) for i in {*bad, *good}}
                worst = sorted([*worst, *(kept[i] for i in bad)], key=lambda case: -case.error)[:KEPT]
                some += [kept[i] for i in good]
            done += len(batch)
            if bar is not None:
                bar(done, total)
    model.train(training)
    return Evaluation(meter.scores(), meter, tuple(worst), tuple(some))


def rows_of(scores: dict[str, Score]) -> Sequence[Sequence[str]]:
    """Scores as rows of a table: name, value, 95 % interval, n."""
    return [(name.replace("_", " "), score.text, score.interval, str(score.n)) for name, score in scores.items()]


def epoch_line(row: dict[str, float], epochs: int, goal: str) -> str:
    """An epoch's figures in one line."""
    parts = [f"epoch {int(row['epoch'])}/{epochs}", f"train loss {row['train/loss']:.4f}"]
    for name in ("loss", goal):
        if f"val/{name}" in row:
            parts.append(f"val {name} {row[f'val/{name}']:.4f}")
    return "  ".join([*parts, f"{row['seconds']:.1f} s"])


def _case(loader: Loader, row: int, prediction: Any, error: float) -> Case:
    samples = loader.prepared.samples
    found = samples.read(row)
    image = found.pixels if isinstance(found, Picture) else None
    return Case(samples.name(row), image, prediction, samples.target(row), error)
