"""IDX files, written here byte by byte from the format's description."""

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from visus.data.dataset import Data
from visus.data.readers.idx import IDX, find_pairs, read_idx, read_pairs
from visus.errors import DataError

CODES = {
    "u1": 0x08,
    "i1": 0x09,
    ">i2": 0x0B,
    ">i4": 0x0C,
    ">f4": 0x0D,
    ">f8": 0x0E,
}


def idx(shape: tuple[int, ...], payload: bytes, code: int = 0x08) -> bytes:
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + payload


def write_set(folder: Path, images: list[int], labels: list[int], prefix: str = "train", mark: str = "-") -> None:
    """One 1×2 image for each number, whose pixels are the number and 255 less it."""
    pixels = bytes(each for number in images for each in (number, 255 - number))
    folder.mkdir(exist_ok=True)
    (folder / f"{prefix}-images{mark}idx3-ubyte").write_bytes(idx((len(images), 1, 2), pixels))
    (folder / f"{prefix}-labels{mark}idx1-ubyte").write_bytes(idx((len(labels),), bytes(labels)))


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("zipped", [False, True])
def test_reads_every_type(tmp_path, dtype, zipped):
    wanted = np.array([[-3, 0, 7], [1, 2, 100]] if dtype != "u1" else [[3, 0, 7], [1, 2, 255]], dtype)
    data = idx((2, 3), wanted.tobytes(), CODES[dtype])
    path = tmp_path / "x-idx2"  # the content decides, not the name
    path.write_bytes(gzip.compress(data) if zipped else data)
    found = read_idx(path)
    np.testing.assert_array_equal(found, wanted)
    assert found.dtype == np.dtype(dtype).newbyteorder("=")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "starts with nothing"),
        (b"\x89PNG\r\n", "89 50 4e 47"),
        (bytes([0, 0, 0x0A, 1]) + struct.pack(">I", 1) + b"x", "00 00 0a 01"),
        (bytes([0, 0, 8, 0]), "00 00 08 00"),
        (bytes([0, 0, 8, 200]) + b"\0" * 800, "00 00 08 c8"),
        (bytes([0, 0, 8, 3]) + struct.pack(">2I", 1, 1), "ends within its header"),
        (idx((4, 2, 2), b"x" * 15), "claims 4×2×2 values of 1 bytes, 16 bytes in all, and has 15"),
        (idx((4, 2, 2), b"x" * 17), "16 bytes in all, and has 17"),
        (idx((0, 2**32 - 1, 2**32 - 1), b""), "claims 0×4,294,967,295×4,294,967,295"),
    ],
)
def test_refuses_what_is_not_idx(tmp_path, data, said):
    path = tmp_path / "x-idx3-ubyte"
    path.write_bytes(data)
    with pytest.raises(DataError, match=said):
        read_idx(path)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (gzip.compress(idx((5, 2), b"x" * 9), mtime=0), "cut short: it claims 5×2 values .10 bytes. and holds 9 bytes"),
        (gzip.compress(idx((5, 2), b"x" * 11), mtime=0), "goes on after the 5×2 values"),
        (gzip.compress(idx((5, 200), bytes(range(250)) * 4), mtime=0)[:-30], "damaged"),
        (gzip.compress(idx((2, 2), b"abcd"), mtime=0)[:-8] + b"\0" * 8, "damaged"),
    ],
)
def test_refuses_damaged_gzip(tmp_path, data, said):
    path = tmp_path / "x-idx2-ubyte.gz"
    path.write_bytes(data)
    with pytest.raises(DataError, match=said):
        read_idx(path)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("shape", [(2**20, 2**20), (2**32 - 1,) * 8, (7, 1 << 30)])
def test_claim_of_a_tebibyte_costs_nothing(tmp_path, shape, zipped):
    data = idx(shape, b"x" * 50)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(gzip.compress(data) if zipped else data)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="claims"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_refuses_a_folder_under_the_name(tmp_path):
    with pytest.raises(DataError, match=r"is a directory|isn't a regular file|permission denied"):
        read_idx(tmp_path)


