"""Replacing a folder is stopped at every single file operation: a whole one is always found. FAULTS 29–31.

What is written in it isn't synced by those who write it, and is torn where `replacing` doesn't do it for them.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.power import Faults, faulty, killed_at
from visus import files
from visus.files import replacing, standing

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
NAMES = ("weights", "visus.json", "inside/table")
Save = Callable[[Path, int], None]


def fill(folder: Path, version: int) -> None:
    (folder / "inside").mkdir()
    for name in NAMES:
        with (folder / name).open("wb") as file:
            file.write(f"{version}".encode() * 200)


def save(folder: Path, version: int) -> None:
    with replacing(folder) as new:
        fill(new, version)


def version_of(folder: Path) -> int:
    """Which version is found there: 0 for none, −1 for one that isn't whole, or a mixture."""
    there = standing(folder)
    if not there.exists():
        return 0
    texts = {(there / name).read_text() if (there / name).exists() else "" for name in NAMES}
    text = texts.pop()
    return int(text[0]) if not texts and text and text == text[0] * 200 else -1


def every_kill(folder: Path, before: int, write: Save = save) -> list[int]:
    """For each operation at which the power is lost while a version is written: what is found after it."""
    found = []
    number = 0
    while True:
        number += 1
        place = folder / str(number) / "model"
        place.parent.mkdir(parents=True)
        for version in range(1, before + 1):
            save(place, version)
        if not killed_at(number, lambda place=place: write(place, before + 1)):  # type: ignore[misc]
            return found
        found.append(version_of(place))
        if write is save:
            save(place, before + 2)
            assert version_of(place) == before + 2
            assert [each.name for each in place.parent.iterdir()] == ["model"]


def test_a_folder_that_is_replaced_is_the_old_or_the_new_one(tmp_path):
    found = every_kill(tmp_path, 1)
    assert len(found) > 20
    assert set(found) == {1, 2}
    assert found == sorted(found)


def test_a_first_folder_is_there_when_it_is_whole(tmp_path):
    found = every_kill(tmp_path, 0)
    assert set(found) == {0, 1}
    assert found == sorted(found)


def test_what_a_crash_left_may_crash_again(tmp_path):
    """Both folders are there and neither at its place when the next one is written, and is cut off as well."""
    number = 0
    seen = set()
    while True:
        number += 1
        place = tmp_path / str(number) / "model"
        place.parent.mkdir()
        save(place, 1)
        new, old = files._beside(place)
        place.rename(old)
        new.mkdir()
        fill(new, 2)
        assert version_of(place) == 2
        if not killed_at(number, lambda place=place: save(place, 3)):  # type: ignore[misc]
            break
        seen.add(version_of(place))
    assert seen == {2, 3}


def careless(folder: Path, version: int) -> None:
    """The old one is removed before the new one has its place."""
    new = folder.with_name("new")
    new.mkdir()
    fill(new, version)
    files._sync(new)
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


def unchecked(folder: Path, version: int) -> None:
    """A save after which none is tried."""
    save(folder, version)


def test_planted_bugs_are_caught(tmp_path, monkeypatch):
    assert min(every_kill(tmp_path / "order", 1, careless)) < 1
    monkeypatch.setattr(files, "_sync", lambda folder: None)
    assert -1 in every_kill(tmp_path / "sync", 1, unchecked)


def failed(place: Path, faults: Faults) -> int | None:
    """The number of the error that a save met; None where it came to its end."""
    try:
        with faulty(faults):
            save(place, 2)
    except OSError as problem:
        return problem.errno
    return None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_disk_that_fails_leaves_one_of_them(number, tmp_path):
    def fail(faults: Faults) -> None:
        raise OSError(number, os.strerror(number))

    at = 0
    seen = set()
    while True:
        at += 1
        place = tmp_path / str(at) / "model"
        place.parent.mkdir()
        save(place, 1)
        found = failed(place, Faults(at, fail))
        if found is None:
            assert version_of(place) == 2  # what can't be removed is no failure
            if at > 20:
                break
        else:
            assert found == number
            seen.add(version_of(place))
    assert seen == {1, 2}


def test_an_error_of_what_is_written_leaves_the_old_one_and_nothing_else(tmp_path):
    save(tmp_path / "model", 1)

    def write() -> None:
        with replacing(tmp_path / "model") as new:
            fill(new, 2)
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        write()
    assert version_of(tmp_path / "model") == 1
    assert [each.name for each in tmp_path.iterdir()] == ["model"]
