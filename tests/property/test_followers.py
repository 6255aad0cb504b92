"""Boxes, masks and images wanted follow their image all the way: from a file that EXIF turns, through preprocessing, to
an augmented batch. FAULT 5."""

import io
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from tests.trees import coco_json, put, voc_xml
from visus.data.augment import Augment, Crop
from visus.data.dataset import Data
from visus.data.loader import prepare
from visus.data.open import open_dataset
from visus.data.preprocess import ImagePreprocess
from visus.data.randaugment import RandAugment
from visus.data.types import VOID, Batch, Boxes, Targets

HEIGHT, WIDTH = 60, 84
moves = st.builds(
    Augment, flip=st.booleans(), crop=st.sampled_from([None, Crop(least=0.3)]), shift=st.sampled_from([0.0, 0.2])
)
turns = st.builds(
    Augment, flip=st.booleans(), crop=st.sampled_from([None, Crop(least=0.5)]), shift=st.sampled_from([0.0, 0.1]),
    zoom=st.sampled_from([0.0, 0.5]), rotate=st.floats(1, 180), randaugment=st.sampled_from([None, RandAugment()]),
)  # fmt: skip


@st.composite
def ellipses(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of one of at least 14 pixels a side."""
    left, top = draw(st.integers(0, WIDTH - 14)), draw(st.integers(0, HEIGHT - 14))
    return left, top, draw(st.integers(left + 14, WIDTH)), draw(st.integers(top + 14, HEIGHT))


def filled(box: tuple[int, int, int, int]) -> np.ndarray:
    """H×W bool: the pixels whose middles lie in the ellipse of a box, which touches all of its sides."""
    left, top, right, bottom = box
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    x, y = (2 * x - left - right) / (right - left), (2 * y - top - bottom) / (bottom - top)
    return x**2 + y**2 <= 1


def extent(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(mask)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def moved_by(augment: Augment, batch: Batch, seed: int) -> Batch:
    draws = torch.Generator().manual_seed(seed)
    drawn = None if augment.randaugment is None else augment.randaugment.draw(len(batch), draws)
    return augment.geometry(batch, draws, 0, drawn)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(ellipses(), ellipses()), min_size=2, max_size=3), moves | turns, st.integers(0, 999))
def test_each_image_of_a_batch_takes_all_that_belongs_to_it_along(drawn, augment, seed):
    # the objects of an image are drawn in channels of their own; the mask is of the first
    objects = np.array([[filled(box) for box in each] for each in drawn])
    x = torch.from_numpy(objects.astype(np.uint8) * 255)
    boxes = tuple(Boxes(np.array(each, np.float32), np.array([0, 1])) for each in drawn)
    target = Targets(boxes=boxes, mask=x[:, 0] // 255, image=x)
    moved = moved_by(augment, Batch(x, target, torch.arange(len(x))), seed)
    assert torch.equal(moved.target.image, moved.inputs)
    for image, found in enumerate(moved.target.boxes):
        bright = moved.inputs[image].numpy() > 127
        known = moved.target.mask[image].numpy() != VOID
        differs = (bright[0] != (moved.target.mask[image].numpy() == 1)) & known
        assert differs.sum() <= 2 * sum(x.shape[2:])  # on the border of the object
        for box, label in zip(found.xyxy, found.labels.tolist(), strict=True):
            if not bright[label].any():
                continue
            seen = extent(bright[label])
            assert (seen[:2] >= box[:2] - 1).all()
            assert (seen[2:] <= box[2:] + 1).all()
            if not (augment.rotate or augment.randaugment or augment.crop or augment.shift):
                assert np.abs(seen - box).max() <= 1


def stored(pixels: np.ndarray, orientation: int, kind: str) -> bytes:
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(file, kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))
    return file.getvalue()


def written(root: Path, layout: str, box: tuple[int, int, int, int], orientation: int, kind: str) -> Path:
    """An image with one ellipse, and what a layout says of it. box: in the image as it is stored."""
    pixels = filled(box).astype(np.uint8)[..., None].repeat(3, 2) * 255
    data, name = stored(pixels, orientation, kind), "a.jpg" if kind == "JPEG" else "a.png"
    put(root / {"voc": "JPEGImages", "pairs": "noisy"}.get(layout, "images") / name, data)
    left, top, right, bottom = box
    if layout == "coco":
        said = {"image_id": 1, "category_id": 1, "bbox": [left, top, right - left, bottom - top]}
        put(root / "annotations/train.json", coco_json([name], [said], size=(WIDTH, HEIGHT)))
    elif layout == "voc":
        put(root / "Annotations/a.xml", voc_xml([("cat", (left + 1, top + 1, right, bottom))], size=(WIDTH, HEIGHT)))
    elif layout == "yolo":  # of the image as it is seen: Pillow turns the box's pixels
        square = np.zeros((HEIGHT, WIDTH), np.uint8)
        square[top:bottom, left:right] = 1
        seen = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(stored(square, orientation, "PNG")))))
        sides = np.array(seen.shape[::-1])
        corners = extent(seen).reshape(2, 2) / sides
        put(
            root / "labels/a.txt",
            "0 {:.8f} {:.8f} {:.8f} {:.8f}".format(*corners.mean(0), *np.diff(corners, axis=0)[0]),
        )
    elif layout == "masks":
        put(root / "masks/a.png", stored(pixels[..., 0] // 255, 1, "PNG"))
    else:
        put(root / "clean/a.png", stored(pixels, 1, "PNG"))
    return root


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("layout", ["coco", "voc", "yolo", "masks", "pairs"])
@settings(deadline=None, max_examples=3)
@given(
    box=ellipses(), fit=st.sampled_from(["crop", "stretch", "pad", "center"]), kind=st.sampled_from(["JPEG", "PNG"]),
    augment=moves, seed=st.integers(0, 99),
)  # fmt: skip
def test_from_a_file_that_is_turned_to_a_batch(layout, orientation, box, fit, kind, augment, seed):
    preprocess = ImagePreprocess(size=(72, 80), channels=3, fit=fit, mean=(0.0,) * 3, std=(1.0,) * 3)
    with TemporaryDirectory() as folder:
        dataset = open_dataset(Data(source=str(written(Path(folder), layout, box, orientation, kind)), layout=layout))
        placed = prepare(dataset.splits["train"], dataset.schema, preprocess).gather(torch.arange(1))
    moved = moved_by(augment, placed, seed)
    bright = moved.inputs[0, 0].numpy() > 127
    if layout == "masks":
        mask = moved.target.mask[0].numpy()
        assert ((mask == 1) != bright)[mask != VOID].sum() <= 2 * sum(bright.shape)
    elif layout == "pairs":
        assert (moved.inputs.float() - moved.target.image.float()).abs().mean() < 4  # JPEG's traces
    elif len(moved.target.boxes[0]) and bright.any():
        seen, found = extent(bright), moved.target.boxes[0].xyxy[0]
        assert (seen[:2] >= found[:2] - 2).all()
        assert (seen[2:] <= found[2:] + 2).all()
        if augment.idle() and fit in ("stretch", "pad"):
            assert np.abs(seen - found).max() <= 2
