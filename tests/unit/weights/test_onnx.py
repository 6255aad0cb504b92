"""ONNX, side by side with the onnx library; and FAULT 42: values in other files."""

import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from tests.unit.weights.made import assert_same, bits, noise, refused, written
from visus.errors import WeightsError
from visus.weights.formats import onnx_file, read_weights, wire


def model(tensors: Sequence[TensorProto], nodes: Sequence[Any] = ()) -> onnx.ModelProto:
    return helper.make_model(helper.make_graph(nodes, "graph", [], [], tensors))


def saved(path: Path, tensors: Sequence[TensorProto], nodes: Sequence[Any] = ()) -> Path:
    return written(path, model(tensors, nodes).SerializeToString())


def raw(name: str, seed: int, *shape: int) -> TensorProto:
    return numpy_helper.from_array(noise(seed, *shape).numpy(), name)


def as_onnx_reads_it(path: Path) -> Mapping[str, np.ndarray]:
    model = onnx.load(path)
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


NUMBERS = {
    TensorProto.FLOAT: [1.5, -2, 0], TensorProto.DOUBLE: [1.5, -2, 0], TensorProto.FLOAT16: [1.5, -2, 0],
    TensorProto.BFLOAT16: [1.5, -2, 0], TensorProto.INT64: [1, -(2**40), 0], TensorProto.INT32: [1, -(2**31), 0],
    TensorProto.INT16: [1, -300, 0], TensorProto.INT8: [1, -128, 0], TensorProto.UINT8: [1, 255, 0],
    TensorProto.UINT16: [1, 65535, 0], TensorProto.UINT32: [1, 2**32 - 1, 0], TensorProto.UINT64: [1, 2**64 - 1, 0],
    TensorProto.BOOL: [True, False, True], TensorProto.FLOAT8E4M3FN: [1.5, -2, 0], TensorProto.FLOAT8E5M2: [1.5, -2, 0],
}  # fmt: skip


@pytest.mark.parametrize("kind", NUMBERS, ids=TensorProto.DataType.Name)
def test_every_type_as_numbers_and_as_bytes(tmp_path, kind):
    values = np.array(NUMBERS[kind], helper.tensor_dtype_to_np_dtype(kind))
    typed = helper.make_tensor("typed", kind, [3], values)
    bytes_ = numpy_helper.from_array(values.reshape(3, 1), "raw")
    path = saved(tmp_path / "a", [typed, bytes_])
    stored = read_weights(path)
    assert (stored.format, stored.notes) == ("onnx", {})
    for name, wanted in as_onnx_reads_it(path).items():
        found = stored.tensors[name]
        assert (tuple(found.shape), bits(found)) == (wanted.shape, wanted.tobytes())
        assert str(found.dtype) == f"torch.{'bool' if kind == TensorProto.BOOL else wanted.dtype}"


def test_shapes(tmp_path):
    tensors = [raw("scalar", 1), raw("empty", 1, 0, 3), raw("cube", 2, 2, 3, 4)]
    stored = read_weights(saved(tmp_path / "a", [*tensors, helper.make_tensor("none", TensorProto.FLOAT, [0], [])]))
    wanted = {"scalar": noise(1), "empty": torch.zeros(0, 3), "cube": noise(2, 2, 3, 4), "none": torch.zeros(0)}
    assert_same(stored, wanted)


def test_numbers_one_by_one(tmp_path):
    """Protocol Buffers may write them so as well: a field for each."""
    plain = helper.make_tensor("a", TensorProto.FLOAT, [], [0.5]).SerializeToString()
    floats = b"\x25" + struct.pack("<f", 2.0) + b"\x25" + struct.pack("<f", -1.0)
    one_by_one = b"\x08\x02\x10\x01" + floats + b"\x42\x01b"
    longs = b"\x08\x02\x10\x07" + b"\x38\x05" + b"\x38" + b"\xff" * 9 + b"\x01" + b"\x42\x01c"
    graph = b"".join(b"\x2a" + bytes([len(each)]) + each for each in (plain, one_by_one, longs))
    data = b"\x08\x08\x3a" + bytes([len(graph)]) + graph
    assert list(onnx.ModelProto.FromString(data).graph.initializer[2].int64_data) == [5, -1]
    stored = read_weights(written(tmp_path / "a", data))
    assert {name: each.tolist() for name, each in stored.tensors.items()} == {"a": 0.5, "b": [2.0, -1.0], "c": [5, -1]}


def test_constants(tmp_path):
    nodes = [
        helper.make_node("Constant", [], ["weight"], value=raw("ignored", 1, 2)),
        helper.make_node("Constant", [], ["number"], value_float=1.0),
        helper.make_node("Relu", ["x"], ["y"]),
    ]
    assert_same(read_weights(saved(tmp_path / "a", [raw("b", 2, 2)], nodes)), {"weight": noise(1, 2), "b": noise(2, 2)})
    refused(saved(tmp_path / "b", [raw("weight", 2, 2)], nodes), "two tensors that are called weight")


