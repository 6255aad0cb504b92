"""A run done again from its folder, and compared with what it was."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import msgspec
import safetensors.torch
import torch
from msgspec.structs import replace

from visus.data.open import open_dataset
from visus.data.splits import divide
from visus.errors import RunError, VisusError, require_count
from visus.files import write_atomic
from visus.prediction import FusionManifest, read_manifest
from visus.prediction.bundle import WEIGHTS, bundle_of, is_bundle
from visus.run.device import device_of
from visus.run.folder import RECIPE, environment, existing
from visus.run.outcome import Run, finished
from visus.run.recipe import Recipe, compose
from visus.run.training import train_recipe
from visus.run.transferring import ASKED
from visus.run.watch import Bar, Terminal, Watch
from visus.spec import tree
from visus.text import counted
from visus.training.checkpoint import SUFFIX, newest, read

REPORT = "reproduction.json"
TOLERANCE = 1e-3
TIME = "seconds"  # the one figure of an epoch that no run repeats


@dataclass(frozen=True)
class Difference:
    """A number that isn't what it was. where: its name, and the epoch. share: of the greatest such number."""

    where: str
    was: float
    now: float
    share: float


@dataclass(frozen=True)
class Part:
    """What was compared: "history", "weights" or "scores". count: of numbers, epochs or tensors, as `what` says.

    first: the first that differs. worst: the one that differs the most. None where all are the same to the last bit.
    """

    name: str
    what: str
    first: Difference | None
    worst: Difference | None


@dataclass(frozen=True)
class Reproduced:
    """How a run and the same run again compare.

    environment: what isn't as it was: name → was, is. epochs: how many were compared. tolerance: what a number may
    differ by, as a share of the greatest such number.
    """

    run: Path
    again: Path
    environment: dict[str, tuple[str, str]]
    epochs: int
    parts: tuple[Part, ...]
    tolerance: float

    @property
    def identical(self) -> bool:
        """Whether every number is the same, to the last bit."""
        return all(part.worst is None for part in self.parts)

    @property
    def holds(self) -> bool:
        """Whether no number differs by more than the tolerance."""
        return all(part.worst is None or part.worst.share <= self.tolerance for part in self.parts)

    @property
    def verdict(self) -> str:
        """In words."""
        compared = f"{counted(self.epochs, 'epoch')}: " + ", ".join(part.name for part in self.parts)
        if self.identical:
            return f"identical, to the last bit ({compared})"
        worst = max((part.worst for part in self.parts if part.worst is not None), key=lambda each: each.share)
        if self.holds:
            return f"the same up to rounding ({compared}: differences up to {worst.share:.1e}, in {worst.where})"
        first = next(part.first for part in self.parts if part.first is not None)
        return (
            f"different: {worst.where} was {worst.was:.6g} and is {worst.now:.6g}, {worst.share:.1e} apart; the first "
            f"that differs is {first.where}, by {first.share:.1e}"
        )


class NotReproduced(VisusError):
    """A run that came out otherwise."""

    status = 1


def reproduce(
    path: str | Path,
    *,
    run: str | Path | None = None,
    epochs: int | None = None,
    tolerance: float = TOLERANCE,
    settings: Iterable[str] = (),
    watch: Watch | None = None,
) -> Reproduced:
    """Train a run again from its own recipe, in a new folder, and compare epochs, weights and scores.

    run: the new folder, by default RUN-again. epochs: so many of the first ones only, at the rates that they had; of a
    run that isn't finished, by default those that it has. settings: `a.b=c` texts, such as data.source=PATH where the
    data have moved. The comparison is written there too, as reproduction.json.
    Raises RunError where that can't be: for a fusion, for a run that was extended, when the data or the weights that it
    began with have changed.
    """
    path, watch = Path(path), watch or Terminal()
    before = _Before.of(path, settings)
    if epochs is not None:
        require_count("epochs", epochs)
        if epochs > len(before.history):
            raise RunError(
                f"{path}: has {counted(len(before.history), 'epoch')} to be compared, and not {epochs}",
                "name fewer: --epochs",
            )
    some = len(before.history) if epochs is None else epochs
    whole = before.run is not None and some == len(before.history)
    recipe, changed = before.here()
    for name, (was, now) in changed.items():
        watch.say(f"not as it was: {name}: {now}, and was {was}")
    again = _free(path) if run is None else Path(run)
    until = _Until(watch, None if whole else some, lambda: before.check_start(again))
    try:
        train_recipe(recipe, until, run=str(again))
    except _Enough:
        pass
    except _OtherStart as problem:
        shutil.rmtree(again)  # made a moment ago, and nothing was trained in it
        raise RunError(problem.problem, problem.remedy) from None
    after = _Before.of(again, ())
    if before.began is not None and before.began != after.began:
        changed["first weights"] = (before.began, str(after.began))
    parts = [_histories(before.history[:some], after.history[:some])] if some else []
    if (weights := _weights(before, after, whole)) is not None:
        parts.append(weights)
    if whole and before.run is not None and after.run is not None:
        parts.append(_scores(before.run, after.run))
    found = Reproduced(path, again, changed, some, tuple(parts), tolerance)
    _tell(found, watch)
    return found


