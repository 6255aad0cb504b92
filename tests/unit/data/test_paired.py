"""Folders of masks, and of images wanted. FAULT 5."""

from zlib import crc32

import numpy as np
import pytest
import torch

from tests.helpers import encoded, pixels, real_data
from tests.trees import images, masked, put, turned
from visus.data.dataset import Data, Dataset
from visus.data.loader import prepare
from visus.data.open import open_dataset
from visus.data.preprocess import ImagePreprocess
from visus.data.types import VOID
from visus.errors import DataError, UnreadableImage


def read(source: object, **settings: object) -> Dataset:
    return open_dataset(Data(source=str(source), **settings))  # type: ignore[arg-type]


def steps(*values: object) -> np.ndarray:
    """A mask of 30×40 with stripes of some values or colours."""
    return np.repeat(np.array(values, np.uint8), -(-30 // len(values)), 0)[:30][:, None].repeat(40, 1)


def mask(dataset: Dataset, row: int = 0) -> np.ndarray:
    found = dataset.splits["train"].target(row).mask
    assert found is not None
    assert found.dtype == np.uint8
    return found


@pytest.mark.parametrize(
    "folders", ["images masks", "image label", "imgs labels", "JPEGImages annotations", "img mask", "input target"]
)
def test_folders_by_their_names(tmp_path, folders):
    dataset = read(masked(tmp_path, {"a": steps(0, 1, 2), "b": steps(2, 0, 0)}, folders=folders))
    assert (dataset.schema.targets, dataset.schema.masks) == (("mask",), ("0", "1", "2"))
    np.testing.assert_array_equal(mask(dataset), steps(0, 1, 2))
    assert dataset.splits["train"].name(1) == f"{folders.split()[0]}/b.png"


@pytest.mark.parametrize("folders", ["train/images train/masks", "images/training masks/training"])
def test_splits(tmp_path, folders):
    masked(tmp_path, {"a": steps(0, 1)}, folders=folders)
    masked(tmp_path, {"a": steps(1, 0)}, folders=folders.replace("training", "val").replace("train", "val"))
    assert list(read(tmp_path).splits) == ["train", "val"]


def test_names_that_end_in_what_they_are(tmp_path):
    root = masked(tmp_path, {"a": steps(0, 1)})
    (root / "masks/a.png").rename(root / "masks/a_mask.png")
    assert len(read(root).splits["train"]) == 1


def test_palette(tmp_path):
    dataset = read(masked(tmp_path, {"a": steps(0, 3, 255)}, palette=True))
    assert dataset.schema.masks == ("0", "1", "2", "3")
    np.testing.assert_array_equal(mask(dataset), steps(0, 3, VOID))


def test_black_and_white(tmp_path):
    dataset = read(masked(tmp_path, {"a": steps(0, 255), "b": steps(0, 0)}))
    assert dataset.schema.masks == ("background", "foreground")
    np.testing.assert_array_equal(mask(dataset), steps(0, 1))
    put(tmp_path / "classes.txt", "membrane\ncell\n")
    assert read(tmp_path).schema.masks == ("membrane", "cell")
    put(tmp_path / "classes.txt", "a\nb\nc\n")  # of three classes only one is here, and 255 is none
    np.testing.assert_array_equal(mask(read(tmp_path)), steps(0, VOID))


def test_grey_levels(tmp_path):
    dataset = read(masked(tmp_path, {"a": steps(0, 128, 255), "b": steps(64, 0, 0)}))
    assert dataset.schema.masks == ("value 0", "value 64", "value 128", "value 255")
    np.testing.assert_array_equal(mask(dataset), steps(0, 2, 3))


def test_a_value_that_is_ignored(tmp_path):
    root = masked(tmp_path, {"a": steps(0, 1, 7)})
    dataset = read(root, ignore=7)
    assert dataset.schema.masks == ("0", "1")
    np.testing.assert_array_equal(mask(dataset), steps(0, 1, VOID))
    dataset = read(root, ignore=0)
    np.testing.assert_array_equal(mask(dataset), steps(VOID, 1, 7))


def test_names_of_numbers(tmp_path):
    root = masked(tmp_path, {"a": steps(0, 1, 255), "b": steps(0, 5, 1)})
    put(root / "classes.txt", "__ignore__\n_background_\r\ntraffic light\n")
    dataset = read(root)
    assert dataset.schema.masks == ("_background_", "traffic light")
    np.testing.assert_array_equal(mask(dataset), steps(0, 1, VOID))
    with pytest.raises(UnreadableImage, match=r"masks/b\.png: has pixels of value 5, which is no class"):
        mask(dataset, 1)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("classes.txt", "sky 0 0 255\ntraffic light 255 0 0\n"),
        ("class_dict.csv", "name,r,g,b\nsky,0,0,255\ntraffic light,255,0,0\n"),
        ("labelmap.txt", "# label:color_rgb:parts:actions\nsky:0,0,255::\ntraffic light:255,0,0::\n"),
    ],
)
def test_colours_that_are_named(tmp_path, file, text):
    red, blue, green = (255, 0, 0), (0, 0, 255), (0, 255, 0)
    root = masked(tmp_path, {"a": steps(red, blue), "b": steps(red, green)})
    put(root / file, text)
    dataset = read(root)
    assert dataset.schema.masks == ("sky", "traffic light")
    np.testing.assert_array_equal(mask(dataset), steps(1, 0))
    with pytest.raises(UnreadableImage, match="#00ff00, which is no class"):
        mask(dataset, 1)


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ("\n".join(f"class {number}" for number in range(256)), "256 classes are named, and a mask holds 255"),
        ("sky 0 0 255\ncar 0 0 255\n", "two of the classes that are named have one colour"),
        ("sky 0 0 999\ncar 0 0 255\n", "sky 0 0 999: a colour has 0 to 255 of each"),
    ],
)
def test_classes_that_cannot_be(tmp_path, classes, said):
    root = masked(tmp_path, {"a": steps((255, 0, 0), (0, 0, 255))})
    put(root / "classes.txt", classes)
    with pytest.raises(DataError, match=said):
        read(root)


