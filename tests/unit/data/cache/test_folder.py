"""The folder of kept images: shared by those who are alive, bounded, and never in pieces."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from visus.data.cache import folder as module
from visus.data.cache.folder import ABOUT, clear, entries, open_place
from visus.data.cache.pixels import MARK, MARKS, PIXELS
from visus.errors import DataError

SIZE, IMAGES = 1000 - MARK.size, 10  # 10,000 bytes with the marks
PLENTY = 10**6


def about(name: str) -> dict:
    return {"where": name, "files": name, "placing": {"size": [1, 1]}}


def names(root: Path) -> list[str]:
    return [each.about["where"] for each in entries(root)]


def made(root: Path, name: str, used: int, limit: int = PLENTY) -> Path:
    """A place that nobody has open any more."""
    place = open_place(root, about(name), IMAGES, SIZE, limit)
    place.close()
    os.utime(place.path / ABOUT, (used, used))
    return place.path


def test_the_same_place_for_the_same_and_another_for_another(tmp_path):
    one, same, other = (open_place(tmp_path, about(name), IMAGES, SIZE, PLENTY) for name in ("a", "a", "b"))
    assert one.path == same.path != other.path
    assert (one.path / PIXELS).stat().st_size == IMAGES * SIZE
    assert (one.path / MARKS).stat().st_size == IMAGES * MARK.size
    for each in (one, same, other):
        each.close()


def test_what_is_kept_stays_when_it_is_opened_again(tmp_path):
    path = made(tmp_path, "a", 1)
    (path / PIXELS).write_bytes(b"x" * IMAGES * SIZE)
    assert made(tmp_path, "a", 1) == path
    assert (path / PIXELS).read_bytes() == b"x" * IMAGES * SIZE


def test_room_is_made_by_what_was_unused_for_longest(tmp_path):
    for used, name in enumerate("abc", 1):
        made(tmp_path, name, used)
    made(tmp_path, "a", 4)  # used again
    made(tmp_path, "d", 5, limit=30_000)
    assert names(tmp_path) == ["d", "a", "c"]


def test_what_is_in_use_is_never_removed(tmp_path):
    used = open_place(tmp_path, about("used"), IMAGES, SIZE, PLENTY)
    os.utime(used.path / ABOUT, (1, 1))
    made(tmp_path, "idle", 2)
    made(tmp_path, "new", 3, limit=20_000)
    assert names(tmp_path) == ["new", "used"]
    with pytest.raises(DataError, match=r"0\.0 GB are in use") as raised:
        open_place(tmp_path, about("more"), IMAGES, SIZE, 19_999)
    assert raised.value.remedy == "--set runtime.cache=1 allows it"
    assert names(tmp_path) == ["new", "used"]  # nothing was removed in vain
    removed, busy = clear(tmp_path)
    assert [[each.about["where"] for each in some] for some in (removed, busy)] == [["new"], ["used"]]
    used.close()
    clear(tmp_path)
    assert names(tmp_path) == []


def test_what_another_process_uses_is_not_removed_and_is_once_it_was_killed(tmp_path):
    held = (
        "import sys, time; from pathlib import Path; from visus.data.cache.folder import open_place\n"
        f"place = open_place(Path(sys.argv[1]), {about('held')!r}, {IMAGES}, {SIZE}, {PLENTY})\n"
        "print('open', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", held, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"open\n"
        assert [each.busy for each in entries(tmp_path)] == [True]
        clear(tmp_path)
        assert names(tmp_path) == ["held"]
        process.kill()
    assert [each.busy for each in entries(tmp_path)] == [False]
    clear(tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("lost", [ABOUT, MARKS, PIXELS])
def test_what_was_cut_short_while_it_was_made_or_removed_is_made_anew(tmp_path, lost):
    path = made(tmp_path, "a", 1)
    (path / PIXELS).write_bytes(b"x" * IMAGES * SIZE)
    (path / lost).unlink()
    made(tmp_path, "a", 1)
    assert (path / PIXELS).read_bytes() == bytes(IMAGES * SIZE)
    assert names(tmp_path) == ["a"]


def test_pieces_of_others_are_swept_away(tmp_path):
    path = made(tmp_path, "a", 1)
    (path / ABOUT).unlink()
    made(tmp_path, "b", 2)
    assert not path.exists()


def test_a_disk_that_is_too_full_is_left_alone(tmp_path, monkeypatch):
    made(tmp_path, "a", 1)
    usage = module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=9_999))
    with pytest.raises(DataError, match="more than half of what is free") as raised:
        open_place(tmp_path, about("b"), IMAGES, SIZE, PLENTY)
    assert "VISUS_CACHE" in raised.value.remedy
    assert names(tmp_path) == ["a"]
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=20_000))
    made(tmp_path, "b", 2)
    assert names(tmp_path) == ["b", "a"]


def test_fault_36_a_folder_that_cannot_be_written_to_is_named(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(tmp_path / "home"))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(DataError, match="home: read-only file system") as raised:
        open_place(tmp_path / "home", about("a"), IMAGES, SIZE, PLENTY)
    assert "VISUS_CACHE" in raised.value.remedy


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "pixels").write_bytes(b"")
    with pytest.raises(DataError, match="pixels"):
        open_place(tmp_path / "pixels", about("a"), IMAGES, SIZE, PLENTY)
    assert (tmp_path / "pixels").read_bytes() == b""


def test_another_process_that_holds_everything_up_is_told_of(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    with module.filelock.FileLock(tmp_path / ".lock"), pytest.raises(DataError, match="another process"):
        open_place(tmp_path, about("a"), IMAGES, SIZE, PLENTY)


def test_how_many_are_kept_is_told(tmp_path):
    path = made(tmp_path, "a", 1)
    (path / MARKS).write_bytes(b"m" * MARK.size * 3 + bytes(MARK.size * (IMAGES - 3)))
    (entry,) = entries(tmp_path)
    assert (entry.images, entry.kept, entry.bytes, entry.used, entry.busy) == (IMAGES, 3, 10_000, 1.0, False)


def test_nothing_is_made_by_looking(tmp_path):
    assert entries(tmp_path / "none") == []
    assert not (tmp_path / "none").exists()
