"""Which format a file is in, by its content."""

from __future__ import annotations

from pathlib import Path

import torch

from visus.data.image import printable
from visus.errors import WeightsError
from visus.weights.formats import hdf5, zips
from visus.weights.formats.keras_files import CONFIG, read_keras_hdf5, read_keras_zip
from visus.weights.formats.onnx_file import read_onnx
from visus.weights.formats.safetensors_file import read_safetensors
from visus.weights.formats.source import Source, opened
from visus.weights.formats.stored import Stored
from visus.weights.formats.torch_files import read_torch_stream, read_torch_tar, read_torch_zip

BUNDLE = "model.safetensors"
HEAD = 512
KNOWN = "safetensors, PyTorch (.pth, .pt, .bin), Keras (.h5, .weights.h5, .keras) and ONNX are read"


def read_weights(path: str | Path) -> Stored:
    """The tensors of a file, or of the bundle in a folder or run.

    What the file is called doesn't matter. No code of it is ever run. Raises WeightsError that names the file, what is
    wrong with it, and what to do.
    """
    path = Path(path)
    if path.is_dir():
        path = _bundle(path)
    source = opened(path)
    try:
        stored = _read(source, path)
    finally:
        source.file.close()
    for name, tensor in stored.tensors.items():
        if tensor.dtype == torch.bool and tensor.numel() and int(tensor.view(torch.uint8).max()) > 1:
            raise source.refused(f"{printable(name)} has truth values that are neither true nor false")
    return stored


def _bundle(folder: Path) -> Path:
    for path in (folder / BUNDLE, folder / "model" / BUNDLE):
        if path.is_file():
            return path
    raise WeightsError(
        f"{printable(folder)}: is a folder without {BUNDLE}", "give the file with the weights, or a bundle or run"
    )


def _read(source: Source, path: Path) -> Stored:
    head = source.take(0, min(HEAD, source.size))
    if head.startswith(zips.MAGIC):
        archive = zips.open_zip(source)
        keras = CONFIG in archive.entries
        return Stored(
            path, *(("keras", *read_keras_zip(archive)) if keras else ("torch-zip", *read_torch_zip(archive)))
        )
    if _ends_as_zip(source):
        raise source.refused("is a zip archive as well, to programs that look at its end", "don't trust this file")
    if head.startswith(hdf5.MAGIC):
        form, read = read_keras_hdf5(source)
        return Stored(path, form, *read)
    if head[8:9] == b"{":  # the first eight bytes are any number
        return Stored(path, "safetensors", *read_safetensors(source, path))
    if head[257:262] == b"ustar":
        return Stored(path, "torch-tar", *read_torch_tar(source))
    if head[:1] == b"\x80":
        return Stored(path, "torch-stream", *read_torch_stream(source))
    if head[:1] == b"\x08":
        return Stored(path, "onnx", *read_onnx(source, path))
    raise source.refused(_unknown(head), KNOWN)


def _ends_as_zip(source: Source) -> bool:
    size = min(source.size, zips.END.size + 0xFFFF)
    tail = source.take(source.size - size, size)
    place = tail.find(zips.END_MAGIC)
    while place >= 0:
        ending = tail[place : place + zips.END.size]
        if int.from_bytes(ending[20:], "little") == size - place - zips.END.size:
            return True
        place = tail.find(zips.END_MAGIC, place + 1)
    return False


def _unknown(head: bytes) -> str:
    if not head:
        return "is empty"
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file itself: fetch that with `git lfs pull`"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "is a web page, not weights: what was to be fetched isn't there any more, or asks to log in"
    return "isn't a file of weights that is known"
