"""COCO's JSON. FAULTS 5, 15 and 16. Masks are held against pycocotools."""

import json
import sys
import warnings

import numpy as np
import pytest

from tests.trees import coco, coco_json, images, put, turned
from visus.data.dataset import Data, Dataset
from visus.data.open import open_dataset
from visus.data.readers.outlines import lengths
from visus.data.samples import Relabelled
from visus.data.types import VOID
from visus.errors import DataError, MissingPart, UnreadableImage


def read(source: object, **settings: object) -> Dataset:
    return open_dataset(Data(source=str(source), **settings))  # type: ignore[arg-type]


def one(image: int = 1, kind: int = 1, box: object = (5, 6, 10, 8), **more: object) -> dict[str, object]:
    return {"image_id": image, "category_id": kind, "bbox": box, **more}


def causes(dataset: Dataset) -> dict[str, str]:
    return {each.name.removeprefix("annotations/instances_train.json: "): each.cause for each in dataset.skipped}


def test_boxes(tmp_path):
    annotations = [one(2), one(1, 2, (0, 0, 40, 30), iscrowd=1, area=7.5), one(1, 1, (1.5, 2, 3, 4), area=6)]
    dataset = read(coco(tmp_path, ["a.png", "b.png", "c.png"], annotations))
    assert (dataset.schema.targets, dataset.schema.labels) == (("boxes",), ("cat", "dog"))
    first, second, third = (dataset.splits["train"].target(row).boxes for row in range(3))
    assert first.xyxy.tolist() == [[0, 0, 40, 30], [1.5, 2, 4.5, 6]]
    assert (first.labels.tolist(), first.crowd.tolist(), first.areas.tolist()) == ([1, 0], [True, False], [7.5, 6])
    assert second.xyxy.tolist() == [[5, 6, 15, 14]]
    assert second.areas is None
    assert third.xyxy.shape == (0, 4)
    assert dataset.skipped == ()


def test_categories_keep_the_order_of_their_ids(tmp_path):
    images(tmp_path / "images", ["a.png"])
    text = json.loads(coco_json(["a.png"], [one(kind=90), one(kind=7)]))
    text["categories"] = [{"id": 90, "name": "b"}, {"id": 7, "name": "z"}, {"id": 8, "name": "a"}]
    put(tmp_path / "annotations/x.json", json.dumps(text))
    dataset = read(tmp_path)
    assert dataset.schema.labels == ("z", "a", "b")
    assert dataset.splits["train"].target(0).boxes.labels.tolist() == [2, 0]


@pytest.mark.parametrize(
    "files",
    [
        ("annotations/instances_train2017.json", "annotations/instances_val2017.json", "train2017", "val2017"),
        ("train/_annotations.coco.json", "valid/_annotations.coco.json", "train", "valid"),
        ("train.json", "val.json", "images/train", "images/val"),
    ],
)
def test_where_splits_lie(tmp_path, files):
    for text, folder in zip(files[:2], files[2:], strict=True):
        images(tmp_path / folder, ["1.png"])  # of one name in both
        put(tmp_path / text, coco_json(["1.png"], [one()]))
    put(tmp_path / "annotations/captions_train2017.json", "{}")
    dataset = read(tmp_path)
    names = {split: samples.name(0) for split, samples in dataset.splits.items()}
    assert names == {"train": f"{files[2]}/1.png", "val": f"{files[3]}/1.png"}


def test_one_file_alone(tmp_path):
    for split in ("train", "val"):
        images(tmp_path / split, ["1.png"])
        put(tmp_path / f"annotations/{split}.json", coco_json([f"{split}/1.png"], [one()]))
    dataset = read(tmp_path / "annotations/val.json")
    assert {split: samples.name(0) for split, samples in dataset.splits.items()} == {"train": "val/1.png"}
    assert dataset.notes == ("1 image that no annotation file names, left out",)


@pytest.mark.parametrize(
    "name",
    ["/home/me/data/images/a.png", "C:\\data\\images\\a.png", "images\\a.png", "./a.png", "../images/a.png", "a.png"],
)
def test_paths_of_other_machines(tmp_path, name):
    assert len(read(coco(tmp_path / "x", ["a.png"], [one()])).splits["train"]) == 1
    put(tmp_path / "x/annotations/instances_train.json", coco_json([name], [one()]))
    dataset = read(tmp_path / "x")
    assert dataset.splits["train"].name(0) == "images/a.png"
    assert dataset.skipped == ()


