"""FAULT 39: hostile pickles, in each of PyTorch's formats and in files that are two things at once. No code is run."""

import importlib
import pickle
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from tests.unit.weights.made import (
    PROTOCOL,
    Attack,
    assert_same,
    bits,
    entry,
    noise,
    refused,
    safetensors,
    torch_stream,
    torch_tar,
    torch_zip,
    written,
)
from visus.weights.formats import pickles, read_weights, state

FILES: dict[str, Callable[[bytes], bytes]] = {
    "zip": torch_zip,
    "stream": torch_stream,
    "tar": lambda program: torch_tar({"a": noise(1, 2)}, program),
    "first of a stream": lambda program: program + torch_stream(pickle.dumps({}, 2)),
    "bare": lambda program: program,
}


@pytest.fixture
def marker(tmp_path):
    """A folder that hostile code would make; it isn't there, and isn't when the test has ended."""
    path = tmp_path / "code-was-run"
    yield path
    assert not path.exists()


def programs(marker: Path) -> dict[str, bytes]:
    """Pickles that make the folder when they are unpickled."""
    text = f"{marker}"
    short = f"V{text}\n".encode()
    long = b"X" + struct.pack("<I", len(text)) + text.encode()
    attack = Attack(text)
    return {
        **{f"reduce, protocol {each}": pickle.dumps({"a": attack}, each) for each in range(6)},
        "among tensors": pickle.dumps({"state_dict": {"a": [1, 2.5, "x"], "b": (attack,)}}, 2),
        "global": b"cos\nmkdir\n(" + short + b"tR.",
        "global, protocol 2": PROTOCOL + b"cos\nmkdir\n" + long + b"\x85R.",
        "stack global": b"\x80\x04\x8c\x02os\x8c\x05mkdir\x93" + long + b"\x85R.",
        "inst": b"(" + short + b"ios\nmkdir\n.",
        "obj": b"(cos\nmkdir\n" + short + b"o.",
        "newobj": PROTOCOL + b"cbuiltins\nmap\ncos\nmkdir\n" + long + b"\x85\x86\x81.",
        "by a memo": PROTOCOL + b"cos\nmkdir\nq\0h\0" + long + b"\x85R.",
        "eval": PROTOCOL + b"cbuiltins\neval\n" + _text(f"__import__('os').mkdir({text!r})") + b"\x85R.",
        "exec of Python 2": b"c__builtin__\neval\n(" + f"V__import__('os').mkdir({text!r})\n".encode() + b"tR.",
        "getattr": PROTOCOL + b"cbuiltins\ngetattr\ncposix\n__dict__\n" + _text("mkdir") + b"\x86R.",
        "a file of torch's own": PROTOCOL + b"ctorch.storage\n_load_from_bytes\n"
        + b"B" + struct.pack("<I", len(inner := pickle.dumps(attack, 2))) + inner + b"\x85R.",
        "what torch allows": PROTOCOL + b"ctorch._utils\n_rebuild_device_tensor_from_numpy\n)R.",
        "an argument": PROTOCOL + b"ctorch._utils\n_rebuild_parameter\ncos\nmkdir\n" + long + b"\x85R\x85R.",
        "a name with dots": b"\x80\x04\x8c\x05torch\x8c\x10serialization.os\x93.",
        "behind a name that is known": b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93.",
    }  # fmt: skip


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


NAMES = tuple(programs(Path("x")))


NOT_RUN_AT_ONCE = ("newobj", "getattr", "what torch allows", "a name with dots", "behind a name that is known")


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NOT_RUN_AT_ONCE])
def test_the_attacks_are_attacks(tmp_path, name):
    """Python's own unpickler makes the folder, whatever it does with the value afterwards."""
    path = tmp_path / "code-was-run"
    with suppress(TypeError, AttributeError, RuntimeError):
        pickle.loads(programs(path)[name])
    assert path.is_dir()


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("name", NAMES)
def test_fault_39_hostile_pickles(tmp_path, marker, name, file):
    data = FILES[file](programs(marker)[name])
    cause = "holds the Python object|the instruction|didn't write|isn't a file of weights|of PyTorch in an unknown"
    refused(written(tmp_path / "weights.pth", data), cause)


