"""Class folders. FAULTS 9, 10, 13, 14 and 22."""

import os
import socket
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import class_folders, encoded, pixels
from visus.data.dataset import Data, Dataset
from visus.data.readers.folders import FOLDERS, LOOKED_AT
from visus.data.readers.listing import in_order
from visus.data.samples import FileSamples
from visus.errors import DataError, UnreadableImage

AS_ROOT = not hasattr(os, "getuid") or os.getuid() == 0


def read(root: Path, **settings: bool) -> Dataset:
    assert FOLDERS.recognises(root)
    return FOLDERS.read(root, Data(**settings))


def names(dataset: Dataset, split: str = "train") -> list[str]:
    samples = dataset.splits[split]
    return [samples.name(row) for row in range(len(samples))]


def test_classes_of_one_folder(tmp_path):
    dataset = read(class_folders(tmp_path / "pets", {"dog": 2, "cat": 3}))
    assert dataset.name == "pets"
    assert dataset.schema.labels == ("cat", "dog")
    assert dataset.schema.shape == (3, 10, 12)
    assert names(dataset) == ["cat/0.png", "cat/1.png", "cat/2.png", "dog/0.png", "dog/1.png"]
    samples = dataset.splits["train"]
    assert isinstance(samples, FileSamples)
    assert [samples.target(row).label for row in range(5)] == [0, 0, 0, 1, 1]
    assert (samples.read(3).pixels == pixels(0)).all()
    assert dataset.notes == ()
    assert dataset.skipped == ()


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("train", "val", "test"), ["train", "val", "test"]),
        (("Training", "VALID", "Testing"), ["train", "val", "test"]),
        (("train", "dev"), ["train", "val"]),
        (("TRAIN", "validation"), ["train", "val"]),
        (("train",), ["train"]),
        (("test",), ["test"]),
    ],
)
def test_splits(tmp_path, folders, splits):
    for folder in folders:
        class_folders(tmp_path / folder, {"cat": 1, "dog": 2})
    dataset = read(tmp_path)
    assert list(dataset.splits) == splits
    assert [len(each) for each in dataset.splits.values()] == [3] * len(splits)


def test_a_class_called_train_is_a_class(tmp_path):
    class_folders(tmp_path, {"train": 2, "bus": 2, "train/steam": 1})
    dataset = read(tmp_path)
    assert dataset.schema.labels == ("bus", "train")
    assert len(dataset.splits["train"]) == 5


def test_several_numbered_trains_are_classes(tmp_path):
    dataset = read(class_folders(tmp_path, {"train100": 1, "train101": 1, "test10": 1}))
    assert dataset.schema.labels == ("test10", "train100", "train101")


def test_what_lies_beside_the_splits_is_noted(tmp_path):
    class_folders(tmp_path, {"train/a": 1, "train/b": 1, "val/a": 1, "val/b": 1, "extra": 3, "test": 1})
    dataset = read(tmp_path)
    assert list(dataset.splits) == ["train", "val"]
    assert dataset.notes == ("beside the splits, without class folders, ignored: extra, test",)


def test_two_folders_for_one_split(tmp_path):
    class_folders(tmp_path, {"train/a": 1, "val/a": 1, "dev/a": 1})
    with pytest.raises(DataError, match="both the val split"):
        read(tmp_path)


def test_a_class_that_train_lacks(tmp_path):
    class_folders(tmp_path, {"train/a": 1, "train/b": 1, "val/a": 1, "val/c": 1})
    with pytest.raises(DataError, match=r"val/c is a class that has no training folder"):
        read(tmp_path)


@pytest.mark.parametrize("folders", [{"train400": 2, "set12": 2}, {"train": 1, "test": 1}, {"train2017": 1}])
def test_splits_without_class_folders_are_explained(tmp_path, folders):
    with pytest.raises(DataError, match="looks like a split, but its images lie in no class folder"):
        read(class_folders(tmp_path, folders))


@pytest.mark.parametrize("folders", [{"image": 2, "imgs": 2}, {"images": 1}, {"train/images": 1, "train/imagesets": 1}])
def test_parts_of_samples_are_no_classes(tmp_path, folders):
    with pytest.raises(DataError, match="parts of samples, not classes"):
        read(class_folders(tmp_path, folders))


