"""What `check` finds, and what it doesn't."""

import csv
import io
import os
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers import class_folders, encoded, pixels, real_data
from visus.data.check import Finding, check, write_table
from visus.data.dataset import Data, Dataset
from visus.data.image import Picture
from visus.data.readers.archives import ARCHIVES
from visus.data.readers.folders import FOLDERS
from visus.data.samples import ArraySamples, Samples
from visus.data.types import Boxes, Schema, Skipped, Target
from visus.errors import DataError


def found(dataset: Dataset) -> list[tuple[str, str, str, str]]:
    return [(each.severity, each.kind, each.split, each.name) for each in check(dataset)]


def folders(root: Path) -> Dataset:
    return FOLDERS.read(root, Data())


def arrays(name: str, values: np.ndarray, truth: list[Target], **more: object) -> Dataset:
    inputs = "image" if values.ndim == 4 else "vector"
    schema = Schema(inputs=inputs, shape=values.shape[1:], labels=("a", "b"), **more)
    return Dataset(name, schema, {"train": ArraySamples(name, values, truth)})


def test_nothing_to_find(tmp_path):
    assert check(folders(class_folders(tmp_path, {"cat": 3, "dog": 3}))) == []


def test_files(tmp_path):
    class_folders(tmp_path, {"cat": 12, "dog": 12})
    (tmp_path / "dog" / "3.png").write_bytes(b"")
    (tmp_path / "dog" / "10.png").write_bytes(b"some words")
    (tmp_path / "dog" / "2.png").write_bytes(encoded(pixels(1))[:100])
    (tmp_path / "cat" / "flat.png").write_bytes(encoded(np.full((9, 9, 3), 7, np.uint8)))
    (tmp_path / "cat" / "wide.png").write_bytes(encoded(pixels(50, 9, 91)))
    (tmp_path / "cat" / "tiny.png").write_bytes(encoded(pixels(51, 7, 7)))
    frames = [Image.fromarray(pixels(60 + each)) for each in range(2)]
    frames[0].save(tmp_path / "cat" / "moving.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "cat" / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "cat" / "readme.txt").touch()
    findings = check(folders(tmp_path))
    assert [(each.severity, each.kind, each.split, each.name) for each in findings] == [
        ("error", "unreadable", "train", "dog/2.png"),
        ("error", "unreadable", "train", "dog/3.png"),
        ("error", "unreadable", "train", "dog/10.png"),
        ("warning", "skipped", "", "cat/gone.png"),
        ("warning", "constant image", "train", "cat/flat.png"),
        ("note", "notice", "", ""),
        ("note", "notice", "train", "cat/moving.gif"),
        ("note", "tiny image", "train", "cat/tiny.png"),
        ("note", "extreme proportions", "train", "cat/wide.png"),
    ]
    assert findings[1].text == "is empty (0 bytes)"
    assert findings[3].text == "is a broken link"
    assert findings[4].text == "all its pixels are 7, 7, 7"
    assert findings[6].text == "has 2 frames, of which the first is used"


def test_duplicates(tmp_path):
    class_folders(tmp_path, {"train/cat": 3, "train/dog": 3, "val/cat": 2, "val/dog": 2})
    copy = shutil.copyfile
    copy(tmp_path / "train/cat/0.png", tmp_path / "train/cat/9.png")
    copy(tmp_path / "train/cat/1.png", tmp_path / "val/cat/7.png")
    copy(tmp_path / "train/cat/2.png", tmp_path / "train/dog/8.png")
    copy(tmp_path / "train/dog/1.png", tmp_path / "val/cat/6.png")
    findings = check(folders(tmp_path))
    assert [(each.severity, each.kind, each.split, each.name, each.text) for each in findings] == [
        ("error", "conflicting labels", "train", "train/dog/8.png", "is train train/cat/2.png, with another label"),
        ("error", "conflicting labels", "val", "val/cat/6.png", "is train train/dog/1.png, with another label"),
        ("warning", "leak", "val", "val/cat/6.png", "is also in train, as train/dog/1.png"),
        ("warning", "leak", "val", "val/cat/7.png", "is also in train, as train/cat/1.png"),
        ("note", "duplicate", "train", "train/cat/9.png", "is the same as train/cat/0.png"),
    ]


@pytest.mark.parametrize(("many", "kinds"), [(20, ["imbalance"]), (19, [])])
def test_imbalance(tmp_path, many, kinds):
    findings = check(folders(class_folders(tmp_path, {"cat": many, "dog": 2})))
    assert [each.kind for each in findings] == kinds
    if kinds:
        assert findings[0] == Finding("warning", "imbalance", "train", "dog", "2 samples of dog, 20 of cat")


def test_a_class_that_a_split_lacks(tmp_path):
    class_folders(tmp_path, {"train/cat": 2, "train/dog": 2, "val/cat": 1})
    assert check(folders(tmp_path)) == [Finding("warning", "class missing", "val", "", "no sample of dog")]


def test_one_class_only():
    dataset = arrays("toy", np.arange(6, dtype=np.float32).reshape(3, 2), [Target(label=1)] * 3)
    assert found(dataset) == [
        ("error", "one class only", "", "b"),
        ("warning", "class missing", "train", ""),
    ]


def test_labels_out_of_range():
    targets = [Target(label=each) for each in (0, 1, 2, -1)]
    dataset = arrays("toy", np.arange(8, dtype=np.float32).reshape(4, 2), targets)
    assert found(dataset) == [
        ("error", "label out of range", "train", "toy[2]"),
        ("error", "label out of range", "train", "toy[3]"),
    ]


def test_boxes():
    boxes = [
        [0, 0, 12, 10],
        [3, 3, 3, 9],
        [5, 5, 4, 9],
        [-1, 0, 5, 5],
        [0, 0, 12.5, 5],
        [0, 0, np.nan, 5],
        [0, 0, 5, 5],
    ]
    target = Target(boxes=Boxes(np.array(boxes, np.float32), np.array([0, 0, 0, 0, 0, 0, 2])))
    findings = check(arrays("toy", pixels(0)[None], [target], targets=("boxes",)))
    assert [(each.severity, each.kind) for each in findings] == [
        ("error", "bad box"),
        ("error", "label out of range"),
        ("warning", "class missing"),
        ("warning", "box outside"),
        ("warning", "box outside"),
        ("warning", "covered box"),
        ("warning", "degenerate box"),
        ("warning", "degenerate box"),
        ("note", "box of all"),
    ]
    assert [each.box for each in findings] == [5, 6, None, 3, 4, 4, 1, 2, 0]
    assert findings[1].text == "box (0, 0, 5, 5) has label 2, where there are 0 to 1"


def covered(boxes: list[list[float]], labels: list[int], crowd: list[bool] | None = None) -> list[str]:
    target = Target(
        boxes=Boxes(np.array(boxes, np.float32), np.array(labels), crowd=np.array(crowd) if crowd else None)
    )
    findings = check(arrays("toy", pixels(0, 60, 80)[None], [target], targets=("boxes",)))
    return [each.text for each in findings if each.kind in ("covered box", "tiny box")]


def test_boxes_that_may_be_of_one_object():
    twice = [[10, 10, 20, 20], [10, 10, 20, 21]]
    assert covered(twice, [0, 0]) == ["box (10, 10, 20, 20) is covered to 100% by (10, 10, 20, 21) of the same class"]
    assert covered(twice[::-1], [0, 0]) == covered(twice, [0, 0])
    assert covered(twice, [0, 1]) == []
    assert covered(twice, [0, 0], [True, False]) == []  # a crowd holds objects
    assert covered([[10, 10, 20, 20], [12, 10, 22, 20]], [0, 0]) == []  # 0.8
    assert covered([[10, 10, 20, 20], [11, 10, 21, 20]], [0, 0]) != []  # 0.9


def test_boxes_of_no_size():
    assert covered([[5, 5, 6.9, 20], [9, 9, 11, 11]], [0, 1]) == ["box (5, 5, 6.9, 20) is 1.9×15 pixels"]


def test_a_target_that_cannot_be_read(tmp_path):
    for name in ("images/a.png", "images/b.png", "masks/a.png", "masks/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(encoded(np.full((9, 9 if name != "masks/b.png" else 8, 1), len(name), np.uint8)))
    said = [(each.name, each.kind, each.text) for each in check(folders(tmp_path)) if each.severity == "error"]
    assert said == [("images/b.png", "unreadable", "its mask masks/b.png has 8×9 pixels, and it has 9×9")]


def test_a_mask_of_another_size():
    target = Target(mask=np.zeros((10, 11), np.uint8))
    findings = check(arrays("toy", pixels(0)[None], [target], targets=("mask",), masks=("c", "d")))
    assert [(each.kind, each.text) for each in findings] == [
        ("mask of another size", "11×10 pixels, and the image has 12×10")
    ]


def test_a_mask_with_an_unknown_class():
    mask = np.zeros((10, 12), np.uint8)
    mask[0, :3] = 1, 255, 9
    findings = check(arrays("toy", pixels(0)[None], [Target(mask=mask)], targets=("mask",), masks=("c", "d")))
    assert [each.text for each in findings] == ["pixels of class 9, where there are 0 to 1"]


def test_vectors():
    values = np.array([[0, 1, 5], [1, np.nan, 5], [2, np.inf, 5], [0, 1, 5]], np.float32)
    dataset = arrays("toy", values, [Target(label=each % 2) for each in range(4)], features=("x", "y", "z"))
    assert [(each.kind, each.name, each.text) for each in check(dataset)] == [
        ("not a number", "toy[1]", "NaN or infinity in y"),
        ("not a number", "toy[2]", "NaN or infinity in y"),
        ("conflicting labels", "toy[3]", "is train toy[0], with another label"),
        ("constant feature", "z", "is 5 in every sample"),
    ]


def test_what_was_left_out_while_listing_and_progress():
    skipped = (Skipped("row 9", "has no label"),)
    values = np.arange(4, dtype=np.float32).reshape(4, 1)
    plain = arrays("toy", values, [Target(label=each % 2) for each in range(4)])
    dataset = Dataset("toy", plain.schema, plain.splits, ("mind this",), skipped)
    steps: list[tuple[int, int]] = []
    findings = check(dataset, lambda done, total: steps.append((done, total)))
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert findings == [
        Finding("warning", "skipped", "", "row 9", "has no label"),
        Finding("note", "notice", "", "", "mind this"),
    ]


class Large(Samples):
    """4 MB a picture, made when it is read."""

    def __init__(self, count: int) -> None:
        self.count, self.reads = count, [0] * count

    def __len__(self) -> int:
        return self.count

    def read(self, row: int) -> Picture:
        self.reads[row] += 1
        picture = np.zeros((1000, 1333, 3), np.uint8)
        picture[0, 0] = 1
        return Picture(picture)

    def target(self, row: int) -> Target:
        return Target(label=row % 2)

    def name(self, row: int) -> str:
        return str(row)

    def digest(self, row: int) -> bytes:
        return str(row).encode()

    def block(self) -> None:
        return None

    def stored(self, row: int) -> None:
        return None

    def shards(self) -> None:
        return None

    def origin(self, row: int) -> None:
        return None


def test_every_sample_is_decoded_once_and_none_is_kept():
    large = Large(60)
    tracemalloc.start()
    assert check(Dataset("large", Schema(labels=("a", "b")), {"train": large})) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert large.reads == [1] * 60
    assert peak < (8 << 20) * ((os.cpu_count() or 1) + 1)


def test_table(tmp_path):
    findings = [
        Finding("error", "unreadable", "train", 'a, "b"\n🐜.png', "is empty"),
        Finding("note", "notice", "", "\udcff", "one, two"),
    ]
    path = tmp_path / "findings.csv"
    write_table(findings, path)
    rows = list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8"), newline="")))
    assert rows[0] == ["severity", "kind", "split", "name", "text", "box"]
    assert rows[1] == ["error", "unreadable", "train", 'a, "b"\n🐜.png', "is empty", ""]
    assert rows[2][3] == "\\udcff"
    with pytest.raises(DataError, match="can't be written"):
        write_table(findings, tmp_path / "nowhere" / "findings.csv")


def test_real_photographs():
    findings = check(ARCHIVES.read(real_data("ants-bees.tar"), Data()))
    assert not [each for each in findings if each.kind == "unreadable"]
