"""A job of several processes: who takes part, who is alive, and how all end when one of them can't go on.

Each process beats once a second into the store through which they found one another. The first one listens to all
others, and they listen to it. Whoever fails, or falls silent, is named in one verdict, by which all end.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from visus.errors import RunError, SpecError, TrainingError, VisusError
from visus.nn.across import Board, using
from visus.run import launch
from visus.run.stopping import Interrupted, stop_asked
from visus.training.ranks import ALONE, Ranks

BEAT = 1.0  # seconds between two beats
SILENT = 15.0  # without a beat a rank is lost; torchrun then gives a process that hangs 30 s, which makes less than 60
ALARMED = 5.0  # the same once a connection broke
GRACE = 2.0  # for the main thread to end by itself; it can't where it waits for a rank that is lost
HEARD = 6.0  # seconds that others wait until one has said why all end
_jobs = itertools.count()


class RankLost(TrainingError):
    """Another process of the job has died, hangs, or can't go on."""


@dataclass(frozen=True)
class Job:
    """ranks: this process's place. asked: set when it was asked to stop; None where that is still to be listened for.

    watchman: who listens to the others; None alone.
    """

    ranks: Ranks = ALONE
    asked: threading.Event | None = None
    watchman: Watchman | None = None

    def logs(self, log: Callable[[str], None]) -> None:
        """Where the reason goes as well when all end."""
        if self.watchman is not None and self.ranks.first:
            self.watchman.log = log


def alone(verb: str) -> None:
    """Raise SpecError under torchrun with several processes, for what is done by one."""
    if _place().count > 1:
        raise SpecError(f"{verb} is done by one process, and torchrun started several", "start it without torchrun")


def restarted() -> bool:
    """Whether torchrun has started this job again, after one of its processes failed."""
    return _restarts() > 0


def mark() -> str:
    """What tells the jobs of torchrun apart, the same after a restart; "" without torchrun."""
    name = os.environ.get("TORCHELASTIC_RUN_ID", "")
    return f"{socket.gethostname()}:{os.getppid()}" if name == "none" else name  # torchrun's name where none was given


@contextmanager
def together() -> Iterator[Job]:
    """The job that this process belongs to, as torchrun's variables have it; without them it is alone.

    Raises RunError where the processes don't find one another, and RankLost, naming the rank, where one is lost.
    """
    ranks = _place()
    if ranks.count == 1:
        yield Job()
        return
    watchman = _meet(ranks)
    with stop_asked() as asked:
        try:
            with watchman, _board(ranks):
                yield Job(ranks, asked, watchman)
                ranks.wait()
        except BaseException as problem:
            found = watchman.settled(problem)
            if found is problem:
                raise
            raise found from None
        finally:
            watchman.over.set()
    torch.distributed.destroy_process_group()


def _restarts() -> int:
    return launch.number("TORCHELASTIC_RESTART_COUNT", 0)


def _place() -> Ranks:
    """Where this process is among those that torchrun started."""
    count = launch.number("WORLD_SIZE", 1)
    if count == 1:
        return ALONE
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not launch.stated(name)]
    if missing:
        raise SpecError(
            f"WORLD_SIZE is {count}, and {', '.join(missing)} isn't set", "start with torchrun, or unset WORLD_SIZE"
        )
    rank = launch.number("RANK", 0)
    if not rank < count:
        raise SpecError(f"rank {rank} of {count} can't be", "ranks are numbered from 0")
    return Ranks(rank, count, launch.number("LOCAL_RANK", 0), launch.number("LOCAL_WORLD_SIZE", 1))


def _meet(ranks: Ranks) -> Watchman:
    dist: Any = torch.distributed  # its stores have no types
    if not dist.is_available():
        raise SpecError("this build of PyTorch has no torch.distributed", "install another, or start without torchrun")
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        store, _, _ = next(dist.rendezvous("env://"))
        own = dist.PrefixStore(f"visus/{_restarts()}/{next(_jobs)}", store)  # torchrun's outlives a restart
        dist.init_process_group(backend, store=own, rank=ranks.rank, world_size=ranks.count)
        names = ranks.gather(f"rank {ranks.rank} (process {os.getpid()} on {socket.gethostname()})")
        found = Watchman(dist.PrefixStore("alive", own.clone()), ranks, names)
        ranks.wait()
    except RuntimeError as problem:
        raise RunError(
            f"rank {ranks.rank} of {ranks.count} doesn't find the others: {_first_line(problem)}",
            "check that all were started, and reach MASTER_ADDR and MASTER_PORT and one another",
        ) from None
    return found


@contextmanager
def _board(ranks: Ranks) -> Iterator[None]:
    """Where ranks of one machine add tensors of the processor."""
    if ranks.beside < ranks.count or not Board.possible():
        yield
        return
    path = ranks.share(lambda: Board.create(ranks.count))
    board = Board(path, ranks.rank, ranks.count)
    ranks.wait()
    if ranks.first:
        Path(path).unlink()
    with using(board):
        yield


