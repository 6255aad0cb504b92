"""The learning-rate finder (Smith 2015, arXiv:1506.01186): the rate is raised until the loss breaks out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from visus.data.types import Batch
from visus.errors import TrainingError
from visus.training import Learner, NotFinite, fit

LOW, HIGH, STEPS = 1e-6, 10.0, 100
SMOOTHING = 0.85  # of the exponential average of the losses
BREAKS_OUT = 4.0  # times the lowest loss


@dataclass(frozen=True, slots=True)
class Sweep:
    """rates, losses: one a step. smooth: the losses, averaged. suggestion: where the smooth loss falls fastest."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smooth: tuple[float, ...]
    suggestion: float


def sweep(
    learners: Sequence[Learner], batches: Iterable[Batch], precision: torch.dtype, bar: Callable[[int, int], None]
) -> Sweep:
    """Raise the rate, the highest of the first learner's, from 1e-6 to 10 over 100 steps. The weights are changed: put
    them back afterwards.

    Raises TrainingError when the loss breaks out before anything can be seen.
    """
    base = max(learners[0].rates)
    ratio = HIGH / LOW

    def factor(done: float) -> float:
        return float(LOW * ratio**done / base)

    rates, losses, smooth, average = [], [], [], 0.0
    try:
        for step in fit(learners, batches, steps=STEPS, rate=factor, precision=precision):
            step.check()
            loss = sum(part.item() for parts in step.losses.values() for part in parts.values())
            average = SMOOTHING * average + (1 - SMOOTHING) * loss
            rates.append(step.rate)
            losses.append(loss)
            smooth.append(average / (1 - SMOOTHING ** (len(losses))))
            bar(step.index + 1, STEPS)
            if len(smooth) > 10 and smooth[-1] > BREAKS_OUT * min(smooth):
                break
    except NotFinite:  # the end of the sweep: the rate is far too high
        pass
    if len(rates) < 20:
        raise TrainingError(
            "the loss breaks out at every rate that was tried",
            "check the data with `visus data check`, and the targets",
        )
    # The steepest fall on the logarithmic axis, before the lowest point; the first steps only settle the average
    lowest = max(int(np.argmin(smooth)), 12)
    slope = np.gradient(np.array(smooth), np.log(rates))
    best = 8 + int(np.argmin(slope[8 : lowest + 1]))
    return Sweep(tuple(rates), tuple(losses), tuple(smooth), float(f"{rates[best]:.2g}"))