def test_images_in_the_root_are_no_classes(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(pixels(0)))
    (tmp_path / "empty").mkdir()
    assert not FOLDERS.recognises(tmp_path)
    assert not FOLDERS.recognises(tmp_path / "a.png")
    assert not FOLDERS.recognises(tmp_path / "nowhere")


def test_recognising_looks_at_a_limited_number_of_entries(tmp_path):
    for number in range(LOOKED_AT + 1):
        (tmp_path / f"{number}.txt").touch()
    class_folders(tmp_path / "deep", {"a": 1})
    looked = []
    scandir = os.scandir

    def counted(path):
        looked.append(path)
        return scandir(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "scandir", counted)
        assert not FOLDERS.recognises(tmp_path)
    assert len(looked) == 1


def test_other_files_are_counted_and_hidden_ones_are_not(tmp_path):
    class_folders(tmp_path, {"cat": 1, "dog": 1, ".git": 1, "__MACOSX": 1, "cat/.thumbnails": 1})
    for name in (".DS_Store", "cat/._0.png", "dog/Thumbs.db", "dog/desktop.ini", "cat/a.txt", "cat/b.TXT", "dog/c"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "stray.png").write_bytes(encoded(pixels(0)))
    dataset = read(tmp_path)
    assert dataset.schema.labels == ("cat", "dog")
    assert dataset.notes == (
        "outside of every class folder, ignored: stray.png",
        "3 files with other endings ignored: no ending, .txt",
    )


def test_natural_order_and_distinct_names(tmp_path):
    class_folders(tmp_path, {"c10": 1, "c2": 1, "C2": 1, "ı": 1, "i": 1, "I": 1, "İ": 1})
    labels = read(tmp_path).schema.labels
    assert len(labels) == 7
    assert [label for label in labels if label.lower().startswith("c")] == ["C2", "c2", "c10"]
    assert in_order(["b", "A", "a", "10", "9"]) == ["9", "10", "A", "a", "b"]


def test_sizes_and_channels(tmp_path):
    class_folders(tmp_path, {"a": 2, "b": 2})
    (tmp_path / "a" / "grey.png").write_bytes(encoded(pixels(9, 5, 5, 1)))
    assert read(tmp_path).schema.shape == (3, 0, 0)
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(encoded(pixels(9, 28, 28, 1)))
    (tmp_path / "a" / "broken.png").write_bytes(b"")
    assert read(tmp_path).schema.shape == (1, 28, 28)


def test_fault_9_loops_of_links_end_and_are_noticed_once(tmp_path):
    root = class_folders(tmp_path / "root", {"cat": 2, "dog": 2})
    (root / "cat" / "loop").symlink_to(root)
    (root / "dog" / "self").symlink_to(".")
    (root / "dog" / "again").symlink_to(root / "cat")
    dataset = read(root)
    assert len(dataset.splits["train"]) == 4
    assert dataset.notes == ("links to folders that were read already, not followed: cat/loop, dog/again, dog/self",)


def test_links_to_folders_elsewhere_are_followed(tmp_path):
    elsewhere = class_folders(tmp_path / "elsewhere", {"x": 3})
    root = class_folders(tmp_path / "root", {"cat": 2})
    (root / "dog").symlink_to(elsewhere / "x")
    dataset = read(root)
    assert names(dataset) == ["cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png", "dog/2.png"]
    assert dataset.notes == ()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFO")
def test_fault_10_what_is_no_file_is_skipped_and_never_opened(tmp_path, monkeypatch):
    root = class_folders(tmp_path / "root", {"cat": 1, "dog": 1})
    monkeypatch.chdir(root / "cat")  # a socket's path is short
    os.mkfifo("pipe.png")
    Path("gone.png").symlink_to("nowhere.png")
    Path("round.png").symlink_to("round.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.png")
        found = []
        thread = threading.Thread(target=lambda: found.append(read(root)), daemon=True)
        thread.start()
        thread.join(20)
    assert found
    assert {each.name: each.cause for each in found[0].skipped} == {
        "cat/gone.png": "is a broken link",
        "cat/pipe.png": "is a FIFO, not a file",
        "cat/round.png": "too many levels of symbolic links",
        "cat/s.png": "is a socket, not a file",
    }
    assert names(found[0]) == ["cat/0.png", "dog/0.png"]


