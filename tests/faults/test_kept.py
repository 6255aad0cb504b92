"""What is kept of decoded images survives SIGKILL and losses of power as rows or not at all. FAULTS 30 and 31."""

import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from visus.data.cache import pixels as module
from visus.data.cache.pixels import MARK, MARKS, PIXELS, Pixels
from visus.data.identity import Identity

ROWS, SIZE = 12, 4096
Operation = tuple[str, str, int, bytes]  # "write" or "sync", the file, where, what


def key(row: int, state: int = 0) -> Identity:
    return Identity(bytes([row, state]) * 8, True)


def row_of(row: int, state: int = 0) -> np.ndarray:
    return np.random.default_rng((row, state)).integers(0, 256, SIZE, dtype=np.uint8)


def emptied(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / PIXELS).write_bytes(bytes(ROWS * SIZE))
    (folder / MARKS).write_bytes(bytes(ROWS * MARK.size))
    return folder


def opened(folder: Path) -> Pixels:
    return Pixels(folder, SIZE, lambda text: None)


def given(folder: Path, state: int = 0) -> tuple[int, int]:
    """How many rows are given out, and how many of those are wrong."""
    kept, out, right, wrong = opened(folder), np.empty(SIZE, np.uint8), 0, 0
    for row in range(ROWS):
        size = kept.get(row, key(row, state), out)
        if size is not None:
            good = size == (row, state) and np.array_equal(out, row_of(row, state))
            right, wrong = right + good, wrong + (not good)
    kept.close()
    return right, wrong


def filled(folder: Path, state: int = 0) -> None:
    kept = opened(folder)
    for row in range(ROWS):
        kept.put(row, key(row, state), row_of(row, state), row, state)
    kept.close()


def operations(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Operation]:
    """All that is done to the files when rows are kept that were kept in another state before."""
    found: list[Operation] = []
    real = module._Rows

    class Watched(real):  # type: ignore[misc, valid-type]
        def write(self, row: int, data: bytes | memoryview) -> None:
            name = Path(self._file.name).name
            found.append(("write", name, row * self._size, bytes(data)))
            super().write(row, data)

        def sync(self) -> None:
            found.append(("sync", Path(self._file.name).name, 0, b""))

    with monkeypatch.context() as patch:
        patch.setattr(module, "AT_ONCE", 3 * SIZE)
        patch.setattr(module, "_Rows", Watched)
        filled(folder, 1)
    return found


def lose_power(folder: Path, done: list[Operation], chance: random.Random) -> None:
    """Of what wasn't synced, some was written, some half, some not."""
    for number, (what, name, place, data) in enumerate(done):
        if what == "write":
            synced = ("sync", name, 0, b"") in done[number:]
            length = len(data) if synced else chance.choice([0, len(data) // 2, len(data)])
            with (folder / name).open("r+b") as file:
                file.seek(place)
                file.write(data[:length])


def after_every_loss(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """How many rows were given out after a loss of power at any moment, and how many of those were wrong."""
    done = operations(emptied(folder / "whole"), monkeypatch)
    assert [name for what, name, *_ in done].count(MARKS) == ROWS
    chance, right, wrong = random.Random(0), 0, 0
    for moment in range(len(done) + 1):
        for _ in range(4):
            torn = emptied(folder / "torn")
            filled(torn)
            lose_power(torn, done[:moment], chance)
            for state in (0, 1):
                good, bad = given(torn, state)
                right, wrong = right + good, wrong + bad
    return right, wrong


def test_a_loss_of_power_at_any_moment_gives_no_wrong_row(tmp_path, monkeypatch):
    right, wrong = after_every_loss(tmp_path, monkeypatch)
    assert wrong == 0
    assert right > 500


def test_a_planted_bug_is_caught(tmp_path, monkeypatch):
    """Nothing is checked."""
    monkeypatch.setattr(module.zlib, "crc32", lambda data: 1)
    _, wrong = after_every_loss(tmp_path, monkeypatch)
    assert wrong > 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_two_that_are_killed_while_they_fill_it_leave_no_wrong_row(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", 2 * SIZE)
    folder, chance, most = emptied(tmp_path / "set"), random.Random(1), 0
    for round_ in range(12):
        state = round_ // 4  # the files change from time to time
        children = [forked(folder, state) for _ in range(2)]
        time.sleep(chance.uniform(0, 0.1))
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        right, wrong = given(folder, state)
        assert wrong == 0
        most = max(most, right)
    assert most > 0
    filled(folder, 2)
    assert given(folder, 2) == (ROWS, 0)


def forked(folder: Path, state: int) -> int:
    """A process that fills it again and again."""
    child = os.fork()
    if child:
        return child
    try:
        while True:
            filled(folder, state)
    finally:
        os._exit(1)
