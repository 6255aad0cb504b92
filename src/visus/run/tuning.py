"""What a recipe leaves open about how a run computes, found by measuring on the machine that it runs on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from dataclasses import replace as changed
from itertools import cycle, islice, pairwise
from pathlib import Path
from statistics import median

import torch
from msgspec.structs import replace
from torch import nn

from visus.data.loader import Loader, free_memory
from visus.errors import SpecError
from visus.nn import load_state
from visus.prediction.engines import Kind, Unavailable, available
from visus.run.device import precision_of, wait_for
from visus.run.failures import is_out_of_memory
from visus.run.recipe import Recipe, Runtime
from visus.training import NotFinite, Player, fit, ready
from visus.training.checkpoint import random_state, set_random_state
from visus.training.ranks import ALONE, Ranks

WARM, TIMED = 2, 3  # steps
MEASURED = 100  # steps: a run has at least so many when anything is measured for it
LONG = 60.0  # seconds: what a run takes in float32 at least when bfloat16 is tried
CLEARLY = 0.8  # of the seconds in float32: more than this bfloat16 isn't worth its precision
HOURS = 3600.0  # seconds: what a run takes at least when its steps are compiled to try; that takes minutes
WORTH = 0.97  # of the seconds of a step: what compiled ones may take at most
SMALLEST, LARGEST = 8, 4096  # samples: batches aren't made smaller and larger than this
FULL = 0.8  # of the memory that is free: what a batch may take
FASTER = 1.05  # times the images a second: what a batch of twice the size must give
FEWEST = 20  # steps an epoch has at least, with batches that are found


@dataclass(frozen=True)
class Trial:
    """What steps are measured with: who learns, on which batches, by which settings.

    players: makes them, compiled or not. ranks: all of them measure, and what the first one measures counts.
    """

    players: Callable[[bool], tuple[Player, ...]]
    model: nn.Module
    loader: Loader
    recipe: Recipe
    ranks: Ranks = ALONE

    def settings(self, *, exact: bool, say: Callable[[str], None]) -> Recipe:
        """The recipe with nothing left open. exact: whether float32 is to be kept."""
        recipe, players = self.recipe, self.players(False)
        trial = self
        if recipe.budget.batch == "auto" and players:
            found = find_batch(self, say)
            recipe = replace(recipe, budget=replace(recipe.budget, batch=found))
            trial = changed(self, recipe=recipe, loader=changed(self.loader, batch=found))
        turns = recipe.budget.accumulate * sum(player.turns for player in players)
        steps = recipe.budget.epochs * (len(trial.loader) // turns) if turns else 0
        return replace(recipe, runtime=find_runtime(trial, steps, exact=exact, say=say))

    def seconds(self, precision: torch.dtype, *, compiled: bool = False) -> tuple[float, float]:
        """Of the first step, and of one of those that follow. The network is left as it was.

        Raises NotFinite, and what torch raises when memory is out.
        """
        learners = ready(self.players(compiled), self.recipe.optim)
        batches = list(islice(self.loader.train(), 2))  # read before the clock is looked at
        marks = [time.perf_counter()]
        with unchanged(self.model):
            for _ in fit(
                learners, cycle(batches), steps=WARM + TIMED, rate=lambda done: 0.0,
                accumulate=self.recipe.budget.accumulate, precision=precision,
            ):  # fmt: skip
                wait_for(self.loader.device)
                marks.append(time.perf_counter())
        spans = [later - earlier for earlier, later in pairwise(marks)]
        return self.ranks.share(lambda: (spans[0], median(spans[WARM:])))


def compiled_players(players: Sequence[Player]) -> tuple[Player, ...]:
    """The same, with losses that torch compiles when they are first asked for. Raises SpecError where it can't."""
    try:
        for player in players:
            available(Kind(engine="compiled"), player.parameters[0].device)
    except Unavailable as problem:
        raise SpecError(
            f"runtime.compile 'on' can't be had: {problem}", "--set runtime.compile=off, or install g++ or clang++"
        ) from None
    return tuple(changed(player, loss=torch.compile(player.loss)) for player in players)


