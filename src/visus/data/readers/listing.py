"""What lies under a folder or in an archive, listed once, before it is known what it means.

Links to folders are followed, but no folder is entered twice, so that a loop ends. Hidden files are left alone.
"""

from __future__ import annotations

import os
import stat
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from natsort import natsort_keygen, ns

from visus.data.image import EXTENSIONS, printable
from visus.data.samples import OnDisk, Stored
from visus.data.types import Skipped
from visus.errors import DataError

Parts = tuple[str, ...]

SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test"} | dict.fromkeys(
    ("val", "valid", "validation", "dev"), "val"
)
TEXTS = frozenset({".xml", ".json", ".txt", ".yaml", ".yml", ".names", ".csv"})  # in which layouts say what images show
NAMED = 8  # at most so many names in one note

natural = natsort_keygen(alg=ns.IGNORECASE)


@dataclass(frozen=True)
class Listing:
    """What was found under a root.

    files: each image with the parts of its path from the root. texts: likewise the files that may say what images
    show. folders: every folder, the empty ones too. others: how many other files, by ending.
    skipped, notes: as in `Dataset`.
    """

    files: list[tuple[Parts, Stored]] = field(default_factory=list)
    texts: list[tuple[Parts, Stored]] = field(default_factory=list)
    folders: set[Parts] = field(default_factory=set)
    others: Counter[str] = field(default_factory=Counter)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def sort(self) -> None:
        """Put files in the order in which a person reads their paths, on every file system."""
        for found in (self.files, self.texts):
            found.sort(key=lambda entry: ([natural(each) for each in entry[0]], entry[0]))
        self.skipped.sort(key=lambda skipped: (natural(skipped.name), skipped.name))

    def ignored(self) -> Counter[str]:
        """How many files aren't images, by ending."""
        return self.others + Counter(PurePosixPath(parts[-1]).suffix.lower() for parts, _ in self.texts)


def is_image(name: str) -> bool:
    """Whether a file's ending is that of an image; if not, it is ignored."""
    return PurePosixPath(name).suffix.lower() in EXTENSIONS


def is_text(name: str) -> bool:
    """Whether a file may say what images show."""
    return PurePosixPath(name).suffix.lower() in TEXTS


def is_hidden(name: str) -> bool:
    """Whether a file or folder is the system's, not the user's: .git, ._cat.jpg, __MACOSX, Thumbs.db."""
    return name.startswith(".") or name.lower() in ("__macosx", "thumbs.db", "desktop.ini")


def in_order(names: Iterable[str]) -> list[str]:
    """Names as a person sorts them: 2 before 10, a beside A; the same on every file system and in every locale.

    >>> in_order(["img10", "img2", "IMG3"])
    ['img2', 'IMG3', 'img10']
    """
    return sorted(names, key=lambda name: (natural(name), name))


def walk(root: Path, listing: Listing) -> Iterator[bool]:
    """Fill the listing. Yields after each entry whether it was an image in a folder: a look can stop there."""
    again: list[Parts] = []
    seen: set[tuple[int, int]] = set()
    waiting: deque[tuple[Parts, Path]] = deque([((), root)])
    links: list[tuple[Parts, Path]] = []
    while waiting or links:
        if not waiting:  # links come last, in order: what can be reached without one has its own name
            links.sort(key=lambda link: ([natural(each) for each in link[0]], link[0]), reverse=True)
            waiting.append(links.pop())
        parts, folder = waiting.popleft()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                again.append(parts)
                continue
            seen.add((status.st_dev, status.st_ino))
            if parts:
                listing.folders.add(parts)
            with os.scandir(folder) as entries:
                for entry in entries:
                    if is_hidden(entry.name):
                        continue
                    below = (*parts, entry.name)
                    if (mode := _look(below, entry, listing)) is not None and stat.S_ISDIR(mode):
                        (links if entry.is_symlink() else waiting).append((below, Path(entry.path)))
                    yield bool(parts) and mode is not None and stat.S_ISREG(mode) and is_image(entry.name)
        except OSError as problem:
            raise DataError(
                f"{printable(folder)}: this folder can't be listed: {(problem.strerror or str(problem)).lower()}",
                "check its permissions",
            ) from None
    if again:
        listing.notes.append(f"links to folders that were read already, not followed: {few(map(shown, again))}")


def _look(parts: Parts, entry: os.DirEntry[str], listing: Listing) -> int | None:
    """Note one entry of a folder. Its mode, or None if it can't be looked at. Opens nothing."""
    try:
        status = entry.stat()
    except OSError as problem:
        cause = "is a broken link" if isinstance(problem, FileNotFoundError) else (problem.strerror or "").lower()
        listing.skipped.append(Skipped(shown(parts), cause))
        return None
    if stat.S_ISREG(status.st_mode):
        if is_image(entry.name) or is_text(entry.name):
            found = listing.files if is_image(entry.name) else listing.texts
            found.append((parts, OnDisk(Path(entry.path), "/".join(parts), status.st_size)))
        else:
            listing.others[PurePosixPath(entry.name).suffix.lower()] += 1
    elif not stat.S_ISDIR(status.st_mode):
        kind = "FIFO" if stat.S_ISFIFO(status.st_mode) else "socket" if stat.S_ISSOCK(status.st_mode) else "device"
        listing.skipped.append(Skipped(shown(parts), f"is a {kind}, not a file"))
    return status.st_mode


def shown(parts: Parts) -> str:
    """A path in a listing, as a person reads it."""
    return printable("/".join(parts))


def few(names: Iterable[str]) -> str:
    """Some names for one line: the first ones, and how many there are."""
    each = [printable(name) for name in names]
    return ", ".join(each if len(each) <= NAMED else [*each[:NAMED], f"… ({len(each):,} in all)"])


def endings(counts: Counter[str]) -> str:
    """The endings of files, for one line."""
    return few(ending or "no ending" for ending in sorted(counts))
