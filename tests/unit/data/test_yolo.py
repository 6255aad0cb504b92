"""YOLO's text files. FAULTS 12, 16 and 18."""

import numpy as np
import pytest

from tests.trees import images, put, turned, yolo
from visus.data.dataset import Data, Dataset
from visus.data.open import open_dataset
from visus.errors import DataError


def read(source: object, **settings: object) -> Dataset:
    return open_dataset(Data(source=str(source), **settings))  # type: ignore[arg-type]


# each list is ten times the one before: the last one has 10^20 words, were they written out
BOMB = (
    "n0: &n0 x\n" + "".join(f"n{n}: &n{n} [{', '.join([f'*n{n - 1}'] * 10)}]\n" for n in range(1, 21)) + "names: *n20\n"
)


def boxes(dataset: Dataset, row: int = 0, split: str = "train") -> list[list[float]]:
    found = dataset.splits[split].target(row).boxes
    assert found is not None
    return found.xyxy.tolist()


def test_shares_of_the_image(tmp_path):
    dataset = read(yolo(tmp_path, {"a": "1 0.5 0.5 0.5 0.2\r\n0 0.25 0.5 0.5 1\r\n\r\n", "b": ""}))
    assert (dataset.schema.targets, dataset.schema.labels) == (("boxes",), ("cat", "dog"))
    np.testing.assert_allclose(boxes(dataset), [[10, 12, 30, 18], [0, 0, 20, 30]], atol=1e-5)  # of 40×30 pixels
    assert dataset.splits["train"].target(0).boxes.labels.tolist() == [1, 0]
    assert boxes(dataset, 1) == []
    assert dataset.skipped == ()
    assert dataset.notes == ()


def test_an_image_without_a_file_is_one_without_objects(tmp_path):
    root = yolo(tmp_path, {"a": "0 0.5 0.5 0.1 0.1"})
    images(root / "images", ["z.png"])
    assert boxes(read(root), 1) == []


@pytest.mark.parametrize(
    ("yaml", "folders"),
    [
        ("train: images/train\nval: images/val\n", ("images/train", "images/val")),
        ("path: ../sets/mine\ntrain: images/train\nval: images/val\ntest: # none\n", ("images/train", "images/val")),
        ("train: ../train/images\nval: ../valid/images\n", ("train/images", "valid/images")),
        ("train: /home/me/mine/train/images\nvalid: C:\\mine\\valid\\images\n", ("train/images", "valid/images")),
        ("train: [a/images, b/images]\nval: c/images\n", ("a/images", "c/images")),
        ("train: train.txt\nval: lists/val.txt\n", ("images/one", "images/two")),
        (None, ("train/images", "valid/images")),
        (None, ("images/train", "images/val")),
    ],
)  # fmt: skip
def test_where_splits_lie(tmp_path, yaml, folders):
    for number, folder in enumerate(folders):
        images(tmp_path / folder, [f"{number}.png"])
        put(tmp_path / folder.replace("images", "labels") / f"{number}.txt", "0 0.5 0.5 0.5 0.5\n")
    if yaml is None:
        put(tmp_path / "classes.txt", "cat\ndog\n")
    else:
        put(tmp_path / "data.yaml", f"nc: 2\nnames:\n  0: cat\n  1: dog\n{yaml}")
    put(tmp_path / "train.txt", "./images/one/0.png\n")
    put(tmp_path / "lists/val.txt", "/elsewhere/images/two/1.png\n/elsewhere/2.png\n")
    dataset = read(tmp_path)
    names = {split: samples.name(0) for split, samples in dataset.splits.items()}
    assert names == {"train": f"{folders[0]}/0.png", "val": f"{folders[1]}/1.png"}
    assert dataset.schema.labels == ("cat", "dog")
    assert boxes(dataset, split="val") == [[10, 7.5, 30, 22.5]]
    if yaml is not None:
        assert read(tmp_path / "data.yaml").fingerprint() == dataset.fingerprint()


def test_beside_images(tmp_path):
    images(tmp_path, ["a.png"])
    put(tmp_path / "a.txt", "1 0.5 0.5 0.5 0.5")
    dataset = read(tmp_path)
    assert dataset.schema.labels == ("0", "1")
    assert boxes(dataset) == [[10, 7.5, 30, 22.5]]


def test_polygons(tmp_path):
    pytest.importorskip("pycocotools")
    root = yolo(tmp_path, {"a": "1 0.25 0.2 0.75 0.2 0.75 0.6 0.25 0.6"})
    np.testing.assert_allclose(boxes(read(root)), [[10, 6, 30, 18]], atol=1e-5)
    wanted = np.zeros((30, 40), bool)
    wanted[6:18, 10:30] = True
    np.testing.assert_array_equal(read(root, target="objects").splits["train"].target(0).boxes.masks, [wanted])
    np.testing.assert_array_equal(read(root, target="mask").splits["train"].target(0).mask, wanted * 2)


