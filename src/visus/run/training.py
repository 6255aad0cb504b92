"""Training: from a recipe to a run folder with a model, figures and pictures in it."""

from __future__ import annotations

import dataclasses
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from msgspec.structs import replace
from torch import Tensor, nn

from visus import __version__, viz
from visus.adaptation import set_epoch
from visus.data.loader import Loader, generator
from visus.data.open import open_dataset
from visus.data.splits import divide
from visus.errors import CheckpointError, RunError
from visus.nn import Classifier, load_state
from visus.prediction import NetworkPredictor
from visus.run.device import device_of, precision_of, setting
from visus.run.evaluation import Evaluation, epoch_line, evaluate_predictor
from visus.run.failures import is_out_of_memory, named, out_of_memory
from visus.run.find_rate import sweep
from visus.run.folder import RunFolder, begun_by, check_free, create, entered, existing
from visus.run.job import Job, mark, restarted, together
from visus.run.outcome import Run, announce, bundle, finished, tell
from visus.run.recipe import Recipe
from visus.run.report import REPORT, write_report
from visus.run.resolve import resolve
from visus.run.spreading import check_ranks, divided_outputs, spread, spread_players
from visus.run.start import known_features, players, read_splits, start, unread, with_batch
from visus.run.state import State, from_checkpoint, to_checkpoint
from visus.run.stopping import Interrupted, stop_asked
from visus.run.track import Events
from visus.run.tuning import Trial, compiled_players, unchanged
from visus.run.watch import Silent, Terminal, Watch
from visus.text import counted
from visus.training import Learner, NotFinite, OneCycle, Player, Step, fit, ready
from visus.training.checkpoint import SUFFIX, Checkpoint, newest, read, rotate, write
from visus.training.divided import put, whole

READING = 0.1  # seconds: losses are read so often, since reading one waits for an accelerator


def train_recipe(
    recipe: Recipe, watch: Watch, *, run: str | None = None, root: Path = Path("runs"), find_rate: bool = False
) -> Run:
    """Train as a recipe says, in a new run folder. find_rate: set the learning rate to what a sweep suggests.

    Under torchrun all of its processes train the one network; where it started them again, they go on with their run.
    """
    with together() as job:
        ranks, watch = job.ranks, watch if job.ranks.first else Silent()
        begun = ranks.share(lambda: begun_by(mark(), run, root)) if restarted() else None
        if begun is not None:
            return _go_on(job, begun, watch)
        ranks.share(lambda: check_free(run))
        with setting(recipe.runtime, recipe.seed, ranks):
            training = _Training(recipe, watch, job)  # what can't be used is refused before anything is written
            with entered(lambda: create(run, training.plan.dataset.name, root), ranks) as folder:
                training.enter(folder)
                training.tune()
                if find_rate:
                    training.find_rate()
                if ranks.first:
                    folder.write_recipe(training.recipe)
                    several = {"ranks": ranks.count, "job": mark()} if mark() else {}
                    folder.write_environment((), device=str(training.device), start=training.began, **several)
                return training.go(State(seconds=training.seconds))


def resume(path: str | Path, watch: Watch | None = None, *, epochs: int | None = None) -> Run:
    """Go on with a run where its newest whole checkpoint is, or from the beginning if it was stopped before the first;
    with more epochs in all, where given. Of one that has finished, only what it came to is said.

    On as many processes as torchrun started, whatever their number was before. Raises RunError when the data aren't
    those that the run began with.
    """
    with together() as job:
        return _go_on(job, Path(path), (watch or Terminal()) if job.ranks.first else Silent(), epochs)


def _go_on(job: Job, path: Path, watch: Watch, epochs: int | None = None) -> Run:
    ranks = job.ranks
    with entered(lambda: existing(path), ranks) as folder:
        recipe, checkpoint, run = ranks.share(lambda: _begun(folder, watch, epochs))
        if run is not None:
            return run
        with setting(recipe.runtime, recipe.seed, ranks):
            training = _Training(recipe, watch, job)
            if checkpoint is None:
                training.enter(folder)
                return training.go(State(seconds=training.seconds))
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
            if epochs is not None and ranks.first:
                folder.extend(training.recipe, checkpoint.facts["step"])
            found = from_checkpoint(checkpoint, training.model, training.average, training.learners, ranks)
            return training.go(found)


