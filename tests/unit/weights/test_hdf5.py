"""The reader of HDF5, side by side with h5py; and FAULT 41: what leads out of a file, or unfolds."""

import io
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from tests.unit.weights.made import refused, written
from visus.errors import WeightsError
from visus.weights.formats import hdf5, read_weights
from visus.weights.formats.hdf5 import Array, File, Group
from visus.weights.formats.source import Source

TYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")


def arrays(group: Group, path: str = "") -> Iterator[tuple[str, Array]]:
    for name, array in group.arrays.items():
        yield f"{path}/{name}", array
    for name, each in group.groups.items():
        yield from arrays(each, f"{path}/{name}")


def opened_file(path: Path) -> tuple[File, Group]:
    """What it gives later is read from memory."""
    data = path.read_bytes()
    file = File(Source(io.BytesIO(data), str(path), 0, len(data)))
    return file, file.root()


def made(path: Path, fill: Callable[[h5py.File], Any], **options: Any) -> Path:
    """A file in the layout of .weights.h5 with one layer, and what `fill` adds to it."""
    with h5py.File(path, "w", **options) as file:
        layer = file.create_group("layers/dense/vars")
        layer.attrs["name"] = "first"
        layer["0"], layer["1"] = np.ones((2, 3), np.float32), np.zeros(3, np.float32)
        fill(file)
    return path


def test_every_type_and_shape_as_h5py_reads_it(tmp_path):
    values = np.random.default_rng(1)
    shapes = [(), (1,), (3, 4), (2, 0, 3), (2, 3, 4, 5)]
    with h5py.File(tmp_path / "a", "w") as file:
        for kind in TYPES:
            for number, shape in enumerate(shapes):
                file[f"deep/{kind.replace('?', 'truth')}/{number}"] = (values.random(shape) * 100).astype(kind)
        file["deep/bfloat16"] = np.array([1.0, -2.5], np.float32).view(np.uint16)[1::2].view("V2")
    ours, root = opened_file(tmp_path / "a")
    found = dict(arrays(root))
    with h5py.File(tmp_path / "a") as file:
        file.visititems(
            lambda name, each: compare(ours, found.pop(f"/{name}"), each) if hasattr(each, "dtype") else None
        )
    assert not found


def compare(file: File, array: Array, wanted: h5py.Dataset) -> None:
    tensor, value = file.tensor(array), wanted[()]
    assert tuple(tensor.shape) == value.shape
    if wanted.dtype == "V2":
        assert tensor.dtype == torch.bfloat16
        assert tensor.tolist() == [1.0, -2.5]
    else:
        assert tensor.numpy().dtype == wanted.dtype
        assert (tensor.numpy() == value).all()


@pytest.mark.parametrize(("count", "letter"), [(1, "ü"), (8, "ü"), (9, "u"), (40, "u"), (1000, "u")])
def test_many_groups_and_attributes_as_h5py_reads_them(tmp_path, count, letter):
    names = [f"layer {number} {letter}" for number in range(count)]
    with h5py.File(tmp_path / "a", "w") as file:
        for number, name in enumerate(names):
            group = file.create_group(name)
            group.attrs["texts"] = names[: number % 50]
            group.attrs["fixed"] = [name.encode() for name in names[: number % 50]]
            group.attrs["one"] = "x" * number
            group.attrs["a" * (number % 300 + 1)] = b"bytes"
    ours, root = opened_file(tmp_path / "a")
    with h5py.File(tmp_path / "a") as file:
        assert sorted(root.groups) == list(file)
        for name in file:
            group = root.groups[name]
            for key, value in file[name].attrs.items():
                texts = [value] if isinstance(value, str | bytes) else list(value)
                wanted = [each.decode() if isinstance(each, bytes) else each for each in texts]
                assert ours.texts(group.attributes[key]) == wanted


def test_a_large_attribute(tmp_path):
    """The description of a model is longer than what fits into a header."""
    with h5py.File(tmp_path / "a", "w") as file:
        file.attrs["model_config"] = "x" * 1_000_000
    ours, root = opened_file(tmp_path / "a")
    assert ours.texts(root.attributes["model_config"], 2_000_000) == ["x" * 1_000_000]


def soft(file: h5py.File) -> None:
    file["layers/soft"] = h5py.SoftLink("/layers/dense")


def external_link(file: h5py.File) -> None:
    file["layers/out"] = h5py.ExternalLink("/etc/passwd", "/x")


def hard(file: h5py.File) -> None:
    file["layers/again"] = file["layers/dense"]


def circle(file: h5py.File) -> None:
    file["layers/dense/up"] = file["layers"]