def test_fault_18_lines_that_cannot_be_used(tmp_path):
    lines = ["0 0.5 0.5 0.5", "0 120 80 40 30", "x 0.5 0.5 0.1 0.1", "0 0.5 nine 0.1 0.1", "-1 0.5 0.5 0.1 0.1",
             "0.5 0.5 0.5 0.1 0.1", "0 0.5 0.5 0.1 0.1 0.9", "0 0.1 0.1 0.5 0.5 99 0.1", "0 -0.2 0.5 0.1 0.1",
             "1.0 0.5 0.5 0.5 0.2"]  # fmt: skip
    dataset = read(yolo(tmp_path, {"a": "\n".join(lines)}))
    np.testing.assert_allclose(boxes(dataset), [[10, 12, 30, 18]], atol=1e-5)
    shares = "isn't in shares of the image, 0 to 1"
    count = "has {} numbers, where 5 are wanted, or the corners of a polygon"
    said = [count.format(4), shares, "has no class: x", None, "has no class: -1", "has no class: 0.5",
            count.format(6), shares, shares]  # fmt: skip
    found = {each.name: each.cause for each in dataset.skipped}
    for number, cause in enumerate(said, 1):
        if cause is not None:
            assert found[f"labels/a.txt line {number}"] == f"{cause}: left out: {lines[number - 1]}"
    assert "isn't of numbers" in found["images/a.png: labels/a.txt line 4"]
    assert len(found) == 9


def test_fault_16_boxes_one_by_one(tmp_path):
    lines = "0 0.5 0.5 0 0.1\n0 0.5 0.5 -0.1 0.1\n0 nan 0.5 0.1 0.1\n0 0.975 0.5 0.1 0.2\n0 0.5 0.5 1.000001 1\n"
    dataset = read(yolo(tmp_path, {"a": lines}))
    np.testing.assert_allclose(boxes(dataset), [[37, 12, 40, 18], [0, 0, 40, 30]], atol=1e-5)
    where = "images/a.png: labels/a.txt line"
    assert {each.name: each.cause.partition(") ")[2] for each in dataset.skipped} == {
        f"{where} 1": "has no area: left out",
        f"{where} 2": "has no area: left out",
        f"{where} 3": "isn't of numbers: left out",
        f"{where} 4": "leaves the image: clipped",
    }


@pytest.mark.parametrize("number", ["100000", "99999999999999999999", "1e300"])
def test_fault_18_a_number_of_a_class_that_would_take_memory_for_all_before_it(tmp_path, number):
    root = yolo(tmp_path, {"a": f"{number} 0.5 0.5 0.1 0.1\n3 0.5 0.5 0.1 0.1"}, yaml="train: images\n")
    dataset = read(root)
    assert dataset.schema.labels == ("0", "1", "2", "3")
    assert [each.cause.partition(": left")[0] for each in dataset.skipped] == [f"has no class: {number}"]


def test_images_of_two_splits_are_noted(tmp_path):
    root = yolo(tmp_path, {"a": "", "b": ""}, yaml="names: [cat]\ntrain: images\nval: images\n")
    assert list(read(root).splits) == ["train"]
    assert "2 images of val in an earlier split, too: the first of train, val, test holds" in read(root).notes


def test_fault_12_a_class_without_a_name(tmp_path):
    root = yolo(tmp_path, {"a": "0 0.5 0.5 0.1 0.1\n2 0.5 0.5 0.1 0.1"})
    with pytest.raises(DataError, match=r"labels/a\.txt line 2: class 2, where there are 0 to 1"):
        read(root)


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("names: [cat\n", "isn't YAML"),
        ("names: {a: cat}\n", "names can't be"),
        ("names: cat\n", "names can't be"),
        ("names: {4000000000: cat}\n", "names can't be"),
        (BOMB, "names can't be"),
        ("[" * 100_000, "isn't YAML"),
        ("names: [a, b]\ntrain: nowhere\n", "none of the folders that data.yaml names is here: nowhere"),
    ],
)
def test_yaml_that_cannot_be_used(tmp_path, yaml, said):
    with pytest.raises(DataError, match=said):
        read(yolo(tmp_path, {"a": ""}, yaml=yaml))


@pytest.mark.parametrize(
    ("yaml", "labels"),
    [
        ("names: [no, 1, 2.50]", ("no", "1", "2.50")),  # not false, nor numbers
        ("names: {1: b, 0: a}", ("a", "b")),
        ("names: [a, '', c]", ("a", "1", "c")),
        ("names: !!python/object/apply:os.system [ls]", ("ls",)),
    ],
)
def test_names_are_text_and_nothing_else(tmp_path, yaml, labels):
    assert read(yolo(tmp_path, {"a": ""}, yaml=yaml)).schema.labels == labels


def test_a_split_that_is_not_here_is_noted(tmp_path):
    root = yolo(tmp_path, {"a": ""}, yaml="names: [cat]\ntrain: images\nval: nowhere\n")
    assert read(root).notes == ("val is nowhere in data.yaml, and that isn't here, or holds no image",)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_fault_5_shares_are_of_the_image_as_it_is_seen(tmp_path, orientation):
    put(tmp_path / "images/a.png", turned(np.zeros((30, 40, 3), np.uint8), orientation))
    put(tmp_path / "labels/a.txt", "0 0.5 0.25 0.5 0.5")
    samples = read(tmp_path).splits["train"]
    height, width = samples.read(0).pixels.shape[:2]
    assert (height, width) == ((40, 30) if orientation >= 5 else (30, 40))
    assert samples.target(0).boxes.xyxy.tolist() == [[width / 4, 0, width * 3 / 4, height / 2]]