@dataclass(frozen=True)
class _Before:
    """What a folder says of its run. run: None where it isn't finished. began: a hash of the weights it began with."""

    path: Path
    recipe: Recipe
    environment: dict[str, Any]
    run: Run | None
    history: tuple[dict[str, float], ...]

    @staticmethod
    def of(path: Path, settings: Iterable[str]) -> _Before:
        _check_kind(path)
        folder = existing(path)
        if folder.extensions():
            last = folder.extensions()[-1]
            raise RunError(
                f"{path}: was extended to {last['epochs']} epochs at step {last['step']}: no recipe gives its rates",
                f"train it in one go, and reproduce that: visus train --recipe {path}",
            )
        run = finished(path)
        if run is not None:
            history = run.history
        elif any(folder.checkpoints.glob(f"*{SUFFIX}")):
            history = tuple(newest(folder.checkpoints)[0].facts["history"])
        else:
            history = ()
        if run is None and not history:
            raise RunError(f"{path}: has no epoch yet that could be compared", f"go on with it: visus resume {path}")
        return _Before(path, compose(tree(folder.recipe()), settings), folder.environment(), run, history)

    @property
    def began(self) -> str | None:
        return self.environment.get("start")

    def here(self) -> tuple[Recipe, dict[str, tuple[str, str]]]:
        """The recipe for this machine, with as many threads as then where it has the cores; and what isn't as it was.

        Raises RunError where the data have changed.
        """
        recipe, then = self.recipe, self.environment
        if recipe.runtime.threads is None and then["threads"] <= (os.cpu_count() or 1):
            recipe = replace(recipe, runtime=replace(recipe.runtime, threads=then["threads"]))
        now = {**environment(()), "device": str(device_of(recipe.runtime.device))}
        now["threads"] = recipe.runtime.threads or now["threads"]
        changed = {name: (was, now_is) for name, was, now_is in _pairs(then, now) if was != now_is}
        found = divide(open_dataset(recipe.data), recipe.data, recipe.seed).fingerprint()
        kept = self.fingerprint()
        if found != kept:
            raise RunError(
                f"{self.path}: the data have changed since the run began: their fingerprint was {kept} and is {found}",
                "put them back, or say where they are: --set data.source=PATH",
            )
        return recipe, changed

    def fingerprint(self) -> str:
        if self.run is not None:
            return str(read_manifest(self.path).fingerprint)
        return str(newest(self.path / "checkpoints")[0].facts["fingerprint"])

    def check_start(self, again: Path) -> None:
        """Raise _OtherStart where the weights that a run starts from aren't those of then."""
        began = existing(again).environment().get("start")
        if self.recipe.model.weights is not None and self.began is not None and began != self.began:
            raise _OtherStart(
                f"{self.path}: the weights {self.recipe.model.weights} have changed since the run began",
                "put them back, or name them: --set model.weights=…",
            )


class _Enough(Exception):
    """As many epochs are done as were asked for."""


class _OtherStart(RunError):
    """The weights that a run started from have changed."""


@final
class _Until:
    """Tells another watch, and ends training after so many epochs, when the last of them is saved."""

    def __init__(self, watch: Watch, epochs: int | None, begun: Callable[[], None]) -> None:
        self.watch, self.epochs, self.begun = watch, epochs, begun
        self.done = 0

    def say(self, text: str) -> None:
        self.watch.say(text)

    def event(self, kind: str, facts: Mapping[str, Any]) -> None:
        self.done += kind == "epoch"
        self.watch.event(kind, facts)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.watch.table(title, columns, rows)

    @contextmanager
    def work(self, title: str) -> Iterator[Bar]:
        with self.watch.work(title) as bar:
            if title != "training":
                yield bar
                return
            self.begun()

            def until(done: int, total: int, note: str = "") -> None:
                if self.epochs is not None and self.done >= self.epochs:
                    raise _Enough
                bar(done, total, note)

            yield until


