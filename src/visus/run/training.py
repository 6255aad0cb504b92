"""Training: from a recipe to a run folder with a model, figures and pictures in it."""

from __future__ import annotations

import dataclasses
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace
from torch import nn
from torch.optim.swa_utils import AveragedModel

from visus import __version__, viz
from visus.adaptation import set_epoch
from visus.data.loader import Loader
from visus.data.open import open_dataset
from visus.data.splits import divide
from visus.errors import CheckpointError, RunError
from visus.metrics import Score
from visus.nn import Classifier, load_state
from visus.prediction import NetworkPredictor, Predictor, read_manifest
from visus.prediction import load as load_bundle
from visus.prediction import save as save_bundle
from visus.prediction.bundle import MANIFEST
from visus.run.device import device_of, precision_of, setting
from visus.run.evaluation import Evaluation, epoch_line, evaluate_predictor, rows_of
from visus.run.failures import is_out_of_memory, named, out_of_memory
from visus.run.find_rate import sweep
from visus.run.folder import RunFolder, check_free, create, existing
from visus.run.recipe import Recipe
from visus.run.report import REPORT, write_report
from visus.run.resolve import Plan, resolve
from visus.run.start import known_features, players, read_splits, start, unread
from visus.run.state import State, averaging, from_checkpoint, to_checkpoint
from visus.run.stopping import Interrupted, stop_asked
from visus.run.track import Events
from visus.run.watch import Terminal, Watch
from visus.spec import tree
from visus.text import counted
from visus.training import Learner, NotFinite, OneCycle, fit, ready
from visus.training.checkpoint import SUFFIX, Checkpoint, newest, random_state, read, rotate, set_random_state, write

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


def train_recipe(
    recipe: Recipe, watch: Watch, *, run: str | None = None, root: Path = Path("runs"), find_rate: bool = False
) -> Run:
    """Train as a recipe says, in a new run folder. find_rate: set the learning rate to what a sweep suggests."""
    check_free(run)
    with setting(recipe.runtime, recipe.seed):
        training = _Training(_plan(recipe, watch), watch)  # what can't be used is refused before anything is written
        with create(run, training.plan.dataset.name, root) as folder:
            training.enter(folder)
            if find_rate:
                training.find_rate()
            folder.write_recipe(training.recipe)
            folder.write_environment((), device=str(training.device), start=training.start.state())
            return training.go(State(seconds=training.seconds))


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


def resume(path: str | Path, watch: Watch | None = None, *, epochs: int | None = None) -> Run:
    """Go on with a run where its newest whole checkpoint is, or from the beginning if it was stopped before the first;
    with more epochs in all, where given. Of one that has finished, only what it came to is said.

    Raises RunError when the data aren't those that the run began with.
    """
    path, watch = Path(path), watch or Terminal()
    with existing(path) as folder:
        recipe = folder.recipe()
        if epochs is not None:
            if epochs <= recipe.budget.epochs:
                raise RunError(f"{path}: has {recipe.budget.epochs} epochs already", "name more in all: --epochs")
            recipe = replace(recipe, budget=replace(recipe.budget, epochs=epochs))
        if not any(folder.checkpoints.iterdir()):
            with setting(recipe.runtime, recipe.seed):
                training = _Training(_plan(recipe, watch), watch)
                training.enter(folder)
                return training.go(State(seconds=training.seconds))
        checkpoint, problems = newest(folder.checkpoints)
        for problem in problems:
            watch.say(f"{problem}: going back to step {checkpoint.facts['step']}")
        if epochs is None and (run := finished(path)) is not None:
            watch.say(
                f"{path}: has finished its {counted(recipe.budget.epochs, 'epoch')}; report: {path / REPORT}\n"
                f"  → to train it for longer: visus extend {path} --epochs {2 * recipe.budget.epochs}"
            )
            return run
        with setting(recipe.runtime, recipe.seed):
            training = _Training(_plan(recipe, watch), watch)
            if checkpoint.facts["fingerprint"] != training.fingerprint:
                raise RunError(
                    f"{path}: the data have changed since the run began: their fingerprint was "
                    f"{checkpoint.facts['fingerprint']} and is {training.fingerprint}",
                    "put them back, or train anew",
                )
            if checkpoint.facts.get("fixed", "") != training.start.digest():
                raise RunError(
                    f"{path}: the weights {recipe.model.weights} have changed since the run began",
                    "put them back, or train anew",
                )
            training.enter(folder)
            if epochs is not None:
                folder.extend(training.recipe, checkpoint.facts["step"])
            return training.go(from_checkpoint(checkpoint, training.model, training.average, training.learners))


