"""Rows of pixels on disk: what is given out is what was put, whatever happened to the files in between."""

import errno
import os
import struct
import threading
import zlib

import numpy as np
import pytest

from visus.data.cache import pixels as module
from visus.data.cache.pixels import MARK, MARKS, PIXELS, Pixels
from visus.data.identity import Identity

ROWS, SIZE = 6, 300
KEY = Identity(b"k" * 16, True)


def row_of(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (3, 10, 10), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / PIXELS).write_bytes(bytes(ROWS * SIZE))
    (tmp_path / MARKS).write_bytes(bytes(ROWS * MARK.size))
    return tmp_path


def opened(folder, said=None) -> Pixels:
    return Pixels(folder, SIZE, (lambda text: None) if said is None else said.append)


def filled(folder) -> None:
    kept = opened(folder)
    for row in range(ROWS - 1):
        kept.put(row, KEY, row_of(row), 100 + row, 200 + row)
    kept.close()


def given(kept: Pixels, row: int, identity: Identity = KEY) -> np.ndarray | None:
    out = np.empty((3, 10, 10), np.uint8)
    size = kept.get(row, identity, out)
    assert size is None or size == (100 + row, 200 + row)
    return None if size is None else out


@pytest.mark.parametrize("positional", [True, False])
def test_what_was_put_is_given_to_whoever_opens_it_next(folder, monkeypatch, positional):
    if not positional:
        monkeypatch.delattr(os, "preadv", raising=False)
    filled(folder)
    kept = opened(folder)
    for row in range(ROWS - 1):
        assert np.array_equal(given(kept, row), row_of(row))
    assert given(kept, ROWS - 1) is None
    kept.close()


def test_another_state_of_the_file_is_not_given(folder):
    filled(folder)
    kept = opened(folder)
    assert given(kept, 0, Identity(b"j" * 16, True)) is None
    kept.close()


def test_a_row_can_be_put_again_from_a_later_state(folder):
    filled(folder)
    later = Identity(b"l" * 16, True)
    kept = opened(folder)
    kept.put(2, later, row_of(77), 102, 202)
    kept.close()
    kept = opened(folder)
    assert np.array_equal(given(kept, 2, later), row_of(77))
    assert given(kept, 2) is None
    kept.close()


def test_a_flipped_bit_anywhere_gives_the_row_up(folder):
    filled(folder)
    for name, size in ((PIXELS, SIZE), (MARKS, MARK.size)):
        data = bytearray((folder / name).read_bytes())
        for place in range(size):  # of row 0
            data[place] ^= 1 << place % 8
            (folder / name).write_bytes(data)
            kept = opened(folder)
            assert given(kept, 0) is None
            assert np.array_equal(given(kept, 1), row_of(1))
            kept.close()
            data[place] ^= 1 << place % 8
        (folder / name).write_bytes(data)


@pytest.mark.parametrize("name", [PIXELS, MARKS])
def test_a_file_that_is_cut_short_loses_rows_only(folder, name):
    filled(folder)
    size = SIZE if name == PIXELS else MARK.size
    os.truncate(folder / name, 2 * size + size // 2)
    kept = opened(folder)
    assert [given(kept, row) is not None for row in range(ROWS)] == [True, True, False, False, False, False]
    kept.close()


def test_marks_are_written_after_the_pixels_are_on_the_disk(folder, monkeypatch):
    """As after a loss of power: at the moment of the sync the marks file still has none of these rows."""
    seen = []
    sync = os.fsync

    def watched(handle: int) -> None:
        seen.append((folder / MARKS).read_bytes())
        sync(handle)

    monkeypatch.setattr(os, "fsync", watched)
    filled(folder)
    assert seen == [bytes(ROWS * MARK.size)]
    assert (folder / MARKS).read_bytes()[: MARK.size] != bytes(MARK.size)


def test_many_are_synced_while_others_are_put(folder, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", 2 * SIZE)
    kept = opened(folder)
    for row in range(2):
        kept.put(row, KEY, row_of(row), 100 + row, 200 + row)
    kept._syncing.result(10)
    assert np.array_equal(given(kept, 1), row_of(1))  # without being closed
    kept.close()


def test_what_was_put_is_given_at_once_to_who_put_it_and_to_others_once_it_is_on_the_disk(folder):
    kept, other = opened(folder), opened(folder)
    kept.put(3, KEY, row_of(3), 103, 203)
    assert np.array_equal(given(kept, 3), row_of(3))
    assert given(other, 3) is None
    kept.close()
    assert np.array_equal(given(other, 3), row_of(3))
    other.close()


def test_a_row_that_is_put_again_while_it_is_synced_keeps_its_later_mark(folder, monkeypatch):
    later, kept, sync = Identity(b"l" * 16, True), opened(folder), os.fsync
    kept.put(0, KEY, row_of(0), 100, 200)

    def meanwhile(handle: int) -> None:
        monkeypatch.setattr(os, "fsync", sync)
        kept.put(0, later, row_of(50), 100, 200)
        sync(handle)

    monkeypatch.setattr(os, "fsync", meanwhile)
    kept._mark()
    assert np.array_equal(given(kept, 0, later), row_of(50))
    kept.close()
    kept = opened(folder)
    assert np.array_equal(given(kept, 0, later), row_of(50))
    kept.close()


def test_two_that_write_the_same_rows_agree(folder):
    both = [opened(folder), opened(folder)]

    def fill(kept: Pixels) -> None:
        for row in range(5):
            kept.put(row, KEY, row_of(row), 100 + row, 200 + row)

    threads = [threading.Thread(target=fill, args=(kept,)) for kept in both]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for each in both:
        each.close()
    kept = opened(folder)
    assert all(np.array_equal(given(kept, row), row_of(row)) for row in range(5))
    kept.close()


def test_the_mark_of_one_state_over_the_pixels_of_another_gives_nothing(folder):
    """What is left where one run put the old state's pixels after another had marked the new state's."""
    filled(folder)
    data = bytearray((folder / PIXELS).read_bytes())
    data[:SIZE] = row_of(99).tobytes()
    (folder / PIXELS).write_bytes(data)
    kept = opened(folder)
    assert given(kept, 0) is None
    kept.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_disk_that_fails_is_told_of_once_and_the_rest_goes_on(folder, monkeypatch, number):
    filled(folder)
    said = []
    kept = opened(folder, said)

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(kept._pixels, "write", fail)
    for _ in range(3):
        kept.put(4, KEY, row_of(5), 104, 204)
    assert len(said) == 1
    assert os.strerror(number) in said[0]
    assert str(folder) in said[0]
    assert np.array_equal(given(kept, 3), row_of(3))
    kept.close()


def test_a_sync_that_fails_marks_nothing(folder, monkeypatch):
    said = []
    kept = opened(folder, said)
    kept.put(0, KEY, row_of(0), 100, 200)
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(errno.EIO, "input/output error")))
    kept.close()
    assert len(said) == 1
    assert (folder / MARKS).read_bytes() == bytes(ROWS * MARK.size)


def test_the_format_is_what_it_is(folder):
    """Little-endian: key, height, width, CRC-32 of the pixels, and of all that. A change needs a new FORMAT."""
    filled(folder)
    mark = (folder / MARKS).read_bytes()[MARK.size : 2 * MARK.size]
    facts = b"k" * 16 + struct.pack("<III", 101, 201, zlib.crc32(row_of(1).tobytes()))
    assert mark == facts + struct.pack("<I", zlib.crc32(facts))
    assert (folder / PIXELS).read_bytes()[SIZE : 2 * SIZE] == row_of(1).tobytes()
