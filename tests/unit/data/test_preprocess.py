"""The order of colours, and back to pixels again."""

import numpy as np
import pytest
import torch

from tests.helpers import pixels
from visus.data.preprocess import ImagePreprocess

MEAN, STD = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)


def test_blue_comes_first_where_a_network_takes_it_so():
    """Caffe's networks take blue, green, red; mean and std are in the network's order."""
    preprocess = ImagePreprocess(size=(10, 12), order="bgr", mean=MEAN, std=STD)
    image = pixels(0)
    found = preprocess.normalize(preprocess.place(image)[None])[0].numpy()
    for channel, colour in enumerate((2, 1, 0)):
        wanted = (image[..., colour] / 255 - MEAN[channel]) / STD[channel]
        assert np.allclose(found[channel], wanted, atol=1e-5)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_what_the_network_saw_can_be_looked_at(order):
    preprocess = ImagePreprocess(size=(10, 12), order=order, mean=MEAN, std=STD)
    placed = preprocess.place(pixels(0))[None]
    assert torch.equal(placed[0].permute(1, 2, 0), torch.from_numpy(pixels(0)))  # red first, whatever the order
    assert torch.equal(preprocess.denormalize(preprocess.normalize(placed)), placed)


def test_grey_has_no_order():
    one, other = (ImagePreprocess(size=(10, 12), channels=1, order=order) for order in ("rgb", "bgr"))
    placed = one.place(pixels(0, channels=1))[None]
    assert torch.equal(one.normalize(placed), other.normalize(placed))
