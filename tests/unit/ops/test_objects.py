"""Connected parts of masks, and the weights of what lies between them."""

import numpy as np
import pytest

from visus.ops.objects import border_weights, objects


def test_objects_are_connected_by_rows_and_columns_and_of_one_class():
    mask = np.array([[1, 1, 0, 2], [0, 0, 2, 0], [1, 2, 2, 0]], np.uint8)
    found = objects(mask, mask > 0)
    assert (found > 0).tolist() == (mask > 0).tolist()
    assert found[0, 0] == found[0, 1]
    assert found[1, 2] == found[2, 2] == found[2, 1]
    assert len({found[0, 0], found[0, 3], found[2, 0], found[1, 2]}) == 4
    assert not objects(mask, np.zeros_like(mask, bool)).any()


def by_distance(numbers: np.ndarray, strength: float, sigma: float) -> np.ndarray:
    """The formula of U-Net's paper, pixel by pixel."""
    found = np.zeros(numbers.shape)
    places = {number: np.argwhere(numbers == number) for number in np.unique(numbers) if number}
    for y, x in np.argwhere(numbers == 0):
        each = sorted(np.sqrt(((at - (y, x)) ** 2).sum(1)).min() for at in places.values())
        if len(each) > 1:
            found[y, x] = strength * np.exp(-((each[0] + each[1]) ** 2) / (2 * sigma**2))
    return found


def test_border_weights_are_the_papers():
    random = np.random.default_rng(0)
    mask = random.random((30, 41)) < 0.12
    numbers = objects(mask.astype(np.uint8), mask)
    found = border_weights(numbers, 10.0, 5.0)
    # farther than 4σ from two objects it is left out: at most 10·exp(−8)
    assert found == pytest.approx(by_distance(numbers, 10.0, 5.0), abs=10 * np.exp(-8))
    assert found.max() > 5
    narrow = border_weights(numbers, 2.0, 1.0)
    assert narrow == pytest.approx(by_distance(numbers, 2.0, 1.0), abs=2 * np.exp(-8))


def test_of_fewer_than_two_objects_nothing_lies_between():
    numbers = np.zeros((9, 9), np.int64)
    assert not border_weights(numbers, 10, 5).any()
    numbers[4, 4] = 1
    assert not border_weights(numbers, 10, 5).any()
