"""Choosing the fastest engine for a model on this machine, among those that say the same."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from visus.data.loader import Prepared, prepare
from visus.errors import ModelError, SpecError
from visus.metrics import Score
from visus.prediction import Engine, NetworkPredictor, bundle_of, load
from visus.prediction.engines import (
    KINDS,
    Choice,
    Kept,
    Kind,
    Measured,
    Unavailable,
    answers,
    available,
    keep,
    machine,
    require_graph,
)
from visus.prediction.engines import load as load_engine
from visus.prediction.engines import write as write_engine
from visus.run.device import device_of
from visus.run.evaluation import evaluate_predictor, held_out, spread
from visus.run.recipe import compose
from visus.run.watch import Silent, Watch
from visus.spec import tree

SAMPLES, CALIBRATING = 1000, 300
COMPARED = 64  # inputs on which all outputs are compared
TOLERANCE, LOST = 1e-4, 0.5
SECONDS = 2.0
WARM = 3  # calls before the clock starts
SETTLING = 0.05  # seconds of each turn


@dataclass(frozen=True)
class Optimized:
    """What was measured and chosen. folder: in the bundle. left_out: the engines that can't be used here, and why."""

    folder: Path
    kept: Kept
    left_out: dict[str, str]


@dataclass
class _Candidate:
    """An engine that is ready. difference, lost: of its outputs and of the score from the network's own."""

    kind: Kind
    engines: dict[int, Engine]
    difference: float
    lost: float
    reason: str


def optimize(
    run: str | Path,
    *,
    batches: Sequence[int] = (1,),
    precisions: Iterable[str] = ("float32", "bfloat16", "int8"),
    engines: Iterable[str] | None = None,
    tolerance: float = TOLERANCE,
    lose: float = LOST,
    data: str | Path | None = None,
    samples: int = SAMPLES,
    seconds: float = SECONDS,
    device: str = "auto",
    settings: Iterable[str] = (),
    watch: Watch | None = None,
) -> Optimized:
    """Measure the engines that are installed, check what they say, and keep the fastest for this machine in the bundle.

    run: a run or bundle of one network. batches: numbers of inputs at a time to choose for. precisions, engines: which
    may be chosen. tolerance: what float32 outputs may differ by, over their greatest. lose: how many points of the
    task's score (hundredths; percent of a score that is better when lower) bfloat16 and int8 may lose.
    data: others than the run's own; by default its validation samples. samples: how many at most are looked at.
    seconds: for which each engine is timed, at each number of inputs. Raises VisusError.
    """
    watch = watch or Silent()
    chosen = _kinds(tuple(precisions), None if engines is None else tuple(engines))
    if not batches or min(batches) < 1:
        raise SpecError("engines are chosen for 1 input at a time or more", "--batch 1 --batch 16")
    torch_device = device_of(device)
    predictor = load(run, torch_device, optimized=False)
    if not isinstance(predictor, NetworkPredictor):
        raise ModelError(f"{run}: is a fusion of several networks", "optimize its members: they keep what is chosen")
    require_graph(predictor)
    held, learnt, name = held_out(predictor, data, settings)
    bad = compose(predictor.manifest.recipe or {}).data.bad
    with watch.work(f"reading {name}") as bar:
        prepared = prepare(spread(held, samples), predictor.schema, predictor, bad=bad, progress=bar)
        calibration = prepare(spread(learnt, CALIBRATING), predictor.schema, predictor, bad=bad)
    goal = predictor.task.goal(predictor.schema)
    reference = evaluate_predictor(predictor, prepared, eight_bits=True).scores[goal]
    inputs = _inputs(predictor, prepared, COMPARED)
    wanted = predictor.network_outputs(inputs)
    watch.say(f"the network itself: {goal.replace('_', ' ')} {reference.text} on {reference.n} samples of {name}")
    left_out: dict[str, str] = {}
    candidates: list[_Candidate] = []
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        some = _inputs(predictor, calibration, CALIBRATING)
        with watch.work("preparing engines") as bar:
            for number, kind in enumerate(chosen):
                bar(number, len(chosen), str(kind))
                try:
                    available(kind, torch_device)
                    write_engine(kind, predictor, folder, some)
                    candidates.append(
                        _candidate(
                            kind, predictor, folder, batches, inputs, wanted, prepared, reference, tolerance, lose
                        )
                    )
                except Unavailable as why:
                    left_out[str(kind)] = str(why)
        if not candidates:
            raise SpecError("none of these engines can be used here: " + "; ".join(left_out.values()), "allow others")
        rows = _time(predictor, candidates, batches, inputs, seconds, watch)
        choices = tuple(_choice(rows, batch, candidates, predictor) for batch in sorted(set(batches)))
        kept = Kept(
            machine(torch_device), predictor.manifest.weights, goal, reference.n, choices,
            tuple(sorted(rows, key=lambda row: (row.batch, row.milliseconds))),
        )  # fmt: skip
        place = keep(bundle_of(run), kept, folder)
    _tell(kept, left_out, watch)
    return Optimized(place, kept, left_out)


def _inputs(predictor: NetworkPredictor, prepared: Prepared, most: int) -> Tensor:
    """What the network gets of the first samples."""
    rows = torch.arange(min(most, len(prepared.rows)))
    together = torch.split(rows, 1 if predictor.whole else len(rows))
    return torch.cat([predictor.looked_at(prepared.gather(some).inputs) for some in together])


def _kinds(precisions: tuple[str, ...], engines: tuple[str, ...] | None) -> list[Kind]:
    for what, given, known in (
        ("precision", precisions, {kind.precision for kind in KINDS}),
        ("engine", engines or (), {kind.engine for kind in KINDS}),
    ):
        if unknown := [each for each in given if each not in known]:
            raise SpecError(f"there is no {what} {unknown[0]!r}", "known: " + ", ".join(sorted(known)))
    found = [kind for kind in KINDS if kind.precision in precisions and (engines is None or kind.engine in engines)]
    if not found:
        raise SpecError("no engine computes so", "allow more engines or precisions")
    return found


