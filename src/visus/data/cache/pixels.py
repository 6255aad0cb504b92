"""Decoded and placed images of a list of files, in one file on disk: a row of pixels for each, and a mark.

A mark says which state of its file a row was made from, and the checksum of its pixels. A row is given out only if its
mark is whole, the file is still in that state, and the pixels have that checksum; so whatever is torn by a crash, by
two runs that write at once, or by a disk, is decoded anew. Marks are written after the pixels are on the disk.

Rows are read by position, not through a map of the file: a disk that fails is then an error that can be answered, where
a map ends the process; and what was read doesn't count as the process's memory. The system keeps one copy of it for
all runs and ranks either way.
"""

from __future__ import annotations

import os
import struct
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import final

import numpy as np

from visus.data.identity import Identity

MARK = struct.Struct("<16sIIII")  # the identity's key, height and width of the original, checksums: of pixels, of this
PIXELS, MARKS = "pixels.bin", "marks.bin"
AT_ONCE, AT_LEAST = 1 << 30, 30.0  # bytes of pixels that are synced together, or those of so many seconds


@final
class Pixels:
    """The rows of one list of files. Safe from several threads, and several processes may have the same open.

    size: bytes of a row. say: is told, once, why nothing more can be kept.
    """

    def __init__(self, folder: Path, size: int, say: Callable[[str], None]) -> None:
        self.folder, self.size, self._say = folder, size, say
        self._pixels, self._marks = _Rows(folder / PIXELS, size), _Rows(folder / MARKS, MARK.size)
        self._alone = threading.Lock()
        self._waiting: dict[int, bytes] = {}  # marks of rows that were written and may not be on the disk yet
        self._count, self._since = 0, time.monotonic()  # of those that nobody has begun to sync
        self._syncing: Future[None] | None = None
        self._writer = ThreadPoolExecutor(1)
        self._broken = False

    def get(self, row: int, identity: Identity, out: np.ndarray) -> tuple[int, int] | None:
        """Fill `out` with a row, and give the original's height and width; None where it isn't kept."""
        read = np.empty(MARK.size, np.uint8)
        try:
            mark = self._waiting.get(row)
            if mark is None:
                if not self._marks.read(row, read):
                    return None
                mark = read.tobytes()
            key, height, width, checksum, whole = MARK.unpack(mark)
            if key != identity.key or zlib.crc32(mark[:-4]) != whole or not self._pixels.read(row, out):
                return None
        except OSError as problem:
            self._give_up(problem)
            return None
        return (height, width) if zlib.crc32(out.data) == checksum else None

    def put(self, row: int, identity: Identity, pixels: np.ndarray, height: int, width: int) -> None:
        """Keep a row, made from its file in that state."""
        if self._broken:
            return
        facts = MARK.pack(identity.key, height, width, zlib.crc32(pixels.data), 0)[:-4]
        mark = facts + zlib.crc32(facts).to_bytes(4, "little")
        try:
            self._pixels.write(row, pixels.data)
        except OSError as problem:
            self._give_up(problem)
            return
        with self._alone:
            self._waiting[row] = mark
            self._count += 1
            idle = self._syncing is None or self._syncing.done()
            if idle and (self._count * self.size >= AT_ONCE or time.monotonic() - self._since >= AT_LEAST):
                self._count, self._since = 0, time.monotonic()
                self._syncing = self._writer.submit(self._mark)

    def close(self) -> None:
        """Mark what isn't marked yet, and let go of the files."""
        self._writer.shutdown()
        self._mark()
        self._pixels.close()
        self._marks.close()

    def _mark(self) -> None:
        """Pixels to the disk, then their marks."""
        with self._alone:
            marks = dict(self._waiting)
        if not marks or self._broken:
            return
        try:
            self._pixels.sync()
            for row, mark in marks.items():
                self._marks.write(row, mark)
        except OSError as problem:
            self._give_up(problem)
            return
        with self._alone:
            for row, mark in marks.items():
                if self._waiting[row] == mark:  # and not put again meanwhile
                    del self._waiting[row]

    def _give_up(self, problem: OSError) -> None:
        with self._alone:
            first, self._broken = not self._broken, True
        if first:
            self._say(f"decoded images aren't kept any more: {self.folder}: {problem.strerror or problem}")


@final
class _Rows:
    """A file of rows of one size."""

    def __init__(self, path: Path, size: int) -> None:
        self._size, self._file = size, path.open("r+b", buffering=0)
        self._alone = threading.Lock()

    def read(self, row: int, out: np.ndarray) -> bool:
        """Whether a whole row was there to fill `out` with."""
        if hasattr(os, "preadv"):
            return os.preadv(self._file.fileno(), [out.data], row * self._size) == self._size
        with self._alone:
            self._file.seek(row * self._size)
            return self._file.readinto(out.data) == self._size

    def write(self, row: int, data: bytes | memoryview) -> None:
        left, at = memoryview(data).cast("B"), row * self._size
        while left:
            count = self._put(left, at)
            left, at = left[count:], at + count

    def _put(self, data: memoryview, at: int) -> int:
        if hasattr(os, "pwrite"):
            return os.pwrite(self._file.fileno(), data, at)
        with self._alone:
            self._file.seek(at)
            return self._file.write(data)

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()
