"""A file's identity changes with whatever is done to it, and is settled once its clock has gone on."""

import os
import time

import pytest

from visus.data.identity import SETTLED, identify


@pytest.mark.parametrize("change", ["longer", "same length", "renamed over", "touched"])
def test_it_changes_with_the_file(tmp_path, change):
    path = tmp_path / "a"
    path.write_bytes(b"first")
    before = identify(path.stat())
    assert identify(path.stat()) == before
    while time.time_ns() - path.stat().st_ctime_ns < 20_000_000:  # the clock of a file system may stand for 10 ms
        time.sleep(0.005)
    if change == "longer":
        path.write_bytes(b"second")
    elif change == "same length":
        path.write_bytes(b"other")
        os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    elif change == "renamed over":
        (tmp_path / "b").write_bytes(b"first")
        (tmp_path / "b").rename(path)
    else:
        os.utime(path)
    assert identify(path.stat()).key != before.key


def test_a_change_that_keeps_size_and_time_of_change_is_seen(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"first")
    os.utime(path, ns=(10**18, 10**18))
    before = identify(path.stat())
    time.sleep(0.02)
    path.write_bytes(b"other")
    os.utime(path, ns=(10**18, 10**18))  # as `cp -p` does
    assert path.stat().st_mtime_ns == 10**18
    assert identify(path.stat()).key != before.key


def test_parts_of_a_file_differ(tmp_path):
    status = tmp_path.stat()
    assert len({identify(status).key, identify(status, 0).key, identify(status, 1).key}) == 3


def test_what_was_written_just_now_is_not_settled(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"first")
    status = path.stat()
    assert not identify(status).settled
    for later, settled in ((SETTLED // 2, False), (SETTLED + 10**9, True), (-10 * 365 * 86400 * 10**9, True)):
        monkeypatch.setattr("time.time_ns", lambda later=later: status.st_ctime_ns + later)
        assert identify(status).settled is settled
