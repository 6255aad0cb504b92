"""COCO, Pascal VOC and YOLO from one another. Peers that read what is written: pycocotools, and Python's own XML."""

import contextlib
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import visus
from tests.helpers import real_data
from tests.trees import coco, images, masked, put, turned, voc, voc_xml, yolo
from visus.cli.main import main
from visus.data.converting import _WRITERS, convert
from visus.data.dataset import Data, Dataset
from visus.data.open import open_dataset
from visus.errors import DataError, SpecError


def read(source: object, **settings: object) -> Dataset:
    return open_dataset(Data(source=str(source), **settings))  # type: ignore[arg-type]


def contents(root: Path) -> dict[str, bytes]:
    return {str(each.relative_to(root)): each.read_bytes() for each in sorted(root.rglob("*")) if each.is_file()}


def given(root: Path) -> Path:
    square = [[8, 4, 30, 4, 30, 11, 8, 11]]
    said = [
        {"image_id": 1, "category_id": 1, "bbox": [8, 4, 22, 7], "area": 154, "segmentation": square},
        {"image_id": 1, "category_id": 2, "bbox": [0.5, 0, 10, 10], "area": 100, "iscrowd": 1},
        {"image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 12, "difficult": 1, "truncated": 1},
    ]
    return coco(root, ["a.png", "b.png", "c.png"], said)


def test_coco_as_pycocotools_reads_it(tmp_path):
    tools = pytest.importorskip("pycocotools.coco")
    found = visus.convert(given(tmp_path / "in"), tmp_path / "out", "coco")
    assert (found.images, found.objects, found.notes, found.skipped) == (3, 3, (), ())
    with contextlib.redirect_stdout(io.StringIO()):
        peer = tools.COCO(str(tmp_path / "out/annotations/instances_train.json"))
    assert [(each["file_name"], each["width"], each["height"]) for each in peer.dataset["images"]] == [
        ("a.png", 40, 30), ("b.png", 40, 30), ("c.png", 40, 30)
    ]  # fmt: skip
    boxes = {each["id"]: (each["bbox"], each["area"], each["iscrowd"]) for each in peer.dataset["annotations"]}
    assert boxes == {1: ([8, 4, 22, 7], 154, 0), 2: ([0.5, 0, 10, 10], 100, 1), 3: ([1, 2, 3, 4], 12, 0)}
    assert [each["name"] for each in peer.loadCats(peer.getCatIds())] == ["cat", "dog"]
    before, after = read(tmp_path / "in", target="objects"), read(tmp_path / "out", target="objects")
    assert before.fingerprint() == after.fingerprint()


def test_voc_as_anybody_reads_it(tmp_path):
    found = visus.convert(given(tmp_path / "in"), tmp_path / "out", "voc")
    assert found.notes == (
        "VOC has no crowds: they are written as difficult (1 object)",
        "VOC has no outlines of objects (1 object)",
        "VOC has no areas of objects (3 objects)",
    )
    tree = ElementTree.parse(tmp_path / "out/Annotations/a.xml").getroot()
    assert [tree.findtext(f"size/{side}") for side in ("width", "height", "depth")] == ["40", "30", "3"]
    first, second = tree.findall("object")
    assert [each.text for each in first.find("bndbox")] == ["9", "5", "30", "11"]
    assert [each.text for each in second.find("bndbox")] == ["1.5", "1", "10.5", "10"]
    assert [each.findtext("difficult") for each in (first, second)] == ["0", "1"]
    assert (tmp_path / "out/ImageSets/Main/train.txt").read_text() == "a\nb\nc\n"
    again = visus.convert(tmp_path / "out", tmp_path / "again", "coco")
    assert again.notes == ()
    kept = json.loads((tmp_path / "again/annotations/instances_train.json").read_text())["annotations"][2]
    assert (kept["difficult"], kept["truncated"]) == (1, 1)


def test_yolo(tmp_path):
    found = visus.convert(given(tmp_path / "in"), tmp_path / "out", "yolo")
    assert (found.images, found.objects) == (3, 2)
    assert found.notes[0] == "YOLO has no crowds: they are left out (1 object)"
    assert len(found.notes) == 5
    assert (tmp_path / "out/labels/train/a.txt").read_text() == "0 0.475 0.25 0.55 0.23333333\n"
    assert (tmp_path / "out/labels/train/c.txt").read_text() == ""
    assert (tmp_path / "out/data.yaml").read_text() == "train: images/train\nnames:\n  0: cat\n  1: dog\n"


def test_polygons_of_yolo_become_those_of_coco(tmp_path):
    root = yolo(tmp_path / "in", {"a": "1 0.25 0.2 0.75 0.2 0.75 0.6 0.25 0.6"})
    visus.convert(root, tmp_path / "out", "coco")
    found = json.loads((tmp_path / "out/annotations/instances_train.json").read_text())["annotations"][0]
    np.testing.assert_allclose(found["segmentation"], [[10, 6, 30, 6, 30, 18, 10, 18]])
    assert found["bbox"] == [10, 6, 20, 12]


@pytest.mark.parametrize("link", [False, True])
def test_the_source_is_never_changed(tmp_path, link):
    root = given(tmp_path / "in")
    before = contents(root)
    (root / "images/a.png").chmod(0o400)
    (tmp_path / "out").mkdir()
    visus.convert(root, tmp_path / "out", "yolo", link=link)
    assert contents(root) == before
    one, other = root / "images/a.png", tmp_path / "out/images/train/a.png"
    assert one.read_bytes() == other.read_bytes()
    assert one.samefile(other) == link


def test_names_that_meet(tmp_path):
    for folder in ("x", "y", "y/z"):
        images(tmp_path / "in" / folder, ["1 a.png"])
        put(tmp_path / "in" / folder / "1 a.xml", voc_xml([("cat", (1, 1, 5, 5))], name=folder))
    images(tmp_path / "in/x", ["1_a.jpg", "b.png"])
    visus.convert(tmp_path / "in", tmp_path / "out", "voc")
    names = sorted(each.name for each in (tmp_path / "out/JPEGImages").iterdir())
    assert names == ["1_a.jpg", "b.png", "x_1 a.png", "y_1 a.png", "y_z_1 a.png"]
    again = read(tmp_path / "out")
    assert again.skipped == ()
    assert sum(len(again.splits["train"].target(row).boxes) for row in range(5)) == 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["voc", "yolo"])