class Watchman:
    """Beats, listens, and ends this process when the main thread can't. names: of all ranks, as people read them."""

    def __init__(self, store: Any, ranks: Ranks, names: Sequence[str]) -> None:
        self.store, self.ranks, self.names = store, ranks, names
        self.over, self.settling, self.judged = threading.Event(), threading.Event(), threading.Event()
        self.alarmed, self.beaten = False, time.monotonic()
        self.log: Callable[[str], None] | None = None
        self.verdict: dict[str, Any] = {}
        self._watched = range(1, ranks.count) if ranks.first else range(1)
        self._heard = {rank: (b"", time.monotonic()) for rank in self._watched}
        store.set_timeout(timedelta(seconds=SILENT))
        store.set(f"beat/{ranks.rank}", "0")

    def __enter__(self) -> Watchman:
        for work in (self._beat, self._guard):
            threading.Thread(target=work, name=f"watchman{work.__name__}", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        return

    def settled(self, problem: BaseException) -> BaseException:
        """What this process raises in the place of a problem, once the others know and one of them says why."""
        self.settling.set()
        if _lost_others(problem):
            self.alarmed = True
            self.judged.wait(SILENT + 2 * ALARMED)
            problem = self._lost() if self.verdict else RankLost(
                f"a connection between ranks broke: {_first_line(problem)}", "`visus resume` goes on"
            )  # fmt: skip
        elif not isinstance(problem, Interrupted):
            status = problem.status if isinstance(problem, VisusError) else 1
            what = problem.problem if isinstance(problem, VisusError) else f"{type(problem).__name__}: {problem}"
            remedy = problem.remedy if isinstance(problem, VisusError) else ""
            self._judge({"rank": self.ranks.rank, "problem": what, "remedy": remedy, "status": status})
        if isinstance(problem, VisusError):
            problem.said = not self._speaks
        self._tell_or_wait()
        return problem

    @property
    def _speaks(self) -> bool:
        """Whether this is the one that says why all end: the first; the next where the first is lost; where nobody can
        be told, one on each machine."""
        if self.verdict.get("cut"):
            return self.ranks.local == 0
        return self.ranks.first or (self.ranks.rank == 1 and self.verdict.get("lost") == 0)

    def _beat(self) -> None:
        count = 0
        while not self.over.wait(BEAT) and not self.verdict:
            count += 1
            try:
                self.store.set(f"beat/{self.ranks.rank}", str(count))
                self._listen()
            except RuntimeError as problem:
                if not self.over.is_set():
                    self._cut_off(_first_line(problem))
            self.beaten = time.monotonic()

    def _guard(self) -> None:
        """End this process once there is a verdict, if the main thread doesn't: it may wait for what doesn't come."""
        while not self.over.wait(BEAT) and not self.verdict:
            if time.monotonic() - self.beaten > SILENT:  # the other thread waits for an answer
                self._cut_off(f"it hasn't answered for {SILENT:.0f} s")
        self.judged.set()
        if not self.verdict or self.over.is_set() or (self.settling.wait(GRACE) and self.over.wait(SILENT)):
            return
        if self._speaks:
            lost = self._lost()
            sys.stderr.write(f"visus: {lost.problem}\n  → {lost.remedy}\n")
            sys.stderr.flush()
        self._tell_or_wait()
        os._exit(self.verdict["status"])

    def _cut_off(self, why: str) -> None:
        """The store is out of reach: so is the machine that it is on, which is the first rank's."""
        self.verdict = {
            "rank": 0, "lost": 0, "cut": True, "status": RankLost.status, "remedy": "`visus resume` goes on",
            "problem": f"its machine, or torchrun there, can't be reached from {self.names[self.ranks.rank]}: {why}",
        }  # fmt: skip

    def _listen(self) -> None:
        if self.store.check(["verdict"]):
            self.verdict = json.loads(self.store.get("verdict"))
            return
        now, limit = time.monotonic(), ALARMED if self.alarmed else SILENT
        values = self.store.multi_get([f"beat/{rank}" for rank in self._watched])
        for rank, value in zip(self._watched, values, strict=True):
            before, when = self._heard[rank]
            if value != before:
                self._heard[rank] = (value, now)
            elif now - when > limit:
                what = f"has died or hangs: nothing was heard of it for {now - when:.0f} s"
                remedy = "look at its machine and its output; `visus resume` goes on"
                self._judge({"rank": rank, "lost": rank, "problem": what, "remedy": remedy, "status": RankLost.status})
                return

    def _judge(self, verdict: dict[str, Any]) -> None:
        """Of several verdicts the first holds."""
        with suppress(RuntimeError):  # nobody can be told without the store; its loss ends the others too
            self.verdict = json.loads(self.store.compare_set("verdict", "", json.dumps(verdict)))

    def _lost(self) -> RankLost:
        found = RankLost(f"{self.names[self.verdict['rank']]}: {self.verdict['problem']}", self.verdict["remedy"])
        found.status = self.verdict["status"]
        return found

    def _tell_or_wait(self) -> None:
        """Whoever leaves first is followed by torchrun's SIGTERM to the others, so the one that speaks leaves first."""
        with suppress(RuntimeError, OSError):  # of a store or folder that went with the machine that is lost
            if self._speaks:
                if self.log is not None and self.verdict:
                    self.log(self._lost().problem)
                if not self.verdict.get("cut"):
                    self.store.set("said", "")
            elif not self.verdict.get("cut"):
                until = time.monotonic() + HEARD
                while time.monotonic() < until and not self.store.check(["said"]):
                    time.sleep(0.1)
                time.sleep(1.0)


def _lost_others(problem: BaseException) -> bool:
    """Whether an exception comes from a connection to other ranks."""
    if isinstance(problem, VisusError) or not isinstance(problem, RuntimeError):
        return False
    return isinstance(problem, torch.distributed.DistError) or any(
        word in str(problem) for word in ("gloo", "Connection", "NCCL", "process group")
    )


def _first_line(problem: BaseException) -> str:
    return (str(problem).splitlines() or [type(problem).__name__])[0]
