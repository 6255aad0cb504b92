"""Transfer: one plan, or the plan of the case at hand, beside training from scratch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visus import viz
from visus.adaptation import Full, Linear, Partial, Plan, Scratch, Stage, parse_plan
from visus.data.dataset import Dataset
from visus.data.loader import Loader, prepare
from visus.data.open import open_dataset
from visus.data.splits import divide
from visus.data.types import Schema
from visus.errors import DataError, RunError, VisusError
from visus.files import write_atomic
from visus.models import Cut, build_classifier, find, stage_shapes
from visus.nn import WithoutRandomStart
from visus.run.device import device_of
from visus.run.features import pooled_features, values_of
from visus.run.folder import RECIPE
from visus.run.job import alone
from visus.run.outcome import Run, finished
from visus.run.pretrained import find_weights
from visus.run.recipe import Preprocessing, Recipe, compose, overrides
from visus.run.resolve import preprocess_of
from visus.run.stopping import Interrupted
from visus.run.training import resume, train_recipe
from visus.run.watch import Terminal, Watch
from visus.spec import dumps, merge, tree
from visus.text import spoken
from visus.weights.load import put

CURVES, SUMMARY, ASKED = "curves.png", "transfer.md", "transfer.toml"
LARGE = 5000  # training images from which a set counts as large
# What a plan trains with unless told otherwise. Frozen features take a high rate and many cheap epochs; fine-tuning a
# low one, lower still for the lower stages, so that what the weights know isn't overwritten.
FROZEN: dict[str, Any] = {"optim": {"kind": "adamw", "lr": 3e-3}, "budget": {"epochs": 20, "batch": 32}}
TUNED: dict[str, Any] = {"optim": {"kind": "adamw", "lr": 5e-4}, "budget": {"epochs": 12, "batch": 32}}
SCRATCH: dict[str, Any] = {"optim": {"kind": "adamw", "lr": 1e-3}, "budget": {"epochs": 12, "batch": 32}}


@dataclass(frozen=True)
class Case:
    """Which of the four cases a target set is. images: for training. stage: an earlier one, the middle of the
    network's. top, early: how well the features of the last and of that stage tell the classes apart: the share that is
    nearest to its own class's mean (leave-one-out)."""

    images: int
    large: bool
    similar: bool
    stage: int
    top: float | None = None
    early: float | None = None

    @property
    def plan(self) -> tuple[Plan, str]:
        """What to do (SPEC §5), and in words why."""
        size = f"{self.images:,} training images are {'many' if self.large else 'few'}"
        near = f"the set is {'like' if self.similar else 'unlike'} the one that the weights know"
        if self.top is not None and self.early is not None:
            near += (
                f" (nearest class mean: {self.top:.0%} by the last features, {self.early:.0%} by stage {self.stage}'s)"
            )
        plans: dict[tuple[bool, bool], Plan] = {
            (False, True): Linear(),
            (False, False): Stage(stage=self.stage),
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
    scratch: train the same network from random weights as well. epochs: of the plan, and from scratch too unless the
    plan learns on features, whose epochs are no measure for training on images. settings: `a.b=c` texts for both runs.
    out: a new folder, by default one in runs/; or that of the same transfer, which was stopped: what is finished there
    stays, and the rest is done. Raises VisusError.
    """
    alone("a transfer")
    if out is not None:
        _check_free(Path(out))
    watch, settings = watch or Terminal(), tuple(settings)
    base = overrides(
        data__source=str(source), model__name=model, seed=seed, runtime__device=device, augment={"flip": True}
    )
    data = compose(base, settings).data
    dataset = divide(open_dataset(data), data, seed if data.seed is None else data.seed)
    case = None
    if plan is None:
        case = which_case(dataset, model, weights, similar=similar, large=large, device=device, watch=watch)
        chosen, why = case.plan
        watch.say(f"plan: {_named(chosen)}, since {why}")
    else:
        chosen = parse_plan(plan) if isinstance(plan, str) else plan
    recipe = _recipe(base, chosen, weights, epochs, settings)
    folder = _folder(out, dataset.name, dumps(recipe))
    with _begun(folder, dumps(recipe)):
        watch.say(f"— {_named(chosen)}")
        run = _run(recipe, folder / _named(chosen).replace(":", "-"), watch)
        other = None
        if scratch and not isinstance(chosen, Scratch):
            watch.say("— scratch")
            as_many = None if isinstance(chosen, Linear | Stage) else epochs
            recipe = _recipe(_same(base, run.recipe), Scratch(), None, as_many, settings)
            other = _run(recipe, folder / "scratch", watch)
    found = Transferred(folder, chosen, case, run, other)
    assert run.recipe.task is not None  # a run's recipe leaves nothing open
    goal = run.recipe.task.goal(run.predictor().schema)
    _draw(found, dataset, goal)
    _tell(found, goal, watch)
    return found


def which_case(
    dataset: Dataset, model: str, weights: str, *, similar: bool | None = None, large: bool | None = None,
    device: str = "auto", watch: Watch | None = None,
) -> Case:  # fmt: skip
    """Few or many images, like or unlike those that the weights know: given, or found from the training split.

    A set is like theirs where the features before their last layer tell its classes apart at least as well as those of
    the stage in the middle do.
    """
    watch = watch or Terminal()
    train = dataset.splits["train"]
    large = len(train) >= LARGE if large is None else large
    card = find(model)
    middle = len(stage_shapes(card.spec, card.input)) // 2
    if similar is not None:
        return Case(len(train), large, similar, middle)
    if "label" not in dataset.schema.targets:
        raise DataError(
            "whether a set is like the weights' own is found from labels, and it has none",
            "say it: --similar or --no-similar",
        )
    found = find_weights(weights, model)
    with WithoutRandomStart():
        network = build_classifier(found.network, found.input, found.classes)
    put(network, found, new_head=False)
    network.eval().to(device_of(device))
    schema = Schema(shape=dataset.schema.shape, labels=dataset.schema.labels)
    preprocess = preprocess_of(Preprocessing(), schema, find(model), train, found)
    with watch.work("looking whether the set is like the weights' own") as bar:
        loader = Loader(prepare(train, schema, preprocess, progress=bar), preprocess, 64, device_of(device))
        top, low = (nearest_mean(*values_of(pooled_features(network, stage), loader)) for stage in (None, middle))
    return Case(len(train), large, top >= low, middle, top, low)


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
    distance[row, own] *= np.square(n / np.maximum(n - 1, 1))
    distance[row[n == 1], own[n == 1]] = np.inf  # nothing is left of its class
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


def _same(base: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    """The settings with the network of a run, whole, and the geometry of its images; colours are scaled anew."""
    spec = recipe.model.spec
    assert spec is not None  # a run's recipe leaves nothing open
    seen = {key: value for key, value in tree(recipe.preprocess).items() if key in ("size", "channels", "fit", "crop")}
    return merge(base, {"model": {"spec": tree(spec.network if isinstance(spec, Cut) else spec)}, "preprocess": seen})


def _named(plan: Plan) -> str:
    if isinstance(plan, Stage):
        return f"stage:{plan.stage}"
    return f"partial:{plan.stages}" if isinstance(plan, Partial) else type(plan).__name__.lower()


def _check_free(folder: Path) -> None:
    """Raise RunError for a folder that holds anything but a transfer which was begun and isn't finished."""
    if folder.exists() and ((folder / SUMMARY).exists() or not (folder / ASKED).exists()):
        raise RunError(f"{folder}: exists already", "name a new folder")


def _folder(out: str | Path | None, name: str, asked: str) -> Path:
    """The folder named, or one in runs/: a new one, or that of the same transfer, if it isn't finished.

    Raises RunError where the folder named is that of another transfer.
    """
    if out is not None:
        if Path(out).exists() and not _same_transfer(Path(out), asked):
            raise RunError(
                f"{out}: holds another transfer, which isn't finished",
                f"repeat its own command, whose settings are in {Path(out) / ASKED}, or name a new folder",
            )
        return Path(out)
    folder, number = Path("runs") / f"{name}-transfer", 2
    while folder.exists() and ((folder / SUMMARY).exists() or not _same_transfer(folder, asked)):
        folder, number = Path("runs") / f"{name}-transfer-{number}", number + 1
    return folder


def _same_transfer(folder: Path, asked: str) -> bool:
    return (folder / ASKED).is_file() and (folder / ASKED).read_text(encoding="utf-8") == asked


@contextmanager
def _begun(folder: Path, asked: str) -> Iterator[None]:
    """What is asked stands in the folder, so that the same command goes on there; of what is refused nothing stays."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / ASKED, asked)
    except OSError as problem:
        raise RunError(
            f"{folder}: can't be made: {problem.strerror or problem}", "name another folder: --out"
        ) from None
    try:
        yield
    except Interrupted as stop:
        raise Interrupted(
            stop.problem, f"repeat the command with --out {folder}: it goes on there, and what is finished stays"
        ) from None
    except VisusError:
        if [each.name for each in folder.iterdir()] == [ASKED]:
            (folder / ASKED).unlink()
            folder.rmdir()
        raise


def _run(recipe: Recipe, folder: Path, watch: Watch) -> Run:
    """The run of this folder: as it is, if it is finished; gone on with, if it was begun; or else a new one."""
    if (run := finished(folder)) is not None:
        watch.say(f"{folder}: is finished already")
        return run
    if (folder / RECIPE).is_file():
        return resume(folder, watch)
    return train_recipe(recipe, watch, run=str(folder))


def _rows(found: Transferred) -> list[tuple[str, Run, float]]:
    """The runs by the names of their plans, with the seconds that their training took."""
    runs = [(_named(found.plan), found.run)] + ([("scratch", found.scratch)] if found.scratch else [])
    return [(name, run, run.history[-1]["seconds"] if run.history else 0.0) for name, run in runs]


def _draw(found: Transferred, dataset: Dataset, goal: str) -> None:
    """curves.png, where there are validation figures, and transfer.md, with which the transfer is finished."""
    network, rows = found.run.recipe.model.name, _rows(found)
    lines = [f"# {network} on {dataset.name}", ""]
    if found.case is not None:
        lines += [f"Plan: {_named(found.plan)}, since {found.case.plan[1]}.", ""]
    lines += ["| plan | score | value | 95 % interval | n | epochs | seconds of training |"]
    lines += ["|---|---|--:|---|--:|--:|--:|"]
    for name, run, seconds in rows:
        score = run.scores[goal]
        lines.append(
            f"| {name} | {spoken(goal)} ({run.split}) | {score.text} | {score.interval} | {score.n} | "
            f"{len(run.history)} | {seconds:.1f} |"
        )
    histories = {name: run.history for name, run, _ in rows if run.history and f"val/{goal}" in run.history[0]}
    if histories:
        title = f"{network} on {viz.label(dataset.name, 40)}: validation {spoken(goal)}"
        best = {name: run.best for name, run, _ in rows if run.best is not None}
        viz.save(viz.compared_curves(histories, best, goal, title), found.folder / CURVES)
        lines += ["", f"![Validation curves]({CURVES})"]
    write_atomic(found.folder / SUMMARY, "\n".join([*lines, ""]))


def _tell(found: Transferred, goal: str, watch: Watch) -> None:
    table = [
        (name, spoken(goal), score.text, score.interval, str(score.n), str(len(run.history)), f"{seconds:.1f}")
        for name, run, seconds in _rows(found)
        for score in (run.scores[goal],)
    ]
    split = found.run.split
    watch.table(f"on {split}", ("plan", "score", "value", "95 % interval", "n", "epochs", "seconds"), table)
    scores = {name: {key: tree(score) for key, score in run.scores.items()} for name, run, _ in _rows(found)}
    facts = {"folder": str(found.folder), "plan": tree(found.plan), "split": split, "scores": scores}
    watch.event("transfer", facts)
    watch.say(f"summary: {found.folder / SUMMARY}")
