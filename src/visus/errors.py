"""Typed errors: what was given, what is wrong, what to do.

Every error that a user can cause is a `VisusError`. The command line prints its text and exits with its
`status`, without a traceback unless `--debug` is given.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import SupportsIndex


class VisusError(Exception):
    """The base of all errors of this package.

    problem: one sentence that names the file or setting, what was given and what is wrong with it.
    remedy: what to do about it; shown on a line of its own.
    said: whether another process of the same job says it.
    """

    status = 2
    said = False

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem, remedy)
        self.problem, self.remedy = problem, remedy

    def __str__(self) -> str:
        return f"{self.problem}\n  → {self.remedy}" if self.remedy else self.problem


class SpecError(VisusError):
    """A setting that doesn't exist, has the wrong type or is out of range."""


class NotFound(VisusError):
    """A name (of a network, a data set, a recipe, a run) that nobody knows."""


class DataError(VisusError):
    """A data set that can't be used as it is."""


class UnreadableImage(DataError):
    """One image file that can't be read; a data set skips it and lists it."""

    def __init__(self, name: str, cause: str, remedy: str = "") -> None:
        super().__init__(f"{name}: {cause}", remedy)
        self.name, self.cause = name, cause


class DownloadError(DataError):
    """A file that could not be fetched whole."""


class ModelError(VisusError):
    """A network that can't be built as asked."""


class WeightsError(VisusError):
    """Weights that don't fit the network, or that can't be read safely."""


class CheckpointError(VisusError):
    """A checkpoint that is damaged, missing or newer than this version."""


class BundleError(VisusError):
    """A bundle that is damaged, drifts from its golden outputs, or is newer than this version."""


class RunError(VisusError):
    """A run folder that can't be used as asked."""


class TrainingError(VisusError):
    """Training that can't go on: the loss or the gradients aren't numbers, or memory is out."""

    status = 3


class MissingPart(VisusError):
    """An optional library that this call needs isn't installed."""

    def __init__(self, part: str, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs the library {part}, which isn't installed", f"pip install 'visus[{extra}]'")


def require_known(what: str, given: object, known: Iterable[str]) -> None:
    """Raise SpecError, with the nearest names, unless what was given is one of the known words.

    >>> require_known("head", "new", ("same", "new"))
    """
    known = tuple(known)
    if given not in known:
        raise SpecError(f"{what} can't be {given!r}", nearest(str(given), known))


def require_count(what: str, given: object) -> None:
    """Raise SpecError unless what was given is a whole number from 1 up.

    >>> require_count("batch", 64)
    """
    if not isinstance(given, SupportsIndex) or given.__index__() < 1:
        raise SpecError(f"{what} can't be {given!r}", "give a whole number from 1 up")


def nearest(name: str, known: Iterable[str]) -> str:
    """The words "did you mean …?" for a mistyped name, or all the known names if they are few.

    >>> nearest("lenet", ["lenet5", "resnet18"])
    'did you mean lenet5?'
    >>> nearest("zzz", ["sgd", "adamw"])
    'known: adamw, sgd'
    """
    names = sorted(set(known))
    folded = {each.casefold(): each for each in names}
    close = [folded[each] for each in difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.65)]
    if not close:
        close = [each for each in names if len(name) >= 3 and name.casefold() in each.casefold()][:3]
    if close:
        return f"did you mean {' or '.join(close)}?"
    return "known: " + ", ".join(names if len(names) <= 24 else [*names[:24], f"… ({len(names)} in all)"])