def external_storage(file: h5py.File) -> None:
    file.create_dataset("layers/dense/vars/2", (4,), "f4", external=[("/etc/passwd", 0, 16)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (4,), "f4")
    file.create_virtual_dataset("layers/dense/vars/2", layout)


def shape_bomb(file: h5py.File) -> None:
    file.create_dataset("layers/dense/vars/2", (10**12,), "f4", chunks=(1000,))


def contiguous_bomb(file: h5py.File) -> None:
    file.create_dataset("layers/dense/vars/2", (10**12,), "f4")


def compressed_bomb(file: h5py.File) -> None:
    file.create_dataset("layers/dense/vars/2", data=np.zeros(10**6, "f4"), compression="gzip")


def references(file: h5py.File) -> None:
    file.create_dataset("layers/dense/vars/2", data=[file["layers"].ref], dtype=h5py.ref_dtype)


def references_in_attributes(file: h5py.File) -> None:
    file["layers"].attrs.create("x", [file["layers"].ref], dtype=h5py.ref_dtype)


def records(file: h5py.File) -> None:
    file["layers/dense/vars/2"] = np.zeros(2, [("a", "f4"), ("b", "i4")])


def named_type(file: h5py.File) -> None:
    file["type"] = np.dtype("f4")
    file.create_dataset("layers/dense/vars/2", (2,), file["type"])


def big_endian(file: h5py.File) -> None:
    file["layers/dense/vars/2"] = np.zeros(2, ">f4")


def texts(file: h5py.File) -> None:
    file["layers/dense/vars/2"] = "text"


def dense_links(file: h5py.File) -> None:
    for number in range(9):  # names that aren't ASCII make a group of the newer layout
        file.create_group(f"ü{number}")


OUT = {
    soft: "a soft link", external_link: "a link to another file", hard: "is linked twice", circle: "in a circle",
    external_storage: "stored in another file", virtual: "several data sets", shape_bomb: "in chunks",
    contiguous_bomb: "claims 1,000,000,000,000 values of 4 bytes, and stores 0", compressed_bomb: "filtered",
    references: "references to objects", references_in_attributes: "references to objects", records: "holds records",
    named_type: "shares a description", big_endian: "highest byte first", texts: "weights are numbers",
    dense_links: "newer layout",
}  # fmt: skip


@pytest.mark.parametrize("fill", OUT, ids=lambda fill: fill.__name__)
def test_fault_41_what_leads_out_or_unfolds(tmp_path, fill):
    problem = refused(made(tmp_path / "a.weights.h5", fill), OUT[fill])
    assert "Keras" in problem.remedy or "trust" in problem.remedy


def test_what_they_are_added_to_is_read(tmp_path):
    stored = read_weights(made(tmp_path / "a.weights.h5", lambda file: None))
    assert {name: tensor.tolist() for name, tensor in stored.tensors.items()} == {
        "first/kernel": [[1.0] * 3] * 2, "first/bias": [0.0] * 3,
    }  # fmt: skip


def test_the_newest_layout_is_refused_with_a_remedy(tmp_path):
    path = made(tmp_path / "a", lambda file: None, libver="latest")
    assert "save_weights" in refused(path, "newer layout of HDF5").remedy


def test_files_of_several_parts(tmp_path):
    path = made(tmp_path / "a", lambda file: None, userblock_size=512)
    refused(path, "isn't a file of weights")
    refused(written(tmp_path / "b", path.read_bytes()[512:]), "begins within another|damaged|cut short")


def test_what_follows_and_what_is_missing(tmp_path):
    whole = made(tmp_path / "a", lambda file: None).read_bytes()
    refused(written(tmp_path / "b", whole + b"x"), "says that it ends at byte")
    for size in range(8, len(whole), 61):
        refused(written(tmp_path / "c", whole[:size]), "cut short|says that it ends at byte")


def test_fault_41_arrays_in_one_place(tmp_path):
    """Of many names for the same bytes each would be read."""
    path = made(tmp_path / "a", lambda file: None)
    with h5py.File(path) as file:
        places = [file[f"layers/dense/vars/{name}"].id.get_offset() for name in "01"]
    data = path.read_bytes().replace(struct.pack("<2Q", places[1], 12), struct.pack("<2Q", places[0], 12))
    refused(written(tmp_path / "b", data), "in the same place")


def test_fault_41_text_bombs(tmp_path):
    """A text is as long as its place says, not as the reference to it does."""
    path = made(tmp_path / "a", lambda file: file.attrs.update(model_config="{}", layer_names=["a"] * 10))
    whole = path.read_bytes()
    place = whole.index(b"GCOL")
    reference = struct.pack("<IQ", 2, place)
    for length in (3, 100, 2**31):
        data = whole.replace(reference, struct.pack("<IQ", length, place), 1)
        assert data != whole
        refused(written(tmp_path / "b", data), "leads out of its place|more than")
    data = bytearray(whole)
    struct.pack_into("<Q", data, place + 16 + 8, 2**40)
    refused(written(tmp_path / "c", bytes(data)), "leads out of its collection")


def test_fault_41_the_same_text_again_and_again(tmp_path):
    """An attribute of references to one long text would unfold to their product."""
    with h5py.File(tmp_path / "a", "w") as file:
        file.attrs["layer_names"] = ["x" * 1000] * 1000
    whole = bytearray((tmp_path / "a").read_bytes())
    pieces = [place for place in range(0, len(whole) - 16, 4) if whole[place : place + 4] == struct.pack("<I", 1000)
              and whole[place + 4 : place + 12] == whole[place + 20 : place + 28]]  # fmt: skip
    first = bytes(whole[pieces[0] : pieces[0] + 16])
    for place in range(pieces[0], pieces[0] + 16_000, 16):
        whole[place : place + 16] = first
    path = written(tmp_path / "b", bytes(whole))
    with h5py.File(path) as file:
        assert set(file.attrs["layer_names"]) == {"x" * 1000}
    bomb, root = opened_file(path)
    bomb.bytes = len(whole) - 100_000  # as if the file were small
    with pytest.raises(WeightsError, match="unfolds to more"):
        bomb.texts(root.attributes["layer_names"])


def test_limits(tmp_path, monkeypatch):
    path = made(tmp_path / "a", lambda file: file.create_group("/".join("abcdefgh")))
    with monkeypatch.context() as patch:
        patch.setattr(hdf5, "MAX_DEPTH", 5)
        refused(path, "more than 5 deep")
    with monkeypatch.context() as patch:
        patch.setattr(hdf5, "MAX_OBJECTS", 5)
        refused(path, "more than 5 objects")
    with monkeypatch.context() as patch:
        patch.setattr(hdf5, "MAX_RECORDS", 5)
        refused(path, "unfolds to more")
