"""FAULT 40: what safetensors' own reader refuses, and what it lets pass."""

import json
import struct

import pytest
import safetensors.torch
import torch

from tests.unit.weights.made import assert_same, entry, noise, refused, written
from tests.unit.weights.made import safetensors as made
from visus.weights.formats import read_weights

ONE = json.dumps(entry(0, 4)).encode()
OTHER = json.dumps(entry(4, 8)).encode()
FAULTS = {
    "huge header": ("header of 1,099,511,627,776 bytes", struct.pack("<Q", 1 << 40) + b"{}"),
    "header of all": ("header of 18,446,744,073,709,551,615", struct.pack("<Q", (1 << 64) - 1) + b"{}"),
    "header longer than the file": ("cut short", struct.pack("<Q", 1000) + b"{}"),
    "overlapping offsets": ("invalid offset", made({"a": entry(0, 4), "b": entry(0, 4)}, bytes(4))),
    "partly overlapping offsets": ("invalid offset", made({"a": entry(0, 8, (2,)), "b": entry(4, 8)}, bytes(8))),
    "a hole": ("invalid offset", made({"a": entry(0, 4), "b": entry(8, 12)}, bytes(12))),
    "offsets that run back": ("invalid offset", made({"a": entry(4, 0)}, bytes(4))),
    "duplicate keys": ("a twice in its header", made(b'{"a":%s,"a":%s}' % (ONE, OTHER), bytes(8))),
    "duplicate keys for one place": ("a twice in its header", made(b'{"a":%s,"a":%s}' % (ONE, ONE), bytes(4))),
    "duplicate keys, spelled apart": ("a twice in its header", made(b'{"a":%s,"\\u0061":%s}' % (ONE, ONE), bytes(4))),
    "duplicate fields": ("dtype twice", made(b'{"a":{"dtype":"F32",%s}' % ONE[1:], bytes(4))),
    "duplicate metadata": ("x twice", made(b'{"__metadata__":{"x":"1","x":"2"},"a":%s}' % ONE, bytes(4))),
    "trailing bytes": ("not fully covered", made({"a": entry(0, 4)}, bytes(5))),
    "missing bytes": ("not fully covered", made({"a": entry(0, 4)}, bytes(3))),
    "a shape of more": ("invalid shape", made({"a": entry(0, 4, (2,))}, bytes(4))),
    "a shape that overflows": ("overflow", made({"a": entry(0, 0, (1 << 40, 1 << 40))})),
    "a negative shape": ("invalid value", made({"a": entry(0, 4, (-1,))}, bytes(4))),
    "an unknown type": ("unknown variant", made({"a": entry(0, 4, (1,), "O")}, bytes(4))),
    "deep nesting": ("damaged header", made(b'{"a":' * 20_000 + b"1" + b"}" * 20_000)),
    "no UTF-8": ("damaged header", made(b'{"\xff":%s}' % ONE, bytes(4))),
    "UTF-16": ("damaged header", made('{"a":1}'.encode("utf-16-le").replace(b"{\0", b"{", 1) + b"\0")),
    "a number of many digits": ("damaged header", made(b'{"a":' + b"9" * 5000 + b"}")),
    "something behind the header": (
        "damaged header",
        made(json.dumps({"a": entry(0, 4)}).encode() + b"\0\0", bytes(4)),
    ),
    "no tensors": ("holds no tensors", made({})),
    "truth values that aren't": ("neither true nor false", made({"a": entry(0, 1, (1,), "BOOL")}, b"\7")),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_40(tmp_path, name):
    cause, data = FAULTS[name]
    refused(written(tmp_path / "a.safetensors", data), cause)


def test_all_types(tmp_path):
    types = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
             torch.int8, torch.uint8, torch.uint16, torch.float8_e4m3fn, torch.float8_e5m2)  # fmt: skip
    tensors = {str(dtype): noise(1, 3, 2).abs().to(dtype) for dtype in types} | {"z": torch.tensor([True, False])}
    safetensors.torch.save_file(tensors, tmp_path / "a", {"by": "test"})
    stored = read_weights(tmp_path / "a")
    assert (stored.format, stored.notes) == ("safetensors", {"metadata": {"by": "test"}})
    assert_same(stored, {name: tensors[name] for name in stored.tensors})
    assert set(stored.tensors) == set(tensors)


@pytest.mark.parametrize("size", [0x80, 0x08, 0x1F8B])
def test_the_first_bytes_are_a_number(tmp_path, size):
    """Which may be that of any other format: 0x80 begins a pickle, 0x08 an ONNX model."""
    text = json.dumps({"a": entry(0, 4)}).encode()
    data = made(text.ljust(size + (256 * 8 if size < 256 else 0)), struct.pack("<f", 2.5))
    assert data[0] == size & 255
    assert_same(read_weights(written(tmp_path / "a.pth", data)), {"a": torch.tensor([2.5])})


def test_prefixes_of_wrappers_are_taken_off(tmp_path):
    safetensors.torch.save_file({"module.a": noise(1, 2)}, tmp_path / "a")
    stored = read_weights(tmp_path / "a")
    assert_same(stored, {"a": noise(1, 2)})
    assert stored.notes == {"prefix": "module."}


def test_a_file_cut_short_anywhere(tmp_path):
    whole = made({"a": entry(0, 12, (3,))}, bytes(12))
    for size in range(len(whole)):
        refused(written(tmp_path / "a", whole[:size]), "empty|cut short|not fully covered|damaged header|isn't a file")
