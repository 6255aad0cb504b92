"""Patches: squares of training images, and what goes with them."""

import pytest
import torch

from visus.data.augment import Augment
from visus.data.loader import generator
from visus.data.patches import Patch
from visus.data.types import Batch, Boxes, Targets
from visus.errors import SpecError


def batch(count: int = 3, height: int = 20, width: int = 30) -> Batch:
    """Each pixel's two channels are its row and column; a mask has their sum, and a pair the same as the image."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x = torch.stack([rows, columns]).to(torch.uint8).expand(count, -1, -1, -1).clone()
    target = Targets(label=torch.arange(count), mask=x.sum(1).to(torch.uint8), image=x)
    return Batch(x, target, torch.arange(count) + 100)


def test_all_of_a_patch_comes_from_one_place():
    found = Patch(size=7, count=4).cut(batch(), generator(0))
    assert found.inputs.shape == (12, 2, 7, 7)
    assert found.rows.tolist() == [100] * 4 + [101] * 4 + [102] * 4
    assert found.target.label.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert torch.equal(found.target.image, found.inputs)
    assert torch.equal(found.target.mask, found.inputs.sum(1).to(torch.uint8))
    down, right = found.inputs[:, :, 1:].diff(dim=2), found.inputs[..., 1:].diff(dim=3)
    assert torch.equal(down[:, 0], torch.ones_like(down[:, 0]))
    assert torch.equal(right[:, 1], torch.ones_like(right[:, 1]))


def test_every_place_is_reached():
    found = Patch(size=18, count=400).cut(batch(1), generator(1)).inputs[:, :, 0, 0]
    assert set(map(tuple, found.tolist())) == {(row, column) for row in range(3) for column in range(13)}


def test_patches_are_turned_in_all_eight_ways_with_what_belongs_to_them():
    found = Patch(size=9, count=200, turn=True).cut(batch(1), generator(2))
    assert torch.equal(found.target.image, found.inputs)
    assert torch.equal(found.target.mask, found.inputs.sum(1).to(torch.uint8))
    corners = found.inputs.int()[:, :, [0, 0, 8, 8], [0, 8, 0, 8]]
    corners = corners - corners.amin(2, keepdim=True)
    assert len({str(each) for each in corners.tolist()}) == 8


def test_it_comes_before_the_other_changes():
    augment = Augment(patch=Patch(size=8), flip=True, brightness=0.2)
    assert not augment.idle()
    assert augment.apply(batch(), generator(0), 0).inputs.shape == (3, 2, 8, 8)


def test_images_that_are_too_small_and_boxes_are_refused():
    with pytest.raises(SpecError, match=r"(?s)size is 21, and images are 30×20.*patch.size=20"):
        Patch(size=21).cut(batch(), generator(0))
    none = Boxes(torch.zeros(0, 4).numpy(), torch.zeros(0).long().numpy())
    with pytest.raises(SpecError, match="boxes"):
        Patch(size=5).cut(Batch(batch().inputs, Targets(boxes=(none,) * 3), torch.arange(3)), generator(0))
