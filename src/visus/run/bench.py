"""How fast this machine trains a network on a data set, and what holds it up."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from visus.data.loader import Loader
from visus.data.open import open_dataset
from visus.data.splits import divide
from visus.data.types import Batch
from visus.errors import SpecError
from visus.run.api import composed
from visus.run.device import device_of, precision_of, setting, wait_for
from visus.run.recipe import Recipe
from visus.run.resolve import Plan, resolve
from visus.run.start import Start, known_features, players, read_splits, start
from visus.run.watch import Terminal, Watch
from visus.text import compact
from visus.training import Player, fit, ready

WARM = 3  # steps before the clock starts
SIDES = {"cpu": 2048, "cuda": 8192}  # of the square matrices by whose product a device's peak is measured
PRODUCTS = 8
BUSY = 0.3  # processes a core: more than this before, and the figures are too low


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast one thing goes. images: a second. waiting: the share of the time that was spent waiting for data.

    operations: floating-point, a second, of convolutions and matrix products; 0 where there are none. peak: those that
    the machine reaches in a product of large matrices of the same type.
    """

    what: str
    precision: str
    images: float
    step: float
    waiting: float
    operations: float
    peak: float

    @property
    def share(self) -> float:
        """Of the machine's peak, 0…1."""
        return self.operations / self.peak if self.peak else 0.0


@dataclass(frozen=True, slots=True)
class Paces:
    """What `bench` found. reading: seconds that it took to open and read the data. memory: the most bytes held on an
    accelerator, 0 without one. load: the system's mean of running processes in the minute before."""

    device: str
    batch: int
    reading: float
    rows: tuple[Pace, ...]
    memory: int = 0
    load: float = 0.0


def bench(
    source: str | Path | None = None,
    *,
    model: str | None = None,
    recipe: str | Recipe | None = None,
    batch: int | None = None,
    size: tuple[int, int] | None = None,
    device: str | None = None,
    settings: Iterable[str] = (),
    seconds: float = 5.0,
    watch: Watch | None = None,
) -> Paces:
    """Train a network as `train` would with the same arguments, for `seconds` in each type of arithmetic, tell how fast
    it went, and leave nothing behind.

    A recipe that names a precision is measured in that one alone. Raises VisusError.
    """
    if not seconds > 0:
        raise SpecError(f"seconds can't be {seconds!r}", "give a number above 0")
    asked = composed(source, model=model, recipe=recipe, batch=batch, size=size, device=device, settings=settings)
    found = _measure(asked, watch or Terminal(), seconds)
    _tell(found, watch or Terminal())
    return found


def _measure(recipe: Recipe, watch: Watch, seconds: float) -> Paces:
    with setting(recipe.runtime, recipe.seed):
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        began = time.perf_counter()
        plan = resolve(recipe, divide(open_dataset(recipe.data), recipe.data, recipe.seed), watch.say)
        device = device_of(recipe.runtime.device)
        loaders = read_splits(plan, device, watch)
        reading = time.perf_counter() - began
        asked = recipe.runtime.precision
        kinds = [torch.float32, torch.bfloat16] if asked == "auto" else [precision_of(recipe.runtime)]
        peaks = {kind: peak(device, kind) for kind in kinds}
        rows: list[Pace] = []
        for kind in kinds:
            rows += _network(plan, loaders["train"], seconds, kind, peaks[kind], watch)
        rows.append(_data(loaders["train"], seconds))
        memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
        return Paces(str(device), loaders["train"].batch, reading, tuple(rows), memory, load)


def peak(device: torch.device, kind: torch.dtype) -> float:
    """Floating-point operations a second in a product of large square matrices: the best of some."""
    side = SIDES.get(device.type, SIDES["cpu"])
    left, right = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
    best = float("inf")
    for _ in range(PRODUCTS):
        began = time.perf_counter()
        left @ right
        wait_for(device)
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best


def _tell(found: Paces, watch: Watch) -> None:
    """The table, and what it means."""
    columns = ("", "precision", "images/s", "ms/step", "waiting for data", "FLOP/s", "of the peak")
    rows = [
        (
            row.what,
            row.precision,
            f"{row.images:,.0f}" if row.images >= 10 else f"{row.images:.2f}",
            f"{row.step * 1e3:.3g}",
            f"{row.waiting:.1%}",
            compact(row.operations) if row.operations else "",
            f"{row.share:.0%}" if row.operations else "",
        )
        for row in found.rows
    ]
    watch.say(f"batches of {found.batch} on {found.device}; opening and reading the data took {found.reading:.1f} s")
    watch.table("", columns, rows)
    if found.load > BUSY * (os.cpu_count() or 1):
        watch.say(f"note: other programs were at work when it began: {found.load:.1f} on {os.cpu_count()} cores")
    peaks = {row.precision: row.peak for row in found.rows if row.peak}
    measured = ", ".join(f"{compact(value)} FLOP/s in {name}" for name, value in peaks.items())
    watch.say(f"the peak, measured with products of large matrices: {measured}")
    if found.memory:
        watch.say(f"memory of the accelerator: {compact(found.memory)}B at most")
    for row in found.rows:
        facts = {name: getattr(row, name) for name in (*Pace.__slots__, "share")}
        watch.event("pace", {**facts, "batch": found.batch, "device": found.device})


