"""Digests of files' contents, kept between runs: a data set is read whole to know it once, and not at every start."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from visus.data.cache.sets import described, worth_keeping
from visus.data.download import cache_folder
from visus.data.samples import FileSamples
from visus.errors import DownloadError
from visus.files import write_atomic

SIZE = 16  # bytes of a digest, and of an identity's key


def digests_folder() -> Path:
    """Where they are kept: beside the downloads. Raises DownloadError where the user has no home folder."""
    return cache_folder() / "digests"


@contextmanager
def remembered(files: FileSamples) -> Iterator[None]:
    """While a list of files is hashed: what is known of files that are as they were needs no reading.

    What can't be kept is hashed anew by the next run, as it would be without this.
    """
    path = _path(files)
    if path is None:
        yield
        return
    known_N2S = _load(path, len(files))
    for row in np.flatnonzero(known_N2S[:, 0].any(1)).tolist():
        if row not in files.digests:
            now = files.files[row].identity()
            if now is not None and now.key == known_N2S[row, 0].tobytes():
                files.digests[row] = (known_N2S[row, 1].tobytes(), now)
    yield
    before = known_N2S.copy()
    for row, (digest, identity) in files.digests.items():
        if identity is not None:
            known_N2S[row] = np.frombuffer(identity.key + digest, np.uint8).reshape(2, SIZE)
    if not np.array_equal(before, known_N2S):
        _save(path, known_N2S)


def _path(files: FileSamples) -> Path | None:
    """Where the digests of these files are kept; None where that isn't worth it, or where there is no home folder."""
    if not worth_keeping(files):
        return None
    try:
        return digests_folder() / str(described(files)["files"])
    except DownloadError:
        return None


def _load(path: Path, count: int) -> np.ndarray:
    """N×2×16 uint8: of each file the identity's key and the digest, zeros where nothing is known."""
    nothing = np.zeros((count, 2, SIZE), np.uint8)
    try:
        data = path.read_bytes()
    except OSError:
        return nothing
    whole = len(data) == SIZE + nothing.nbytes and _sum(data[SIZE:]) == data[:SIZE]
    return np.frombuffer(data[SIZE:], np.uint8).reshape(nothing.shape).copy() if whole else nothing


def _save(path: Path, known_N2S: np.ndarray) -> None:
    data = known_N2S.tobytes()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, _sum(data) + data)
    except OSError:  # a full disk, a folder that can't be written to: see above
        return


def _sum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=SIZE).digest()
