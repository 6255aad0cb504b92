"""Saving is stopped at every single file operation: a whole checkpoint is always there. FAULTS 29–31.

It is stopped by a loss of power, which tears all that wasn't synced, or by an error of the disk.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.faults.power import Faults, faulty, killed_at
from visus.errors import CheckpointError
from visus.training import checkpoint
from visus.training.checkpoint import Checkpoint, newest, read, rotate, write


def at(step: int) -> Checkpoint:
    return Checkpoint({"model.weight": torch.full((1000,), float(step))}, {"step": step})


def prepared(folder: Path) -> Path:
    folder.mkdir()
    write(folder / "best.safetensors", at(1))
    rotate(folder, at(1))
    rotate(folder, at(2))
    return folder


pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")


def every_kill(folder: Path, save: Callable[[Path], None]) -> list[tuple[int, int]]:
    """For each operation of a save during which the power may be lost: its number, and the step of what is left whole.

    0 where nothing is.
    """
    left = []
    number = 0
    while True:
        number += 1
        place = prepared(folder / str(number))
        if not killed_at(number, lambda place=place: save(place)):  # type: ignore[misc]
            return left
        try:
            found, _ = newest(place)
            assert torch.equal(found.tensors["model.weight"], at(int(found.facts["step"])).tensors["model.weight"])
            assert read(place / "best.safetensors").facts["step"] in (1, 3)
            left.append((number, int(found.facts["step"])))
        except CheckpointError:
            left.append((number, 0))


def test_a_save_that_is_killed_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    left = every_kill(tmp_path, lambda folder: rotate(folder, at(3)))
    assert len(left) > 7  # open, write twice, fsync, replace, sync the folder; and three for the rotation
    assert {step for _, step in left} == {2, 3}
    assert [step for _, step in left] == sorted(step for _, step in left)


def test_the_best_is_never_lost(tmp_path: Path) -> None:
    left = every_kill(tmp_path, lambda folder: write(folder / "best.safetensors", at(3)))
    assert len(left) > 4
    assert {step for _, step in left} == {2}


def test_planted_bugs_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is synced before it is renamed, and the newest checkpoint is written over."""

    def unsynced(path: Path, data: bytes) -> Path:
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            file.write(data)
        temporary.replace(path)
        return path

    def careless(folder: Path) -> None:
        for name in ("last", "previous"):
            write(folder / f"{name}.safetensors", at(3))

    monkeypatch.setattr(checkpoint, "write_atomic", unsynced)
    left = every_kill(tmp_path, careless)
    assert min(step for _, step in left) < 2


def failed(folder: Path, faults: Faults) -> str | None:
    """What a save said that met an error; None where it came to its end."""
    try:
        with faulty(faults):
            rotate(folder, at(3))
    except CheckpointError as problem:
        return str(problem)
    return None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_disk_that_fails_is_named_and_nothing_is_lost(number: int, tmp_path: Path) -> None:
    def fail(faults: Faults) -> None:
        raise OSError(number, os.strerror(number))

    at_most = 0
    while True:
        at_most += 1
        place = prepared(tmp_path / str(at_most))
        faults = Faults(at_most, fail)
        problem = failed(place, faults)
        if problem is None:
            break
        assert os.strerror(number).lower() in problem
        assert newest(place)[0].facts["step"] in (2, 3)
        assert not [each for each in place.iterdir() if each.suffix == ".tmp"]
    assert at_most > 7
