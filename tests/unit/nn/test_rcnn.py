"""The windows of R-CNN, by coordinates that are drawn into images (arXiv:1311.2524, appendix A)."""

import torch
from torch import nn

from visus.nn import Classifier, Pyramid, Windowed


def windowed(window: int, context: float) -> Windowed:
    classifier = Classifier(Pyramid([nn.Identity()], (3,), (1,)), nn.Linear(3, 2))
    return Windowed(classifier, (3, 3), 1, regions=1, window=(window, window), context=context, head="softmax")


def test_a_window_shows_the_region_and_what_is_around_it():
    # 16 of 227 pixels on each side (appendix A): of 227, 195 are the region
    model = windowed(227, 16 / 227)
    y, x = torch.meshgrid(torch.arange(240.0) + 0.5, torch.arange(300.0) + 0.5, indexing="ij")
    region = torch.tensor([[[50.0, 40.0, 147.5, 118.0]]])  # 97.5 and 78 pixels: 2 and 2.5 pixels of the window each
    (window,) = model.windows(torch.stack((x, y, x + y))[None], region)
    assert window.shape == (3, 227, 227)
    steps = torch.arange(227) + 0.5 - 16
    torch.testing.assert_close(window[0, 100], 50 + steps / 2, rtol=0, atol=1e-2)
    torch.testing.assert_close(window[1, :, 100], 40 + steps / 2.5, rtol=0, atol=1e-2)


def test_beyond_the_image_a_window_is_as_the_mean():
    model = windowed(40, 0.25)
    (window,) = model.windows(torch.ones(1, 3, 20, 20), torch.tensor([[[0.0, 0.0, 20.0, 20.0]]]))
    assert (window[:, 10:30, 10:30] == 1).all()
    assert (window[:, :9] == 0).all()
    assert (window[:, :, 31:] == 0).all()