def _candidate(
    kind: Kind, predictor: NetworkPredictor, folder: Path, batches: Sequence[int], inputs: Tensor, wanted: Any,
    prepared: Prepared, reference: Score, tolerance: float, lose: float,
) -> _Candidate:  # fmt: skip
    """An engine made ready and checked."""
    compiled = kind.engine == "compiled"  # for one number of inputs each
    made = {batch: load_engine(kind, predictor, folder) for batch in (batches if compiled else batches[:1])}
    engines = {batch: made[batch if compiled else batches[0]] for batch in batches}
    first = batches[0]
    parts = [engines[first](_repeated(part, first)) for part in torch.split(inputs, first)]
    found = pytree.tree_map(lambda *each: torch.cat(each)[: len(inputs)], *parts)
    difference = _difference(found, wanted)
    lost = 0.0
    if kind.precision != "float32":
        asked = NetworkPredictor(predictor.manifest, predictor.model, predictor.precision, engines[first])
        score = evaluate_predictor(asked, prepared, batch=first).scores[predictor.task.goal(predictor.schema)]
        lost = _lost(score, reference)
    reason = ""
    if kind.precision == "float32" and not difference <= tolerance:
        reason = f"differs by {difference:.1e}, more than {tolerance:.0e}"
    elif not lost <= lose:
        reason = f"loses {lost:.2f} points, more than {lose:g}"
    return _Candidate(kind, engines, difference, lost, reason)


def _repeated(inputs: Tensor, count: int) -> Tensor:
    """So many inputs, the last ones again where there are fewer."""
    return inputs if len(inputs) == count else inputs.repeat(-(-count // len(inputs)), *[1] * (inputs.ndim - 1))[:count]


def _difference(found: Any, wanted: Any) -> float:
    """The greatest difference of outputs over the greatest output."""
    pairs = zip(pytree.tree_leaves(found), pytree.tree_leaves(wanted), strict=True)
    return max(float((one - other).abs().max() / other.abs().max().clamp_min(1e-12)) for one, other in pairs)


def _lost(score: Score, reference: Score) -> float:
    if reference.higher:
        return 100 * (reference.value - score.value)
    return 100 * (score.value - reference.value) / max(abs(reference.value), 1e-12)


def _time(
    predictor: NetworkPredictor,
    candidates: Sequence[_Candidate],
    batches: Sequence[int],
    inputs: Tensor,
    seconds: float,
    watch: Watch,
) -> list[Measured]:
    """Milliseconds an input of every engine, beside the network itself."""
    rows = []
    with watch.work("timing engines") as bar:
        for number, batch in enumerate(batches):
            bar(number, len(batches), f"{batch} at a time")
            x = _repeated(inputs[:batch], batch)
            own, *times = in_turns(
                [predictor.network_outputs, *(each.engines[batch] for each in candidates)], x, seconds
            )
            rows += [
                Measured(
                    each.kind, batch, 1000 * taken / batch, own / taken, each.difference, each.lost, not each.reason,
                    each.reason,
                )
                for each, taken in zip(candidates, times, strict=True)
            ]  # fmt: skip
    return rows


def in_turns(engines: Sequence[Engine], x: Tensor, seconds: float) -> list[float]:
    """The median seconds of a call of each engine, each for so many seconds in all. They take turns of a tenth of that,
    so that what else the machine does meets all of them. What a turn begins with isn't timed: the threads of the one
    before still look for work then, on the same cores."""
    times: list[list[float]] = [[] for _ in engines]
    for engine in engines:
        for _ in range(WARM):
            engine(x)
    while any(sum(taken) < seconds for taken in times):
        for engine, taken in zip(engines, times, strict=True):
            settled = time.perf_counter() + SETTLING
            engine(x)
            while time.perf_counter() < settled:
                engine(x)
            began = time.perf_counter()
            while sum(taken) < seconds and time.perf_counter() - began < seconds / 10:
                start = time.perf_counter()
                engine(x)
                taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def _choice(
    rows: Sequence[Measured], batch: int, candidates: Sequence[_Candidate], predictor: NetworkPredictor
) -> Choice:
    good = [row for row in rows if row.batch == batch and row.accepted]
    if not good:
        raise SpecError(
            "none of the engines is within the tolerance: "
            + "; ".join(f"{row.kind} {row.reason}" for row in rows if row.batch == batch),
            "allow float32 as well, or a larger --lose",
        )
    best = min(good, key=lambda row: row.milliseconds)
    engine = next(each.engines[batch] for each in candidates if each.kind == best.kind)
    return Choice(batch, best.kind, answers(engine, predictor))


def _tell(kept: Kept, left_out: dict[str, str], watch: Watch) -> None:
    best = {choice.batch: choice.kind for choice in kept.choices}
    rows = [
        (
            row.kind.engine,
            row.kind.precision,
            str(row.batch),
            f"{row.milliseconds:.2f}",
            f"{row.speedup:.2f}",
            f"{row.difference:.1e}",
            f"{row.lost:+.2f}" if row.kind.precision != "float32" else "",
            "chosen" if best[row.batch] == row.kind else row.reason,
        )
        for row in kept.rows
    ]
    columns = ("engine", "precision", "batch", "ms/input", "× network", "difference", "points", "")
    watch.table("engines on this machine", columns, rows)
    for kind, why in left_out.items():
        watch.say(f"{kind}: {why}")
    watch.event("optimize", {"choices": [tree(choice) for choice in kept.choices]})
