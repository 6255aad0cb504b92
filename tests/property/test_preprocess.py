"""Preprocessing: what is drawn on an image is found where its target says, whatever the sizes and the fit."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from visus.data.preprocess import ImagePreprocess, VectorPreprocess
from visus.data.types import VOID, Boxes, Target

FITS = ("crop", "stretch", "pad", "center")
sides = st.integers(8, 90)
preprocesses = st.builds(
    ImagePreprocess,
    size=st.tuples(st.integers(8, 60), st.integers(8, 60)),
    channels=st.just(1),
    fit=st.sampled_from(FITS),
    crop=st.floats(0.5, 1.0),
)


@st.composite
def drawn(draw, least: int = 1):
    """An image with one bright rectangle, and its box in pixels."""
    height, width = draw(sides), draw(sides)
    top, left = draw(st.integers(0, height - least)), draw(st.integers(0, width - least))
    bottom, right = draw(st.integers(top + least, height)), draw(st.integers(left + least, width))
    pixels = np.zeros((height, width, 1), np.uint8)
    pixels[top:bottom, left:right] = 255
    return pixels, np.array([[left, top, right, bottom]], np.float32)


@given(drawn(), preprocesses)
def test_a_box_bounds_its_object_under_every_fit(image, preprocess):
    pixels, box = image
    placed = preprocess.place(pixels)[0].numpy()
    assert placed.shape == preprocess.size
    left, top, right, bottom = preprocess.placement(*pixels.shape[:2]).boxes(box)[0]
    rows, columns = np.nonzero(placed > 127)
    assume(len(rows) > 0)  # else cut off, or shrunk to less than half a pixel
    # a pixel is bright where more than about half of it is the object's
    assert left - 1 <= columns.min()
    assert columns.max() + 1 <= right + 1
    assert top - 1 <= rows.min()
    assert rows.max() + 1 <= bottom + 1


@given(drawn(least=8), preprocesses)
def test_a_large_object_fills_its_box(image, preprocess):
    pixels, box = image
    placed = preprocess.place(pixels)[0].numpy()
    left, top, right, bottom = preprocess.placement(*pixels.shape[:2]).boxes(box)[0]
    rows = slice(int(np.ceil(top)) + 2, max(0, int(bottom) - 2))  # empty for what is small or cut off
    columns = slice(int(np.ceil(left)) + 2, max(0, int(right) - 2))
    inside = placed[rows, columns]
    assert (inside > 127).all()


@given(drawn(), preprocesses)
def test_original_takes_boxes_back(image, preprocess):
    pixels, box = image
    where = preprocess.placement(*pixels.shape[:2])
    moved = where.boxes(box)
    assume((moved[0, :2] > 0).all() and (moved[0, 2:] < [where.width, where.height]).all())  # not cut off
    assert np.allclose(where.original(moved), box, atol=1e-3)


@given(st.integers(1, 300), st.integers(1, 300), preprocesses)
def test_the_frame_has_the_size_asked_for(height, width, preprocess):
    x = torch.zeros(2, height, width, 1, dtype=torch.uint8)
    assert preprocess.place_many(x).shape == (2, 1, *preprocess.size)


@pytest.mark.parametrize("fit", FITS)
def test_masks_move_with_their_pixels(fit):
    pixels = np.zeros((50, 70, 1), np.uint8)
    pixels[10:40, 20:55] = 255
    mask = (pixels[..., 0] > 0).astype(np.uint8) * 3
    boxes = Boxes(np.array([[20, 10, 55, 40]], np.float32), np.array([0]), mask[None] > 0)
    preprocess = ImagePreprocess(size=(32, 36), channels=1, fit=fit, fill=0)
    placed = preprocess.place(pixels)[0].numpy()
    target = preprocess.place_target(Target(mask=mask, boxes=boxes, captions=("a box",)), 50, 70)
    assert set(np.unique(target.mask)) <= {0, 3, VOID}
    inside = target.mask != VOID
    assert ((target.mask == 3) == (placed > 127))[inside].mean() > 0.97  # they may differ on the border
    assert np.array_equal(target.boxes.masks[0][inside], target.mask[inside] == 3)
    assert target.captions == ("a box",)


@pytest.mark.parametrize(
    ("height", "width", "resized", "corner"),
    [
        # torchvision: Resize(256) makes the shorter side 256 and the longer ⌊256·long/short⌋, and
        # CenterCrop(224) starts at round((side − 224)/2) (functional.py, `_compute_resized_output_size`, `center_crop`)
        (480, 640, (256, 341), (16, 58)),
        (640, 480, (341, 256), (58, 16)),
        (500, 333, (384, 256), (80, 16)),
        (256, 256, (256, 256), (16, 16)),
        (100, 1000, (256, 2560), (16, 1168)),
        (375, 500, (256, 341), (16, 58)),
    ],
)
def test_crop_is_torchvisions_resize_256_and_crop_224(height, width, resized, corner):
    where = ImagePreprocess(size=(224, 224), crop=0.875).placement(height, width)
    assert (where.scale_y * height, where.scale_x * width) == pytest.approx(resized)
    assert (-where.top, -where.left) == corner


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_grey_is_pillows(height, width, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    preprocess = ImagePreprocess(size=(height, width), channels=1, fit="center")
    assert np.array_equal(preprocess.place(pixels)[0].numpy(), np.asarray(Image.fromarray(pixels).convert("L")))


def test_grey_images_become_three_equal_channels():
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    placed = ImagePreprocess(size=(8, 8), channels=3).place(pixels).numpy()
    assert (placed == pixels[..., 0]).all()


def test_digits_of_28_are_padded_by_two_on_all_sides_for_a_network_of_32():
    digit = np.random.default_rng(0).integers(1, 256, (28, 28, 1), dtype=np.uint8)
    placed = ImagePreprocess(size=(32, 32), channels=1, fit="center", fill=7).place(digit)[0].numpy()
    assert np.array_equal(placed[2:30, 2:30], digit[..., 0])
    frame = np.ones((32, 32), bool)
    frame[2:30, 2:30] = False
    assert (placed[frame] == 7).all()


@pytest.mark.parametrize("channels", [1, 3])
@given(data=st.data())
def test_denormalize_is_the_inverse_of_normalize(channels, data):
    parts = st.floats(0, 1, width=32)
    mean = data.draw(st.tuples(*[parts] * channels))
    std = data.draw(st.tuples(*[st.floats(2**-7, 1, width=32)] * channels))
    preprocess = ImagePreprocess(size=(16, 16), channels=channels, mean=mean, std=std)
    x_NCHW = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).repeat(1, channels, 1, 1)
    assert torch.equal(preprocess.denormalize(preprocess.normalize(x_NCHW)), x_NCHW)


def test_normalize_by_its_formula():
    preprocess = ImagePreprocess(size=(1, 1), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    x_NCHW = torch.tensor([12, 200, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    wanted = [(12 / 255 - 0.485) / 0.229, (200 / 255 - 0.456) / 0.224, (255 / 255 - 0.406) / 0.225]
    assert preprocess.normalize(x_NCHW).flatten().tolist() == pytest.approx(wanted, abs=1e-5)


@given(preprocesses, sides, sides, st.sampled_from([1, 3]), st.sampled_from([1, 3]), st.integers(0, 2**32 - 1))
def test_images_are_placed_alike_alone_and_together(preprocess, height, width, channels, wanted, seed):
    preprocess = ImagePreprocess(
        size=preprocess.size, fit=preprocess.fit, crop=preprocess.crop, channels=wanted, fill=9
    )
    block = np.random.default_rng(seed).integers(0, 256, (3, height, width, channels), dtype=np.uint8)
    together = preprocess.place_many(torch.from_numpy(block))
    assert torch.equal(together, torch.stack([preprocess.place(pixels) for pixels in block]))


def test_placing_leaves_the_image_and_takes_one_that_cannot_be_written():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    before = pixels.copy()
    pixels.flags.writeable = False
    placed = ImagePreprocess(size=(9, 9)).place(pixels)
    placed.fill_(0)
    assert np.array_equal(pixels, before)


def test_vectors_by_their_formula():
    preprocess = VectorPreprocess(mean=(1.0, -2.0), std=(2.0, 0.5))
    assert preprocess.normalize(torch.tensor([[3.0, -2.0], [1.0, 0.0]])).tolist() == [[1.0, 0.0], [0.0, 4.0]]
    assert preprocess.shape == (2,)