@pytest.mark.parametrize(
    "name", ["os.mkdir", "posix.system", "builtins.eval", "torch.hub.load", "numpy.core.multiarray._reconstruct"]
)
def test_the_error_names_the_object(tmp_path, name):
    module, _, attribute = name.rpartition(".")
    program = PROTOCOL + f"c{module}\n{attribute}\n.".encode()
    problem = refused(written(tmp_path / "a", torch_zip(program)), f"holds the Python object {name}")
    assert "safetensors" in problem.remedy


def test_importing_is_not_part_of_it(tmp_path, monkeypatch):
    """A name is looked up in a table; no module of a file is imported, not even one that could be."""

    def never(name: str, *_: object) -> None:
        raise AssertionError(name)

    path = written(tmp_path / "a", torch_zip(PROTOCOL + b"cantigravity\nfly\n."))
    with monkeypatch.context() as patch:
        patch.setattr(importlib, "import_module", never)
        patch.setattr(pickle, "loads", never)
        patch.setattr(pickle, "load", never)
        patch.setattr(torch, "load", never)
        refused(path, "antigravity.fly")


REFUSED = {
    "EXT1": b"\x82\1", "EXT2": b"\x83\1\0", "EXT4": b"\x84\1\0\0\0", "INST": b"i", "OBJ": b"o", "NEWOBJ": b"\x81",
    "NEWOBJ_EX": b"\x92", "EMPTY_SET": b"\x8f", "FROZENSET": b"\x91", "BYTEARRAY8": b"\x96", "NEXT_BUFFER": b"\x97",
    "PERSID": b"P", "LONG4": b"\x8b", "INT": b"I", "POP": b"0", "DUP": b"2",
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_instructions_that_weights_do_not_need(tmp_path, name):
    refused(written(tmp_path / "a", torch_stream(PROTOCOL + b"}" + REFUSED[name] + b".")), f"the instruction {name} ")


ODD = {
    "an empty stack": b".",
    "two values": b"}}.",
    "no instruction": b"}\xff.",
    "no end": b"}",
    "a memo that isn't there": b"h\7.",
    "items without a mark": b"}K\1K\2u.",
    "an odd number of items": b"}(K\1u.",
    "items of a number": b"K\1(K\1K\2u.",
    "appending to a dict": b"}K\1a.",
    "a mark for a value": b"}(s.",
    "a mark in the memo": b"(q\0.",
    "a tuple of too much": b"K\1\x87.",
    "a call of a number": b"K\1)R.",
    "a call without a tuple": b"ccollections\nOrderedDict\n}R.",
    "a call with nonsense": b"ccollections\nOrderedDict\nK\1\x85R.",
    "attributes of a list": b"]}b.",
    "an identifier of nothing": b"NQ.",
    "an identifier of another kind": b"(X\4\0\0\0evilK\1tQ.",
    "a long integer": b"\x8a\x40" + b"\1" * 64 + b".",
    "a text that isn't UTF-8": b"X\1\0\0\0\xff.",
    "a text longer than the file": b"X\xff\xff\xff\xff.",
    "bytes longer than the file": b"\x8e" + b"\xff" * 8 + b".",
    "a name without end": b"c" + b"a" * 600 + b"\n.",
    "a key twice": b"}X\1\0\0\0aK\1sX\1\0\0\0aK\2s.",
    "a key that is a list": b"}]K\1s.",
    "a type for a tensor": b"ctorch._utils\n_rebuild_parameter\nctorch\nTensor\n\x85R.",
    "a name of numbers": b"K\1K\2\x93.",
}


@pytest.mark.parametrize("name", ODD)
def test_damaged_pickles(tmp_path, name):
    cause = (
        "damaged|isn't a function|no sense|attributes of an obj|refers to|integer|UTF-8|name of more|key|has a record"
    )
    refused(written(tmp_path / "a", torch_stream(PROTOCOL + ODD[name])), cause)


TENSOR = (
    b"ctorch._utils\n_rebuild_tensor\n((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0kX\3\0\0\0cpuK\1t"
    b"QK\0K\1\x85K\1\x85tR"
)
STORAGE = struct.pack("<q", 1) + bits(noise(1, 1))
BOMBS = {
    "laughs": b"]" + b"".join(b"q" + bytes([n]) + b"](" + (b"h" + bytes([n])) * 9 + b"e" for n in range(40)) + b".",
    "depth": b"]q\0" + b"\x85" * 60_000 + b".",
    "depth of lists": b"](" * 60_000 + b"e" * 60_000 + b".",
    "a circle": b"]q\0h\0a.",
    "a circle of dicts": b"}q\0X\1\0\0\0ah\0s.",
    "a circle of wrappings": b"}q\0X\5\0\0\0modelh\0s.",
    "a circle in a tuple": b"]q\0h\0\x85a.",
    "long names": b"}X" + struct.pack("<I", 100_000) + b"a" * 100_000 + b"](" + b"N" * 1000 + b"es.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_fault_39_bombs(tmp_path, monkeypatch, name):
    monkeypatch.setattr(state, "MAX_NODES", 50_000)  # so that the test is quick
    program = PROTOCOL + b"](" + TENSOR + BOMBS[name][:-1] + b"e."
    refused(written(tmp_path / "a", torch_stream(program, ["k"], STORAGE)), "without end|of more than 4,096 characters")


def test_a_circle_of_wrappings_with_tensors(tmp_path):
    program = PROTOCOL + b"}q\0X\5\0\0\0modelh\0sX\1\0\0\0x](" + TENSOR + b"es."
    refused(written(tmp_path / "a", torch_stream(program, ["k"], STORAGE)), "without end")


def test_limits(tmp_path, monkeypatch):
    monkeypatch.setattr(pickles, "MAX_CONTAINERS", 100)
    monkeypatch.setattr(pickles, "MAX_BYTES", 1000)
    refused(written(tmp_path / "a", torch_stream(PROTOCOL + b"](" + b"}" * 200 + b"e.")), "more than 100 containers")
    refused(written(tmp_path / "b", torch_stream(PROTOCOL + b"](" + b"N" * 2000 + b"e.")), "more than 1,000 bytes")
    monkeypatch.setattr(state, "MAX_NODES", 10)
    refused(written(tmp_path / "c", torch_stream(PROTOCOL + b"](" + b"N" * 20 + b"e.")), "without end")


def polyglots(folder: Path, marker: Path) -> dict[str, tuple[str, bytes]]:
    """Why each is refused, and its bytes."""
    hostile = torch_zip(pickle.dumps(Attack(str(marker)), 2))
    good = {"a": noise(1, 4)}
    torch.save(good, folder / "zip")
    torch.save(good, folder / "stream", _use_new_zipfile_serialization=False)
    whole, stream, tar = (folder / "zip").read_bytes(), (folder / "stream").read_bytes(), torch_tar(good)
    values = bits(noise(1, 4))
    plain = safetensors({"a": entry(0, 16, (4,))}, values)
    zip_too = "is a zip archive as well"
    return {
        "a zip behind a stream": (zip_too, stream + hostile),
        "a zip behind safetensors": (zip_too, plain + hostile),
        "a zip behind a tar": (zip_too, tar + hostile),
        "a zip behind an unknown file": (zip_too, b"text" + hostile),
        "a zip behind a pickle": (zip_too, pickle.dumps(Attack(str(marker)), 2) + whole),
        "a zip with a comment behind a stream": (zip_too, stream + hostile[:-2] + b"\4\0text"),
        "safetensors of a zip": (zip_too, safetensors({"a": entry(0, len(hostile), (len(hostile),), "U8")}, hostile)),
        "a zip in the header of safetensors": ("damaged header", safetensors(plain[8:-16] + hostile, values)),
        "a zip behind a zip": ("overlaps|before it", whole + hostile),
        "a zip before a zip": ("overlaps|before it", hostile + whole),
        "a stream behind a zip": ("that something follows", whole + stream),
        "a stream in a zip's comment": ("that something follows", whole[:-2] + struct.pack("<H", len(stream)) + stream),
        "a pickle behind a tar": ("behind its last member", tar + pickle.dumps(Attack(str(marker)), 2)),
        "a tar behind a stream": ("behind its last storage", stream + tar),
        "a stream behind a stream": ("behind its last storage", stream + stream),
    }


def test_fault_39_polyglots(tmp_path, marker):
    for name, (cause, data) in polyglots(tmp_path, marker).items():
        refused(written(tmp_path / f"{name}.bin", data), cause)
    for name in ("zip", "stream"):  # what they are made of is read
        assert_same(read_weights(tmp_path / name), {"a": noise(1, 4)})