def test_texts_are_left_out(tmp_path):
    stored = read_weights(saved(tmp_path / "a", [helper.make_tensor("labels", 8, [1], [b"cat"]), raw("b", 2, 2)]))
    assert_same(stored, {"b": noise(2, 2)})
    assert stored.notes == {"left_out": ["labels"]}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_model_that_torch_exports(tmp_path):
    """Names and values of a small network, from PyTorch's older exporter, which needs no other library."""
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(16, 2)).eval()
    torch.onnx.export(network, (torch.zeros(1, 3, 4, 4),), tmp_path / "a.onnx", dynamo=False)
    stored = read_weights(tmp_path / "a.onnx").tensors
    for name, value in network.state_dict().items():
        assert torch.equal(stored[name], value)


def damaged(tensor: TensorProto, **fields: Any) -> TensorProto:
    for name, value in fields.items():
        if isinstance(value, list):
            del getattr(tensor, name)[:]
            getattr(tensor, name).extend(value)
        else:
            setattr(tensor, name, value)
    return tensor


DAMAGED = {
    "claims 3 values": {"dims": [3]},
    "claims 2,000,000": {"dims": [2_000_000]},
    "beyond all measure": {"dims": [2**62]},
    "with a shape beyond": {"dims": [-1]},
    "shape beyond all": {"dims": [2**40, 2**40]},
    "a shape beyond": {"dims": [0, 2**40, 2**40]},
    "more than 64 axes": {"dims": [1] * 65},
    r"of a type \(14\)": {"data_type": 14},
    r"of a type \(99\)": {"data_type": 99},
    r"of a type \(0\)": {"data_type": 0},
    "claims 2 values": {"data_type": 1, "raw_data": b"1234"},
    "values in two places": {"float_data": [1.0, 2.0]},
    "nameless": {"name": ""},
}


@pytest.mark.parametrize("cause", DAMAGED)
def test_fault_42_claims_are_held_against_the_file(tmp_path, cause):
    refused(saved(tmp_path / "a", [damaged(raw("a", 1, 2), **DAMAGED[cause])]), cause)


def test_fault_42_numbers_that_do_not_fit(tmp_path):
    longs = helper.make_tensor("a", TensorProto.INT64, [3], [1, 2, 3])
    for count in (2, 4, 2**30):
        refused(saved(tmp_path / "a", [damaged(longs, dims=[count])]), "claims|one by one")
    refused(saved(tmp_path / "b", [damaged(longs, dims=[3], data_type=TensorProto.FLOAT)]), "another type than it says")
    segmented = raw("a", 1, 2)
    segmented.segment.end = 1
    refused(saved(tmp_path / "c", [segmented]), "in segments")
    floats = helper.make_tensor("a", TensorProto.FLOAT, [3], [1, 2, 3])
    refused(saved(tmp_path / "d", [damaged(floats, dims=[4])]), "claims 4 values, and 3")


def test_names_that_are_given_twice(tmp_path):
    refused(saved(tmp_path / "a", [raw("a", 1, 2), raw("a", 2, 2)]), "two tensors that are called a")


def test_sparse_tensors_are_refused(tmp_path):
    graph = helper.make_graph([], "graph", [], [], [raw("a", 1, 2)])
    graph.sparse_initializer.add().values.name = "b"
    onnx.save(helper.make_model(graph), tmp_path / "a")
    refused(tmp_path / "a", "sparse")


def test_models_without_tensors_and_files_that_only_look_so(tmp_path):
    refused(saved(tmp_path / "a", []), "holds no tensors")
    refused(written(tmp_path / "b", b"\x08\x08"), "needs one graph")
    whole = saved(tmp_path / "c", [raw("a", 1, 2)]).read_bytes()
    refused(written(tmp_path / "d", whole + whole), "needs one graph")
    refused(written(tmp_path / "e", whole + b"text"), "ONNX doesn't know|damaged")
    refused(written(tmp_path / "f", b"\x08" + b"\xff" * 11), "too long")
    refused(written(tmp_path / "g", b"\x08\x08\x3b"), "no field")
    for size in range(1, whole.rindex(b"\x42")):  # where the graph has ended; what follows it may be absent
        refused(written(tmp_path / "h", whole[:size]), "cut short|needs one graph")


def test_limits(tmp_path, monkeypatch):
    path = saved(tmp_path / "a", [raw("a", 1, 2), raw("b", 1, 2), helper.make_tensor("c", 7, [3], [1, 2, 3])])
    for module, name, cause in [
        (wire, "MAX_FIELDS", "more than 2 fields"),
        (onnx_file, "MAX_TENSORS", "more than 2 tensors"),
        (onnx_file, "MAX_INTEGERS", "3 integers one by one"),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(module, name, 2)
            refused(path, cause)


def outside(name: str = "a", count: int = 4, **said: Any) -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[count], data_location=TensorProto.EXTERNAL)
    for key, value in said.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


