"""Digests of contents are remembered between runs, as long as the files are as they were."""

import hashlib
import os
from pathlib import Path

import pytest

from tests.helpers import encoded, pixels
from visus.data.cache import sets
from visus.data.cache.digests import digests_folder
from visus.data.dataset import Dataset, digests
from visus.data.samples import FileSamples, OnDisk, Rows
from visus.data.types import Schema, Target

OLD = 1_600_000_000


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    """Sets of a few files are worth it, and files are settled at once."""
    monkeypatch.setenv("VISUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sets, "WORTH", 0.0)
    monkeypatch.setattr("visus.data.identity.SETTLED", -1)


def listed(folder: Path, count: int = 5) -> FileSamples:
    folder.mkdir(exist_ok=True)
    found = []
    for row in range(count):
        path = folder / f"{row}.png"
        if not path.exists():
            path.write_bytes(encoded(pixels(row)))
        found.append(OnDisk(path, path.name, path.stat().st_size))
    return FileSamples(found, [Target(label=0)] * count)


def wanted(folder: Path, count: int = 5) -> list[bytes]:
    return [hashlib.blake2b((folder / f"{row}.png").read_bytes(), digest_size=16).digest() for row in range(count)]


@pytest.fixture
def reads(monkeypatch):
    """The names of the files that were read."""
    found: list[str] = []
    read = OnDisk.read

    def watched(file: OnDisk) -> bytes:
        found.append(file.name)
        return read(file)

    monkeypatch.setattr(OnDisk, "read", watched)
    return found


def test_a_second_start_reads_nothing(tmp_path, reads):
    folder = tmp_path / "set"
    assert digests(listed(folder)) == wanted(folder)
    assert len(reads) == 5
    assert digests(listed(folder)) == wanted(folder)
    assert len(reads) == 5


def test_the_fingerprint_is_the_same_whether_remembered_or_read(tmp_path, reads):
    def fingerprint() -> str:
        return Dataset("set", Schema(), {"train": listed(tmp_path / "set")}).fingerprint()

    first = fingerprint()
    assert fingerprint() == first
    assert len(reads) == 5
    (tmp_path / "set" / "3.png").write_bytes(encoded(pixels(33)))
    assert fingerprint() != first


def test_only_what_changed_is_read(tmp_path, reads):
    folder = tmp_path / "set"
    digests(listed(folder))
    reads.clear()
    data = bytearray((folder / "2.png").read_bytes())
    data[-20] ^= 1  # of the same size
    (folder / "2.png").write_bytes(data)
    assert digests(listed(folder)) == wanted(folder)
    assert reads == ["2.png"]


def test_some_rows_first_then_the_others(tmp_path, reads):
    folder = tmp_path / "set"
    assert digests(Rows(listed(folder), [1, 3])) == [wanted(folder)[1], wanted(folder)[3]]
    assert digests(listed(folder)) == wanted(folder)
    assert sorted(reads) == [f"{row}.png" for row in range(5)]


def test_what_was_written_just_now_is_not_remembered(tmp_path, reads, monkeypatch):
    monkeypatch.setattr("visus.data.identity.SETTLED", 3600 * 10**9)
    digests(listed(tmp_path / "set"))
    digests(listed(tmp_path / "set"))
    assert len(reads) == 10


def test_another_folder_with_the_same_names_is_another_set(tmp_path, reads):
    digests(listed(tmp_path / "one"))
    digests(listed(tmp_path / "two"))
    assert len(reads) == 10


@pytest.mark.parametrize("damage", ["a bit", "cut", "empty"])
def test_a_damaged_memory_is_no_memory(tmp_path, reads, damage):
    folder = tmp_path / "set"
    digests(listed(folder))
    (path,) = digests_folder().iterdir()
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes({"a bit": bytes(data), "cut": bytes(data[:-1]), "empty": b""}[damage])
    assert digests(listed(folder)) == wanted(folder)
    assert len(reads) == 10


def test_small_sets_leave_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(sets, "WORTH", 5.0)
    digests(listed(tmp_path / "set"))
    assert not (tmp_path / "cache").exists()


def test_fault_36_without_a_place_for_it_all_is_read(tmp_path, reads, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("VISUS_CACHE", str(tmp_path / "file"))
    assert digests(listed(tmp_path / "set")) == wanted(tmp_path / "set")
    monkeypatch.delenv("VISUS_CACHE")
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError))
    assert digests(listed(tmp_path / "set")) == wanted(tmp_path / "set")
    assert len(reads) == 10


def test_a_file_that_cannot_be_read_is_not_remembered(tmp_path, reads):
    samples = listed(tmp_path / "set")
    os.unlink(tmp_path / "set" / "4.png")  # noqa: PTH108
    assert digests(samples)[4] == b"unreadable 4.png"
    assert digests(samples)[:4] == wanted(tmp_path / "set", 4)
