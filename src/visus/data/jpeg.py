"""JPEG by libjpeg-turbo's own interface: the pixels of Pillow's decoding, in six to eight tenths of its time."""

from __future__ import annotations

import numpy as np
import simplejpeg


def decode_plain(data: bytes, height: int, width: int, grey: bool) -> np.ndarray | None:
    """H×W×C uint8 pixels of a file that is sound in every respect, as they lie in it; None for every other file.

    height, width, grey: what its header says. What is damaged, or only odd, is left to Pillow, whose word decides
    whether it is read: it passes over what libjpeg merely warns of, and none of that is passed over here.
    """
    try:
        pixels: np.ndarray = simplejpeg.decode_jpeg(data, colorspace="GRAY" if grey else "RGB")
    except (ValueError, MemoryError):
        return None
    return pixels if pixels.shape == (height, width, 1 if grey else 3) else None
