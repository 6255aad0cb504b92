"""Measuring a predictor on a split, and keeping a few cases to look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from visus.data.dataset import Data
from visus.data.degrade import Rounded, described
from visus.data.degraded import Degraded
from visus.data.image import Picture
from visus.data.loader import Prepared
from visus.data.open import open_dataset
from visus.data.samples import Joined, Relabelled, Rows, Samples
from visus.data.splits import divide
from visus.data.types import Batch, Schema, Targets
from visus.errors import DataError
from visus.metrics import Score
from visus.prediction import Predictor
from visus.run.recipe import compose
from visus.run.watch import Bar
from visus.tasks import Case, degradations, unit_of
from visus.text import spoken
from visus.training.ranks import ALONE, Ranks

KEPT = 24  # cases: the worst, and as many spread evenly over the split


@dataclass(frozen=True)
class Evaluation:
    """What was found. meter: the task's. worst: by error, the greatest first. some: spread over the split.

    degraded: what was done to the images, in words; "" where they are as they were.
    """

    scores: dict[str, Score]
    meter: Any
    worst: tuple[Case, ...] = ()
    some: tuple[Case, ...] = ()
    degraded: str = ""


def evaluate_predictor(
    predictor: Predictor, prepared: Prepared, *, batch: int = 256, cases: bool = False, bar: Bar | None = None,
    ranks: Ranks = ALONE, eight_bits: bool = False,
) -> Evaluation:  # fmt: skip
    """Measure a predictor on every sample of a split that was prepared for it.

    eight_bits: round what is done to images, as it is for predictors that take nothing else.

    cases: whether to keep some samples with their predictions. ranks: who share the work; the first keeps the cases,
    and the figures are those of all samples, on every rank.
    """
    task, schema = predictor.task, predictor.schema
    meter: Any = task.meter(schema)
    steps = degradations(task) or ()
    if steps and schema.inputs == "image" and (eight_bits or predictor.eight_bits):
        steps = (*steps, Rounded())
    if degradations(task) is not None:
        prepared = Degraded(prepared, steps, unit_of(task, schema))
    total, done = len(prepared.rows), 0
    spread = set(torch.linspace(0, total - 1, min(KEPT, total)).round().long().tolist())
    worst: list[Case] = []
    some: list[Case] = []
    for output, target, rows_N in _outputs(predictor, prepared, batch, ranks):
        task.measure(meter, output, target)
        if cases and ranks.first:
            predictions, errors = task.decode(output, schema), task.errors(output, target).cpu()
            bad = errors.topk(min(KEPT, len(errors))).indices.tolist()
            good = [index for index in range(len(rows_N)) if done + index in spread]
            rows, values = rows_N.tolist(), errors.tolist()
            kept = {i: _case(predictor, prepared.samples, rows[i], predictions[i], values[i]) for i in {*bad, *good}}
            worst = sorted([*worst, *(kept[i] for i in bad)], key=lambda case: -case.error)[:KEPT]
            some += [kept[i] for i in good]
        done += len(rows_N)
        if bar is not None:
            bar(done, total)
    return Evaluation(meter.scores(), meter, tuple(worst), tuple(some), described(steps))


def batches(predictor: Predictor, prepared: Prepared, batch: int) -> Iterator[Batch]:
    """All samples in order, placed: `batch` inputs at a time, so fewer of the images that are looked at often."""
    for positions in torch.split(torch.arange(len(prepared.rows)), predictor.portion(batch)):
        yield prepared.gather(positions)


def _outputs(
    predictor: Predictor, prepared: Prepared, batch: int, ranks: Ranks
) -> Iterator[tuple[Any, Targets, Tensor]]:
    """What the predictor says of every batch, with truth and rows: in order, and on every rank, whoever computed it."""
    if ranks.count == 1:
        for found in batches(predictor, prepared, batch):
            yield predictor.outputs(found.inputs), found.target.to(predictor.device), found.rows
        return
    total, cpu = len(prepared.rows), torch.device("cpu")
    portion = min(predictor.portion(batch), -(-total // ranks.count))
    parts = torch.split(torch.arange(total), portion)
    for start in range(0, len(parts), ranks.count):
        turn = parts[start : start + ranks.count]
        # one without a part looks at the first, for nothing: a network divided among ranks needs all of them
        found = prepared.gather(turn[ranks.rank] if ranks.rank < len(turn) else turn[0][:1])
        output = pytree.tree_map_only(Tensor, Tensor.cpu, predictor.outputs(found.inputs))
        yield from ranks.gather((output, found.target.to(cpu), found.rows))[: len(turn)]


def labelled(samples: Samples, given: Schema, wanted: Schema) -> Samples:
    """The samples with class numbers of the model's labels, matched by name. Raises DataError where they don't fit."""
    if given.inputs != wanted.inputs:
        raise DataError(f"the model takes {wanted.inputs}s, and these data are {given.inputs}s")
    missing = [name for name in wanted.targets if name not in given.targets]
    if missing:
        raise DataError(f"the model's task needs {' and '.join(missing)}, and these data have none")
    if "mask" in wanted.targets and given.masks != wanted.masks:
        raise DataError(
            f"the data's masks are of {', '.join(given.masks[:8])}, and the model's of {', '.join(wanted.masks[:8])}",
            "give masks of the same classes, in the same order",
        )
    if given.labels == wanted.labels or not wanted.labels:
        return samples
    unknown = [name for name in given.labels if name not in wanted.labels]
    if unknown:
        raise DataError(
            f"the data have classes that the model doesn't know: {', '.join(unknown[:8])}",
            f"it knows {', '.join(wanted.labels[:12])}",
        )
    return Relabelled(samples, tuple(wanted.labels.index(name) for name in given.labels))


def held_out(
    predictor: Predictor, source: str | Path | None, settings: Iterable[str] = ()
) -> tuple[Samples, Samples, str]:
    """What a model is checked on, what it learnt from, and the name of the first.

    source: other data; by default those of its own run, of which the validation samples are held out.
    Raises DataError where there are none.
    """
    recipe = compose(predictor.manifest.recipe or {}, settings)
    if source is not None:
        dataset = open_dataset(Data(source=str(source), dir=recipe.data.dir, target=recipe.data.target))
        held = labelled(Joined(tuple(dataset.splits.values())), dataset.schema, predictor.schema)
        return held, held, dataset.name
    if predictor.manifest.recipe is None:
        raise DataError("no data belong to this model", "name some: --data FOLDER")
    dataset = divide(open_dataset(recipe.data), recipe.data, recipe.seed)
    name = next(each for each in ("val", "test", "train") if each in dataset.splits)
    return dataset.splits[name], dataset.splits.get("train", dataset.splits[name]), name


def spread(samples: Samples, count: int) -> Samples:
    """So many of them at most, spread over all."""
    if len(samples) <= count:
        return samples
    return Rows(samples, torch.linspace(0, len(samples) - 1, count).round().long().tolist())


def rows_of(scores: dict[str, Score]) -> Sequence[Sequence[str]]:
    """Scores as rows of a table: name, value, 95 % interval, n."""
    return [(spoken(name), score.text, score.interval, str(score.n)) for name, score in scores.items()]


def epoch_line(row: dict[str, float], epochs: int, goal: str) -> str:
    """An epoch's figures in one line."""
    parts = [f"epoch {int(row['epoch'])}/{epochs}", f"train loss {row['train/loss']:.4f}"]
    for name in ("loss", goal):
        if f"val/{name}" in row:
            parts.append(f"val {name} {row[f'val/{name}']:.4f}")
    return "  ".join([*parts, f"{row['seconds']:.1f} s"])


def _case(predictor: Predictor, samples: Samples, row: int, prediction: Any, error: float) -> Case:
    found = samples.read(row)
    image = found.pixels if isinstance(found, Picture) else None
    if image is not None:
        prediction = prediction.on(image, predictor.placement(*image.shape[:2]))
    return Case(samples.name(row), image, prediction, samples.target(row), error)