def _begun(folder: RunFolder, watch: Watch, epochs: int | None) -> tuple[Recipe, Checkpoint | None, Run | None]:
    """The settings of a run, where it is (None: at its beginning), and what it came to, if it has finished."""
    path, recipe = folder.path, folder.recipe()
    if epochs is not None:
        if epochs <= recipe.budget.epochs:
            raise RunError(f"{path}: has {recipe.budget.epochs} epochs already", "name more in all: --epochs")
        recipe = replace(recipe, budget=replace(recipe.budget, epochs=epochs))
    if not any(folder.checkpoints.iterdir()):
        return recipe, None, None
    checkpoint, problems = newest(folder.checkpoints)
    for problem in problems:
        watch.say(f"{problem}: going back to step {checkpoint.facts['step']}")
    run = finished(path) if epochs is None else None
    if run is not None:
        watch.say(
            f"{path}: has finished its {counted(recipe.budget.epochs, 'epoch')}; report: {path / REPORT}\n"
            f"  → to train it for longer: visus extend {path} --epochs {2 * recipe.budget.epochs}"
        )
    return recipe, checkpoint, run


class _Training:
    """One process's work on one run: first what is needed is built and read, then a folder is entered.

    Of several, all do the same, each with its part of every batch; the first writes.
    """

    folder: RunFolder

    def __init__(self, recipe: Recipe, watch: Watch, job: Job) -> None:
        self.job, self.ranks, self.watch = job, job.ranks, watch
        with self.ranks.in_turn():  # what has to be fetched is fetched once
            self.plan = plan = resolve(recipe, divide(open_dataset(recipe.data), recipe.data, recipe.seed), watch.say)
        recipe = plan.recipe
        self.fingerprint = plan.dataset.fingerprint()
        check_ranks(plan, self.ranks, self.fingerprint)
        self.device, self.precision = device_of(recipe.runtime.device, self.ranks), precision_of(recipe.runtime)
        self.notes: list[str] = []  # said once there is a folder
        self.start = start(plan, self.device, self.notes.append)
        self.model = self.start.model
        self.began = self.start.state()
        self.average, self.sharded = spread(self.start, plan, self.ranks, self.device)
        self.loaders, self.listed = read_splits(plan, self.device, watch, self.ranks), 0
        began = time.perf_counter()
        self.features = known_features(self.start, self.loaders, self.precision, watch)
        self.seconds = time.perf_counter() - began if self.features else 0.0  # of training, before the first step
        self._take(recipe)
        if not self.ranks.first:  # what is dropped out of one's samples is another's than out of others'
            torch.manual_seed(generator(recipe.seed, self.ranks.rank).initial_seed())

    def _take(self, recipe: Recipe) -> None:
        """Go by these settings, in which what is found by trying may have been found."""
        self.recipe, self.precision = recipe, precision_of(recipe.runtime)
        self.plan = dataclasses.replace(self.plan, recipe=recipe)
        self.learners: tuple[Learner, ...] = ready(self._players(recipe.runtime.compile == "on"), recipe.optim)
        for loaders in (self.loaders, self.features):
            if "train" in loaders:
                loaders["train"] = with_batch(loaders["train"], recipe.budget)
        self.turns = recipe.budget.accumulate * sum(learner.player.turns for learner in self.learners)
        self.steps_per_epoch = max(1, len(self.loaders["train"]) // max(1, self.turns))
        self.steps = self.steps_per_epoch * recipe.budget.epochs

    def tune(self) -> None:
        """Find by trying what the recipe leaves open."""
        self._mode(0)
        trial = Trial(self._players, self.model, self._training_loader, self.recipe, self.ranks)
        self._take(trial.settings(exact=self.plan.task.exact or self.start.fixed is not None, say=self.say))

    def enter(self, folder: RunFolder) -> None:
        """Write into this folder from now on."""
        self.folder = folder
        self.job.logs(folder.log)
        self._list_skipped()

    @property
    def kept(self) -> nn.Module:
        """The weights that are evaluated and kept."""
        return self.average.module if self.average is not None else self.model

    def say(self, text: str) -> None:
        """To whom it concerns, and to log.txt."""
        self.watch.say(text)
        if self.ranks.first:
            self.folder.log(text)

    def _list_skipped(self) -> None:
        """What couldn't be read so far; what is read as it is needed may go bad at any time."""
        parts = self.ranks.gather(unread(self.plan, self.loaders))
        found = list(dict.fromkeys(each for part in parts for each in part))
        if len(found) > self.listed:
            self.listed = len(found)
            if self.ranks.first:
                self.folder.write_skipped(found)
            self.say(f"{counted(self.listed, 'file')} left out, listed in {self.folder.path / 'bad_files.csv'}")

    def go(self, state: State) -> Run:
        """Train from a state to the end, then measure, draw and bundle."""
        where = self.device.type + (f" by {self.ranks.count} ranks" if self.ranks.count > 1 else "")
        announce(self.plan, self.start.whole, self.loaders, where, self.say)
        for note in self.notes:
            self.say(note)
        self.say(f"run: {self.folder.path}" + (f", from step {state.step}" if state.step else ""))
        with (
            Events(self.folder.path) if self.ranks.first else nullcontext() as events,
            stop_asked() if self.job.asked is None else nullcontext(self.job.asked) as asked,
        ):
            try:
                self._train(state, events, asked)
            except NotFinite as problem:  # on all ranks at once
                raise named(problem, self.loaders["train"].prepared.samples, self.folder, self.ranks) from None
            except (RuntimeError, MemoryError) as problem:
                if not is_out_of_memory(problem):
                    raise
                batch = self.loaders["train"].batch
                raise out_of_memory(problem, self.recipe, batch, self.device, self.folder, self.ranks) from None
        return self._finish(state)

    def find_rate(self) -> None:
        """Set the learning rate to what a sweep suggests; the curve is drawn, and the weights are put back."""
        self._mode(0)
        with unchanged(self.model), self.watch.work("finding the learning rate") as bar:
            found = sweep(self.learners, self._training_loader.train(), self.precision, bar)
        path = self.folder.plots / "rate.png"
        if self.ranks.first:
            viz.save(viz.rate_curve(found.rates, found.losses, found.smooth, found.suggestion), path)
        self.say(f"learning rate: {found.suggestion:g}, where the loss falls fastest ({path})")
        self._take(replace(self.recipe, optim=replace(self.recipe.optim, lr=found.suggestion)))

    def _train(self, state: State, events: Events | None, asked: threading.Event) -> None:
        if not self.learners:
            return
        schedule, epochs = self.recipe.schedule, self.recipe.budget.epochs
        batches: Any = self._training_loader.train(state.step * self.turns)
        unread, note = list[Step](), ""
        looked = began = time.perf_counter() - state.seconds
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
                state.step = step.index + 1
                unread.append(step)
                epoch, within = divmod(state.step, self.steps_per_epoch)
                if within == 0 or time.perf_counter() - looked >= READING:
                    state.add(unread)
                    note, looked = self._note(state, within), time.perf_counter()
                state.seconds = time.perf_counter() - began
                bar(state.step, self.steps, note)
                if within == 0:
                    self._end_epoch(state, epoch, step.rate, events)
                    self._mode(epoch)
                    self._save(state)
                    if len(state.history) < epochs and state.stale(self.recipe.budget.patience):
                        risen = (state.best or 0) + 1
                        self.say(f"stopped early: the validation score hasn't risen since epoch {risen}")
                        break
                    began = time.perf_counter() - state.seconds  # measuring and saving aren't training
                if self.ranks.any(asked.is_set()):
                    state.add(unread)
                    self._save(state)
                    self._stop(state)
        batches.close()

    def _note(self, state: State, within: int) -> str:
        done = within or self.steps_per_epoch
        loss = sum(state.sums.values()) / done
        goal = f"  val {self.plan.task.goal(self.plan.schema)} {state.scores[-1]:.4g}" if state.scores else ""
        return f"loss {loss:.3f}{goal}"

    def _end_epoch(self, state: State, epoch: int, rate: float, events: Events | None) -> None:
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
        if events is not None:
            events.write(row)
            self.folder.write_history(state.history)
        self.watch.event("epoch", row)
        self.say(epoch_line(row, self.recipe.budget.epochs, self.plan.task.goal(self.plan.schema)))
        if state.best is None or not state.ranks or state.ranks[-1] > state.ranks[state.best]:
            state.best = len(state.history) - 1
            facts = {"step": state.step, "epoch": epoch, "version": __version__}
            tensors = whole({f"model.{name}": value for name, value in self.kept.state_dict().items()})
            if self.ranks.first:
                write(self.folder.checkpoints / f"best{SUFFIX}", Checkpoint(tensors, facts))

    def _save(self, state: State) -> None:
        facts = {"fingerprint": self.fingerprint, "version": __version__, "fixed": self.start.digest()}
        found = to_checkpoint(state, self.model, self.average, self.learners, facts, self.ranks)
        if self.ranks.first:
            rotate(self.folder.checkpoints, found)

    def _stop(self, state: State) -> None:
        self.ranks.wait()  # for the first one's save
        if self.ranks.first:
            self.folder.log(f"stopped at step {state.step}")
        raise Interrupted(
            f"stopped at step {state.step} of {self.steps}", f"go on with `visus resume {self.folder.path}`"
        )

    def _finish(self, state: State) -> Run:
        best = self.folder.checkpoints / f"best{SUFFIX}"
        if self.learners:
            weights = self.ranks.share(lambda: self._best(best))
            for model in (self.kept, self.model):  # an average goes where the whole network finds it too
                put(model, weights, str(best))
        held = self.loaders["val" if "val" in self.loaders else "train"]
        self.plan.task.calibrate(self.kept, self.loaders["train"].evaluate(), held.evaluate())
        split = next(name for name in ("test", "val", "train") if name in self.loaders)
        with self.watch.work(f"evaluating {split}") as bar:
            prepared, batch = self.loaders[split].prepared, self.loaders[split].batch
            predictor = self._predictor(torch.float32)  # as the bundle answers
            found = evaluate_predictor(predictor, prepared, batch=batch, cases=True, bar=bar, ranks=self.ranks)
        predictor = self._predictor(torch.float32, joined=True)
        if self.ranks.first:
            prepared = self.loaders["val" if "val" in self.loaders else split].prepared
            bundle(self.folder, predictor, prepared, found, split)
            write_report(self.folder, self.plan, found, split, state.history, state.best, state.seconds)
            tell(self.folder, found, split, state, self.watch)
        return Run(self.folder.path, self.recipe, found.scores, split, tuple(state.history), state.best)

    def _best(self, best: Path) -> dict[str, Tensor]:
        try:
            return read(best).part("model")
        except CheckpointError as problem:
            raise CheckpointError(problem.problem, f"`visus resume {self.folder.path}` after removing it") from None

    def _players(self, compiled: bool) -> tuple[Player, ...]:
        found = players(self.plan, self.model)
        return spread_players(compiled_players(found) if compiled else found, self.plan, self.ranks)

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

    def _predictor(self, precision: torch.dtype, *, joined: bool = False) -> NetworkPredictor:
        """What is bundled in the end. joined: put together where it is divided among ranks."""
        model = self.kept if self.start.fixed is None else self.start.whole
        manifest = self.plan.manifest(self.fingerprint)
        if self.sharded and joined:
            tensors = whole(model.state_dict())
            model = self.plan.task.assemble(self.plan.network, self.plan.preprocess.seen(self.plan.schema))
            load_state(model, tensors, "the divided network")
        engine = divided_outputs(model, self.plan.preprocess, precision) if self.sharded and not joined else None
        return NetworkPredictor(manifest, model.eval(), precision, engine)

    def _while_training(self, split: str) -> Evaluation:
        """A measure of an epoch; of a network whose features are known, of the layer that learns on them."""
        loader = self.features.get(split, self.loaders[split])
        predictor = self._predictor(self.precision)
        if split in self.features:
            manifest = replace(predictor.manifest, preprocess=loader.preprocess)
            predictor = NetworkPredictor(manifest, self.kept.eval(), self.precision)
        found = evaluate_predictor(predictor, loader.prepared, batch=loader.batch, ranks=self.ranks)
        self.kept.train()
        return found
