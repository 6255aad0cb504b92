"""The sets that are known by name. Small stand-ins are written here; the real one is tried where VISUS_DATA has it."""

import gzip
import os
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import real_data
from visus.data import download, named
from visus.data.dataset import Data
from visus.data.named import FASHION, MNIST, NAMED
from visus.errors import DataError, DownloadError

FOLDER = os.environ.get("VISUS_DATA", "")
REAL = Path(FOLDER) / "fashion-mnist"
FILES = tuple(file.name.removesuffix(".gz") for file in FASHION.files)


def write_set(folder: Path, test_labels: tuple[int, ...] = tuple(range(10)), zipped: bool = True) -> None:
    """Ten white 28×28 images a split, with the files' real names."""
    folder.mkdir(parents=True, exist_ok=True)
    images = bytes([0, 0, 8, 3]) + struct.pack(">3I", 10, 28, 28) + b"\xff" * 7840
    for name in FILES:
        labels = bytes(test_labels if name.startswith("t10k") else range(10))
        data = images if "images" in name else bytes([0, 0, 8, 1]) + struct.pack(">I", 10) + labels
        (folder / (name + ".gz" * zipped)).write_bytes(gzip.compress(data) if zipped else data)


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """No set but those that a test writes, and no network."""
    for name in ("VISUS_DATA", "XDG_DATA_DIRS", "VISUS_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / f"none-{name}"))

    def fetch(urls, name, *args, **more):
        raise DownloadError(f"{name} was asked of {urls[0]}")

    monkeypatch.setattr(download, "fetch", fetch)


def test_digits():
    """The first scan of the UCI file: its first row is 0 0 5 13 9 1 0 0, and it is a zero."""
    found = NAMED["digits"].load(Data())
    samples = found.splits["train"]
    assert (len(samples), found.schema.shape, len(found.schema.labels)) == (1797, (1, 8, 8), 10)
    pixels = samples.read(0).pixels
    assert (pixels.shape, pixels.dtype, samples.target(0).label) == ((8, 8, 1), np.uint8, 0)
    assert pixels[0, :, 0].tolist() == [0, 0, round(5 * 255 / 16), round(13 * 255 / 16), round(9 * 255 / 16), 16, 0, 0]
    assert max(samples.read(row).pixels.max() for row in range(20)) == 255
    assert list(found.splits) == ["train"]


@pytest.mark.parametrize("place", [".", "fashion-mnist", "FashionMNIST/raw"])
@pytest.mark.parametrize("zipped", [True, False])
def test_layouts_that_are_found(tmp_path, place, zipped):
    write_set(tmp_path / place, zipped=zipped)
    found = NAMED["fashion-mnist"].load(Data(dir=str(tmp_path)))
    assert {split: len(samples) for split, samples in found.splits.items()} == {"train": 10, "test": 10}
    assert found.schema.shape == (1, 28, 28)
    assert found.schema.labels[found.splits["train"].target(9).label] == "Ankle boot"
    assert found.name == "fashion-mnist"
    assert str(tmp_path / place) in found.notes[0]


def test_order_of_places(tmp_path, monkeypatch):
    """data.dir, then $VISUS_DATA, then the system's folders, then the cache."""
    system, cache, own, given = (tmp_path / name for name in ("system", "cache", "own", "given"))
    monkeypatch.setenv("VISUS_CACHE", str(cache))
    monkeypatch.setenv("XDG_DATA_DIRS", f"{tmp_path / 'empty'}{os.pathsep}{system}")
    monkeypatch.setenv("VISUS_DATA", str(own))
    for root, folder in (
        (cache, cache / "mnist"),
        (system, system / "datasets" / "mnist"),
        (own, own / "mnist"),
        (given, given / "mnist"),
    ):
        write_set(folder)
        assert str(root) in NAMED["mnist"].load(Data(dir=str(given))).notes[0]


def test_half_a_set_is_passed_over(tmp_path):
    write_set(tmp_path / "mnist")
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DownloadError, match=r"asked of https://\S+/train-images-idx3-ubyte.gz"):
        NAMED["mnist"].load(Data(dir=str(tmp_path)))


def test_other_set_under_the_same_names_is_passed_over(tmp_path):
    write_set(tmp_path, test_labels=FASHION.first)
    with pytest.raises(DownloadError):
        NAMED["mnist"].load(Data(dir=str(tmp_path)))
    write_set(tmp_path / "mnist", test_labels=MNIST.first)
    assert NAMED["mnist"].load(Data(dir=str(tmp_path))).splits["test"].target(0).label == 7


