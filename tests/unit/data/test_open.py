"""Which data set a word means."""

import numpy as np
import pytest
from PIL import Image

from visus.data.dataset import Data
from visus.data.open import READERS, open_dataset
from visus.errors import DataError, NotFound, SpecError


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def class_folders(root, colours=(("red", (255, 0, 0)), ("green", (0, 255, 0)))):
    for name, colour in colours:
        (root / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (4, 4), colour).save(root / name / f"{number}.png")


def test_name():
    found = open_dataset(Data(source="digits"))
    assert (found.name, len(found.splits["train"])) == ("digits", 1797)
    assert not any("./digits" in note for note in found.notes)


def test_name_wins_over_a_folder_and_says_so(tmp_path):
    class_folders(tmp_path / "digits")
    found = open_dataset(Data(source="digits"))
    assert len(found.splits["train"]) == 1797
    assert any("./digits" in note for note in found.notes)


def test_a_name_or_path_alone(tmp_path):
    class_folders(tmp_path / "photos")
    assert open_dataset("digits").name == "digits"
    assert open_dataset(tmp_path / "photos").schema.labels == ("green", "red")
    with pytest.raises(NotFound, match="named nope"):
        open_dataset("nope")
    with pytest.raises(SpecError, match="can't be None"):
        open_dataset(None)


@pytest.mark.parametrize("source", ["./digits", "digits/"])
def test_separator_means_a_path(tmp_path, source):
    class_folders(tmp_path / "digits")
    assert open_dataset(Data(source=source)).schema.labels == ("green", "red")


def test_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    class_folders(tmp_path / "pictures")
    assert open_dataset(Data(source="~/pictures")).schema.labels == ("green", "red")


def test_table_and_npz(tmp_path):
    (tmp_path / "set.csv").write_text("x,label\n1,a\n2,b\n")
    np.savez(tmp_path / "set.npz", x=np.zeros((2, 3)), y=[0.5, 1.5])
    assert open_dataset(Data(source="set.csv")).schema.labels == ("a", "b")
    assert open_dataset(Data(source="set.npz")).schema.values == ("y",)  # though it is a ZIP archive as well


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("digit", "no set, file or folder named digit(.|\n)*did you mean digits"),
        ("fashion_mnist", "did you mean fashion-mnist"),
        ("./digits", "looked for in"),
        ("photos/cats", "looked for in"),
        ("", "nothing"),
        ("a\0b", r"a\\x00b"),
        ("x" * 300, "xxx"),
    ],
)
def test_neither_name_nor_path(source, said):
    with pytest.raises(NotFound, match=said):
        open_dataset(Data(source=source))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["1.jpg", "2.JPG", "3.png"], "3 images directly in the folder"),
        (
            ["1.jpg", "notes.txt", "more.txt", "a/b/c.txt"],
            "1 image directly in the folder, 1 folder in which there are no images, 2 .txt files",
        ),
        ([], "an empty folder"),
    ],
)
def test_unknown_layout_says_what_was_seen(tmp_path, files, said):
    root = tmp_path / "things"
    root.mkdir()
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"x")
    with pytest.raises(DataError, match=said) as caught:
        open_dataset(Data(source="things"))
    for reader in READERS:
        assert reader.layout in str(caught.value)


def test_unknown_file(tmp_path):
    (tmp_path / "data.xyz").write_bytes(b"hello")
    with pytest.raises(DataError, match=r"a \.xyz file of 5 bytes"):
        open_dataset(Data(source="data.xyz"))
