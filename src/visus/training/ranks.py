"""The processes that train one network together, and what they tell one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from visus.errors import RunError
from visus.nn import across

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ranks:
    """One process's place among them. Of a process that is alone, every answer is its own, and nothing is sent.

    rank: its number, from 0. count: of all. local: its number among those on its machine. beside: how many those are.
    Values are sent pickled, between processes of one job. All of them must call the same functions in the same order.
    """

    rank: int = 0
    count: int = 1
    local: int = 0
    beside: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that reads and writes the run folder, and tells people."""
        return self.rank == 0

    def gather(self, value: T) -> list[T]:
        """Everyone's value, in order; tensors on the processor."""
        if self.count == 1:
            return [value]
        found: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(found, value)
        return found

    def share(self, value: Callable[[], T]) -> T:
        """What the first one finds; the others don't call."""
        if self.count == 1:
            return value()
        found: list[Any] = [value() if self.first else None]
        torch.distributed.broadcast_object_list(found, src=0)
        one: T = found[0]
        return one

    def any(self, flag: bool) -> bool:
        """Whether it is so for one of them."""
        if self.count == 1:
            return flag
        found = torch.tensor(int(flag))
        across.add(found)
        return bool(found.item())

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            self.any(False)  # by the processor: a barrier of an accelerator's would take that

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """On each machine the first process alone, and then the others, who find what it has fetched."""
        if self.local:
            self.wait()
        yield
        if not self.local:
            self.wait()

    def require_same(self, what: str, value: object) -> None:
        """Raise RunError, naming a rank, where a value isn't the first one's."""
        found = self.gather(value)
        for rank, each in enumerate(found):
            if each != found[0]:
                raise RunError(
                    f"rank {rank} has other {what} than rank 0: {each} and {found[0]}",
                    "give every machine the same command, the same files and the same versions",
                )


ALONE = Ranks()