def _check_kind(path: Path) -> None:
    """Raise RunError for what isn't one network's run."""
    if (path / ASKED).is_file():
        runs = " or ".join(str(each.parent) for each in sorted(path.glob(f"*/{RECIPE}")))
        raise RunError(f"{path}: is a transfer of several runs", f"reproduce one of them: {runs}")
    if is_bundle(path) and isinstance(read_manifest(path), FusionManifest):
        raise RunError(f"{path}: is a fusion, which isn't trained", "reproduce the runs of its members")


def _free(path: Path) -> Path:
    """RUN-again, with a number where that is taken."""
    path = path if path.name not in ("", "..") else path.resolve()
    name, number = path.with_name(f"{path.name}-again"), 2
    while name.exists():
        name, number = path.with_name(f"{path.name}-again-{number}"), number + 1
    return name


def _pairs(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What two environments say of the same."""
    for name, was in then.items():
        if name not in now or name in ("command", "start"):
            continue
        if isinstance(was, dict):
            yield from _pairs(was, now[name])
        else:
            yield name, _text(was), _text(now[name])


def _text(value: Any) -> str:
    return ", ".join(value) or "none" if isinstance(value, list) else str(value)


def _apart(where: str, was: float, now: float, greatest: float) -> Difference | None:
    """How two numbers differ; None where they don't, as two that are NaN."""
    if was == now or (math.isnan(was) and math.isnan(now)):
        return None
    share = abs(was - now) / greatest if greatest else math.inf
    return Difference(where, was, now, math.inf if math.isnan(share) else share)


def _part(name: str, what: str, found: Iterable[Difference | None]) -> Part:
    there = [each for each in found if each is not None]
    return Part(name, what, there[0] if there else None, max(there, key=lambda each: each.share, default=None))


def _histories(before: Sequence[Mapping[str, float]], after: Sequence[Mapping[str, float]]) -> Part:
    """Row by row; a figure's differences are shares of the greatest value that it had."""
    names = [name for name in dict.fromkeys(name for row in (*before, *after) for name in row) if name != TIME]
    greatest = {
        name: max((abs(row[name]) for row in before if not math.isnan(row.get(name, math.nan))), default=0.0)
        for name in names
    }
    rows = enumerate(zip(before, after, strict=False), 1)
    found = [
        _apart(f"{name} of epoch {epoch}", was.get(name, math.nan), now.get(name, math.nan), greatest[name])
        for epoch, (was, now) in rows
        for name in names
    ]
    found.append(_apart("the number of epochs", len(before), len(after), len(before)))
    return _part("history", counted(len(before), "epoch"), found)


def _weights(before: _Before, after: _Before, whole: bool) -> Part | None:
    """Tensor by tensor: of the bundles, or of the best epoch, where it is among those that were done again."""
    if whole and after.run is not None:
        files = [bundle_of(each.path) / WEIGHTS for each in (before, after)]
        one, other = (safetensors.torch.load_file(each) for each in files)
    else:
        kept = [read(each.path / "checkpoints" / f"best{SUFFIX}") for each in (before, after)]
        if kept[0].facts["epoch"] != kept[1].facts["epoch"]:
            return None
        one, other = (each.part("model") for each in kept)
    return _part("weights", counted(len(one), "tensor"), (_tensors(name, one[name], other.get(name)) for name in one))


def _tensors(name: str, was: torch.Tensor, now: torch.Tensor | None) -> Difference | None:
    if now is None or was.shape != now.shape:
        return Difference(f"the shape of {name}", was.numel(), 0 if now is None else now.numel(), math.inf)
    first, second = (each.double().flatten() for each in (was, now))
    if torch.equal(was, now) or not len(first):
        return None
    index = int((first - second).abs().argmax())
    return _apart(f"weight {index} of {name}", first[index].item(), second[index].item(), first.abs().max().item())


def _scores(before: Run, after: Run) -> Part:
    found = [
        _apart(f"{name} on {before.split}", score.value, after.scores[name].value, abs(score.value))
        for name, score in before.scores.items()
    ]
    return _part("scores", counted(len(before.scores), "score"), found)


def _tell(found: Reproduced, watch: Watch) -> None:
    rows = [
        (
            part.name, part.what,
            "none" if part.worst is None else f"{part.worst.share:.1e}",
            "" if part.worst is None else part.worst.where,
            "" if part.first is None else part.first.where,
        )
        for part in found.parts
    ]  # fmt: skip
    watch.table("", ("", "compared", "greatest difference", "where", "first"), rows)
    facts = {
        **asdict(found), "run": str(found.run), "again": str(found.again), "identical": found.identical,
        "holds": found.holds, "verdict": found.verdict,
    }  # fmt: skip
    write_atomic(found.again / REPORT, msgspec.json.format(msgspec.json.encode(facts), indent=1))
    watch.event("reproduction", facts)
    watch.say(f"{found.again}: {found.verdict}")