def test_names_that_are_not_utf_8(tmp_path):
    data = coco(tmp_path, ["a.png"], [one()]) / "images/a.png"
    data.rename(data.with_name(b"f\xfc.png".decode("utf-8", "surrogateescape")))
    put(tmp_path / "annotations/instances_train.json", coco_json(["fü.png"], [one()]))
    assert len(read(tmp_path).splits["train"]) == 1


@pytest.mark.parametrize("code", ["utf-8-sig", "utf-16", "latin-1"])
def test_encodings(tmp_path, code):
    root = coco(tmp_path, ["a.png"], [one()], names=("Käse",))
    text = json.dumps(json.loads((root / "annotations/instances_train.json").read_text()), ensure_ascii=False)
    (root / "annotations/instances_train.json").write_bytes(text.encode(code))
    assert read(root).schema.labels == ("Käse",)


def test_fault_15_what_is_missing_twice_or_unknown(tmp_path):
    root = coco(tmp_path, ["a.png", "b.png"], [])
    files = ["a.png", "gone.png", "b.png", "a.png"]
    text = json.loads(coco_json(files, [one(1), one(2), one(9), one(1, 7), one(3), one(1, box=[1, 2]), one(1)]))
    text["images"].append({"id": 1, "file_name": "b.png"})
    text["annotations"][6]["id"] = 1
    put(root / "annotations/instances_train.json", json.dumps(text))
    dataset = read(root)
    assert [len(dataset.splits["train"].target(row).boxes) for row in range(2)] == [1, 1]
    assert causes(dataset) == {
        "image 2 (gone.png)": "there is no such image: left out",
        "image 4": "is of the same file as image 1: left out",
        "image 1": "has the id of another image: left out",
        "annotation 3": "is of an image 9 that isn't listed: left out",
        "annotation 4": "has a category 7 that isn't listed: left out",
        "annotation 6": "has a box that isn't of four numbers: left out",
        "annotation 1": "has the id of another annotation: left out",
    }


def test_fault_16_boxes_one_by_one(tmp_path):
    given = [(5, 5, -3, 4), (5, 5, 0, 4), (float("nan"), 1, 2, 3), (50, 5, 5, 5), (-4, -4, 8, 8), (30, 20, 11, 11),
             (0, 0, 40.00001, 30)]  # fmt: skip
    dataset = read(coco(tmp_path, ["a.png"], [one(box=list(box)) for box in given]))
    assert dataset.splits["train"].target(0).boxes.xyxy.tolist() == [[0, 0, 4, 4], [30, 20, 40, 30], [0, 0, 40, 30]]
    where = "images/a.png: annotation"
    assert causes(dataset) == {
        f"{where} 1": "the box (5, 5, 2, 9) has no area: left out",
        f"{where} 2": "the box (5, 5, 5, 9) has no area: left out",
        f"{where} 3": "the box (nan, 1, nan, 4) isn't of numbers: left out",
        f"{where} 4": "the box (50, 5, 55, 10) lies outside of the image: left out",
        f"{where} 5": "the box (-4, -4, 4, 4) leaves the image of 40×30 pixels: clipped",
        f"{where} 6": "the box (30, 20, 41, 31) leaves the image of 40×30 pixels: clipped",
    }


def test_numbers_that_are_none(tmp_path):
    huge, square = 10**400, [[5, 6, 15, 6, 15, 14]]
    given = [one(box=[5, huge, 3, 4]), one(area=huge), one(area=-4), one(segmentation=[[huge, *square[0][1:]]])]
    root = coco(tmp_path, ["a.png"], given)
    assert causes(read(root)) == {"images/a.png: annotation 1": "the box (5, nan, 8, nan) isn't of numbers: left out"}
    assert read(root).splits["train"].target(0).boxes.areas is None
    with pytest.raises(UnreadableImage, match="neither polygons nor runs"):
        read(root, target="objects").splits["train"].target(0)
    put(root / "annotations/instances_train.json", coco_json(["a.png"], [one()], size=(huge, huge)))
    assert read(root).splits["train"].target(0).boxes.xyxy.tolist() == [[5, 6, 15, 14]]


