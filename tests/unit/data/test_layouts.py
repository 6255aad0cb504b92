"""Which layout a tree is in, in folders and in archives, and what a person is told where it could be several."""

import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.trees import coco, coco_json, images, masked, put, voc, yolo
from visus.data.dataset import Data, Dataset
from visus.data.open import open_dataset
from visus.data.readers.finder import Finder, parts_of
from visus.data.readers.layouts import LAYOUTS
from visus.errors import DataError


def read(source: object, **settings: object) -> Dataset:
    return open_dataset(Data(source=str(source), **settings))  # type: ignore[arg-type]


def tree(root: Path, kind: str) -> Path:
    if kind == "voc":
        voc(root, {"a": [("cat", (1, 1, 5, 5))], "b": []})
    elif kind == "coco":
        coco(root, ["a.png", "b.png"], [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5]}])
    elif kind == "yolo":
        yolo(root, {"a": "0 0.5 0.5 0.5 0.5", "b": ""})
    elif kind == "masks":
        masked(root, {"a": np.ones((30, 40), np.uint8), "b": np.zeros((30, 40), np.uint8)})
    else:
        images(root / "noisy", ["a.png", "b.png"])
        images(root / "clean", ["a.png", "b.png"])
    return root


@pytest.mark.parametrize("ending", ["tar", "tar.xz", "zip"])
@pytest.mark.parametrize("kind", ["voc", "coco", "yolo", "masks", "pairs"])
def test_an_archive_equals_its_folder(tmp_path, kind, ending):
    folder, path = tree(tmp_path / "set", kind), tmp_path / f"set.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(path, "w") as file:
            for each in sorted(folder.rglob("*.*")):
                file.write(each, each.relative_to(tmp_path))
    else:
        with tarfile.open(path, "w:xz" if ending == "tar.xz" else "w") as file:
            file.add(folder, "set")
    one, other = read(folder), read(path)
    assert one.schema == other.schema
    assert one.fingerprint() == other.fingerprint()


def test_two_layouts_in_one_tree(tmp_path):
    voc(tmp_path, {"a": [("cat", (1, 1, 5, 5))]})
    put(tmp_path / "labels/a.txt", "0 0.5 0.5 0.5 0.5")
    put(tmp_path / "all.json", coco_json(["a.png"], [{"image_id": 1, "category_id": 2, "bbox": [0, 0, 5, 5]}]))
    with pytest.raises(DataError, match=r"can be read as coco .* or as voc .* or as yolo") as caught:
        read(tmp_path)
    assert caught.value.remedy == ("choose: --set data.layout=coco or --set data.layout=voc or --set data.layout=yolo")
    assert read(tmp_path, layout="coco").schema.labels == ("cat", "dog")
    assert read(tmp_path, layout="voc").schema.labels == ("cat",)
    assert read(tmp_path, layout="yolo").schema.labels == ("0",)


def test_a_target_that_it_does_not_hold(tmp_path):
    with pytest.raises(DataError, match="that holds no mask"):
        read(tree(tmp_path, "pairs"), target="mask")


def test_a_layout_that_it_is_not(tmp_path):
    with pytest.raises(DataError, match="isn't Pascal VOC"):
        read(tree(tmp_path, "yolo"), layout="voc")
    with pytest.raises(DataError, match="that holds no values") as caught:
        read(tmp_path, target="values", layout="yolo")
    assert caught.value.remedy == "data.target can be boxes, objects, mask here"


def test_a_folder_of_annotations_that_is_met_first(tmp_path, monkeypatch):
    root = voc(tmp_path, {f"{n}": [("cat", (1, 1, 5, 5))] for n in range(9)})
    monkeypatch.setattr("visus.data.readers.folders.LOOKED_AT", 3)
    assert len(read(root).splits["train"]) == 9


def test_captions_and_other_texts_beside_images_make_no_boxes(tmp_path):
    for kind in ("cat", "dog"):
        images(tmp_path / kind, ["1.png", "2.png"])
        for name, text in (("1.txt", f"a {kind}"), ("2.txt", "5"), ("1.xml", "<x/>"), ("1.json", "{}")):
            put(tmp_path / kind / name, text)
    assert read(tmp_path).schema.labels == ("cat", "dog")


def test_the_words_of_the_setting_are_the_layouts():
    assert {each.name for each in LAYOUTS} == {"coco", "voc", "yolo", "masks", "pairs", "classes"}


@pytest.mark.parametrize(
    ("name", "near", "split", "found"),
    [
        ("a.png", (), "val", 1),
        ("a.png", ("y", "labels"), "", 2),
        ("train/a.png", (), "val", 0),
        ("/x/y/images/a.png", (), "", 2),
        ("a.png", (), "", "several images are called so, as a.png"),
        ("b.png", (), "", "there is no such image"),
        ("../", (), "", "names no file"),
    ],
)
def test_the_file_that_a_name_means(name, near, split, found):
    paths = [("train", "a.png"), ("val", "a.png"), ("y", "images", "a.png")]
    assert Finder([(parts, None) for parts in paths]).find(name, near, split) == found  # type: ignore[misc]


def test_parts_of_a_path_of_any_system():
    assert parts_of("C:\\data\\.\\a b.png ") == ("data", "a b.png")
