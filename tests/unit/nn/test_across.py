"""Sums over ranks that share a machine's memory."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

from tests.ranks import on_ranks
from visus.nn.across import PLACE, SMALL, Board
from visus.run.job import together

FLOAT = torch.float32.itemsize
SIZES = (1, SMALL // FLOAT, SMALL // FLOAT + 1, PLACE // FLOAT, 2 * PLACE // FLOAT + 7, 3, 0)
pytestmark = pytest.mark.skipif(not Board.possible(), reason="ranks share memory on Linux with x86-64")


def tensors(rank: int) -> list[torch.Tensor]:
    """Of all sizes, types and layouts; sums of three and more of these depend on their order."""
    draws = torch.Generator().manual_seed(rank)
    found = [torch.randn(size, generator=draws) for size in SIZES]
    found += [torch.randn(30, 7, generator=draws).t(), torch.randn((), generator=draws)]
    found += [torch.randn(9, generator=draws, dtype=torch.float64), torch.randn(9, generator=draws).bfloat16()]
    return [*found, torch.arange(20) * rank]


def all_added(folder: Path) -> list[bool]:
    """Many sums after another, by ranks that are at times late: whether each is that of all ranks in their order."""
    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    board = opened(folder, rank, count)
    parts = [tensors(each) for each in range(count)]
    right = []
    for turn in range(40):
        if turn % count == rank:
            torch.randn(200_000).sort()
        for index, own in enumerate(tensors(rank)):
            board.add(own)
            expected = parts[0][index].clone()
            for part in parts[1:]:
                expected += part[index]
            right.append(torch.equal(own, expected))
    return right


def opened(folder: Path, rank: int, count: int) -> Board:
    """The same board for all; the first makes it."""
    link = folder / "board"
    if rank == 0:
        path = Board.create(count)
        link.with_suffix(".new").symlink_to(path)
        link.with_suffix(".new").rename(link)
    while not link.is_symlink():
        os.sched_yield()
    board = Board(os.path.realpath(link), rank, count)
    board.add(torch.zeros(1))
    if rank == 0:
        Path(os.path.realpath(link)).unlink()
    return board


def killed(folder: Path) -> str:
    rank = int(os.environ["RANK"])
    board = opened(folder, rank, 2)
    board.add(torch.ones(3))
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    with pytest.raises(torch.distributed.DistError) as caught:
        board.add(torch.ones(3))
    return str(caught.value)


def left(folder: Path) -> list[float]:
    """The second one lays out its part and goes; the first comes later."""
    rank = int(os.environ["RANK"])
    board = opened(folder, rank, 2)
    own = torch.ones(3)
    if rank == 0:
        while board._turns[8] < 2:  # both have added once
            os.sched_yield()
    board.add(own)
    board.close()
    found: list[float] = own.tolist()
    return found


def mapped(folder: Path) -> list[str]:
    with together() as job:
        job.ranks.wait()  # until the first has removed its name
        return [line.strip() for line in open("/proc/self/maps", encoding="ascii") if "/visus-" in line]


def test_every_rank_finds_the_sum_in_the_ranks_order(tmp_path: Path) -> None:
    for ended in on_ranks(tmp_path, "tests.unit.nn.test_across:all_added", *((count, "") for count in (2, 3, 5))):
        assert all(right for rank in ended.found for right in rank)


def test_a_rank_that_dies_is_noticed(tmp_path: Path) -> None:
    (ended,) = on_ranks(tmp_path, "tests.unit.nn.test_across:killed", (2, ""))
    assert ended.statuses == [0, -signal.SIGKILL], ended.said
    assert (ended.folder / "rank0.json").read_text() == '"rank 1 has ended"'


def test_a_rank_may_leave_once_it_has_added(tmp_path: Path) -> None:
    (ended,) = on_ranks(tmp_path, "tests.unit.nn.test_across:left", (2, ""))
    assert ended.found == [[2, 2, 2], [2, 2, 2]]


def test_the_board_of_a_job_has_no_name_that_could_stay_behind(tmp_path: Path) -> None:
    (ended,) = on_ranks(tmp_path, "tests.unit.nn.test_across:mapped", (2, ""))
    for lines in ended.found:
        assert lines
        assert all(line.endswith("(deleted)") for line in lines)
