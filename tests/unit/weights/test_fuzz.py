"""Thousands of damaged files of every format: a WeightsError comes out, or a read; nothing else, in little memory."""

import io
import random
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from onnx import helper, numpy_helper

from tests.unit.weights.made import PROTOCOL, noise, torch_stream, torch_tar, written
from visus.errors import WeightsError
from visus.weights.formats import Stored, pickles, read_weights

TIMES = 300
MEMORY = 64 << 20


def torch_file(new: bool, protocol: int) -> bytes:
    state = OrderedDict(a=noise(1, 4, 3), b=torch.arange(5), c=torch.tensor([True, False]), d=noise(2, 3).bfloat16())
    state["e"] = state["a"].t()
    file = io.BytesIO()
    value = {"state_dict": state, "epoch": 1}
    torch.save(value, file, _use_new_zipfile_serialization=new, pickle_protocol=protocol)
    return file.getvalue()


def hdf5_file(by_name: bool) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as made:
        if by_name:
            made.attrs["layer_names"], made.attrs["model_config"] = ["fc", "bn"], '{"class_name": "Functional"}'
        for layer, names in {
            "fc": ["kernel", "bias"],
            "bn": ["gamma", "beta", "moving_mean", "moving_variance"],
        }.items():
            group = made.create_group(layer) if by_name else made.create_group(f"layers/{layer}/vars")
            group.attrs["weight_names" if by_name else "name"] = (
                [f"{layer}/{name}" for name in names] if by_name else layer
            )
            for number, name in enumerate(names):
                group[f"{layer}/{name}" if by_name else str(number)] = np.arange(6, dtype=np.float32).reshape(2, 3)
    return file.getvalue()


def keras_file() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("config.json", '{"class_name": "Functional", "config": {"layers": []}}')
        made.writestr("model.weights.h5", hdf5_file(False))
    return file.getvalue()


def onnx_file() -> bytes:
    tensors = [
        numpy_helper.from_array(noise(1, 3, 4).numpy(), "raw"),
        helper.make_tensor("longs", 7, [3], [1, -2, 3]),
        helper.make_tensor("floats", 1, [2], [1.0, 2.0]),
        helper.make_tensor("halves", 10, [2], [1.0, 2.0]),
    ]
    constant = helper.make_node("Constant", [], ["constant"], value=numpy_helper.from_array(noise(2, 2).numpy()))
    graph = helper.make_graph([constant, helper.make_node("Relu", ["x"], ["y"])], "graph", [], [], tensors)
    data: bytes = helper.make_model(graph).SerializeToString()
    assert onnx.ModelProto.FromString(data).graph.node[0].op_type == "Constant"
    return data


FILES: dict[str, Callable[[], bytes]] = {
    "torch-zip": lambda: torch_file(True, 2),
    "torch-zip, protocol 4": lambda: torch_file(True, 4),
    "torch-stream": lambda: torch_file(False, 2),
    "torch-stream, protocol 5": lambda: torch_file(False, 5),
    "torch-tar": lambda: torch_tar({"a": noise(1, 3, 4), "b": noise(2, 2)}),
    "safetensors": lambda: safetensors.torch.save({"a": noise(1, 3, 4), "b": torch.tensor([True])}, {"by": "test"}),
    "keras-h5": lambda: hdf5_file(True),
    "keras-weights": lambda: hdf5_file(False),
    "keras": keras_file,
    "onnx": onnx_file,
}
EXTREMES = [struct.pack("<i", each) for each in (-1, 0, 2**31 - 1)]
EXTREMES += [struct.pack("<q", each) for each in (-1, 0, 2**32, 2**63 - 1)]


def damaged(whole: bytes, other: bytes, dice: random.Random) -> bytes:
    """With bits flipped, numbers made extreme, pieces left out, doubled or of another file, or without the end."""
    data = bytearray(whole)
    place, size = dice.randrange(len(data)), dice.randrange(1, 100)
    way = dice.randrange(8)
    if way == 0:
        return bytes(data[:place])
    if way == 1:
        start = dice.randrange(len(other))
        data[place : place + size] = other[start : start + size]
    elif way == 2:
        del data[place : place + size]
    elif way == 3:
        data[place:place] = data[place : place + size]
    elif way == 4:
        data += other[-size:]
    else:
        for _ in range(dice.choice([1, 1, 2, 4, 8])):
            place = dice.randrange(len(data))
            if dice.random() < 0.5:
                data[place] ^= 1 << dice.randrange(8)
            else:
                extreme = dice.choice(EXTREMES)
                data[place : place + len(extreme)] = extreme
    return bytes(data)


@pytest.fixture
def frugal() -> Iterator[None]:
    """Holds that a test doesn't need much memory, where the system says how much it was."""
    if sys.platform == "win32":
        yield
        return
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < MEMORY


def check(stored: Stored) -> None:
    """Every value is there to be used."""
    for tensor in stored.tensors.values():
        assert (
            tensor.clone().contiguous().reshape(-1).view(torch.uint8).numel() == tensor.numel() * tensor.element_size()
        )


@pytest.mark.usefixtures("frugal")
@pytest.mark.parametrize("name", FILES)
def test_damaged_files(tmp_path: Path, name: str) -> None:
    files = {each: make() for each, make in FILES.items()}
    whole = files.pop(name)
    check(read_weights(written(tmp_path / "whole", whole)))
    path, dice = tmp_path / "damaged", random.Random(name)
    refusals = []
    for _ in range(TIMES):
        path.write_bytes(damaged(whole, dice.choice(list(files.values())), dice))
        try:
            check(read_weights(path))
        except WeightsError as problem:
            refusals.append(problem.problem)
    assert len(refusals) > TIMES // 4
    assert all(str(path) in each for each in refusals)


@pytest.mark.usefixtures("frugal")
def test_programs_at_random(tmp_path: Path) -> None:
    """Pickles of known instructions in any order."""
    dice = random.Random(0)
    names = (
        "collections\nOrderedDict", "torch._utils\n_rebuild_tensor_v2", "torch._utils\n_rebuild_parameter",
        "torch\nFloatStorage", "torch\nSize", "torch\nfloat32", "torch._tensor\n_rebuild_from_type_v2", "torch\nTensor",
    )  # fmt: skip
    texts = (b"a", b"storage", b"cpu", b"k")
    pieces = [
        *(code + bytes(dice.choice([0, 1, 4, 8])) for code in pickles.INSTRUCTIONS for _ in range(3)),
        *(b"c" + name.encode() + b"\n" for name in names),
        *(b"X" + struct.pack("<I", len(text)) + text for text in texts),
        *(b"K\1 K\2 N } ] ) ( t \x85 \x86 a e s u q\1 h\1 R Q".split(b" ")),
    ]
    path = tmp_path / "weights.pth"
    for _ in range(10 * TIMES):
        program = PROTOCOL + b"".join(dice.choices(pieces, k=dice.randrange(1, 30))) + b"."
        path.write_bytes(torch_stream(program, ["k"], struct.pack("<q", 1) + bytes(4)))
        with pytest.raises(WeightsError, match=r"weights\.pth"):
            read_weights(path)
