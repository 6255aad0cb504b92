"""Writing files and folders so that a crash at any moment leaves the old one or the new one, never half of either."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

MANY = 256  # files


def write_atomic(path: Path, data: bytes | str) -> Path:
    """Write a file whole: temporary file, fsync, rename, fsync of the folder. Text is written as UTF-8.

    Raises OSError, having removed the temporary file; what stood at `path` before is then untouched.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")  # not longer than the name, which may be as long as can be
    try:
        with temporary.open("wb") as file:
            file.write(data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return path


@contextlib.contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A new folder, to be filled inside of the block, which then takes the place of `folder`.

    It is whole and on the disk before anything is renamed, and the old one is renamed before it is removed: at every
    moment one of them is whole, and `standing` knows which. Raises OSError, or whatever the block does; the old one is
    then as it was.
    """
    new, old = _beside(folder)
    there = standing(folder)
    if there != folder:  # a crash came between two renames
        there.rename(folder)
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        new.mkdir(parents=True)
        yield new
        _sync(new)
        sync_folder(folder.parent)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except BaseException:
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(new, ignore_errors=True)
        raise
    sync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def standing(folder: Path) -> Path:
    """Where the newest whole version of a folder is that is written by `replacing`: itself, unless that was cut off."""
    new, old = _beside(folder)
    if folder.exists() or not old.exists():
        return folder
    return new if new.exists() else old


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder survive a power loss, where the system lets a folder be opened."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _beside(folder: Path) -> tuple[Path, Path]:
    """Where the new one is made and the old one is put; names that nobody gives to a folder of their own."""
    return folder.with_name(f".{folder.name}.replacing"), folder.with_name(f".{folder.name}.replaced")


def _sync(folder: Path) -> None:
    """Put a folder and all that is in it on the disk."""
    inside = list(os.walk(folder))
    if sys.platform == "linux" and sum(len(names) for _, _, names in inside) > MANY:
        os.sync()  # all of the system's at once, for which Linux waits: thousands of files by themselves take minutes
        return
    for place, _, names in inside:
        for name in names:
            # Windows syncs only what may be written, and elsewhere a file may be a link to one that may not
            with (Path(place) / name).open("rb" if os.name == "posix" else "r+b") as file:
                os.fsync(file.fileno())
        sync_folder(Path(place))
