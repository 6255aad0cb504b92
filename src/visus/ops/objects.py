"""The connected parts of masks, and how much it matters to keep them apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

FAR = 4.0  # in σ: where the two nearest objects are together farther than that, a border's weight is under 0.04 %


def objects(mask_HW: np.ndarray, inside_HW: np.ndarray) -> np.ndarray:
    """Which object each pixel belongs to, from 1; 0 outside. An object is connected by rows and columns, and of one
    class."""
    from scipy.ndimage import label

    found, last = np.zeros(mask_HW.shape, np.int64), 0
    for value in np.unique(mask_HW[inside_HW]).tolist():
        parts, count = label(inside_HW & (mask_HW == value))
        found = np.where(parts > 0, parts + last, found)
        last += count
    return found


def border_weights(objects_HW: np.ndarray, strength: float, sigma: float) -> np.ndarray:
    """w0·exp(−(d1 + d2)²/2σ²) of pixels outside of objects, H×W float32: d1 and d2 are the distances to the nearest and
    the second nearest object (Ronneberger et al. 2015, arXiv:1505.04597, equation 2, without the classes' weights).

    objects_HW: the number of each pixel's object, 0 outside. strength, sigma: w0, and σ in pixels. It is 0 inside of
    objects, and farther than 4σ from two of them.
    """
    from scipy.ndimage import distance_transform_edt, find_objects

    transform: Callable[[np.ndarray], np.ndarray] = distance_transform_edt
    height, width = objects_HW.shape
    reach = int(np.ceil(FAR * sigma))
    first, second = (np.full(objects_HW.shape, np.inf, np.float32) for _ in range(2))
    for number, place in enumerate(find_objects(objects_HW), 1):
        if place is None:
            continue
        rows, columns = (
            slice(max(0, part.start - reach), min(side, part.stop + reach))
            for part, side in zip(place, (height, width), strict=True)
        )
        away = transform(objects_HW[rows, columns] != number).astype(np.float32)
        nearest, next_ = first[rows, columns], second[rows, columns]
        np.minimum(next_, np.maximum(nearest, away), out=next_)
        np.minimum(nearest, away, out=nearest)
    total = first + second
    with np.errstate(under="ignore"):
        weight = strength * np.exp(-(total**2) / (2 * sigma**2))
    return np.where((objects_HW == 0) & (total <= reach), weight, 0).astype(np.float32)