def find_runtime(trial: Trial, steps: int, *, exact: bool, say: Callable[[str], None]) -> Runtime:
    """The settings of a run of so many steps, with nothing left open. exact: whether float32 is to be kept."""
    runtime = trial.recipe.runtime
    plain = replace(
        runtime,
        precision="float32" if runtime.precision == "auto" else runtime.precision,
        compile="off" if runtime.compile == "auto" else runtime.compile,
    )
    if steps < MEASURED or plain == runtime:
        return plain
    with suppress(NotFinite):  # the run itself will meet it, and say which samples it were
        _, step = trial.seconds(precision_of(plain), compiled=plain.compile == "on")
        if runtime.precision == "auto" and not exact and steps * step >= LONG:
            _, coarse = trial.seconds(torch.bfloat16, compiled=plain.compile == "on")
            found = "bfloat16" if coarse <= CLEARLY * step else "float32"
            times = f"{step * 1e3:.3g} ms in float32, {coarse * 1e3:.3g} ms in bfloat16"
            say(f"precision: {found}, measured: a step takes {times}")
            if found == "bfloat16":
                plain, step = replace(plain, precision=found), coarse
        if runtime.compile == "auto" and steps * step >= HOURS:
            plain = _compiled(plain, trial, steps, step, say)
    return plain


def _compiled(runtime: Runtime, trial: Trial, steps: int, step: float, say: Callable[[str], None]) -> Runtime:
    """Compiled where that pays back within the run."""
    try:
        first, later = trial.seconds(precision_of(runtime), compiled=True)
    except (SpecError, RuntimeError) as problem:  # what goes wrong inside of the compiler is a RuntimeError
        if is_out_of_memory(problem):
            raise
        say(f"steps aren't compiled, torch can't here: {str(problem).splitlines()[0]}")
        return runtime
    pays = later <= WORTH * step and first + steps * later < steps * step
    times = f"{later * 1e3:.3g} ms after {first:.0f} s of compiling, {step * 1e3:.3g} ms as they are"
    say(f"steps are {'' if pays else 'not '}compiled, measured: {times}")
    return replace(runtime, compile="on" if pays else "off")


def find_batch(trial: Trial, say: Callable[[str], None]) -> int:
    """The largest power of two that fits in memory and is faster for it, with enough steps an epoch.

    An accelerator refuses a batch that takes more memory than there is; the processor's system ends the process. There
    one is tried only when what the last two took says that it fits.
    """
    count, precision = len(trial.loader.prepared.rows), precision_of(trial.recipe.runtime)
    best, rate, slow, peaks = min(SMALLEST, count), 0.0, 0, list[int]()
    why = "the largest that is tried"
    for batch in (SMALLEST << power for power in range((LARGEST // SMALLEST).bit_length())):
        if count // batch < FEWEST:
            why = f"an epoch would have fewer than {FEWEST} steps with {batch}"
            break
        if trial.loader.device.type == "cpu" and not _fits(peaks):
            why = f"{batch} may not fit in the memory that is free"
            break
        try:
            with _peak() as peak:
                _, step = changed(trial, loader=changed(trial.loader, batch=batch)).seconds(precision)
        except NotFinite:
            break  # the run itself will meet it
        except (RuntimeError, MemoryError) as problem:
            if not is_out_of_memory(problem) or batch == SMALLEST:
                raise
            why = f"{batch} doesn't fit in memory"
            break
        peaks.append(peak())
        if batch / step >= FASTER * rate:
            best, rate, slow = batch, batch / step, 0
        elif slow:
            why = f"larger ones are no faster, with {batch / step:,.0f} samples a second against {rate:,.0f}"
            break
        else:
            slow = 1  # one may be a chance
    say(f"batch: {best}, found: {why}; the learning rate stays as it is set")
    return best


def _fits(peaks: Sequence[int]) -> bool:
    """Whether the process has room for the growth that the next doubling will bring."""
    if len(peaks) < 2:
        return True
    growth = 2 * max(peaks[-1] - peaks[-2], 0)
    return peaks[-1] + growth - _resident() <= FULL * free_memory()


@contextmanager
def _peak() -> Iterator[Callable[[], int]]:
    """The most bytes that the process held inside of it, asked for afterwards."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux begins anew
    yield lambda: _status("VmHWM") or _most()


def _most() -> int:
    """The most bytes that the process ever held; 0 where the system doesn't tell."""
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _resident() -> int:
    return _status("VmRSS") or _most()


def _status(key: str) -> int:
    """Bytes of a row of Linux's status of this process; 0 elsewhere."""
    with suppress(OSError, StopIteration), open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(f"{key}:"))
    return 0


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Weights, buffers, gradients and random numbers are afterwards what they were."""
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    state = random_state()
    try:
        yield
    finally:
        load_state(model, weights, "the network before")
        model.zero_grad()
        set_random_state(state)
