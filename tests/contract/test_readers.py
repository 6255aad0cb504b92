"""What every reader and every named set must do; a new one adds a line to SETS."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import class_folders, encoded, pixels
from tests.trees import coco, images, masked, voc, yolo
from visus.data.dataset import Data, Dataset
from visus.data.image import Picture
from visus.data.named import NAMED
from visus.data.open import READERS, open_dataset
from visus.data.sharding import write_shards
from visus.data.splits import divide
from visus.data.types import Target


def folders(root: Path) -> str:
    class_folders(root / "photos", {"cat": 6, "dog 10": 5, "dog 9": 4})
    return str(root / "photos")


def archive(root: Path) -> str:
    source = Path(folders(root))
    with zipfile.ZipFile(root / "photos.zip", "w") as file:
        for each in sorted(source.rglob("*.*")):
            file.write(each, each.relative_to(root))
    return str(root / "photos.zip")


def tar(root: Path) -> str:
    with tarfile.open(root / "photos.tar.gz", "w:gz") as file:
        file.add(folders(root), "photos")
    return str(root / "photos.tar.gz")


def idx(root: Path) -> str:
    random = np.random.default_rng(0)
    for part, count in (("train", 30), ("t10k", 10)):
        pixels, labels = random.integers(0, 256, (count, 9, 7), np.uint8), np.arange(count, dtype=np.uint8) % 3
        for name, kind, values in (("images", 3, pixels), ("labels", 1, labels)):
            head = struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
            (root / f"{part}-{name}-idx{kind}-ubyte.gz").write_bytes(gzip.compress(head + values.tobytes()))
    return str(root)


def csv(root: Path) -> str:
    rows = [f"{i},{i * i},{'odd' if i % 2 else 'even'}" for i in range(40)]
    (root / "table.csv").write_text("a,b,class\n" + "\n".join(rows), encoding="utf-8")
    return str(root / "table.csv")


def csv_of_images(root: Path) -> str:
    class_folders(root / "photos", {"cat": 6, "dog": 6})
    files = sorted((root / "photos").rglob("*.png"))
    lines = [f"{each.relative_to(root).as_posix()},{index / 3}" for index, each in enumerate(files)]
    (root / "heights.csv").write_text("file,height\n" + "\n".join(lines), encoding="utf-8")
    return str(root / "heights.csv")


def npz(root: Path) -> str:
    random = np.random.default_rng(0)
    np.savez(root / "set.npz", x=random.integers(0, 256, (40, 6, 5, 3), np.uint8), y=np.arange(40) % 4)
    return str(root / "set.npz")


def parquet(root: Path) -> str:
    import pyarrow
    from pyarrow.parquet import write_table

    columns = {"a": np.arange(40.0), "b": np.arange(40.0) ** 2, "price": np.arange(40) * 1.5}
    write_table(pyarrow.table(columns), root / "table.parquet")
    return str(root / "table.parquet")


def shards(root: Path) -> str:
    write_shards(open_dataset(folders(root)), root / "shards", count=4)
    return str(root / "shards")


def webdataset(root: Path) -> str:
    (root / "set").mkdir()
    for part in (0, 1):
        with tarfile.open(root / "set" / f"train-{part:06d}.tar", "w") as file:
            for number in range(12):
                for ending, data in (("png", encoded(pixels(number + 12 * part))), ("cls", b"%d" % (number % 3))):
                    member = tarfile.TarInfo(f"{number:06d}.{ending}")
                    member.size = len(data)
                    file.addfile(member, io.BytesIO(data))
    return str(root / "set")


def pascal(root: Path) -> str:
    lists = {"train": [f"{n}" for n in range(12)], "val": ["12"], "test": ["13", "14"]}
    return str(voc(root / "voc", {f"{n}": [("cat", (1, 1, 5 + n, 9))] for n in range(15)}, **lists))


def coco_set(root: Path) -> str:
    said = [{"image_id": n + 1, "category_id": n % 2 + 1, "bbox": [n, 1, 5, 6]} for n in range(15)]
    return str(coco(root / "coco", [f"{n}.png" for n in range(15)], said))


def coco_file(root: Path) -> str:
    return str(Path(coco_set(root)) / "annotations/instances_train.json")


def yolo_set(root: Path) -> str:
    return str(yolo(root / "yolo", {f"{n}": f"{n % 2} 0.5 0.5 0.{n + 1} 0.2" for n in range(9)} | {"x": ""}))


def yolo_file(root: Path) -> str:
    return str(Path(yolo_set(root)) / "data.yaml")


def masks(root: Path) -> str:
    return str(masked(root / "masks", {f"{n}": np.full((9, 8), n % 3, np.uint8) for n in range(15)}))


def pairs(root: Path) -> str:
    for folder in ("noisy", "clean"):
        images(root / "pairs" / folder, [f"{n}.png" for n in range(15)])
    return str(root / "pairs")


SETS: dict[str, Callable[[Path], str]] = {
    "folders": folders, "zip": archive, "tar": tar, "idx": idx, "csv": csv, "csv of images": csv_of_images, "npz": npz,
    "parquet": parquet, "shards": shards, "webdataset": webdataset,
    "voc": pascal, "coco": coco_set, "coco file": coco_file, "yolo": yolo_set, "yolo file": yolo_file, "masks": masks,
    "pairs": pairs,
    **{name: lambda _, name=name: name for name in ("digits", "diabetes", "scenes")},
}  # fmt: skip


@pytest.fixture(params=SETS)
def source(request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory,
           monkeypatch: pytest.MonkeyPatch) -> str:  # fmt: skip
    monkeypatch.setenv("VISUS_CACHE", str(tmp_path_factory.mktemp("cache")))
    return SETS[request.param](tmp_path)


@pytest.fixture
def dataset(source: str) -> Dataset:
    return open_dataset(Data(source=source, count=120))


def test_every_reader_and_named_set_is_here() -> None:
    assert {reader.name for reader in READERS} == {"folders", "archives", "idx", "tables", "shards", "coco", "yolo"}
    assert {"digits", "diabetes", "scenes"} == set(NAMED) - {
        "mnist",
        "fashion-mnist",
        "membrane",
        "denoise",
        "bccd",
    }  # those are tested with their data


def test_the_schema_is_true(dataset: Dataset) -> None:
    schema = dataset.schema
    assert schema.targets
    for samples in dataset.splits.values():
        assert len(samples) > 0
        for row in (0, len(samples) // 2, len(samples) - 1):
            value, target = samples.read(row), samples.target(row)
            if schema.inputs == "vector":
                assert isinstance(value, np.ndarray)
                assert value.dtype == np.float32
                assert value.shape == schema.shape == (len(schema.features),)
            else:
                assert isinstance(value, Picture)
                assert value.pixels.dtype == np.uint8
                height, width, channels = value.pixels.shape
                assert channels == schema.shape[0]
                assert schema.shape[1:] in ((0, 0), (height, width))
            assert all(getattr(target, name) is not None for name in schema.targets)
            if target.label is not None:
                assert 0 <= target.label < len(schema.labels)
            if target.values is not None:
                assert len(target.values) == len(schema.values)
            if target.boxes is not None:
                assert (target.boxes.xyxy.dtype, target.boxes.labels.dtype) == (np.float32, np.int64)
                assert target.boxes.labels.max(initial=0) < len(schema.labels)
            for found in (target.mask, target.image):
                assert found is None or (found.shape[:2] == (height, width) and found.dtype == np.uint8)


def test_names_are_unique_and_printable(dataset: Dataset) -> None:
    for samples in dataset.splits.values():
        names = [samples.name(row) for row in range(len(samples))]
        assert len(set(names)) == len(names)
        assert all(name.isprintable() for name in names)


def test_a_block_equals_its_samples(dataset: Dataset) -> None:
    for samples in dataset.splits.values():
        block = samples.block()
        if block is not None:
            assert len(block) == len(samples)
            value = samples.read(len(samples) - 1)
            np.testing.assert_array_equal(block[-1], value.pixels if isinstance(value, Picture) else value)


def test_opening_again_gives_the_same(source: str, dataset: Dataset) -> None:
    again = open_dataset(Data(source=source, count=120))
    assert again.fingerprint() == dataset.fingerprint()
    assert again.schema == dataset.schema


def test_it_can_be_divided(dataset: Dataset) -> None:
    divided = divide(dataset, Data(val=0.2, test=0.2), seed=0)
    assert {"train", "val", "test"} <= set(divided.splits)
    before = sum(map(len, dataset.splits.values()))
    assert sum(map(len, divided.splits.values())) == before
    assert isinstance(divided.splits["val"].target(0), Target)
