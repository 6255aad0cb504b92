"""Stopping a run in good order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from visus.errors import VisusError


class Interrupted(VisusError):
    """The run was asked to stop, and has saved where it was."""

    status = 75  # EX_TEMPFAIL: try again later


@contextmanager
def stop_asked() -> Iterator[threading.Event]:
    """An event that SIGTERM or Ctrl-C sets: the step under way is finished and saved. Ctrl-C again stops at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def ask(number: int, _: object) -> None:
        if asked.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
