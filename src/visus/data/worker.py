"""A process that reads, decodes and places image files for another one, which starts it: see `crew`.

It is told by standard input how to place and where to write; then come lists of files, and for each file one answer
goes out. Pixels are written into memory that both share. It ends when its input does, however the other process ends.
"""

from __future__ import annotations

import mmap
import os
import pickle
import sys

import numpy as np
import torch

from visus.data.image import decode, printable
from visus.data.preprocess import ImagePreprocess
from visus.data.samples import OnDisk
from visus.errors import UnreadableImage

Answer = tuple[int, int] | str  # height and width of the image, or why it can't be read


def main() -> None:
    """Work until the input ends. What is unpickled comes from the process that started this one."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints doesn't print into the answers
    torch.set_num_threads(1)
    preprocess, handle, slots = pickle.load(sys.stdin.buffer)
    shape = (slots, *preprocess.shape)
    room = np.frombuffer(mmap.mmap(handle, int(np.prod(shape))), np.uint8).reshape(shape)
    files: list[OnDisk] = []
    try:
        while True:
            for slot, file in enumerate(files):
                pickle.dump(_placed(file, preprocess, room[slot]), answers)
                answers.flush()
            if not files:
                pickle.dump("ready", answers)
                answers.flush()
            files = pickle.load(sys.stdin.buffer)
    except (EOFError, pickle.UnpicklingError, BrokenPipeError):
        os._exit(0)  # the other process has ended, or needs no more; there is nothing to tidy up


def _placed(file: OnDisk, preprocess: ImagePreprocess, out: np.ndarray) -> Answer:
    try:
        pixels = decode(file.read(), printable(file.name)).pixels
        out[...] = preprocess.place(pixels).numpy()
    except UnreadableImage as problem:
        return problem.cause
    height, width, _ = pixels.shape
    return height, width


if __name__ == "__main__":
    main()
