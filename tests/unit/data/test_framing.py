"""Geometry in exported graphs: the same pixels as `ImagePreprocess.place_many` gives, for every fit and size."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from visus.data.framing import framed
from visus.data.preprocess import ImagePreprocess

FITS = list(itertools.product(("crop", "stretch", "pad", "center"), ("bilinear", "bicubic", "nearest")))
SIDE, FRAME = st.integers(4, 200), st.integers(4, 64)


@pytest.mark.parametrize(("fit", "interpolation"), FITS)
@given(
    height=SIDE, width=SIDE, rows=st.integers(4, 64), columns=st.integers(4, 64), share=st.sampled_from([0.875, 1.0])
)
@settings(max_examples=25, deadline=None)
def test_the_same_pixels_as_placing(fit, interpolation, height, width, rows, columns, share):
    crop = share if fit == "crop" else 1.0
    preprocess = ImagePreprocess(size=(rows, columns), fit=fit, interpolation=interpolation, crop=crop, fill=7)
    draws = torch.Generator().manual_seed(height)
    x = torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8, generator=draws)
    assert torch.equal(framed(preprocess, x), preprocess.place_many(x))


def test_one_graph_for_images_of_every_size():
    """A traced program holds for sizes that it wasn't traced with: which side decides is part of it."""

    class Placing(torch.nn.Module):
        def forward(self, image):
            return framed(preprocess, image)

    preprocess = ImagePreprocess(size=(32, 40), channels=1, crop=0.8, interpolation="bicubic")
    sides = {"image": {1: torch.export.Dim("height", min=2), 2: torch.export.Dim("width", min=2)}}
    example = torch.zeros(1, 48, 64, 1, dtype=torch.uint8)
    program = torch.export.export(Placing(), (example,), dynamic_shapes=sides).module()
    for height, width in ((48, 64), (64, 48), (300, 20), (20, 300), (40, 50), (7, 9)):
        x = torch.randint(0, 256, (1, height, width, 1), dtype=torch.uint8)
        assert torch.equal(program(x), preprocess.place_many(x))