def test_crowds_are_said_in_several_ways(tmp_path):
    said = [1, 0, True, "1", "0", 1.0, [0], None, "false"]
    boxes = read(coco(tmp_path, ["a.png"], [one(iscrowd=each) for each in said])).splits["train"].target(0).boxes
    assert boxes.crowd.tolist() == [True, False, True, True, False, True, False, False, False]


def test_classes_of_one_name_are_noted(tmp_path):
    assert "2 classes are called cat" in read(coco(tmp_path, ["a.png"], [one()], names=("cat", "dog", "cat"))).notes


def test_a_mask_has_no_room_for_more_than_254_classes_and_the_background(tmp_path):
    pytest.importorskip("pycocotools")
    square = [[2, 2, 12, 2, 12, 12, 2, 12]]
    for count in (254, 255):
        names = [f"class {number}" for number in range(count)]
        root = coco(tmp_path, ["a.png"], [one(kind=count, segmentation=square)], names=names)
        if count == 254:
            assert read(root, target="mask").splits["train"].target(0).mask[5, 5] == 254
        else:
            with pytest.raises(DataError, match="255 classes don't fit into a mask"):
                read(root, target="mask")


def outlines() -> tuple[list[object], list[np.ndarray]]:
    """Polygons and runs in an image of 30×40, and what pycocotools makes of them."""
    tools = pytest.importorskip("pycocotools.mask")
    polygons = [[5.0, 5.0, 20.5, 4.0, 18.0, 20.0, 6.0, 22.5], [25, 3, 39, 3, 32, 14]]
    noise = np.random.default_rng(0).random((30, 40)) > 0.7
    packed = tools.encode(np.asfortranarray(noise.astype(np.uint8)))
    flat = noise.T.reshape(-1)
    edges = np.flatnonzero(np.diff(flat.astype(np.int8))) + 1
    counts = np.diff([0, *edges.tolist(), flat.size]).tolist()
    runs = {"size": [30, 40], "counts": [0, *counts] if flat[0] else counts}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # its own, with NumPy 2
        drawn = tools.decode(tools.merge(tools.frPyObjects(polygons, 30, 40))).astype(bool)
    text = {"size": [30, 40], "counts": packed["counts"].decode()}
    return [polygons, text, runs], [drawn, noise, noise]


def test_outlines_are_those_of_pycocotools(tmp_path):
    given, wanted = outlines()
    root = coco(tmp_path, ["a.png"], [one(segmentation=each) for each in given])
    masks = read(root, target="objects").splits["train"].target(0).boxes.masks
    np.testing.assert_array_equal(masks, wanted)
    assert any("data.target = objects" in note for note in read(root).notes)
    assert read(root).splits["train"].target(0).boxes.masks is None


def test_runs_of_many_lengths_are_those_of_pycocotools():
    tools = pytest.importorskip("pycocotools.mask")
    random = np.random.default_rng(1)
    for side in (1, 7, 300):
        mask = np.repeat(random.random(side * 4) > 0.5, side)[: side * side].reshape(side, side)
        packed = tools.encode(np.asfortranarray(mask.astype(np.uint8)))
        found = lengths(packed["counts"].decode())
        assert sum(found) == side * side
        assert sum(found[1::2]) == int(tools.area(packed))


def test_painted_masks_put_the_smaller_over_the_larger(tmp_path):
    square = [[2, 2, 12, 2, 12, 12, 2, 12]]
    root = coco(tmp_path, ["a.png"], [one(kind=2, segmentation=square),
                                      one(segmentation=[[0, 0, 20, 0, 20, 20, 0, 20]]),
                                      one(box=(30, 20, 5, 5))])  # fmt: skip
    dataset = read(root, target="mask")
    assert dataset.schema.targets == ("mask",)
    assert dataset.schema.masks == ("background", "cat", "dog")
    mask = dataset.splits["train"].target(0).mask
    assert (mask.dtype, mask.shape) == (np.uint8, (30, 40))
    assert (mask[2:12, 2:12] == 2).all()
    assert (mask[14:20, 14:20] == 1).all()
    assert (mask[20:25, 30:35] == VOID).all()  # of that object only the box is known
    assert (mask[:, 36:] == 0).all()


