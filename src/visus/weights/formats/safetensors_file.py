"""safetensors: a header of JSON and the values. The library reads them; what it lets pass is refused here first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors
from torch import Tensor

from visus.data.image import printable
from visus.weights.formats.source import Source
from visus.weights.formats.state import unprefixed

MAX_HEADER = 8 << 20  # bytes: of some eighty thousand tensors


def read_safetensors(source: Source, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, with the file's metadata as a note. Raises WeightsError."""
    size = int.from_bytes(source.take(0, 8), "little")
    if size > MAX_HEADER:
        raise source.refused(f"claims a header of {size:,} bytes; at most {MAX_HEADER:,} are read")
    try:
        json.loads(source.take(8, size).decode(), object_pairs_hook=lambda pairs: _once(source, pairs))
    except (ValueError, RecursionError) as problem:
        raise source.refused(f"has a damaged header: {problem}") from None
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError, RuntimeError, ValueError, TypeError, AttributeError) as problem:
        raise source.refused(f"is damaged: {problem}") from None
    if not tensors:
        raise source.refused("holds no tensors", "give the file with the network's weights")
    notes: dict[str, Any] = {"metadata": metadata} if metadata else {}
    return unprefixed(tensors, notes), notes


def _once(source: Source, pairs: list[tuple[str, Any]]) -> None:
    """Refuse a name that a header gives twice: readers differ in which one counts. The values aren't kept."""
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise source.refused(f"has {printable(name)} twice in its header", "don't trust this file")
        seen.add(name)
