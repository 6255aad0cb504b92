"""What a reader is, and what a layout of a tree of files is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from visus.data.dataset import Data, Dataset
from visus.data.readers.listing import Listing


@dataclass(frozen=True, slots=True)
class Reader:
    """A kind of files that is recognised and read.

    layout: one line that describes it to a person.
    recognises: cheap, looks at names and first bytes only, never raises.
    read: lists the samples; may raise DataError for what makes the whole set unusable, and puts single bad items in
    `Dataset.skipped`.
    """

    name: str
    layout: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path, Data], Dataset]


@dataclass(frozen=True, slots=True)
class Layout:
    """What a tree of images may mean, in a folder or in an archive.

    name: the word for it in `data.layout`. layout: a few words for a person. targets: what it may say of a sample, the
    words of `data.target`.
    recognises: by the names of files, and a look into those that say what images show.
    arrange: the data set, of what the user gave (for errors, and as the source), a title and a sorted listing; as
    `Reader.read` does.
    """

    name: str
    layout: str
    targets: tuple[str, ...]
    recognises: Callable[[Listing], bool]
    arrange: Callable[[str, str, Listing, Data], Dataset]
