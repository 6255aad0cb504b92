"""Transfer: one plan, or the plan of the case at hand, beside training from scratch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from visus import viz
from visus.adaptation import Full, Linear, Partial, Plan, Scratch, Stage, features_of, parse_plan
from visus.data.dataset import Data, Dataset
from visus.data.loader import Loader, prepare
from visus.data.open import open_dataset
from visus.data.preprocess import ImagePreprocess
from visus.data.splits import divide
from visus.data.types import Schema
from visus.errors import DataError, RunError
from visus.files import write_atomic
from visus.metrics import Score
from visus.models import build_classifier, find
from visus.nn import WithoutRandomStart
from visus.run.device import device_of
from visus.run.features import pooled_features
from visus.run.pretrained import find_weights
from visus.run.recipe import Recipe, compose, overrides
from visus.run.training import Run, train_recipe
from visus.run.watch import Terminal, Watch
from visus.spec import merge, tree
from visus.weights.load import put

LARGE = 5000  # training images from which a set counts as large
# What a plan trains with unless told otherwise. Frozen features take a high rate and many cheap epochs; fine-tuning a
# low one, lower still for the lower stages, so that what the weights know isn't overwritten.
FROZEN: dict[str, Any] = {"optim": {"kind": "adamw", "lr": 3e-3}, "budget": {"epochs": 20, "batch": 32}}
TUNED: dict[str, Any] = {"optim": {"kind": "adamw", "lr": 5e-4}, "budget": {"epochs": 12, "batch": 32}}
SCRATCH: dict[str, Any] = {"optim": {"kind": "adamw", "lr": 1e-3}, "budget": {"epochs": 12, "batch": 32}}


@dataclass(frozen=True)
class Case:
    """Which of the four cases a target set is. images: for training. top, early: how well the features of the last and
    of an early stage tell its classes apart, the share that is nearest to its own class's mean (leave-one-out)."""

    images: int
    large: bool
    similar: bool
    top: float | None = None
    early: float | None = None

    @property
    def plan(self) -> tuple[Plan, str]:
        """What to do (SPEC §5), and in words why."""
        size = f"{self.images:,} training images are {'many' if self.large else 'few'}"
        near = f"the set is {'like' if self.similar else 'unlike'} the one that the weights know"
        if self.top is not None and self.early is not None:
            near += f" (nearest class mean: {self.top:.0%} by the last features, {self.early:.0%} by early ones)"
        plans: dict[tuple[bool, bool], Plan] = {
            (False, True): Linear(),
            (False, False): Stage(stage=0),
            (True, True): Full(decay=0.8),
            (True, False): Full(),
        }
        return plans[self.large, self.similar], f"{size}, and {near}"


@dataclass(frozen=True)
class Transferred:
    """What came of it. case: None where the plan was given. scratch: the same network from random weights."""

    folder: Path
    plan: Plan
    case: Case | None
    run: Run
    scratch: Run | None


def transfer(
    source: str | Path,
    *,
    model: str = "efficientnet_lite0",
    weights: str = "imagenet",
    plan: str | Plan | None = None,
    similar: bool | None = None,
    large: bool | None = None,
    scratch: bool = True,
    epochs: int | None = None,
    seed: int = 0,
    device: str = "auto",
    settings: Iterable[str] = (),
    out: str | Path | None = None,
    watch: Watch | None = None,
) -> Transferred:
    """Take what a network has learnt to other images, and show what that gains.

    plan: "linear", "stage:K", "partial:K", "full", "scratch" or a Plan; without one, that of the case: few or many
    images (`large`), like or unlike those that the weights know (`similar`), both found from the data unless given.
    scratch: train the same network from random weights as well, for as many epochs as fine-tuning takes.
    epochs: of the plan. settings: `a.b=c` texts for both runs. out: a new folder; by default runs/<name>-transfer.
    Raises VisusError.
    """
    watch, settings = watch or Terminal(), tuple(settings)
    base = overrides(
        data__source=str(source), model__name=model, seed=seed, runtime__device=device, augment={"flip": True}
    )
    data = compose(base, settings).data
    dataset = divide(open_dataset(data), data, seed if data.seed is None else data.seed)
    folder = _new(out, dataset.name)
    case = None
    if plan is None:
        case = which_case(dataset, model, weights, similar=similar, large=large, device=device, watch=watch)
        chosen, why = case.plan
        watch.say(f"plan: {_named(chosen)}, since {why}")
    else:
        chosen = parse_plan(plan) if isinstance(plan, str) else plan
    folder.mkdir(parents=True)
    recipe = _recipe(base, chosen, weights, epochs, settings)
    watch.say(f"— {_named(chosen)}")
    run = train_recipe(recipe, watch, run=str(folder / _named(chosen).replace(":", "-")))
    other = None
    if scratch and not isinstance(chosen, Scratch):
        watch.say("— scratch")
        kept = {"preprocess": {k: v for k, v in tree(run.recipe.preprocess).items() if k in ("size", "crop", "fit")}}
        other = train_recipe(
            _recipe(merge(base, kept), Scratch(), None, None, settings), watch, run=str(folder / "scratch")
        )
    found = Transferred(folder, chosen, case, run, other)
    _draw(found, dataset)
    _tell(found, watch)
    return found


