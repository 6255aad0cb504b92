"""What the names in PyTorch's pickles stand for: tensors as places in storages, checked before anything is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from visus.data.image import printable
from visus.data.readers.arrays import times
from visus.weights.formats.pickles import SAVE_AGAIN, Function
from visus.weights.formats.source import Source, product

MAX_AXES = 64

STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
DTYPES = (
    *STORAGES.values(), torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e4m3fnuz,
    torch.float8_e5m2, torch.float8_e5m2fnuz, torch.float8_e8m0fnu,
)  # fmt: skip


@final
@dataclass(frozen=True, slots=True)
class Kind:
    """A class of storages."""

    dtype: torch.dtype


@final
@dataclass(frozen=True, slots=True)
class Class:
    """A class of tensors, which is only named."""

    name: str


@final
@dataclass(frozen=True, slots=True)
class Storage:
    """The bytes of one or more tensors, or some of them. key: of the whole. start, size: in bytes."""

    key: str
    dtype: torch.dtype
    start: int
    size: int


@final
@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor's values lie. offset, stride: in elements."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@final
class Values:
    """The names of one file's pickles, and the storages that they mention.

    source: for errors. storages: each as a whole, by its key.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.storages: dict[str, Storage] = {}
        self.names: dict[str, Any] = {
            **NAMES,
            "torch._utils._rebuild_tensor": Function("_rebuild_tensor", self._tensor),
            "torch._utils._rebuild_tensor_v2": Function("_rebuild_tensor_v2", self._tensor),
            "torch._utils._rebuild_tensor_v3": Function("_rebuild_tensor_v3", self._typed_tensor),
        }

    def storage(self, identifier: Any) -> Storage | None:
        """What an identifier in a pickle stands for; None if it makes no sense."""
        match identifier:
            case ("module", *_):
                raise self.source.refused("is a whole pickled model: restoring it would run code", SAVE_AGAIN)
            case ("storage", Kind(dtype), str(key), str(), int(count), *view) if count >= 0:
                whole = Storage(key, dtype, 0, count * dtype.itemsize)
                if self.storages.setdefault(key, whole) != whole:
                    raise self.source.refused(f"gives the storage {printable(key)} two types or sizes")
                match view:
                    case [] | [None]:
                        return whole
                    case [(_, int(offset), int(length))] if 0 <= offset <= offset + length <= count:
                        return Storage(key, dtype, offset * dtype.itemsize, length * dtype.itemsize)
        return None

    def _tensor(self, arguments: tuple[Any, ...]) -> Place | None:
        match arguments:
            case (Storage() as storage, int(offset), tuple(shape), tuple(stride), *rest):
                return self._placed(storage, storage.dtype, offset, shape, stride) if _plain(rest) else None
        return None

    def _typed_tensor(self, arguments: tuple[Any, ...]) -> Place | None:
        match arguments:
            case (Storage() as storage, int(offset), tuple(shape), tuple(stride), gradient, hooks, dtype, *rest):
                plain = isinstance(dtype, torch.dtype) and _plain([gradient, hooks, *rest])
                return self._placed(storage, dtype, offset, shape, stride) if plain else None
        return None

    def _placed(
        self, storage: Storage, dtype: torch.dtype, offset: int, shape: tuple[Any, ...], stride: tuple[Any, ...]
    ) -> Place:
        place = Place(storage, dtype, offset, shape, stride)
        check(self.source, place)
        return place


def check(source: Source, place: Place) -> None:
    """Raise WeightsError where a tensor isn't within its storage, or of more values than that."""
    numbers = (place.offset, *place.shape, *place.stride)
    if not all(isinstance(each, int) and 0 <= each < 1 << 62 for each in numbers):
        raise source.refused("has a tensor whose shape, stride or offset isn't of natural numbers")
    if len(place.shape) != len(place.stride) or len(place.shape) > MAX_AXES:
        raise source.refused(f"has a tensor with {len(place.shape)} axes and {len(place.stride)} strides")
    count = product(source, place.shape)
    last = place.offset + sum((length - 1) * step for length, step in zip(place.shape, place.stride, strict=True))
    room = place.storage.size // place.dtype.itemsize
    if count and (last >= room or count > room):
        raise source.refused(
            f"has a tensor of shape {times(place.shape) or 1}, stride {place.stride} and offset {place.offset:,}, "
            f"in a storage of {room:,} values",
            "the file is damaged; or it holds an expanded tensor: save tensor.contiguous() then",
        )
    if not count and place.offset > room:
        raise source.refused(f"has an empty tensor at offset {place.offset:,} in a storage of {room:,} values")


def materialized(places: Mapping[str, Place], read: Callable[[str], Tensor]) -> dict[str, Tensor]:
    """The tensors at some places. read: gives the bytes of a storage by its key; is asked once for each."""
    storages: dict[str, Tensor] = {}
    tensors = {}
    for name, place in places.items():
        key, item = place.storage.key, place.dtype.itemsize
        if key not in storages:
            storages[key] = read(key)
        part = storages[key][place.storage.start : place.storage.start + place.storage.size // item * item]
        tensors[name] = part.view(place.dtype).as_strided(
            place.shape, place.stride, part.storage_offset() // item + place.offset
        )
    return tensors


def _plain(rest: list[Any]) -> bool:
    """Whether what follows a tensor's place says nothing of its values: no hooks, no conjugation, no negation."""
    return len(rest) <= 3 and all(each is None or isinstance(each, bool) or each == {} for each in rest)


def _parameter(arguments: tuple[Any, ...]) -> Place | None:
    match arguments:
        case (Place() as place, *_):
            return place
    return None


def _of_class(arguments: tuple[Any, ...]) -> Any:
    """A tensor with Python attributes of its own, which are dropped."""
    match arguments:
        case (Function() as function, Class(), tuple(inner), _) if function.call is not _of_class:
            return function.call(inner)
    return None


def _ordered(arguments: tuple[Any, ...]) -> dict[Any, Any] | None:
    match arguments:
        case ():
            return {}
        case (list(pairs),) if all(
            isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str | int) for pair in pairs
        ):
            return {key: value for key, value in pairs}  # noqa: C416 — mypy knows no type of the pairs
    return None


def _size(arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
    match arguments:
        case (tuple(shape) | list(shape),):
            return tuple(shape)
    return None


def _encoded(arguments: tuple[Any, ...]) -> bytes | None:
    """Bytes, as Python 3 writes them for Python 2."""
    match arguments:
        case (str(text), "latin1"):
            with suppress(UnicodeEncodeError):
                return text.encode("latin-1")
    return None


NAMES: dict[str, Any] = {
    "collections.OrderedDict": Function("OrderedDict", _ordered),
    "torch.Size": Function("torch.Size", _size),
    "_codecs.encode": Function("_codecs.encode", _encoded),
    "torch._utils._rebuild_parameter": Function("_rebuild_parameter", _parameter),
    "torch._utils._rebuild_parameter_with_state": Function("_rebuild_parameter_with_state", _parameter),
    "torch._tensor._rebuild_from_type_v2": Function("_rebuild_from_type_v2", _of_class),
    "torch.Tensor": Class("torch.Tensor"),
    "torch.nn.parameter.Parameter": Class("torch.nn.Parameter"),
    "torch.storage.UntypedStorage": Kind(torch.uint8),
    **{str(dtype): dtype for dtype in DTYPES},
    **{f"torch.{place}{name}": Kind(dtype) for place in ("", "cuda.") for name, dtype in STORAGES.items()},
    **{
        f"torch.{place}{name.replace('Storage', 'Tensor')}": Class(name) for place in ("", "cuda.") for name in STORAGES
    },
}