@pytest.mark.parametrize("together", [True, False])
def test_values_in_other_files(tmp_path, together):
    tensors = [raw("a", 1, 30, 40), raw("b", 2, 500), raw("small", 3, 2)]
    path, options = tmp_path / "a.onnx", {"all_tensors_to_one_file": together, "location": "a.data"}
    onnx.save(model(tensors), path, save_as_external_data=True, **options)
    assert len(list(tmp_path.iterdir())) == (2 if together else 3)
    stored = read_weights(path)
    assert_same(stored, {"a": noise(1, 30, 40), "b": noise(2, 500), "small": noise(3, 2)})


def test_values_in_a_folder_beside_and_tensors_that_share_them(tmp_path):
    (tmp_path / "sub").mkdir()
    written(tmp_path / "sub" / "a.data", bits(noise(1, 8)))
    tensors = [outside(name, location="sub/a.data", offset=16, length=16) for name in "ab"]
    stored = read_weights(saved(tmp_path / "a.onnx", [*tensors, outside("c", location="sub/a.data")]))
    assert_same(stored, {"a": noise(1, 8)[4:], "b": noise(1, 8)[4:], "c": noise(1, 8)[:4]})
    assert stored.tensors["a"].data_ptr() == stored.tensors["b"].data_ptr()


PLACES = [
    "../secret", "sub/../../secret", "/etc/passwd", "C:\\secret", "C:secret", "..\\secret", "\\\\host\\share\\secret",
    "./secret", "sub//secret", "", "sub/", "~/../secret", "file:///etc/passwd", "a\0b", "secret:stream",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_fault_42_places_outside_of_the_folder(tmp_path, place):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    written(tmp_path / "secret", bytes(16))
    written(folder / "secret", bytes(16))
    path = saved(folder / "a.onnx", [outside(location=place)])
    refused(path, "leads out of the model's folder")


def test_fault_42_no_place(tmp_path):
    refused(saved(tmp_path / "a.onnx", [outside()]), "leads out of the model's folder")


def test_fault_42_links(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    written(tmp_path / "secret", bytes(16))
    written(folder / "real", bytes(16))
    (tmp_path / "away").mkdir()
    written(tmp_path / "away" / "data", bytes(16))
    try:
        (folder / "link").symlink_to(tmp_path / "secret")
        (folder / "inside").symlink_to("real")
        (folder / "away").symlink_to(tmp_path / "away")
        (folder / "loop").symlink_to("loop")
        (folder / "gone").symlink_to("nothing")
    except OSError:
        pytest.skip("this system makes no links")
    for place in ("link", "inside", "away/data"):
        refused(saved(folder / "a.onnx", [outside(location=place)]), "is a link")
    for place in ("loop", "gone", "absent"):
        refused(saved(folder / "a.onnx", [outside(location=place)]), "can't be read")
    (tmp_path / "named").symlink_to(folder)  # the user may reach the folder by one
    saved(folder / "b.onnx", [outside(location="real")])
    assert_same(read_weights(tmp_path / "named" / "b.onnx"), {"a": torch.zeros(4)})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no such files")
def test_fault_42_what_could_block(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    path = saved(tmp_path / "a.onnx", [outside(location="fifo")])
    with pytest.raises(WeightsError, match="isn't a regular file"):
        read_weights(path)


SIZES = {
    "20 bytes should lie at 0": {"count": 5},
    "16 bytes should lie at 1": {"offset": 1},
    "16 bytes should lie at 9": {"offset": 9 * 10**17},
    "and 12 in data": {"length": 12},
    "and 999999999999999999|and 999,": {"length": 999999999999999999},
    "offset -1, which isn't": {"offset": -1},
    "offset 1e3, which isn't": {"offset": "1e3"},
    "length 0x10, which isn't": {"length": "0x10"},
    "offset 9999999999999999999, which isn't": {"offset": 9999999999999999999},
    "4,000,000,000,000 bytes": {"count": 10**12},
}


@pytest.mark.parametrize("cause", SIZES)
def test_fault_42_sizes_are_held_against_the_file(tmp_path, cause):
    written(tmp_path / "data", bytes(16))
    with pytest.raises(WeightsError, match=cause):
        read_weights(saved(tmp_path / "a.onnx", [outside(location="data", **SIZES[cause])]))


def test_fault_42_tensors_that_overlap(tmp_path):
    written(tmp_path / "data", bytes(20))
    tensors = [outside("a", location="data"), outside("b", location="data", offset=4)]
    refused(saved(tmp_path / "a.onnx", tensors), "overlap in data")
    both = damaged(outside("a", location="data"), raw_data=bytes(16))
    refused(saved(tmp_path / "b.onnx", [both]), "values in two places")
