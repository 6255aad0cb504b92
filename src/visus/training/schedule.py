"""How the learning rate moves: pure functions of the share of the run that is done.

`factor(done, scores)` multiplies the optimiser's learning rate; done is 0 at the first step and 1 after the last;
scores are the validation figures so far, one an epoch, higher is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi
from typing import Annotated

import msgspec

from visus.spec import Variant

Part = Annotated[float, msgspec.Meta(ge=0, le=1)]
Inside = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class Constant(Variant, frozen=True, tag="constant"):
    """One rate, after a linear warm-up over the share `warmup` of the run."""

    warmup: Part = 0.0

    def factor(self, done: float, scores: Sequence[float] = ()) -> float:
        """See the module."""
        return _warm(done, self.warmup)


class OneCycle(Variant, frozen=True, tag="one-cycle"):
    """Up over the share `rise`, then down to nearly nothing, both by cosine (Smith and Topin 2017, arXiv:1708.07120).

    start: the first rate, end: the last, as shares of the highest. momentum: at the highest rate, and at both ends.
    moves_momentum: whether SGD's momentum or Adam's first beta is moved with the rate.
    """

    rise: Inside = 0.3
    start: Part = 0.04
    end: Part = 4e-6
    momentum: tuple[Inside, Inside] = (0.85, 0.95)
    moves_momentum: bool = True

    def factor(self, done: float, scores: Sequence[float] = ()) -> float:
        """See the module."""
        return self._between(done, self.start, 1.0, self.end)

    def momentum_at(self, done: float) -> float | None:
        """The momentum at this point of the run; None: left alone."""
        if not self.moves_momentum:
            return None
        low, high = self.momentum
        return self._between(done, high, low, high)

    def _between(self, done: float, first: float, top: float, last: float) -> float:
        if done < self.rise:
            return top + (first - top) * _half_cosine(done / self.rise)
        return last + (top - last) * _half_cosine((done - self.rise) / (1 - self.rise))


class Cosine(Variant, frozen=True, tag="cosine"):
    """Down to `end` by half a cosine (Loshchilov and Hutter 2016, arXiv:1608.03983), after a linear warm-up."""

    warmup: Part = 0.0
    end: Part = 0.0

    def factor(self, done: float, scores: Sequence[float] = ()) -> float:
        """See the module."""
        if done < self.warmup:
            return _warm(done, self.warmup)
        rest = (done - self.warmup) / (1 - self.warmup) if self.warmup < 1 else 1.0
        return self.end + (1 - self.end) * _half_cosine(rest)


class Steps(Variant, frozen=True, tag="step"):
    """Times `by` at each of the points `at` (shares of the run), after a linear warm-up."""

    at: tuple[Inside, ...] = (0.5, 0.75)
    by: Inside = 0.1
    warmup: Part = 0.0

    def factor(self, done: float, scores: Sequence[float] = ()) -> float:
        """See the module."""
        return _warm(done, self.warmup) * self.by ** sum(done >= point for point in self.at)


class Plateau(Variant, frozen=True, tag="plateau"):
    """Times `by` whenever the score hasn't risen for more than `patience` epochs, after a linear warm-up.

    least: the factor isn't lowered below this.
    """

    by: Inside = 0.1
    patience: Annotated[int, msgspec.Meta(ge=0)] = 3
    least: Part = 1e-4
    warmup: Part = 0.0

    def factor(self, done: float, scores: Sequence[float] = ()) -> float:
        """See the module."""
        factor, best, waited = 1.0, float("-inf"), 0
        for score in scores:
            waited = 0 if score > best else waited + 1
            best = max(best, score)
            if waited > self.patience:
                factor, waited = max(factor * self.by, self.least), 0
        return factor * _warm(done, self.warmup)


Schedule = Constant | OneCycle | Cosine | Steps | Plateau


def _warm(done: float, warmup: float) -> float:
    return min(1.0, done / warmup) if warmup else 1.0


def _half_cosine(done: float) -> float:
    """1 at 0, 0 at 1."""
    return (1 + cos(pi * min(done, 1.0))) / 2