def which_case(
    dataset: Dataset, model: str, weights: str, *, similar: bool | None = None, large: bool | None = None,
    device: str = "auto", watch: Watch | None = None,
) -> Case:  # fmt: skip
    """Few or many images, like or unlike those that the weights know: given, or found from the training split.

    A set is like theirs where the features before their last layer tell its classes apart at least as well as those of
    an early stage do.
    """
    watch = watch or Terminal()
    train = dataset.splits["train"]
    large = len(train) >= LARGE if large is None else large
    if similar is not None:
        return Case(len(train), large, similar)
    if "label" not in dataset.schema.targets:
        raise DataError("whether a set is like the weights' own is found from labels, and it has none", "--similar yes")
    found = find_weights(weights, model)
    with WithoutRandomStart():
        network = build_classifier(found.network, found.input, found.classes)
    put(network, found, new_head=False)
    network.eval().to(device_of(device))
    preprocess = found.preprocess or ImagePreprocess(size=found.input[1:], crop=find(model).crop)
    schema = Schema(shape=dataset.schema.shape, labels=dataset.schema.labels)
    some = train
    with watch.work("looking whether the set is like the weights' own") as bar:
        prepared = prepare(some, schema, preprocess, progress=bar)
        loader = Loader(prepared, preprocess, 64, device_of(device))
        early = max(0, len(network.backbone.stages) // 3)
        shares = []
        for stage in (None, early):
            features = features_of(pooled_features(network, stage), loader).prepared.gather(
                torch.arange(len(prepared.rows))
            )
            assert features.target.label is not None
            shares.append(nearest_mean(features.inputs.flatten(1).numpy(), features.target.label.numpy()))
    return Case(len(train), large, shares[0] >= shares[1], shares[0], shares[1])


def nearest_mean(values: np.ndarray, labels: np.ndarray) -> float:
    """The share of N×F samples that is nearest to the mean of its own class, itself left out; features standardised."""
    x = values.astype(np.float64)
    x = (x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1.0)
    classes, own = np.unique(labels, return_inverse=True)
    counts = np.bincount(own)
    means = np.stack([x[own == each].mean(0) for each in range(len(classes))])
    distance = np.square(x[:, None] - means[None]).sum(2)
    n = counts[own]
    row = np.arange(len(x))
    # without the sample its class's mean is (n·mean − x)/(n − 1): the difference grows by n/(n − 1)
    distance[row, own] *= np.square(np.where(n > 1, n / np.maximum(n - 1, 1), np.inf))
    return float((distance.argmin(1) == own).mean())


def _recipe(
    base: dict[str, Any], plan: Plan, weights: str | None, epochs: int | None, settings: tuple[str, ...]
) -> Recipe:
    kind = FROZEN if isinstance(plan, Linear | Stage) else SCRATCH if isinstance(plan, Scratch) else TUNED
    whole = merge(merge(base, kind), {"transfer": tree(plan)})
    if weights is not None and not isinstance(plan, Scratch):
        whole = merge(whole, {"model": {"weights": weights}})
    if epochs is not None:
        whole = merge(whole, {"budget": {"epochs": epochs}})
    return compose(whole, settings)


def _named(plan: Plan) -> str:
    if isinstance(plan, Stage):
        return f"stage:{plan.stage}"
    return f"partial:{plan.stages}" if isinstance(plan, Partial) else type(plan).__name__.lower()


def _new(out: str | Path | None, name: str) -> Path:
    if out is not None:
        if Path(out).exists():
            raise RunError(f"{out}: exists already", "name a new folder")
        return Path(out)
    folder = Path("runs") / f"{name}-transfer"
    number = 2
    while folder.exists():
        folder, number = Path("runs") / f"{name}-transfer-{number}", number + 1
    return folder


def _draw(found: Transferred, dataset: Dataset) -> None:
    runs = {_named(found.plan): found.run} | ({"scratch": found.scratch} if found.scratch else {})
    goal = next(iter(found.run.scores)) if found.run.scores else ""
    histories = {name: run.history for name, run in runs.items() if run.history and f"val/{goal}" in run.history[0]}
    if histories:
        network = found.run.recipe.model.name
        picture = viz.compared_curves(
            histories, goal, f"{network} on {viz.label(dataset.name, 40)}: validation {goal.replace('_', ' ')}"
        )
        viz.save(picture, found.folder / "curves.png")
    lines = [f"# {found.run.recipe.model.name} on {dataset.name}", ""]
    if found.case is not None:
        lines += [f"Plan: {_named(found.plan)}, since {found.case.plan[1]}.", ""]
    lines += ["| plan | score | value | 95 % interval | n | seconds of training |", "|---|---|--:|---|--:|--:|"]
    for name, run in runs.items():
        score = run.scores[goal]
        lines.append(
            f"| {name} | {goal.replace('_', ' ')} ({run.split}) | {score.text} | {score.interval} | {score.n} | "
            f"{run.history[-1]['seconds'] if run.history else 0:.1f} |"
        )
    text = "\n".join([*lines, "", "![Validation curves](curves.png)" if histories else "", ""])
    write_atomic(found.folder / "transfer.md", text)


def _tell(found: Transferred, watch: Watch) -> None:
    runs = {_named(found.plan): found.run} | ({"scratch": found.scratch} if found.scratch else {})
    rows = []
    for name, run in runs.items():
        goal, score = next(iter(run.scores.items()))
        seconds = run.history[-1]["seconds"] if run.history else 0.0
        rows.append((name, goal.replace("_", " "), score.text, score.interval, str(score.n), f"{seconds:.1f}"))
    split = found.run.split
    watch.table(f"on {split}", ("plan", "score", "value", "95 % interval", "n", "seconds"), rows)
    watch.event("transfer", {"folder": str(found.folder), "plan": tree(found.plan), "split": split,
                             "scores": {name: _plain(run.scores) for name, run in runs.items()}})  # fmt: skip
    watch.say(f"curves: {found.folder / 'curves.png'}")


def _plain(scores: dict[str, Score]) -> dict[str, Any]:
    return {name: tree(score) for name, score in scores.items()}


__all__ = ["Case", "Data", "Transferred", "nearest_mean", "transfer", "which_case"]