def test_damaged_file_is_an_error(tmp_path):
    write_set(tmp_path / "mnist")
    (tmp_path / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b broken")
    with pytest.raises(DataError, match="train-images-idx3-ubyte"):
        NAMED["mnist"].load(Data(dir=str(tmp_path)))


def test_download_goes_into_the_cache(tmp_path, monkeypatch):
    write_set(tmp_path / "mirror")
    asked = []

    def fetch(urls, name, digest, size, folder, **more):
        asked.append((urls[0], digest.partition(":")[0], size))
        folder.mkdir(parents=True, exist_ok=True)
        more["progress"](size, size)
        return (tmp_path / "mirror" / name).rename(folder / name)

    monkeypatch.setattr(download, "fetch", fetch)
    monkeypatch.setenv("VISUS_CACHE", str(tmp_path / "cache"))
    found = NAMED["mnist"].load(Data())
    assert found.notes == (f"fetched into {tmp_path / 'cache' / 'mnist'}",)
    assert [url.rpartition("/")[2].removesuffix(".gz") for url, _, _ in asked] == list(FILES)
    assert {(algorithm, size > 4000) for _, algorithm, size in asked} == {("md5", True)}


def test_table_imports_nothing_heavy():
    code = (
        "import sys, visus.data.named; print(sorted({'numpy', 'torch', 'sklearn', 'rich', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(not REAL.is_dir(), reason="VISUS_DATA names no folder with fashion-mnist")
def test_real_fashion_mnist():
    """Counts of the paper: 6,000 and 1,000 of each class. The first labels are those that its README's viewer shows."""
    found = NAMED["fashion-mnist"].load(Data(dir=str(REAL.parent)))
    for split, count in (("train", 6000), ("test", 1000)):
        samples = found.splits[split]
        numbers = [samples.target(row).label for row in range(len(samples))]
        assert np.bincount(numbers).tolist() == [count] * 10
    first = [found.splits["test"].target(row).label for row in range(10)]
    assert tuple(first) == FASHION.first
    assert found.schema.labels[found.splits["train"].target(0).label] == "Ankle boot"


@pytest.mark.skipif(not REAL.is_dir(), reason="VISUS_DATA names no folder with fashion-mnist")
def test_real_fashion_mnist_is_not_mnist():
    with pytest.raises(DownloadError):
        NAMED["mnist"].load(Data(dir=str(REAL)))


def test_every_set_says_where_it_comes_from():
    assert set(NAMED) == {"digits", "diabetes", "scenes", "membrane", "denoise", "bccd", "mnist", "fashion-mnist"}
    for each in NAMED.values():
        assert each.title
        assert each.description
        assert each.source_and_licence
    assert named.FASHION.labels[0] == "T-shirt/top"


def test_denoise_is_400_images_to_learn_from_and_set12(monkeypatch):
    monkeypatch.setenv("VISUS_DATA", FOLDER)
    real_data("greyscale-denoise.tar")
    found = NAMED["denoise"].load(Data())
    assert {split: len(samples) for split, samples in found.splits.items()} == {"train": 400, "test": 12}
    assert (found.schema.shape, found.schema.targets) == ((1, 0, 0), ())
    assert {found.splits["train"].read(row).pixels.shape for row in range(0, 400, 40)} == {(180, 180, 1)}
    sides = [found.splits["test"].read(row).pixels.shape for row in range(12)]
    assert sides == [(256, 256, 1)] * 7 + [(512, 512, 1)] * 5  # Set12: seven of 256×256 and five of 512×512
    assert [found.splits["test"].name(row) for row in (0, 11)] == ["set12/01.png", "set12/12.png"]


def test_bccd_has_its_makers_splits_and_classes(monkeypatch):
    monkeypatch.setenv("VISUS_DATA", FOLDER)
    real_data("bccd.tar")
    found = NAMED["bccd"].load(Data())
    assert {split: len(samples) for split, samples in found.splits.items()} == {"train": 205, "val": 87, "test": 72}
    assert (found.schema.labels, found.schema.targets) == (("Platelets", "RBC", "WBC"), ("boxes",))
    assert found.splits["train"].read(0).pixels.shape == (480, 640, 3)


def test_denoise_says_what_it_lacks(tmp_path):
    with pytest.raises(DataError, match=r"(?s)no greyscale-denoise\.tar.*name the folder"):
        NAMED["denoise"].load(Data(dir=str(tmp_path)))
    with tarfile.open(tmp_path / "greyscale-denoise.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("train400/1.png"))
    with pytest.raises(DataError, match="holds 1 images in train400, and there should be 400"):
        NAMED["denoise"].load(Data(dir=str(tmp_path)))
