"""The three ways in which PyTorch has stored tensors: a zip (since 1.6), a stream (0.1.10 to 1.5), a tar (before)."""

from __future__ import annotations

import io
import re
import tarfile
from typing import Any, cast

from torch import Tensor

from visus.data.image import printable
from visus.errors import WeightsError
from visus.weights.formats.pickles import SAVE_AGAIN, Cursor, read_pickle
from visus.weights.formats.source import Seekable, Source
from visus.weights.formats.state import named
from visus.weights.formats.torch_values import Class, Kind, Place, Storage, Values, check, materialized
from visus.weights.formats.zips import Zip

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
MEMBERS = ("storages", "tensors", "pickle")
MAX_TAIL = 1 << 20  # bytes of zeros at the end of a tar

Found = tuple[dict[str, Tensor], dict[str, Any]]


def read_torch_zip(archive: Zip) -> Found:
    """A folder with data.pkl and the storages as data/KEY, one file each. Raises WeightsError."""
    source = archive.source
    tops = {name.removesuffix("/data.pkl") for name in archive.entries if re.fullmatch(r"[^/]*/data\.pkl", name)}
    if len(tops) != 1:
        raise source.refused("is a zip archive that PyTorch didn't write: it needs one data.pkl in one folder")
    (top,) = tops
    if f"{top}/constants.pkl" in archive.entries or any(name.startswith(f"{top}/code/") for name in archive.entries):
        raise source.refused("is a program of TorchScript, not weights", SAVE_AGAIN)
    order = f"{top}/byteorder"
    if order in archive.entries and archive.text(order) != b"little":
        raise _big_endian(source)
    values = Values(source)
    pickle = Cursor(archive.part(f"{top}/data.pkl"))
    value = read_pickle(pickle, values.names, values.storage)
    if pickle.position != pickle.source.size:
        raise source.refused("has something behind the end of its pickle", "don't trust this file")
    for key, storage in values.storages.items():
        entry = archive.entries.get(f"{top}/data/{key}")
        if entry is None or entry.size != storage.size:
            raise _other_size(source, key, storage.size, entry.size if entry else 0)
    places, notes = named(source, value)
    return materialized(places, lambda key: archive.tensor(f"{top}/data/{key}")), notes


def read_torch_stream(source: Source) -> Found:
    """Five pickles (a magic number, a version, the machine, the object, keys of storages) and the storages."""
    values = Values(source)
    cursor = Cursor(source)

    def next_pickle() -> Any:
        return read_pickle(cursor, values.names, values.storage)

    if next_pickle() != MAGIC_NUMBER:
        raise source.refused("is a Python pickle that PyTorch didn't write: such are never loaded", SAVE_AGAIN)
    version, machine, value, keys = (next_pickle() for _ in range(4))
    if version != PROTOCOL or not isinstance(machine, dict):
        raise source.refused("is a stream of PyTorch in an unknown version")
    if machine.get("little_endian") is not True:
        raise _big_endian(source)
    texts = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not texts or sorted(keys) != sorted(values.storages):
        raise source.refused("lists other storages than its tensors are of")
    spans = {}
    for key in keys:
        storage = values.storages[key]
        spans[key] = _raw(cursor, storage.dtype.itemsize)
        if spans[key][1] != storage.size:
            raise _other_size(source, key, storage.size, spans[key][1])
    if cursor.position != source.size:
        raise source.refused("has something behind its last storage", "don't trust this file")
    places, notes = named(source, value)
    return materialized(places, lambda key: source.tensor(*spans[key])), notes


def read_torch_tar(source: Source) -> Found:
    """Three members: pickled keys and raw storages, pickled keys and raw shapes of tensors, the object."""
    members = _members(source)
    values = Values(source)
    storages, spans = _tar_storages(members["storages"], values)
    tensors = _tar_tensors(members["tensors"], values, storages)

    def object_of(identifier: Any) -> Any:
        if isinstance(identifier, tuple):
            return values.storage(("module", *identifier))
        if not isinstance(identifier, str | int):
            return None
        return tensors.get(str(identifier), storages.get(str(identifier)))

    value = read_pickle(Cursor(members["pickle"]), values.names, object_of)
    places, notes = named(source, value)
    return materialized(places, lambda key: members["storages"].tensor(*spans[key])), notes