class _Timed:
    """Batches, and the seconds that were spent waiting for them."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self.batches, self.waited = batches, 0.0

    def __iter__(self) -> Iterator[Batch]:
        while True:
            began = time.perf_counter()
            batch = next(self.batches)
            self.waited += time.perf_counter() - began
            yield batch


class _Clock:
    """Counts what comes after the first steps, until the seconds are over."""

    def __init__(self, device: torch.device, batches: _Timed, seconds: float) -> None:
        self.device, self.batches, self.seconds = device, batches, seconds
        self.count, self.began, self.took = -WARM, 0.0, 0.0

    def over(self) -> bool:
        """After each step: whether it was the last."""
        self.count += 1
        if self.count == 0:
            wait_for(self.device)
            self.began, self.batches.waited = time.perf_counter(), 0.0
        if self.count <= 0 or time.perf_counter() - self.began < self.seconds:
            return False
        wait_for(self.device)
        self.took = time.perf_counter() - self.began
        return True

    def pace(self, what: str, kind: torch.dtype, images: int, operations: float, most: float) -> Pace:
        """images: a step. operations: an image."""
        rate = images * self.count / self.took
        waiting = self.batches.waited / self.took
        return Pace(what, _name(kind), rate, self.took / self.count, waiting, rate * operations, most)


def _network(plan: Plan, loader: Loader, seconds: float, kind: torch.dtype, most: float, watch: Watch) -> list[Pace]:
    """Training and predicting."""
    device = loader.device
    begun = start(plan, device, lambda text: None)
    if loader.channels_last:
        begun.whole.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    found = _training(plan, begun, loader, seconds, kind, most, watch)
    model = begun.whole.eval()
    batches = _Timed(_again(loader))
    clock = _Clock(device, batches, seconds / 2)
    with torch.inference_mode(), torch.autocast(device.type, kind, enabled=kind != torch.float32):
        operations = _operations(lambda batch: model(batch.inputs), next(loader.evaluate()))
        for batch in batches:
            model(batch.inputs)
            if clock.over():
                break
    return [found, clock.pace("prediction", kind, loader.batch, operations, most)]


def _training(
    plan: Plan, begun: Start, loader: Loader, seconds: float, kind: torch.dtype, most: float, watch: Watch
) -> Pace:
    loader = known_features(begun, {"train": loader}, kind, watch).get("train", loader)
    begun.model.train()
    who = players(plan, begun.model)
    batches = _Timed(loader.train())
    clock = _Clock(loader.device, batches, seconds)
    accumulate = plan.recipe.budget.accumulate
    operations = sum(
        player.turns * _operations(_both(player), next(loader.train())) for player in who
    ) / sum(player.turns for player in who)  # fmt: skip
    for _ in fit(
        ready(who, plan.recipe.optim), batches, steps=sys.maxsize, accumulate=accumulate, precision=kind,
        rate=lambda done: 0.0,
    ):  # fmt: skip
        if clock.over():
            break
    images = loader.batch * accumulate * sum(player.turns for player in who)
    return clock.pace("training", kind, images, operations, most)


def _data(loader: Loader, seconds: float) -> Pace:
    """Batches as training gets them, and nothing done with them."""
    batches = _Timed(loader.train())
    clock = _Clock(loader.device, batches, seconds / 2)
    for _ in batches:
        if clock.over():
            break
    return clock.pace("data alone", torch.float32, loader.batch, 0.0, 0.0)


def _again(loader: Loader) -> Iterator[Batch]:
    """Whole batches of a split, over and over."""
    while True:
        yield from (batch for batch in loader.evaluate() if len(batch) == loader.batch)


def _both(player: Player) -> Callable[[Batch], None]:
    """A player's loss and its gradients."""

    def run(batch: Batch) -> None:
        parts = player.loss(batch)
        torch.autograd.backward(torch.stack([part.float() for part in parts.values()]).sum())

    return run


def _operations(work: Callable[[Batch], object], batch: Batch) -> float:
    """Floating-point operations that it takes for one sample."""
    with FlopCounterMode(display=False) as counter:
        work(batch)
    return float(counter.get_total_flops()) / len(batch)


def _name(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")
