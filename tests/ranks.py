"""Work on several ranks, for tests: processes of one program, as torchrun would start them on one machine.

    python -m tests.ranks FOLDER MODULE:FUNCTION COUNT WORDS [COUNT WORDS …]

For each COUNT that many processes call FUNCTION(FOLDER/number of the job, *WORDS.split()), which gives what JSON can
hold; all jobs at once. It is a program of its own, so that what it forks has no threads of a test runner; and forked,
so that torch is imported once. It prints the exit statuses; errors of Visus's are said as the command line does.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from visus.errors import VisusError

ROOT = Path(__file__).parents[1]
SLOW = (
    "torchmetrics.classification", "sklearn.datasets", "torch.utils.tensorboard", "torch.distributed.fsdp",
    "torch.distributed.tensor",
)  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How the processes of a job ended: their statuses, and what they said. folder: the job's."""

    statuses: list[int]
    said: str
    folder: Path

    @property
    def found(self) -> list[Any]:
        """What each rank's call gave."""
        assert not any(self.statuses), self.said
        return [json.loads((self.folder / f"rank{rank}.json").read_text()) for rank in range(len(self.statuses))]


def on_ranks(folder: Path, work: str, *jobs: tuple[int, str]) -> list[Ended]:
    """Jobs of so many ranks, all at once."""
    words = [str(word) for each in jobs for word in each]
    command = [sys.executable, "-m", "tests.ranks", str(folder), work, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    places = [folder / str(number) for number in range(len(jobs))]
    statuses = json.loads(done.stdout)
    return [Ended(each, (place / "said").read_text(), place) for each, place in zip(statuses, places, strict=True)]


def variables(rank: int, count: int, port: int) -> Mapping[str, str]:
    """What torchrun tells a process."""
    found = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_PORT": port}
    return {name: str(value) for name, value in found.items()} | {
        "MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RUN_ID": "test",
    }  # fmt: skip


def called(work: str, place: Path, words: Sequence[str], rank: int) -> int:
    """The status of one process."""
    module, _, name = work.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)(place, *words)
        (place / f"rank{rank}.json").write_text(json.dumps(found))
    except VisusError as problem:
        if not problem.said:
            sys.stderr.write(f"rank {rank} says: {problem}\n")
        return problem.status
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def ended(children: Sequence[int]) -> list[int]:
    """Their statuses; one that is stopped is killed when the others have ended, as torchrun does it."""
    statuses, stopped = dict.fromkeys(children, 0), []
    for child in children:
        _, status = os.waitpid(child, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            stopped.append(child)
        else:
            statuses[child] = os.waitstatus_to_exitcode(status)
    for child in stopped:
        os.kill(child, signal.SIGKILL)
        statuses[child] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return list(statuses.values())


def main() -> None:
    folder, work, *jobs = sys.argv[1:]
    for name in (work.partition(":")[0], *SLOW):
        importlib.import_module(name)  # once, and not in each
    torch.set_num_threads(1)
    started, told, stores = [], [], []
    for number, (count, words) in enumerate(zip(map(int, jobs[::2]), jobs[1::2], strict=True)):
        place = Path(folder) / str(number)
        place.mkdir(parents=True)
        children = []
        for rank in range(count):
            reading, writing = os.pipe()
            child = os.fork()
            if not child:
                os.dup2(os.open(place / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
                os.environ.update(variables(rank, count, int(os.read(reading, 8))))
                status = called(work, place, words.split(), rank)
                sys.stderr.flush()
                os._exit(status)
            children.append(child)
            told.append((number, writing))
        started.append(children)
    # only now, for a store answers in threads, and a lock that one of them holds would stay shut in a forked process
    for _ in started:
        stores.append(torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False))
    for number, writing in told:
        os.write(writing, str(stores[number].port).encode())
    sys.stdout.write(json.dumps([ended(children) for children in started]))


if __name__ == "__main__":
    main()