def _tar_storages(source: Source, values: Values) -> tuple[dict[str, Storage], dict[str, tuple[int, int]]]:
    """Storages and views of them by key, and where the bytes of each whole one lie."""
    cursor = Cursor(source)
    storages, spans = {}, {}
    for _ in range(_count(cursor, values)):
        match read_pickle(cursor, values.names, _nothing):
            case (int(number), str(), Kind(dtype)):
                key = str(number)
                spans[key] = _raw(cursor, dtype.itemsize)
                storages[key] = Storage(key, dtype, 0, spans[key][1])
            case _:
                raise source.refused("describes a storage in an unknown way")
    views = read_pickle(cursor, values.names, _nothing)
    for view in views if isinstance(views, list) else [None]:
        match view:
            case (int(number), int(root), int(offset), int(length)) if str(root) in spans:
                whole = storages[str(root)]
                item = whole.dtype.itemsize
                if not 0 <= offset <= offset + length <= whole.size // item:
                    raise source.refused("has a view that leads out of its storage")
                storages[str(number)] = Storage(whole.key, whole.dtype, offset * item, length * item)
            case _:
                raise source.refused("describes a view of a storage in an unknown way")
    return storages, spans


def _tar_tensors(source: Source, values: Values, storages: dict[str, Storage]) -> dict[str, Place]:
    cursor = Cursor(source)
    tensors = {}
    for _ in range(_count(cursor, values)):
        match read_pickle(cursor, values.names, _nothing):
            case (int(number), int(storage), Class()) if str(storage) in storages:
                axes = cursor.number("<i")
                cursor.read(4)  # the number of axes was once written as eight bytes
                if not 0 <= axes <= 64:
                    raise source.refused(f"has a tensor with {axes} axes")
                shape = tuple(cursor.number("<q") for _ in range(axes))
                stride = tuple(cursor.number("<q") for _ in range(axes))
                whole = storages[str(storage)]
                place = Place(whole, whole.dtype, cursor.number("<q"), shape, stride)
                check(source, place)
                tensors[str(number)] = place
            case _:
                raise source.refused("describes a tensor in an unknown way")
    return tensors


def _count(cursor: Cursor, values: Values) -> int:
    count = read_pickle(cursor, values.names, _nothing)
    if not isinstance(count, int) or not 0 <= count <= cursor.source.size:
        raise cursor.source.refused("says in an unknown way how many tensors it has")
    return count


def _raw(cursor: Cursor, item: int) -> tuple[int, int]:
    """Where the bytes of a storage lie, behind the number of its values; the cursor moves past them."""
    size = cursor.number("<q") * item
    part = cursor.source.part(cursor.position, size)
    span = (cursor.position, part.size)
    cursor.position += size
    return span


def _nothing(_: Any) -> None:
    """No identifier stands for anything here."""


def _members(source: Source) -> dict[str, Source]:
    """The members of a tar, of which three are wanted; zeros alone may follow them."""
    found: dict[str, Source] = {}
    end = 0
    try:
        with tarfile.open(fileobj=cast(io.BytesIO, Seekable(source)), mode="r:") as archive:
            for member in archive:
                if member.name not in (*MEMBERS, "sys_info") or not member.isreg() or member.issparse():
                    raise source.refused(f"is a tar that PyTorch didn't write: it has {printable(member.name)}")
                if member.name in found:
                    raise source.refused(f"has two members that are called {member.name}", "don't trust this file")
                found[member.name] = source.part(member.offset_data, member.size)
                end = member.offset_data + member.size
    except (tarfile.TarError, ValueError, IndexError, OverflowError, RecursionError, OSError) as problem:
        raise source.refused(f"is a damaged tar: {problem}") from None
    if absent := [name for name in MEMBERS if name not in found]:
        raise source.refused(f"is a tar that PyTorch didn't write, or is cut short: it has no {absent[0]}")
    if source.size - end > MAX_TAIL or source.take(end, source.size - end).strip(b"\0"):
        raise source.refused("has something behind its last member", "don't trust this file")
    return found


def _other_size(source: Source, key: str, wanted: int, size: int) -> WeightsError:
    return source.refused(f"the storage {printable(key)} should have {wanted:,} bytes, and has {size:,}")


def _big_endian(source: Source) -> WeightsError:
    return source.refused(
        "was written by a machine that puts the highest byte first (big-endian), and isn't read",
        "load it with torch.load and save it again on a usual machine",
    )
