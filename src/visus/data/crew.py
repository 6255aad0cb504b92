"""Worker processes that read, decode and place image files, and what becomes of it when one of them dies.

The pool of `multiprocessing` and the loader of torch give a dead worker up, and all with it; they need /dev/shm; and
they run a user's script again in each worker. A worker here is a program of its own, with a pipe to it and one from
it, and memory that has no name. It answers file by file, so it is known at which one it died.
"""

from __future__ import annotations

import mmap
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from math import prod
from typing import Any, final

import numpy as np

from visus.data.preprocess import ImagePreprocess
from visus.data.samples import OnDisk
from visus.data.worker import Answer
from visus.errors import SpecError, TrainingError

SLOTS = 8  # files that a worker is given at once
PATIENCE = 5.0  # seconds for a worker to end
CRASHES = frozenset(
    getattr(signal, name) for name in ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE") if hasattr(signal, name)
)
_WITHOUT = "--set runtime.workers=0 decodes in this process"


@final
class Crew:
    """Workers, started when the first file is to be placed. They end with the last who uses them.

    A worker that is killed is started again and what it was at is done again; if it is killed again, TrainingError is
    raised. One that crashes twice at the same file does without that file from then on.
    Raises SpecError where the system doesn't let processes share memory so.
    """

    def __init__(self, preprocess: ImagePreprocess, count: int) -> None:
        if os.name != "posix":
            raise SpecError("runtime.workers: this system has no workers", _WITHOUT)
        self._workers = [_Worker(preprocess) for _ in range(count)]
        self._free: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for each in self._workers:
            self._free.put(each)
        self._pool = ThreadPoolExecutor(count)
        self._crashing: dict[OnDisk, str] = {}
        self.close = weakref.finalize(self, _end, self._pool, self._workers)

    def place(self, files: Sequence[OnDisk], out: Sequence[np.ndarray]) -> list[Answer]:
        """Each file's pixels into its place in `out`, C×H×W uint8; the images' heights and widths, or what is wrong."""
        many = max(1, min(SLOTS, -(-len(files) // (2 * len(self._workers)))))
        starts = range(0, len(files), many)
        done = self._pool.map(
            self._portion,
            [files[start : start + many] for start in starts],
            [out[start : start + many] for start in starts],
        )
        return [answer for part in list(done) for answer in part]

    @property
    def processes(self) -> list[int]:
        """The numbers of those that run."""
        return [each.process.pid for each in self._workers if each.process is not None]

    def _portion(self, files: Sequence[OnDisk], out: Sequence[np.ndarray]) -> list[Answer]:
        worker = self._free.get()
        try:
            return self._placed(worker, files, out)
        finally:
            self._free.put(worker)

    def _placed(self, worker: _Worker, files: Sequence[OnDisk], out: Sequence[np.ndarray]) -> list[Answer]:
        answers: list[Answer] = [self._crashing.get(file, "") for file in files]
        left = [row for row, answer in enumerate(answers) if not answer]
        killed, suspect = 0, -1
        while left:
            try:
                worker.ask([files[row] for row in left])
                for slot, row in enumerate(list(left)):
                    answers[row] = worker.answer()
                    out[row][...] = worker.room[slot]
                    left.remove(row)
            except (EOFError, pickle.UnpicklingError, OSError):
                cause = worker.death()
                if cause not in CRASHES:
                    killed += 1
                    if killed > 1:
                        raise _killed(cause) from None
                elif suspect == left[0]:
                    row = left.pop(0)
                    answers[row] = self._crashing[files[row]] = f"crashes what decodes it ({cause.name})"
                else:
                    suspect = left[0]
        return answers


def _killed(cause: signal.Signals) -> TrainingError:
    return TrainingError(
        f"a worker that decodes images was killed ({cause.name}), was started again, and was killed again: probably "
        "memory is out",
        "free some and go on with `visus resume`, or begin with --set runtime.workers=2, or 0 for threads",
    )


@final
class _Worker:
    """One process, started anew whenever it is needed and isn't there. room: SLOTS×C×H×W uint8, shared with it."""

    def __init__(self, preprocess: ImagePreprocess) -> None:
        self._preprocess = preprocess
        self.process: subprocess.Popen[bytes] | None = None
        self._said: Any = None
        self.room = np.empty(0, np.uint8)

    def ask(self, files: list[OnDisk]) -> None:
        """Give it files."""
        process = self.process or self._start()
        assert process.stdin is not None
        pickle.dump(files, process.stdin)
        process.stdin.flush()

    def answer(self) -> Answer:
        """What it says of the next file. Raises EOFError or UnpicklingError where it died."""
        assert self.process is not None
        assert self.process.stdout is not None
        found: Answer = pickle.load(self.process.stdout)  # from a process of our own
        return found

    def death(self) -> signal.Signals:
        """The signal that ended it. Raises TrainingError where it ended by itself."""
        assert self.process is not None
        status, said = self.end()
        if status >= 0:
            raise TrainingError(f"a worker that decodes images ended with status {status}: {said}", _WITHOUT)
        return signal.Signals(-status)

    def end(self) -> tuple[int, str]:
        """Its exit status, once it has ended, and the last that it said."""
        process, self.process = self.process, None
        if process is None:
            return 0, ""
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(OSError):  # it may be gone already
            process.stdin.close()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
        process.stdout.close()
        with self._said as file:
            file.seek(0)
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
        return process.wait(), lines[-1] if lines else "it said nothing"

    def _start(self) -> subprocess.Popen[bytes]:
        """A worker that is ready. A session of its own: Ctrl-C and the signals of batch systems are this process's."""
        shape = (SLOTS, *self._preprocess.shape)
        handle = _memory(prod(shape))
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        path = os.pathsep.join(each or os.getcwd() for each in sys.path)  # noqa: PTH109
        process = subprocess.Popen(
            [sys.executable, "-m", "visus.data.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._said, pass_fds=(handle,), start_new_session=True,
            env={**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        self.room = np.frombuffer(mmap.mmap(handle, prod(shape)), np.uint8).reshape(shape)
        self.process = process
        assert process.stdin is not None
        pickle.dump((self._preprocess, handle, SLOTS), process.stdin)
        process.stdin.flush()
        os.close(handle)
        self.answer()
        return process


def _end(pool: ThreadPoolExecutor, workers: list[_Worker]) -> None:
    pool.shutdown()
    for each in workers:
        each.end()


def _memory(size: int) -> int:
    """A handle of memory that processes can share, and that goes when they do."""
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("visus")
    else:
        with tempfile.TemporaryFile() as file:
            handle = os.dup(file.fileno())
    os.ftruncate(handle, size)
    return handle
