"""Files of weights, whole and hostile, that the tests of the readers make."""

import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from visus.errors import WeightsError
from visus.weights.formats import Stored, read_weights

PROTOCOL = b"\x80\x02"


def refused(path: Path, cause: str) -> WeightsError:
    """The error of a file that isn't read, which names it."""
    with pytest.raises(WeightsError, match=cause) as caught:
        read_weights(path)
    assert path.name in caught.value.problem
    assert caught.value.remedy
    return caught.value


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def assert_same(stored: Stored, wanted: Mapping[str, Tensor]) -> None:
    """Names, order, types, shapes, and every bit of the values."""
    assert list(stored.tensors) == list(wanted)
    for name, tensor in wanted.items():
        found = stored.tensors[name]
        assert (name, found.dtype, found.shape) == (name, tensor.dtype, tensor.shape)
        assert bits(found) == bits(tensor), name


def bits(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def torch_stream(program: bytes, keys: Sequence[Any] = (), storages: bytes = b"") -> bytes:
    """PyTorch's format of 0.1.10 to 1.5 around a pickle."""
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    head = b"".join(pickle.dumps(each, 2) for each in (0x1950A86A20F9469CFC6C, 1001, machine))
    return head + program + pickle.dumps(list(keys), 2) + storages


def torch_zip(program: bytes, storages: Mapping[str, bytes] | None = None, **more: bytes) -> bytes:
    """PyTorch's format since 1.6 around a pickle."""
    members = {
        "data.pkl": program,
        "version": b"3\n",
        **more,
        **{f"data/{key}": each for key, each in (storages or {}).items()},
    }
    return zipped({f"archive/{name}": data for name, data in members.items()})


def torch_tar(tensors: Mapping[str, Tensor], program: bytes | None = None, views: Any = ()) -> bytes:
    """PyTorch's format before 0.1.10, as `torch.serialization` still reads it."""
    storages, shapes = io.BytesIO(), io.BytesIO()
    pickle.dump(len(tensors), storages, 2)
    pickle.dump(len(tensors), shapes, 2)
    for number, tensor in enumerate(tensors.values()):
        flat = tensor.as_strided((tensor.untyped_storage().nbytes() // tensor.element_size(),), (1,), 0)
        kind = tensor.type().removeprefix("torch.").replace("Tensor", "Storage")
        pickle.dump((1000 + number, "cpu", getattr(torch, kind)), storages, 2)
        storages.write(struct.pack("<q", len(flat)) + flat.numpy().tobytes())
        pickle.dump((2000 + number, 1000 + number, getattr(torch, tensor.type().removeprefix("torch."))), shapes, 2)
        sizes = (tensor.dim(), 0, *tensor.shape, *tensor.stride(), tensor.storage_offset())
        shapes.write(struct.pack(f"<2i{2 * tensor.dim() + 1}q", *sizes))
    pickle.dump(list(views), storages, 2)
    members = {"sys_info": pickle.dumps({}, 2), "pickle": program or _referring(tensors)}
    members |= {"tensors": shapes.getvalue(), "storages": storages.getvalue()}
    return tarred(members)


def _referring(tensors: Mapping[str, Tensor]) -> bytes:
    numbers = {id(tensor): 2000 + number for number, tensor in enumerate(tensors.values())}

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> str | None:
            return str(numbers[id(value)]) if id(value) in numbers else None

    file = io.BytesIO()
    Pickler(file, 2).dump(dict(tensors))
    return file.getvalue()


Members = Mapping[str, bytes] | Sequence[tuple[str, bytes]]


def tarred(members: Members, **kind: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members.items() if isinstance(members, Mapping) else members:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(data), 1.5  # type: ignore[assignment]  # as the time of a real file
            entry.type, entry.linkname = kind.get(name, tarfile.REGTYPE), "/etc/passwd"
            archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def zipped(members: Members, method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items() if isinstance(members, Mapping) else members:
            archive.writestr(name, data)
    return file.getvalue()


def safetensors(header: bytes | dict[str, Any], data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(start: int, end: int, shape: tuple[int, ...] = (1,), dtype: str = "F32") -> dict[str, Any]:
    """Of a header of safetensors."""
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


class Attack:
    """Pickles to a call that makes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def noise(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))
