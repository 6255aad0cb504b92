"""Zip archives that deviate from how PyTorch and Keras write them. Hostile ones are made by hand."""

import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
import torch

from tests.unit.weights.made import PROTOCOL, assert_same, bits, noise, refused, torch_zip, written, zipped
from visus.weights.formats import read_weights, source, zips

TENSOR = (
    PROTOCOL
    + b"}X\1\0\0\0actorch._utils\n_rebuild_tensor\n((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0kX\3\0\0\0cpuM"
    b"\xe8\3tQK\0M\xe8\3\x85K\1\x85tRs."
)
VALUES = bits(noise(1, 1000))
MEMBERS = {"a/data.pkl": TENSOR, "a/data/k": VALUES, "a/version": b"3\n"}


def test_members_that_were_packed_anew(tmp_path):
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert_same(read_weights(written(tmp_path / "a", zipped(MEMBERS, method))), {"a": noise(1, 1000)})


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods_are_refused(tmp_path, method):
    refused(written(tmp_path / "a", zipped(MEMBERS, method)), "compressed by method")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name(tmp_path):
    refused(written(tmp_path / "a", zipped([*MEMBERS.items(), ("a/data/k", VALUES[::-1])])), "two members of one name")


def test_a_zip_of_something_else(tmp_path):
    refused(written(tmp_path / "a", zipped({"text.txt": b"x"})), "PyTorch didn't write")
    refused(written(tmp_path / "b", zipped({"a/data.pkl": TENSOR, "b/data.pkl": TENSOR})), "PyTorch didn't write")
    refused(written(tmp_path / "c", b"PK\3\4"), "cut short")
    refused(written(tmp_path / "d", torch_zip(pickle.dumps({}, 2) + b"x")), "behind the end of its pickle")


def changed(data: bytes, old: bytes, new: bytes, place: int = 0) -> bytes:
    """With the bytes exchanged where they occur the nth time."""
    offset = -1
    for _ in range(place + 1):
        offset = data.index(old, offset + 1)
    return data[:offset] + new + data[offset + len(old) :]


def central(data: bytes, name: bytes) -> int:
    """Where a member's entry in the table of contents begins."""
    return data.rindex(name) - 46


def test_headers_that_differ_from_the_table_of_contents(tmp_path):
    whole = zipped(MEMBERS)
    refused(written(tmp_path / "a", changed(whole, b"a/data/k", b"a/data/j")), "another one where it lies")
    refused(written(tmp_path / "b", changed(whole, b"PK\3\4", b"PK\3\5", 1)), "another one where it lies")
    deflated = struct.pack("<H", zipfile.ZIP_DEFLATED)
    place = central(whole, b"a/data/k") + 10
    refused(written(tmp_path / "c", whole[:place] + deflated + whole[place + 2 :]), "another one where it lies")


def test_sizes_and_places_that_are_claimed(tmp_path):
    whole = zipped(MEMBERS)
    entry = central(whole, b"a/data/k")

    def with_number(offset: int, code: str, number: int) -> Path:
        data = bytearray(whole)
        struct.pack_into(code, data, entry + offset, number)
        return written(tmp_path / "a", bytes(data))

    refused(with_number(24, "<I", 2**31), "claims two sizes")
    refused(with_number(20, "<I", 2**31), "claims two sizes")
    refused(with_number(42, "<I", 0), "another one where it lies")
    refused(with_number(42, "<I", 2**31), "damaged or cut short")
    refused(with_number(8, "<H", 1), "encrypted")
    refused(with_number(16, "<I", 1), "checksum")


def test_fault_39_something_between_the_members(tmp_path):
    whole = zipped(MEMBERS)
    place = whole.index(b"PK\3\4", 4)
    data = bytearray(whole[:place] + b"hidden" + whole[place:])
    for name in (b"a/data/k", b"a/version"):
        offset = central(bytes(data), name) + 42
        struct.pack_into("<I", data, offset, struct.unpack_from("<I", data, offset)[0] + 6)
    struct.pack_into("<I", data, len(data) - 6, struct.unpack_from("<I", data, len(data) - 6)[0] + 6)
    assert zipfile.ZipFile(written(tmp_path / "a", bytes(data))).testzip() is None
    refused(tmp_path / "a", "overlaps another, or something lies before it")


def test_fault_39_members_that_overlap(tmp_path):
    """Two names for the same bytes, as in archives that unpack to a multiple of their size."""
    whole = zipped({"a/data.pkl": TENSOR, "a/data/k": VALUES, "a/data/j": VALUES})
    first = whole.index(b"PK\3\4", 4)
    data = bytearray(whole)
    struct.pack_into("<I", data, central(whole, b"a/data/j") + 42, first)
    refused(written(tmp_path / "a", bytes(data)), "another one where it lies")
    data = bytearray(changed(changed(whole, b"a/data/j", b"a/data/k"), b"a/data/j", b"a/data/K"))
    refused(written(tmp_path / "b", bytes(data)), "another one where it lies")


def test_fault_39_a_bomb(tmp_path):
    bomb = zipped({**MEMBERS, "a/extra": bytes(32 << 20)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    refused(written(tmp_path / "a", bomb), "a bomb")


def test_a_member_that_unpacks_to_another_size(tmp_path):
    whole = zipped(MEMBERS, zipfile.ZIP_DEFLATED)
    for size in (3999, 4001, 8000):
        data = bytearray(whole)
        struct.pack_into("<I", data, central(whole, b"a/data/k") + 24, size)
        program = bytearray(data)
        path = written(tmp_path / "a", bytes(program))
        refused(path, "should have 4,000 bytes|unpacks to more|could be unpacked")


def test_damaged_compression(tmp_path):
    whole = zipped(MEMBERS, zipfile.ZIP_DEFLATED)
    packed = zlib.compressobj(wbits=-15)
    stream = packed.compress(VALUES) + packed.flush()
    place = whole.index(stream)
    for offset in range(0, len(stream), 97):
        data = bytearray(whole)
        data[place + offset] ^= 0xFF
        refused(written(tmp_path / "a", bytes(data)), "checksum|could be unpacked|damaged|unpacks to more")


def test_limits(tmp_path, monkeypatch):
    path = written(tmp_path / "a", zipped(MEMBERS))
    monkeypatch.setattr(zips, "MAX_ENTRIES", 2)
    refused(path, "has 3 members; at most 2")
    monkeypatch.setattr(source, "MAX_PIECE", 100)
    refused(path, "at most 100 are read")


def test_a_large_member_is_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(zips, "CHUNK", 100)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert_same(read_weights(written(tmp_path / "a", zipped(MEMBERS, method))), {"a": noise(1, 1000)})


def test_names_that_are_not_ascii(tmp_path):
    torch.save({"größe": noise(1, 2)}, tmp_path / "größe 😀.pth")
    assert_same(read_weights(tmp_path / "größe 😀.pth"), {"größe": noise(1, 2)})
