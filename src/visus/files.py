"""Writing files so that a crash at any moment leaves the old one or the new one, never half of either."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path


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


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder survive a power loss, where the system lets a folder be opened."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