class _Training:
    """One process's work on one run: first what is needed is built and read, then a folder is entered."""

    folder: RunFolder

    def __init__(self, plan: Plan, watch: Watch) -> None:
        recipe = plan.recipe
        self.plan, self.recipe, self.watch = plan, recipe, watch
        self.device, self.precision = device_of(recipe.runtime.device), precision_of(recipe.runtime)
        self.fingerprint = plan.dataset.fingerprint()
        self.notes: list[str] = []  # said once there is a folder
        self.start = start(plan, self.device, self.notes.append)
        self.model = self.start.model
        last = recipe.runtime.channels_last and len(plan.preprocess.shape) == 3
        if last:
            self.start.whole.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = None
        if recipe.budget.ema is not None:
            self.average = AveragedModel(self.model, multi_avg_fn=averaging(recipe.budget.ema), use_buffers=True)
        self.learners: tuple[Learner, ...] = ready(players(plan, self.model), recipe.optim)
        self.loaders, self.listed = read_splits(plan, self.device, watch), 0
        began = time.perf_counter()
        self.features = known_features(self.start, self.loaders, self.precision, watch)
        self.seconds = time.perf_counter() - began if self.features else 0.0  # of training, before the first step
        self.turns = recipe.budget.accumulate * sum(learner.player.turns for learner in self.learners)
        self.steps_per_epoch = max(1, len(self.loaders["train"]) // max(1, self.turns))
        self.steps = self.steps_per_epoch * recipe.budget.epochs

    def enter(self, folder: RunFolder) -> None:
        """Write into this folder from now on."""
        self.folder = folder
        self._list_skipped()

    @property
    def kept(self) -> nn.Module:
        """The weights that are evaluated and kept."""
        return self.average.module if self.average is not None else self.model

    def say(self, text: str) -> None:
        """To whom it concerns, and to log.txt."""
        self.watch.say(text)
        self.folder.log(text)

    def _list_skipped(self) -> None:
        """What couldn't be read so far; what is read as it is needed may go bad at any time."""
        if len(found := unread(self.plan, self.loaders)) > self.listed:
            self.listed = self.folder.write_skipped(found)
            self.say(f"{counted(self.listed, 'file')} left out, listed in {self.folder.path / 'bad_files.csv'}")

    def go(self, state: State) -> Run:
        """Train from a state to the end, then measure, draw and bundle."""
        self._announce(state)
        with Events(self.folder.path) as events, stop_asked() as asked:
            try:
                self._train(state, events, asked)
            except NotFinite as problem:
                raise named(problem, self.loaders["train"].prepared.samples, self.folder) from None
            except (RuntimeError, MemoryError) as problem:
                if not is_out_of_memory(problem):
                    raise
                batch = self.loaders["train"].batch
                raise out_of_memory(problem, self.recipe, batch, self.device, self.folder) from None
        return self._finish(state)

    def find_rate(self) -> None:
        """Set the learning rate to what a sweep suggests; the curve is drawn, and the weights are put back."""
        weights = {name: value.clone() for name, value in self.model.state_dict().items()}
        state = random_state()
        self._mode(0)
        with self.watch.work("finding the learning rate") as bar:
            found = sweep(self.learners, self._training_loader.train(), self.precision, bar)
        load_state(self.model, weights, "the network before the sweep")
        set_random_state(state)
        path = self.folder.plots / "rate.png"
        viz.save(viz.rate_curve(found.rates, found.losses, found.smooth, found.suggestion), path)
        self.say(f"learning rate: {found.suggestion:g}, where the loss falls fastest ({path})")
        self.recipe = replace(self.recipe, optim=replace(self.recipe.optim, lr=found.suggestion))
        self.plan = dataclasses.replace(self.plan, recipe=self.recipe)
        self.learners = ready(players(self.plan, self.model), self.recipe.optim)

    def _train(self, state: State, events: Events, asked: threading.Event) -> None:
        if not self.learners:
            self.plan.task.calibrate(self.model, self.loaders["train"].evaluate())
            return
        schedule, epochs = self.recipe.schedule, self.recipe.budget.epochs
        batches: Any = self._training_loader.train(state.step * self.turns)
        began = time.perf_counter() - state.seconds
        with self.watch.work("training") as bar:
            steps = fit(
                self.learners, batches, steps=self.steps, start=state.step,
                rate=lambda done: schedule.factor(done, state.scores),
                momentum=schedule.momentum_at if isinstance(schedule, OneCycle) else lambda done: None,
                clip=self.recipe.budget.clip, accumulate=self.recipe.budget.accumulate, precision=self.precision,
            )  # fmt: skip
            self._mode(state.step // self.steps_per_epoch)
            for step in steps:
                if self.average is not None:
                    self.average.update_parameters(self.model)
                state.step, state.skipped = step.index + 1, state.skipped + step.skipped
                for player, parts in step.losses.items():
                    for name, value in parts.items():
                        key = name if len(step.losses) == 1 else f"{player}/{name}"
                        state.sums[key] = state.sums.get(key, 0.0) + value.item()
                state.seconds = time.perf_counter() - began
                epoch, within = divmod(state.step, self.steps_per_epoch)
                bar(state.step, self.steps, self._note(state, within))
                if within == 0:
                    self._end_epoch(state, epoch, step.rate, events)
                    self._mode(epoch)
                    self._save(state)
                    if self._enough(state, epochs):
                        break
                    began = time.perf_counter() - state.seconds  # measuring and saving aren't training
                if asked.is_set():
                    self._save(state)
                    self._stop(state)
        batches.close()

    def _note(self, state: State, within: int) -> str:
        done = within or self.steps_per_epoch
        loss = sum(state.sums.values()) / done
        goal = f"  val {self.plan.task.goal(self.plan.schema)} {state.scores[-1]:.4g}" if state.scores else ""
        return f"loss {loss:.3f}{goal}"

    def _end_epoch(self, state: State, epoch: int, rate: float, events: Events) -> None:
        self._list_skipped()
        row: dict[str, float] = {"epoch": epoch, "step": state.step}
        if len(state.sums) > 1:
            row |= {f"train/{name}": total / self.steps_per_epoch for name, total in state.sums.items()}
        row["train/loss"] = sum(state.sums.values()) / self.steps_per_epoch
        if "val" in self.loaders:
            found = self._while_training("val")
            row |= {f"val/{name}": score.value for name, score in found.scores.items()}
            goal = found.scores[self.plan.task.goal(self.plan.schema)]
            state.scores.append(goal.value if goal.higher else -goal.value)
            loss = found.scores["loss"].value if "loss" in found.scores else 0.0
            state.ranks.append([state.scores[-1], -loss])  # of two epochs with equal scores the lower loss is better
        row |= {"rate": rate, "seconds": round(state.seconds, 3)}
        if state.skipped:
            row["skipped_steps"] = state.skipped
        state.history.append(row)
        state.sums.clear()
        events.write(row)
        self.folder.write_history(state.history)
        self.watch.event("epoch", row)
        self.say(epoch_line(row, self.recipe.budget.epochs, self.plan.task.goal(self.plan.schema)))
        if state.best is None or not state.ranks or state.ranks[-1] > state.ranks[state.best]:
            state.best = len(state.history) - 1
            facts = {"step": state.step, "epoch": epoch, "version": __version__}
            tensors = {f"model.{name}": value for name, value in self.kept.state_dict().items()}
            write(self.folder.checkpoints / f"best{SUFFIX}", Checkpoint(tensors, facts))

    def _enough(self, state: State, epochs: int) -> bool:
        patience = self.recipe.budget.patience
        if patience is None or state.best is None or len(state.history) >= epochs:
            return False
        if len(state.history) - 1 - state.best <= patience:
            return False
        self.say(f"stopped early: the validation score hasn't risen since epoch {state.best + 1}")
        return True

    def _save(self, state: State) -> None:
        facts = {"fingerprint": self.fingerprint, "version": __version__, "fixed": self.start.digest()}
        rotate(self.folder.checkpoints, to_checkpoint(state, self.model, self.average, self.learners, facts))

    def _stop(self, state: State) -> None:
        self.folder.log(f"stopped at step {state.step}")
        raise Interrupted(
            f"stopped at step {state.step} of {self.steps}", f"go on with `visus resume {self.folder.path}`"
        )

    def _finish(self, state: State) -> Run:
        best = self.folder.checkpoints / f"best{SUFFIX}"
        if self.learners:
            try:
                weights = read(best).part("model")
            except CheckpointError as problem:
                raise CheckpointError(problem.problem, f"`visus resume {self.folder.path}` after removing it") from None
            for model in (self.kept, self.model):  # an average goes where the whole network finds it too
                load_state(model, weights, str(best))
        split = next(name for name in ("test", "val", "train") if name in self.loaders)
        with self.watch.work(f"evaluating {split}") as bar:
            loader = self.loaders[split]
            found = evaluate_predictor(self._predictor(), loader.prepared, batch=loader.batch, cases=True, bar=bar)
        self._bundle(found, split)
        write_report(self.folder, self.plan, found, split, state.history, state.best, state.seconds)
        self._tell(found, split, state)
        return Run(self.folder.path, self.recipe, found.scores, split, tuple(state.history), state.best)

    def _bundle(self, found: Evaluation, split: str) -> None:
        prepared = self.loaders["val" if "val" in self.loaders else split].prepared
        values = [prepared.samples.read(row) for row in prepared.rows[:GOLDENS].tolist()]
        inputs = [value if isinstance(value, np.ndarray) else value.pixels for value in values]
        predictor = self._predictor()
        manifest = replace(predictor.manifest, split=split, scores=found.scores)
        save_bundle(self.folder.model, NetworkPredictor(manifest, predictor.model), inputs)

    @property
    def _training_loader(self) -> Loader:
        return self.features.get("train", self.loaders["train"])

    def _mode(self, epoch: int) -> None:
        """What learns in an epoch, from 0, learns; what is frozen rests."""
        transfer = self.recipe.transfer
        if isinstance(self.model, Classifier) and self.start.fixed is None:
            set_epoch(self.model, transfer, epoch)
        else:
            self.model.train()

    def _predictor(self) -> NetworkPredictor:
        """What is bundled in the end."""
        model = self.kept if self.start.fixed is None else self.start.whole
        return NetworkPredictor(self.plan.manifest(self.fingerprint), model.eval(), self.precision)

    def _while_training(self, split: str) -> Evaluation:
        """A measure of an epoch; of a network whose features are known, of the layer that learns on them."""
        loader = self.features.get(split, self.loaders[split])
        manifest = self.plan.manifest(self.fingerprint)
        if split in self.features:
            manifest = replace(manifest, preprocess=loader.preprocess)
        found = evaluate_predictor(
            NetworkPredictor(manifest, self.kept.eval(), self.precision), loader.prepared, batch=loader.batch
        )
        self.kept.train()
        return found

    def _announce(self, state: State) -> None:
        sizes = ", ".join(f"{name} {len(loader.prepared.rows)}" for name, loader in self.loaders.items())
        count = sum(p.numel() for p in self.start.whole.parameters())
        self.say(f"data: {self.plan.dataset.name} ({sizes})")
        for note in self.plan.dataset.notes:
            self.say(f"  note: {note}")
        if labels := self.plan.schema.labels:
            shown = ", ".join(labels[:12]) + (f", … ({len(labels)} classes)" if len(labels) > 12 else "")
            self.say(f"labels: {shown}")
        shape = "×".join(map(str, self.plan.preprocess.shape))
        self.say(
            f"model: {self.recipe.model.name}, {count:,} parameters, input {shape}, on {self.device.type} "
            f"in {self.recipe.runtime.precision}"
        )
        for note in self.notes:
            self.say(note)
        self.say(f"run: {self.folder.path}" + (f", from step {state.step}" if state.step else ""))

    def _tell(self, found: Evaluation, split: str, state: State) -> None:
        which = "" if split == "test" else ": no test split, so these samples also chose the model"
        self.watch.table(f"{split}{which}", ("", "value", "95 % interval", "n"), rows_of(found.scores))
        self.watch.event("scores", {"split": split, "scores": {k: tree(v) for k, v in found.scores.items()}})
        self.folder.log(f"{split}: " + ", ".join(f"{name} {score.text}" for name, score in found.scores.items()))
        if state.skipped:
            self.say(f"{state.skipped} steps were skipped because a gradient wasn't finite")
        self.say(f"trained in {state.seconds:.1f} s; report: {self.folder.path / REPORT}")


def _plan(recipe: Recipe, watch: Watch) -> Plan:
    return resolve(recipe, divide(open_dataset(recipe.data), recipe.data, recipe.seed), watch.say)