@pytest.mark.parametrize("mark", ["-", "."])
def test_reads_a_folder(tmp_path, mark):
    write_set(tmp_path / "shapes", [10, 20, 30], [0, 2, 1], "train", mark)
    write_set(tmp_path / "shapes", [40], [2], "t10k", mark)
    path = tmp_path / "shapes"
    assert IDX.recognises(path)
    found = IDX.read(path, Data())
    assert found.name == "shapes"
    assert found.schema.shape == (1, 1, 2)
    assert found.schema.labels == ("0", "1", "2")
    assert list(found.splits) == ["train", "test"]
    train, test = found.splits["train"], found.splits["test"]
    np.testing.assert_array_equal(train.read(1).pixels, [[[20], [235]]])
    assert [train.target(row).label for row in range(3)] == [0, 2, 1]
    assert (len(test), test.target(0).label, test.name(0)) == (1, 2, "shapes/test[0]")


def test_prefixes_of_emnist(tmp_path):
    write_set(tmp_path, [1, 2], [0, 1], "emnist-letters-train")
    write_set(tmp_path, [3], [1], "emnist-letters-test")
    assert {split: len(samples) for split, samples in IDX.read(tmp_path, Data()).splits.items()} == {
        "train": 2,
        "test": 1,
    }
    write_set(tmp_path, [1, 2], [0, 1], "emnist-digits-train")
    with pytest.raises(DataError, match="emnist-digits-train and emnist-letters-train would both be the split 'train'"):
        IDX.read(tmp_path, Data())


def test_plain_file_is_taken_before_the_gzipped(tmp_path):
    write_set(tmp_path, [1, 2], [0, 1])
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"not gzip")
    assert find_pairs(tmp_path)["train"]["images"].name == "train-images-idx3-ubyte"


def test_recognises_nothing_else(tmp_path):
    assert not IDX.recognises(tmp_path)
    assert not IDX.recognises(tmp_path / "absent")
    (tmp_path / "train-images.txt").touch()
    assert not IDX.recognises(tmp_path)


def test_label_beyond_those_of_training(tmp_path):
    write_set(tmp_path, [1, 2, 3], [0, 1, 2])
    write_set(tmp_path, [1, 2], [2, 3], "t10k")
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte\[1\]: label 3 is out of range: valid are 0 … 2"):
        IDX.read(tmp_path, Data())


def test_label_beyond_the_names(tmp_path):
    write_set(tmp_path, [1, 2, 3], [0, 9, 2])
    parts = find_pairs(tmp_path)["train"]
    with pytest.raises(DataError, match=r"\[1\]: label 9 is out of range: valid are 0 … 2"):
        read_pairs("x", {"train": (parts["images"], parts["labels"])}, ("a", "b", "c"))


def test_negative_and_huge_labels(tmp_path):
    write_set(tmp_path, [1, 2], [0, 1])
    labels = tmp_path / "train-labels-idx1-ubyte"
    for value in (-1, 2_000_000_000):
        labels.write_bytes(idx((2,), struct.pack(">2i", 0, value), 0x0C))
        with pytest.raises(DataError, match=rf"\[1\]: label {value} is out of range"):
            IDX.read(tmp_path, Data())


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        ([1, 2, 3], [0, 1], "has 3 images, .* 2 labels"),
        ([1, 2], [1, 1], "one class only"),
        ([], [], "not N×H×W uint8"),
    ],
)
def test_files_that_do_not_fit(tmp_path, images, labels, said):
    write_set(tmp_path, images, labels)
    with pytest.raises(DataError, match=said):
        IDX.read(tmp_path, Data())


def test_missing_labels(tmp_path):
    write_set(tmp_path, [1, 2], [0, 1])
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="train-images-idx3-ubyte lies there without its labels"):
        IDX.read(tmp_path, Data())
