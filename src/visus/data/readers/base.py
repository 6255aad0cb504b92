"""What a reader is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from visus.data.dataset import Data, Dataset


@dataclass(frozen=True, slots=True)
class Reader:
    """A layout of files that is recognised and read.

    layout: one line that describes it to a person.
    recognises: cheap, looks at names and first bytes only, never raises.
    read: lists the samples; may raise DataError for what makes the whole set unusable, and puts single bad items in
    `Dataset.skipped`.
    """

    name: str
    layout: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path, Data], Dataset]