@pytest.mark.parametrize(
    "outline",
    [
        [[1, 2, 3]], [[1, 2, 3, 4]], [["a"] * 6], [[1e9, 0, 5, 5, 0, 5]], {"counts": [5], "size": [30, 40]},
        {"counts": [-5, 1205], "size": [30, 40]}, {"counts": [1200], "size": [40, 30]},
        {"counts": "=2400", "size": [30, 40]}, {"counts": "é", "size": [30, 40]}, "polygon", {"size": [30, 40]},
        {"counts": "oooooooo", "size": [30, 40]},
    ],
)  # fmt: skip
def test_outlines_that_are_none(tmp_path, outline):
    pytest.importorskip("pycocotools")
    samples = read(coco(tmp_path, ["a.png"], [one(segmentation=outline)]), target="objects").splits["train"]
    with pytest.raises(UnreadableImage, match="the outline of an object"):
        samples.target(0)


def test_boxes_need_no_pycocotools_and_polygons_name_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools.mask", None)
    root = coco(tmp_path, ["a.png"], [one(segmentation=[[1, 1, 9, 1, 9, 9]])])
    assert len(read(root).splits["train"].target(0).boxes) == 1
    with pytest.raises(MissingPart, match=r"pycocotools") as caught:
        read(root, target="objects").splits["train"].target(0)
    assert "visus[coco]" in caught.value.remedy


@pytest.mark.parametrize("orientation", range(1, 9))
def test_fault_5_outlines_follow_their_image(tmp_path, orientation):
    pytest.importorskip("pycocotools")
    drawn = np.zeros((30, 40, 3), np.uint8)
    drawn[4:11, 8:30] = 255
    put(tmp_path / "images/a.png", turned(drawn, orientation))
    square = [[8, 4, 30, 4, 30, 11, 8, 11]]
    put(tmp_path / "annotations/x.json", coco_json(["a.png"], [one(box=(8, 4, 22, 7), segmentation=square)]))
    samples = read(tmp_path, target="objects").splits["train"]
    seen, boxes = samples.read(0).pixels[..., 0] > 0, samples.target(0).boxes
    np.testing.assert_array_equal(boxes.masks[0], seen)
    rows, columns = np.nonzero(seen)
    assert boxes.xyxy.tolist() == [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]
    mask = read(tmp_path, target="mask").splits["train"].target(0).mask
    np.testing.assert_array_equal(mask == 1, seen)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"images": [], "annotations": [], "categories": []', "isn't COCO's JSON"),
        ('{"images": 3, "annotations": [], "categories": []}', "isn't COCO's JSON"),
        ('{"images": [], "annotations": [], "categories": []}', "no categories"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', "has no name or id"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}]}', "none of the images"),
        ('{"images": [], "annotations": [], "categories": ' + "[" * 100_000, "isn't COCO's JSON"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, text, said):
    root = coco(tmp_path, ["a.png"], [])
    put(root / "annotations/instances_train.json", text)
    with pytest.raises(DataError, match=said):
        read(root)


def test_two_files_of_one_split(tmp_path):
    root = coco(tmp_path, ["a.png"], [one()])
    put(root / "annotations/train_b.json", coco_json(["a.png"], [one()]))
    with pytest.raises(DataError, match="are both the train split") as caught:
        read(root)
    assert "as the path" in caught.value.remedy
    put(root / "annotations/train_b.json", coco_json(["a.png"], [one()], names=("dog", "cat")))
    (root / "annotations/train_b.json").rename(root / "annotations/val.json")
    with pytest.raises(DataError, match="category 1 is dog, and elsewhere cat"):
        read(root)


def test_classes_that_another_model_numbers_otherwise(tmp_path):
    samples = read(coco(tmp_path, ["a.png"], [one(kind=2), one(kind=1)])).splits["train"]
    assert Relabelled(samples, (4, 3)).target(0).boxes.labels.tolist() == [3, 4]
