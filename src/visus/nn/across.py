"""Sums over the ranks of a job, in place.

A network of 20 batch normalisations adds 38 small tensors a step, one after the other, and for each of them gloo takes
one to three milliseconds of waking threads. Ranks that share a machine's memory lay tensors on a board there and look
at it until all have come, which takes some microseconds. All find the same bits.
"""

from __future__ import annotations

import mmap
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

PLACE = 1 << 19  # bytes that a rank lays out at once: larger tensors are added in parts
SMALL = 1 << 14  # bytes up to which every rank adds all for itself
STRIDE = 64  # bytes from one rank's turn to the next: a line of the cache each
PATIENCE = 0.01  # seconds of looking without a pause
PAUSE = 1e-4  # between two looks, later
ALIVE = 1.0  # seconds between two questions whether the others live
_boards: list[Board] = []


def add(tensor: Tensor) -> None:
    """Put the sum over all ranks in a tensor's place; all of them must call it, in the same order.

    Raises torch.distributed.DistError where another one is lost.
    """
    if beside(tensor.device):
        _boards[-1].add(tensor)
    else:
        torch.distributed.all_reduce(tensor)


def beside(device: torch.device) -> bool:
    """Whether tensors of a device are added in memory that all ranks share."""
    return bool(_boards) and device.type == "cpu"


@contextmanager
def using(board: Board) -> Iterator[None]:
    """Tensors of the processor are added on this board inside of it, by every rank."""
    _boards.append(board)
    try:
        yield
    finally:
        _boards.pop().close()


class Board:
    """What `count` processes lay out for one another: for each a turn, which counts what it has done, and two places.

    Whoever lays out sum n + 2 has seen all others at n + 1, before which they had done with n: so two places suffice.
    path: a file that `create` made, which can be removed once all have opened it.
    """

    @staticmethod
    def possible() -> bool:
        """Whether processes see one another's stores in the order in which they were made, unlike on ARM, and can tell
        by a lock whether another one lives."""
        return sys.platform == "linux" and platform.machine() == "x86_64"

    @staticmethod
    def create(count: int) -> str:
        """The path of an empty board in memory, for so many ranks."""
        memory = "/dev/shm"
        file, path = tempfile.mkstemp(prefix="visus-", dir=memory if os.access(memory, os.W_OK) else None)
        os.posix_fallocate(file, 0, _size(count))  # a full disk is an error here, and ends the process later
        os.close(file)
        return path

    def __init__(self, path: str, rank: int, count: int) -> None:
        self.rank, self.count, self.sums, self.turn = rank, count, 0, 0
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        memory = mmap.mmap(self._file, _size(count))
        self._turns = memoryview(memory)[: count * STRIDE].cast("q")
        self._places = torch.frombuffer(memory, dtype=torch.uint8, offset=count * STRIDE).view(2, count, PLACE)
        self._lock(os.F_LOCK, rank)  # it goes with the process, however that ends

    def add(self, tensor: Tensor) -> None:
        """The sum of all ranks' tensors, in the ranks' order, in the place of this one. Raises DistError."""
        flat = tensor.reshape(-1)
        for part in torch.split(flat, PLACE // tensor.element_size()):
            self._add(part)
        if flat.data_ptr() != tensor.data_ptr():
            tensor.copy_(flat.view(tensor.shape))

    def _add(self, part: Tensor) -> None:
        self.sums += 1
        size = part.numel() * part.element_size()
        places = self._places[self.sums % 2, :, :size].view(part.dtype)
        places[self.rank].copy_(part)
        self._meet()
        if size <= SMALL:
            part.copy_(_sum(places))
            return
        own = places.tensor_split(self.count, dim=1)[self.rank]  # nobody else reads it before they meet again
        own[0] = _sum(own)
        self._meet()
        part.copy_(places[0])

    def close(self) -> None:
        """Nothing is added here any more."""
        os.close(self._file)

    def _meet(self) -> None:
        """Go on when all ranks are here."""
        self.turn += 1
        self._turns[self.rank * STRIDE // 8] = self.turn
        for other in range(self.count):
            self._await(other)

    def _await(self, other: int) -> None:
        where = other * STRIDE // 8
        if self._turns[where] >= self.turn:
            return
        began = asked = time.monotonic()
        while self._turns[where] < self.turn:
            os.sched_yield()
            now = time.monotonic()
            if now - began > PATIENCE:
                time.sleep(PAUSE)
            if now - asked > ALIVE:
                self._require(other)
                asked = now

    def _require(self, other: int) -> None:
        """Raise DistError where a rank no longer holds its lock, unless it left after laying out what is waited for."""
        try:
            self._lock(os.F_TLOCK, other)
        except OSError:
            return
        self._lock(os.F_ULOCK, other)
        if self._turns[other * STRIDE // 8] < self.turn:
            raise torch.distributed.DistError(f"rank {other} has ended")

    def _lock(self, how: int, rank: int) -> None:
        os.lseek(self._file, rank, os.SEEK_SET)
        os.lockf(self._file, how, 1)


def _size(count: int) -> int:
    return count * (STRIDE + 2 * PLACE)


def _sum(places: Tensor) -> Tensor:
    """Of the first dimension, in its order. `sum` would take a small integer or half type for another."""
    total = places[0].clone()
    for place in places[1:]:
        total += place
    return total
