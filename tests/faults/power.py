"""Operations on files are counted, and one of them is the last: the power is lost there, or the disk fails."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DIED = 9
Act = Callable[[], None]


class Faults:
    """Counts operations on files, and acts at the one that is asked for.

    dirty: files that were written and not synced; a crash of the machine may leave any part of them.
    """

    def __init__(self, at: int, act: Callable[[Faults], None]) -> None:
        self.at, self.act, self.count = at, act, 0
        self.dirty: set[str] = set()

    def operation(self) -> None:
        self.count += 1
        if self.count == self.at:
            self.act(self)

    def moved(self, before: str, after: str) -> None:
        """A file, or a folder with what is in it, has another name."""
        for name in [each for each in self.dirty if each == before or each.startswith(f"{before}{os.sep}")]:
            self.dirty.remove(name)
            self.dirty.add(after + name[len(before) :])

    def tear(self) -> None:
        """What a loss of power leaves of files that weren't synced: their first half."""
        for name in self.dirty:
            if Path(name).exists():
                os.truncate(name, Path(name).stat().st_size // 2)


class Writing:
    """A file whose writes count, each in two halves."""

    def __init__(self, file: Any, name: str, faults: Faults) -> None:
        self.file, self.name, self.faults = file, name, faults

    def write(self, data: bytes) -> int:
        self.faults.dirty.add(self.name)
        half = len(data) // 2
        for part in (data[:half], data[half:]):
            self.faults.operation()
            self.file.write(part)
            self.file.flush()
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> Writing:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


@contextmanager
def faulty(faults: Faults) -> Iterator[None]:
    """All operations on files pass through `faults`."""
    real = {name: getattr(os, name) for name in ("fsync", "replace", "rename", "unlink", "open", "mkdir", "rmdir")}
    opened = io.open

    def counted(name: str) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            faults.operation()
            found = real[name](*given, **named)
            if name == "fsync":
                faults.dirty.discard(str(Path(f"/proc/self/fd/{given[0]}").readlink()))
            if name in ("replace", "rename"):
                faults.moved(os.fspath(given[0]), os.fspath(given[1]))
            return found

        return call

    def open_file(name: Any, mode: str = "r", *given: Any, **named: Any) -> Any:
        if "w" not in mode:
            return opened(name, mode, *given, **named)
        faults.operation()
        return Writing(opened(name, mode, *given, **named), os.path.realpath(name), faults)

    try:
        for name in real:
            setattr(os, name, counted(name))
        io.open = open_file  # type: ignore[assignment]
        yield
    finally:
        io.open = opened
        for name, function in real.items():
            setattr(os, name, function)


def killed_at(number: int, save: Act) -> bool:
    """Whether a process that saves was killed at that operation, as by a loss of power; False where it ended first."""

    def die(faults: Faults) -> None:
        faults.tear()
        os._exit(DIED)

    child = os.fork()
    if not child:
        try:
            with faulty(Faults(number, die)):
                save()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == DIED
