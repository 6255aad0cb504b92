"""Proposed regions: of drawn rectangles their very boxes, of scenes and blood cells most of the objects."""

import numpy as np
import pytest
import torch

from tests.helpers import real_data
from visus.data.open import open_dataset
from visus.data.preprocess import ImagePreprocess
from visus.data.scenes import draw
from visus.ops.boxes import iou
from visus.ops.regions import propose

RECTANGLES = ((4, 6, 20, 30), (28, 10, 44, 22), (8, 36, 44, 44))
COLOURS = ((250, 20, 30), (20, 240, 60), (60, 40, 250))


def rectangles() -> torch.Tensor:
    """1×3×48×48: three of one colour each on grey."""
    image = torch.full((1, 3, 48, 48), 120.0)
    for (left, top, right, bottom), colour in zip(RECTANGLES, COLOURS, strict=True):
        image[0, :, top:bottom, left:right] = torch.tensor(colour, dtype=torch.float32)[:, None, None]
    return image


def found(images: torch.Tensor, most: int = 100) -> list[list[list[float]]]:
    boxes, real = propose(images, most)
    return [each[there].tolist() for each, there in zip(boxes, real, strict=True)]


def test_even_rectangles_are_found_exactly():
    (boxes,) = found(rectangles())
    assert [[*map(float, each)] in boxes for each in RECTANGLES] == [True] * 3
    assert [0.0, 0.0, 48.0, 48.0] in boxes  # the top of every hierarchy


def test_of_larger_images_the_boxes_are_in_their_own_pixels():
    large = rectangles().repeat_interleave(6, 2).repeat_interleave(6, 3)  # 288: they grow in 200, of 1.44 pixels each
    boxes = propose(large, 100)[0][0]
    best = iou(6 * torch.tensor(RECTANGLES, dtype=torch.float32), boxes).amax(1)
    assert (best > 0.93).all()  # the shortest side has 48 pixels, of which 1.44 may be told wrongly at either end


def test_normalised_pixels_give_the_same_boxes():
    image = noisy()
    shift = torch.tensor([10.0, -30.0, 5.0])[:, None, None]
    assert found((image + shift) / 57) == found(image)


def test_an_image_gives_the_same_in_any_company():
    image, other = noisy(), rectangles()
    assert found(torch.cat((other, image)))[1] == found(image)[0]


def noisy() -> torch.Tensor:
    draws = torch.Generator().manual_seed(0)
    return rectangles() + torch.randint(-20, 21, (1, 3, 48, 48), generator=draws)


@pytest.mark.parametrize("shape", [(3, 20, 30), (1, 8, 8), (3, 5, 40)])
def test_an_image_of_one_colour_is_a_region(shape):
    _, height, width = shape
    whole = [[0.0, 0.0, float(width), float(height)]] if height > 5 else []  # no box has a side under six pixels
    (boxes,) = found(torch.full((1, *shape), 7.0))
    assert [each for each in boxes if each[2:] == [width, height] and each[:2] == [0, 0]] == whole


def test_boxes_differ_lie_on_the_image_and_are_no_more_than_asked_for():
    noise = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    boxes, real = propose(noise, 30)
    assert boxes.shape == (1, 30, 4)
    assert real.sum() == len(np.unique(boxes[0].numpy(), axis=0)) == 30
    assert (boxes >= 0).all()
    assert (boxes <= 48).all()
    assert ((boxes[..., 2:] - boxes[..., :2]) >= 6).all()


def recall(boxes: torch.Tensor, truths: list[np.ndarray], most: int) -> float:
    """The share of the objects that one of the first boxes overlaps with an IoU of 0.5 at least."""
    best = [iou(torch.from_numpy(truth), each[:most]).amax(1) for truth, each in zip(truths, boxes, strict=True)]
    return float((torch.cat(best) >= 0.5).float().mean())


def test_objects_of_scenes_are_among_the_boxes():
    scenes = [draw(1, index, "val") for index in range(24)]
    images = torch.stack([torch.from_numpy(each.pixels).permute(2, 0, 1) for each in scenes])
    truths = [each.target.boxes.xyxy for each in scenes]
    assert recall(propose(images, 100)[0], truths, 100) >= 0.95


def test_most_blood_cells_are_among_the_boxes():
    samples = open_dataset(real_data("bccd.tar")).splits["val"]
    preprocess = ImagePreprocess(size=(240, 320), channels=3, fit="crop", crop=1.0)
    read = [(samples.read(row).pixels, samples.target(row)) for row in range(0, len(samples), 9)]
    images = torch.stack([preprocess.place(pixels) for pixels, _ in read])
    truths = [preprocess.place_target(target, *pixels.shape[:2]).boxes.xyxy for pixels, target in read]
    boxes = propose(images, 1000)[0]
    assert recall(boxes, truths, 1000) >= 0.9
    assert recall(boxes, truths, 300) >= 0.65  # many cells overlap: their boxes come late
