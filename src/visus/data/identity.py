"""What tells a file from a later one of the same name, without reading it: as git's index does."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass, field

SETTLED = 2 * 10**9  # nanoseconds: the coarsest clock of a file system, that of FAT


@dataclass(frozen=True, slots=True)
class Identity:
    """Of a file as it is now. key: 16 bytes, other ones as soon as it is written to, replaced or renamed over.

    settled: whether what is read of it now can't be mistaken for what is written to it later. Of a file that changed
    in this very tick of its clock a later change may leave no trace.
    """

    key: bytes
    settled: bool = field(compare=False)


def identify(status: os.stat_result, *within: int) -> Identity:
    """The identity of a file by its state. within: which part of the file is meant.

    >>> import os
    >>> identify(os.stat("/")).key == identify(os.stat("/")).key
    True
    """
    facts = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev, *within)
    now = time.time_ns()
    settled = all(abs(now - each) > SETTLED for each in (status.st_mtime_ns, status.st_ctime_ns))
    return Identity(hashlib.blake2b(repr(facts).encode(), digest_size=16).digest(), settled)
