"""Which lists of files are worth keeping, and under what name."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, final

import numpy as np
import PIL
import simplejpeg
import torch
from msgspec.structs import asdict

from visus.data.cache.folder import Place, open_place, pixels_folder
from visus.data.cache.pixels import Pixels
from visus.data.identity import Identity
from visus.data.preprocess import ImagePreprocess
from visus.data.samples import FileSamples, Samples
from visus.errors import DataError
from visus.machine import abilities

FORMAT = 1
ARITHMETIC = ("mean", "std", "order")  # what of a preprocessing comes after placing
EACH, PER_BYTE = 0.25e-3, 10e-9  # seconds of one core to open and place an image, and to decode a byte of it
WORTH = 5.0  # seconds of one core, from which on decoding is worth keeping


def sources(samples: Samples) -> list[FileSamples]:
    """The lists of files that samples are decoded from."""
    found: dict[int, FileSamples] = {}
    for row in range(len(samples)):
        if (origin := samples.origin(row)) is not None:
            found.setdefault(id(origin[0]), origin[0])
    return list(found.values())


def cost(files: FileSamples) -> float:
    """Seconds of one core that decoding and placing take, as far as sizes tell."""
    return sum(EACH + file.size * PER_BYTE for file in files.files)


def worth_keeping(files: FileSamples) -> bool:
    """Whether it takes long enough to decode them."""
    return cost(files) >= WORTH


def described(files: FileSamples) -> dict[str, Any]:
    """What tells a list of files from others: a digest of where they lie, and for people the folder of all."""
    digest, where = files.places
    return {"files": digest, "where": where}


@final
class Kept:
    """Placed images of a list of files on disk."""

    def __init__(self, place: Place, pixels: Pixels) -> None:
        self._place, self._pixels = place, pixels

    def get(self, row: int, identity: Identity, out: np.ndarray) -> tuple[int, int] | None:
        """Fill `out` with an image, and give the original's height and width; None where it isn't kept."""
        return self._pixels.get(row, identity, out)

    def put(self, row: int, identity: Identity, pixels: np.ndarray, height: int, width: int) -> None:
        """Keep an image, made from its file in that state."""
        self._pixels.put(row, identity, pixels, height, width)

    def close(self) -> None:
        """Keep what was put, and let go."""
        self._pixels.close()
        self._place.close()


def open_kept(files: FileSamples, preprocess: ImagePreprocess, limit: int, say: Callable[[str], None]) -> Kept | None:
    """What is kept of a list of files, placed so; None, having said why, where it can't be.

    limit: bytes that all that is kept may take.
    """
    placing = {name: value for name, value in asdict(preprocess).items() if name not in ARITHMETIC}
    made_by = [simplejpeg.__version__, PIL.__version__, torch.__version__, abilities()]
    about = {**described(files), "placing": placing, "made by": made_by, "format": FORMAT}
    size = prod(preprocess.shape)
    try:
        place = open_place(pixels_folder(), about, len(files), size, limit)
    except DataError as problem:
        say(f"images are decoded in every epoch: {problem.problem}; {problem.remedy}")
        return None
    return Kept(place, Pixels(place.path, size, say))
