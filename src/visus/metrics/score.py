"""A figure with its interval."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from visus.spec import Spec


class Score(Spec, frozen=True):
    """A figure.

    low, high: its 95 % interval. n: the samples it is of. higher: whether more is better.
    share: whether it is a part of the samples, which is shown in percent.
    """

    value: float
    n: int
    low: float | None = None
    high: float | None = None
    higher: bool = True
    share: bool = False

    @property
    def text(self) -> str:
        """The figure as people read it."""
        return f"{self.value:.2%}".replace("%", " %") if self.share else f"{self.value:.4g}"

    @property
    def interval(self) -> str:
        """The interval as people read it; empty where there is none."""
        if self.low is None or self.high is None:
            return ""
        if self.share:
            return f"{100 * self.low:.2f} – {100 * self.high:.2f} %"
        return f"{self.low:.4g} – {self.high:.4g}"


def wilson(hits: int, n: int) -> Score:
    """A share of n with Wilson's score interval (1927), which is fit for shares near 0 and 1 too."""
    from scipy.stats import binomtest

    interval = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    return Score(value=hits / n, n=n, low=float(interval.low), high=float(interval.high), share=True)


def bootstrap(figure: Callable[[np.ndarray], float], n: int, *, higher: bool, draws: int = 1000) -> Score:
    """A figure of rows 0…n−1 with the percentile interval of resampled rows (Efron 1979); seeded."""
    random = np.random.default_rng(0)
    found = [figure(random.integers(0, n, n)) for _ in range(draws)] if n > 1 else []
    low, high = np.nanquantile(found, [0.025, 0.975]) if found else (None, None)
    return Score(
        value=figure(np.arange(n)),
        n=n,
        low=None if low is None else float(low),
        high=None if high is None else float(high),
        higher=higher,
    )