@pytest.mark.skipif(AS_ROOT, reason="root may read everything")
def test_fault_10_a_folder_without_permission_is_named(tmp_path):
    class_folders(tmp_path, {"cat": 1, "dog": 1})
    (tmp_path / "dog").chmod(0)
    try:
        with pytest.raises(DataError, match="dog: this folder can't be listed: permission denied"):
            read(tmp_path)
    finally:
        (tmp_path / "dog").chmod(0o700)


def test_fault_10_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    class_folders(tmp_path, {"cat": 1, "dog": 1})
    scandir = os.scandir

    def refused(path):
        if Path(path).name == "dog":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(DataError, match="dog: this folder can't be listed: permission denied"):
        FOLDERS.read(tmp_path, Data())


def test_fault_11_a_file_that_changed_since_it_was_listed(tmp_path):
    dataset = read(class_folders(tmp_path, {"cat": 1, "dog": 1}))
    (tmp_path / "cat" / "0.png").write_bytes(b"other")
    with pytest.raises(UnreadableImage, match="changed"):
        dataset.splits["train"].read(0)


def test_fault_13_an_empty_class_folder(tmp_path):
    class_folders(tmp_path, {"cat": 1, "dog": 1, "bird": 0})
    with pytest.raises(DataError, match="class folder bird holds no image"):
        read(tmp_path)
    dataset = read(tmp_path, allow_empty=True)
    assert dataset.schema.labels == ("bird", "cat", "dog")
    assert dataset.notes == ("class folders without an image: bird",)


def test_fault_13_within_a_split(tmp_path):
    class_folders(tmp_path, {"train/cat": 1, "train/dog": 1, "val/cat": 1, "val/dog": 0})
    with pytest.raises(DataError, match="class folder val/dog holds no image"):
        read(tmp_path)


def test_fault_13_where_all_of_a_class_was_left_out(tmp_path):
    class_folders(tmp_path, {"cat": 1, "dog": 0})
    (tmp_path / "dog" / "1.png").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"class folder dog holds no image; dog/1\.png: is a broken link"):
        read(tmp_path)


def test_fault_14_one_class_only(tmp_path):
    with pytest.raises(DataError, match=r"one class only \(cat\)") as caught:
        read(class_folders(tmp_path, {"cat": 3}))
    assert caught.value.remedy


@pytest.mark.parametrize(
    "name",
    [b"two words", "🐜🐝".encode(), b"two\nlines", b"not utf-8 \xff\xfe", b"x" * 251, "İıß".encode(), b"-rf", b"%s{}"],
)
def test_fault_22_names(tmp_path, name):
    root = os.fsencode(tmp_path / "root")
    for folder in (b"plain", name):
        try:
            os.makedirs(os.path.join(root, folder))  # noqa: PTH103, PTH118
        except OSError as problem:
            pytest.skip(f"this file system refuses the name: {problem}")
        with open(os.path.join(root, folder, name + b".png"), "wb") as file:  # noqa: PTH118
            file.write(encoded(pixels(len(folder))))
    dataset = read(tmp_path / "root")
    assert len(dataset.schema.labels) == 2
    samples = dataset.splits["train"]
    for row in range(2):
        assert samples.name(row).isprintable()
        assert samples.name(row).encode()
        assert np.shape(samples.read(row).pixels) == (10, 12, 3)
    assert dataset.fingerprint()


def test_the_order_does_not_depend_on_the_file_system(tmp_path, monkeypatch):
    class_folders(tmp_path, {"b": 12, "a": 3})
    first = read(tmp_path)
    scandir = os.scandir

    class Backwards:
        def __init__(self, path):
            self.entries = scandir(path)

        def __enter__(self):
            return iter(sorted(self.entries, key=lambda entry: entry.name, reverse=True))

        def __exit__(self, *_):
            self.entries.close()

    monkeypatch.setattr(os, "scandir", Backwards)
    again = read(tmp_path)
    assert names(first) == names(again)
    assert names(first)[3:6] == ["b/0.png", "b/1.png", "b/2.png"]
    assert names(first)[-1] == "b/11.png"
    assert replace(first, splits={}) == replace(again, splits={})
