"""The folder that kept images lie in: one folder a list of files and way of placing them, made, shared and removed.

pixels/.lock                held for the moment in which something is made or removed
pixels/KEY/about.json       what it is of; its time is that of the last use
pixels/KEY/pixels.bin, marks.bin
pixels/KEY/users/*.lock     held by each process that has it open
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import filelock
import numpy as np

from visus.data.cache.pixels import MARK, MARKS, PIXELS
from visus.data.download import cache_folder
from visus.errors import DataError
from visus.files import sync_folder, write_atomic

ABOUT, USERS, LOCK = "about.json", "users", ".lock"
PATIENCE = 60.0  # seconds for another process to make or remove something
GIGABYTE = 10**9


@dataclass(frozen=True)
class Entry:
    """What is kept of one list of files.

    about: what it is of. images, kept: how many there are, and how many of them are kept. bytes: on disk, when all are.
    used: when it was last opened, in seconds since 1970. busy: whether a process has it open.
    """

    path: Path
    about: Mapping[str, Any]
    images: int
    kept: int
    bytes: int
    used: float
    busy: bool


@final
@dataclass
class Place:
    """A folder for one list of files, which nobody removes before it is closed."""

    path: Path
    lock: filelock.BaseFileLock = field(repr=False)

    def close(self) -> None:
        """Let it be removed."""
        self.lock.release()
        Path(self.lock.lock_file).unlink(missing_ok=True)


def pixels_folder() -> Path:
    """Where images are kept: in the folder of downloads. Raises DownloadError where the user has no home folder."""
    return cache_folder() / "pixels"


def entries(root: Path) -> list[Entry]:
    """What is kept, what was used last first. Raises DataError where that can't be told."""
    if not root.is_dir():
        return []
    with _alone(root):
        return _entries(root)


def clear(root: Path, *others: Path) -> tuple[list[Entry], list[Entry]]:
    """Remove what nobody uses: what was removed, and what is in use. others: folders that are removed with it.

    Raises DataError where that can't be done.
    """
    with _alone(root):
        found = _entries(root)
        for path in [*root.iterdir(), *others]:
            if path.is_dir() and not _busy(path):
                _remove(path)
        return [each for each in found if not each.busy], [each for each in found if each.busy]


def open_place(root: Path, about: Mapping[str, Any], images: int, size: int, limit: int) -> Place:
    """The place of what `about` says, made where there is none yet. size: bytes of an image.

    limit: bytes that everything here may take. What was unused for longest makes room; what is in use stays.
    Raises DataError where there is no room, or where nothing can be written.
    """
    key = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=16).hexdigest()
    path = root / key
    with _alone(root):
        if not _whole(path, images, size):
            _remove(path)
            _make_room(root, images * (size + MARK.size), limit)
            path.mkdir()
            (path / USERS).mkdir()
            for name, length in ((PIXELS, images * size), (MARKS, images * MARK.size)):
                with (path / name).open("wb") as file:
                    file.truncate(length)  # takes no room before it is written to
                    os.fsync(file.fileno())
            write_atomic(path / ABOUT, json.dumps({**about, "images": images, "size": size}))
            sync_folder(root)
        os.utime(path / ABOUT)
        lock = filelock.FileLock(path / USERS / f"{uuid.uuid4().hex}.lock", thread_local=False)
        lock.acquire(timeout=0)
    return Place(path, lock)


def _whole(path: Path, images: int, size: int) -> bool:
    lengths = {PIXELS: images * size, MARKS: images * MARK.size}
    files = all((path / name).is_file() and (path / name).stat().st_size == each for name, each in lengths.items())
    return files and _about(path) is not None


def _make_room(root: Path, need: int, limit: int) -> None:
    """Remove what was unused for longest, until so many bytes can be taken."""
    for path in root.iterdir():
        if path.is_dir() and _about(path) is None and not _busy(path):
            _remove(path)  # its making or removal was cut short
    found = _entries(root)
    idle = [each for each in found if not each.busy]
    free = shutil.disk_usage(root).free
    fixed = sum(each.bytes for each in found if each.busy)
    if need + fixed > limit:
        others = f", of which {fixed / GIGABYTE:.1f} GB are in use" if fixed else ""
        raise DataError(
            f"to keep the decoded images takes {need / GIGABYTE:.1f} GB, and at most {limit / GIGABYTE:g} GB are "
            f"to be taken{others}",
            f"--set runtime.cache={-(-(need + fixed) // GIGABYTE)} allows it",
        )
    if need > (free + sum(each.bytes for each in idle)) // 2:
        raise DataError(
            f"to keep the decoded images takes {need / GIGABYTE:.1f} GB, more than half of what is free in {root}",
            "make room, or set VISUS_CACHE to a folder on a larger disk",
        )
    taken = sum(each.bytes for each in found)
    while idle and (taken + need > limit or need > shutil.disk_usage(root).free // 2):
        oldest = idle.pop()
        _remove(oldest.path)
        taken -= oldest.bytes


def _entries(root: Path) -> list[Entry]:
    found = [_entry(path) for path in root.iterdir() if path.is_dir()]
    return sorted((each for each in found if each is not None), key=lambda entry: -entry.used)


def _entry(path: Path) -> Entry | None:
    about = _about(path)
    if about is None:
        return None
    marks = np.frombuffer((path / MARKS).read_bytes(), np.uint32).reshape(int(about["images"]), -1)
    kept = int(np.count_nonzero(marks[:, -1]))  # a checksum, of 0 where nothing was written
    size = int(about["images"]) * (int(about["size"]) + MARK.size)
    return Entry(path, about, int(about["images"]), kept, size, (path / ABOUT).stat().st_mtime, _busy(path))


def _about(path: Path) -> dict[str, Any] | None:
    """What a folder is of; None where that isn't known."""
    try:
        found = json.loads((path / ABOUT).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and {"images", "size"} <= found.keys() else None


def _busy(path: Path) -> bool:
    """Whether a living process has it open; the traces of those that died are removed."""
    users = path / USERS
    for each in list(users.iterdir()) if users.is_dir() else []:
        lock = filelock.FileLock(each, thread_local=False)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            return True
        lock.release()
        each.unlink(missing_ok=True)
    return False


def _remove(path: Path) -> None:
    """What says what it is goes first: a removal that is cut short leaves nothing that is taken for whole."""
    with suppress(FileNotFoundError):
        (path / ABOUT).unlink()
    if path.exists():
        shutil.rmtree(path)


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """While nobody else makes or removes anything. Turns what the system says into DataError."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(root / LOCK, timeout=PATIENCE):
            yield
    except filelock.Timeout:
        raise DataError(f"{root}: another process has held {LOCK} for {PATIENCE:.0f} s", "end it") from None
    except OSError as problem:
        raise DataError(
            f"{problem.filename or root}: {(problem.strerror or str(problem)).lower()}",
            "set VISUS_CACHE to a folder that can be written to",
        ) from None