def test_fault_5_images_that_are_turned(tmp_path, orientation, kind):
    drawn = np.zeros((30, 40, 3), np.uint8)
    drawn[4:11, 8:30] = 255
    put(tmp_path / "in/images/a.png", turned(drawn, orientation))
    put(tmp_path / "in/Annotations/a.xml", voc_xml([("cat", (9, 5, 30, 11))]))
    visus.convert(tmp_path / "in", tmp_path / "first", kind)
    for source, to in (("first", "coco"), ("coco", "voc"), ("voc", "yolo")):
        visus.convert(tmp_path / source, tmp_path / to, to)
        samples = read(tmp_path / to).splits["train"]
        rows, columns = np.nonzero(samples.read(0).pixels[..., 0])
        wanted = [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]
        np.testing.assert_allclose(samples.target(0).boxes.xyxy, wanted, atol=1e-4)


def test_from_an_archive_and_of_drawings(tmp_path):
    before = open_dataset(real_data("bccd.tar"))
    found = visus.convert(real_data("bccd.tar"), tmp_path / "cells", "yolo")
    assert (found.images, found.objects) == (364, 4888)
    after = read(tmp_path / "cells")
    for split, samples in before.splits.items():
        for row in (0, len(samples) - 1):
            np.testing.assert_allclose(
                after.splits[split].target(row).boxes.xyxy, samples.target(row).boxes.xyxy, atol=1e-3
            )
    drawn = open_dataset(Data(source="scenes", count=3))
    convert(drawn, tmp_path / "drawn", "coco")
    np.testing.assert_array_equal(
        read(tmp_path / "drawn", target="objects").splits["train"].target(1).boxes.masks,
        drawn.splits["train"].target(1).boxes.masks,
    )


def test_what_cannot_be(tmp_path):
    root = given(tmp_path / "in")
    put(tmp_path / "full/x", "y")
    for out in ("full", "full/x"):
        with pytest.raises(DataError, match="isn't an empty folder"):
            visus.convert(root, tmp_path / out, "voc")
    with pytest.raises(SpecError, match="the format can't be 'vog'"):
        visus.convert(root, tmp_path / "out", "vog")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="holds no boxes"):
        visus.convert(masked(tmp_path / "m", {"a": np.zeros((9, 9), np.uint8)}), tmp_path / "out", "voc")
    with pytest.raises(DataError, match="has label, and boxes are what these formats hold"):
        visus.convert("digits", tmp_path / "out", "voc")
    with pytest.raises(DataError, match="can't be linked"):
        visus.convert(real_data("bccd.tar"), tmp_path / "out", "voc", link=True)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["full", "in", "m"]


def test_images_that_cannot_be_read_are_left_out(tmp_path):
    root = given(tmp_path / "in")
    put(root / "images/b.png", b"x")
    found = visus.convert(root, tmp_path / "out", "voc")
    assert found.images == 2
    assert [(each.name, each.cause) for each in found.skipped] == [("images/b.png", "isn't an image: it is text")]


def test_an_interrupted_writing_leaves_nothing(tmp_path, monkeypatch):
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(_WRITERS, "voc", stopped)
    with pytest.raises(KeyboardInterrupt):
        visus.convert(given(tmp_path / "in"), tmp_path / "out", "voc")
    assert [each.name for each in tmp_path.iterdir()] == ["in"]


def test_the_command(tmp_path, capsys):
    root = voc(tmp_path / "in", {"a": [("cat", (1, 1, 5, 5))]})
    assert main(["data", "convert", str(root), str(tmp_path / "out"), "--to", "coco"]) == 0
    assert "1 image, 1 object" in capsys.readouterr().out
    assert main(["data", "convert", str(root), str(tmp_path / "out"), "--to", "coco"]) == 2
    assert "isn't an empty folder" in capsys.readouterr().err