def test_a_class_without_a_name_is_called_by_its_number(tmp_path):
    root = masked(tmp_path, {"a": steps(0, 1, 2)})
    put(root / "classes.txt", "sky\n\ncar\n")
    assert read(root).schema.masks == ("sky", "1", "car")


def test_masks_of_nothing_but_the_value_that_means_none(tmp_path):
    with pytest.raises(DataError, match="no value but 7, which means none"):
        read(masked(tmp_path, {"a": steps(7, 7)}), ignore=7)


def test_colours_that_are_not(tmp_path):
    dataset = read(masked(tmp_path, {"a": steps((255, 0, 0), (0, 0, 0)), "b": steps(0, 0)}))
    assert dataset.schema.masks == ("#000000", "#ff0000")
    np.testing.assert_array_equal(mask(dataset), steps(1, 0))
    np.testing.assert_array_equal(mask(dataset, 1), steps(0, 0))


def test_grey_that_is_saved_in_colours(tmp_path):
    dataset = read(masked(tmp_path, {"a": steps((1, 1, 1), (0, 0, 0)), "b": steps(2, 0)}))
    assert dataset.schema.masks == ("0", "1", "2")
    np.testing.assert_array_equal(mask(dataset), steps(1, 0))


def test_masks_with_values_of_no_class(tmp_path):
    root = masked(tmp_path, {"a": pixels(0, 30, 40, 1)[..., 0]})
    masked(root, {"a": (pixels(0, 30, 40, 1)[..., 0] // 9) * 9})
    with pytest.raises(DataError, match="its masks have 29 values") as caught:
        read(root)
    assert "JPEG" in caught.value.remedy
    put(root / "masks/a.png", b"x")
    with pytest.raises(DataError, match="none of its masks can be read"):
        read(root)


def test_what_has_no_counterpart_is_left_out(tmp_path):
    root = masked(tmp_path, {"a": steps(0, 1), "b": steps(0, 1)})
    (root / "masks/b.png").rename(root / "masks/c.png")
    put(root / "images/a.jpg", encoded(pixels(1, 30, 40), "JPEG"))
    assert {each.name: each.cause for each in read(root).skipped} == {
        "images/a.png": "has the name of images/a.jpg: left out",
        "images/b.png": "has no mask: left out",
        "masks/c.png": "is the mask of no image: left out",
    }


def test_a_mask_of_another_size_is_refused_with_its_image(tmp_path):
    root = masked(tmp_path, {"a": steps(0, 1)})
    masked(root, {"a": np.zeros((20, 40), np.uint8)}, folders="other masks")
    with pytest.raises(UnreadableImage, match=r"its mask masks/a\.png has 40×20 pixels, and it has 40×30"):
        mask(read(root))


@pytest.mark.parametrize("room", [0, 10**9])
def test_masks_that_cannot_be_read_are_left_out_with_their_cause(tmp_path, room):
    root = masked(tmp_path, {f"{n}": steps(0, 1) for n in range(4)})
    put(root / "masks/2.png", b"x")
    samples, schema = read(root).splits["train"], read(root).schema
    prepared = prepare(samples, schema, ImagePreprocess(size=(30, 40), mean=(0,) * 3, std=(1,) * 3), bad=0.5, room=room)
    batch = prepared.gather(torch.arange(len(prepared.rows)))
    assert batch.rows.tolist() == [0, 1, 3]
    np.testing.assert_array_equal(batch.target.mask, [steps(0, 1)] * 3)
    assert [(each.name, each.cause) for each in prepared.skipped] == [("images/2.png", "isn't an image: it is text")]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("said", [True, False])
def test_fault_5_masks_follow_their_image(tmp_path, orientation, said):
    drawn = np.zeros((30, 40, 3), np.uint8)
    drawn[4:11, 8:30] = 255
    put(tmp_path / "images/a.png", turned(drawn, orientation))
    put(tmp_path / "masks/a.png", turned(drawn[..., 0], orientation if said else 1))
    dataset = read(tmp_path)
    seen = dataset.splits["train"].read(0).pixels[..., 0] > 0
    np.testing.assert_array_equal(mask(dataset) == 1, seen)


@pytest.mark.parametrize("folders", [("noisy", "clean"), ("input", "target"), ("blur", "sharp"), ("degraded", "gt")])
def test_images_wanted(tmp_path, folders):
    images(tmp_path / folders[0], ["a.png", "b.jpg"])
    images(tmp_path / "x", ["first.png", "second.png"])
    for name, given in (("a.png", "first.png"), ("b.png", "second.png")):
        put(tmp_path / folders[1] / name, (tmp_path / "x" / given).read_bytes())
    dataset = read(tmp_path)
    assert dataset.schema.targets == ("image",)
    assert [dataset.splits["train"].name(row) for row in range(2)] == [f"{folders[0]}/a.png", f"{folders[0]}/b.jpg"]
    np.testing.assert_array_equal(dataset.splits["train"].target(0).image, pixels(crc32(b"first.png"), 30, 40))


def test_pairs_can_be_classes(tmp_path):
    for folder in ("blurry", "sharp"):
        images(tmp_path / folder, [f"{folder} 1.png", "1.png"])
    assert read(tmp_path).schema.targets == ("image",)
    assert read(tmp_path, layout="classes").schema.labels == ("blurry", "sharp")
    assert read(tmp_path, target="label").schema.labels == ("blurry", "sharp")


def test_several_degraded_ones(tmp_path):
    for folder in ("noisy", "blurry", "clean"):
        images(tmp_path / folder, ["1.png"])
    with pytest.raises(DataError, match="blurry, noisy are all there, and one is wanted"):
        read(tmp_path)


def test_real_membranes():
    dataset = open_dataset(real_data("membrane.tar"))
    assert dataset.schema.masks == ("background", "foreground")
    assert dataset.schema.shape == (1, 512, 512)
    assert len(dataset.splits["train"]) == 30
    assert 0.7 < float(np.mean([mask(dataset, row).mean() for row in range(30)])) < 0.85
