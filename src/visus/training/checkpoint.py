"""Checkpoints: one file each, checked on reading, never half written.

A checkpoint is a safetensors file whose metadata hold plain facts (JSON) and a digest of facts and tensors. A folder
holds `last`, the one before it as `previous`, and `best`; the order is by the step in the facts, never by file times.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from visus.errors import CheckpointError
from visus.files import sync_folder, write_atomic

FORMAT = 1
SUFFIX = ".safetensors"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """tensors: by dotted name. facts: JSON values, with "step"."""

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors under one name, without it: part("model") → {"head.weight": …}."""
        return {key[len(name) + 1 :]: value for key, value in self.tensors.items() if key.startswith(f"{name}.")}


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write one atomically. Raises CheckpointError when the disk won't take it; older files are then intact."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in checkpoint.tensors.items()}
    facts = json.dumps({"format": FORMAT, **checkpoint.facts}, sort_keys=True)
    data = safetensors.torch.save(tensors, {"visus": facts, "digest": _digest(tensors, facts)})
    try:
        write_atomic(path, data)
    except OSError as problem:
        raise _unwritten(path, f"{len(data):,} bytes", problem) from None


def read(path: Path) -> Checkpoint:
    """Read one and check it. Raises CheckpointError when it is missing, damaged, or written by a newer version."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointError(f"{path}: there is no such checkpoint") from None
    except (OSError, safetensors.SafetensorError) as problem:
        raise CheckpointError(f"{path}: is damaged: {problem}") from None
    if "visus" not in metadata or "digest" not in metadata:
        raise CheckpointError(f"{path}: isn't a checkpoint of a run")
    if _digest(tensors, metadata["visus"]) != metadata["digest"]:
        raise CheckpointError(f"{path}: is damaged: its checksum fails")
    facts = json.loads(metadata["visus"])
    if facts["format"] > FORMAT:
        raise CheckpointError(
            f"{path}: has format {facts['format']}, written by Visus {facts.get('version', '?')}; "
            f"this version reads formats up to {FORMAT}",
            "pip install --upgrade visus",
        )
    return Checkpoint(tensors, facts)


def rotate(folder: Path, checkpoint: Checkpoint) -> None:
    """Write `last`; what was last becomes `previous`. At every moment a whole one is there for `newest`.

    Raises CheckpointError as `write` does.
    """
    last, new = folder / f"last{SUFFIX}", folder / f"new{SUFFIX}"
    write(new, checkpoint)
    try:
        if last.exists():
            last.replace(folder / f"previous{SUFFIX}")
        new.replace(last)
        sync_folder(folder)
    except OSError as problem:
        raise _unwritten(last, "it", problem) from None


def newest(folder: Path) -> tuple[Checkpoint, tuple[str, ...]]:
    """The whole checkpoint with the highest step, and what was wrong with those passed over.

    Raises CheckpointError when none can be read.
    """
    found, problems = [], []
    for name in ("new", "last", "previous"):
        path = folder / f"{name}{SUFFIX}"
        if not path.exists():
            continue
        try:
            found.append(read(path))
        except CheckpointError as problem:
            problems.append(problem.problem)
    if not found:
        why = "; ".join(problems) or "there is none yet"
        raise CheckpointError(f"{folder}: no checkpoint can be read: {why}", "train anew with `visus train`")
    return max(found, key=lambda each: each.facts["step"]), tuple(problems)


def random_state() -> dict[str, Tensor]:
    """The states of torch's random number generators, as tensors."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda{index}": state for index, state in enumerate(torch.cuda.get_rng_state_all())}
    return states


def set_random_state(states: Mapping[str, Tensor]) -> None:
    """The inverse of `random_state`; states of devices that this machine lacks are left out."""
    torch.set_rng_state(states["cpu"])
    for index in range(torch.cuda.device_count()):
        if f"cuda{index}" in states:
            torch.cuda.set_rng_state(states[f"cuda{index}"], index)


def _unwritten(path: Path, what: str, problem: OSError) -> CheckpointError:
    return CheckpointError(
        f"{path}: {what} can't be written: {(problem.strerror or str(problem)).lower()}",
        "make room or choose another place with --run; earlier checkpoints are intact, and `visus resume` goes on",
    )


def _digest(tensors: Mapping[str, Tensor], facts: str) -> str:
    total = hashlib.sha256(facts.encode())
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
