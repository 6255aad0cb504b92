"""The engines that were chosen for a bundle, in its folder: for each machine that measured them, and for no other."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import warnings
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor

from visus.errors import BundleError, SpecError
from visus.files import replacing, standing, write_atomic
from visus.machine import abilities, processor
from visus.prediction.engines.build import files, load
from visus.prediction.engines.kinds import Kind, Unavailable
from visus.prediction.network import NetworkPredictor
from visus.prediction.predictor import Engine, numbers_of
from visus.spec import Spec, decode, tree

FOLDER, TABLE = "engines", "engines.json"
FORMAT = 1
ANEW = "choose anew with `visus optimize`"
LIBRARIES = ("torch", "onnxruntime", "openvino")
ABSOLUTE, RELATIVE = 1e-3, 1e-3  # what a golden's answer may differ by from when the engine was measured


class Measured(Spec, frozen=True):
    """One engine at one number of inputs.

    milliseconds: for one input, the median. speedup: how many times as fast as the network itself in PyTorch.
    difference: of its outputs from the network's own, over the greatest of those. lost: points of the task's score.
    accepted: whether it is within the tolerance. reason: why not.
    """

    kind: Kind
    batch: int
    milliseconds: float
    speedup: float
    difference: float
    lost: float
    accepted: bool
    reason: str = ""


class Choice(Spec, frozen=True):
    """The engine for so many inputs or more. answers: what it says of the bundle's golden inputs, one by one."""

    batch: int
    kind: Kind
    answers: tuple[tuple[float, ...], ...]


class Kept(Spec, frozen=True):
    """What a machine measured.

    weights: the SHA-256 of those that it measured. score: of the task; on `samples`. files: beside the table, with the
    SHA-256 of each.
    """

    machine: dict[str, str]
    weights: str
    score: str
    samples: int
    choices: tuple[Choice, ...]
    rows: tuple[Measured, ...]
    files: dict[str, str] = msgspec.field(default_factory=dict)
    format: int = FORMAT


def machine(device: torch.device) -> dict[str, str]:
    """What the speed of engines depends on: the processor, what it can do, its cores, and versions."""
    found = {
        "processor": processor(), "abilities": abilities(), "system": platform.system(), "cores": str(os.cpu_count()),
        "device": device.type,
    }  # fmt: skip
    if device.type == "cuda":
        found["device"] = torch.cuda.get_device_name(device)
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def keep(bundle: Path, kept: Kept, written: Path) -> Path:
    """Put what was measured and the files of the chosen engines into a bundle, for this machine."""
    folder = _place(bundle, kept.machine)
    try:
        with replacing(folder) as new:
            digests = {}
            for name in {name for choice in kept.choices for name in files(choice.kind)}:
                for part in (name, f"{name}.data"):  # large weights lie beside their graph
                    if (written / part).exists():
                        shutil.copyfile(written / part, new / part)
                        digests[part] = _digest(new / part)
            write_atomic(new / TABLE, json.dumps(tree(replace(kept, files=digests)), indent=1))
    except OSError as problem:
        raise BundleError(f"{folder}: can't be written: {problem.strerror or problem}", "make room") from None
    return folder


def attach(predictor: NetworkPredictor, bundle: Path) -> None:
    """Let a predictor answer by the engines that this machine chose for its bundle.

    Warns where only other machines, or other weights, were measured: PyTorch answers then.
    """
    if not (bundle / FOLDER).is_dir():
        return
    place = standing(_place(bundle, machine(predictor.device)))
    if not (place / TABLE).is_file():
        _warn(bundle, "the engines in it were chosen on another machine or with other versions")
        return
    kept = read_kept(place / TABLE)
    if kept.weights != predictor.manifest.weights:
        _warn(bundle, "the engines in it were chosen for other weights")
        return
    predictor.engine = Chosen(predictor, kept, place)


def read_kept(path: Path) -> Kept:
    """What a machine measured. Raises BundleError."""
    try:
        return decode(json.loads(path.read_bytes()), Kept, str(path))
    except (OSError, ValueError, SpecError, msgspec.MsgspecError) as problem:
        raise BundleError(f"{path}: can't be read: {problem}", ANEW) from None


class Chosen:
    """The engine that was the fastest for so many inputs as come. Each is made ready when it is first needed."""

    def __init__(self, predictor: NetworkPredictor, kept: Kept, folder: Path) -> None:
        self.predictor, self.kept, self.folder = predictor, kept, folder
        self.ready: dict[int, Engine] = {}
        self.choices = sorted(kept.choices, key=lambda choice: choice.batch)

    def choice(self, count: int) -> Choice:
        """What is chosen for `count` inputs: as for the greatest number that was measured and isn't more."""
        return next((each for each in reversed(self.choices) if each.batch <= count), self.choices[0])

    def __call__(self, placed: Tensor) -> Any:
        choice = self.choice(len(placed))
        if choice.batch not in self.ready:
            self.ready[choice.batch] = self._load(choice)
        return self.ready[choice.batch](placed)

    def _load(self, choice: Choice) -> Engine:
        for name, digest in self.kept.files.items():
            if name.startswith(files(choice.kind)) and _digest(self.folder / name) != digest:
                raise BundleError(f"{self.folder / name}: is damaged: its checksum fails", ANEW)
        try:
            engine = load(choice.kind, self.predictor, self.folder)
        except Unavailable as why:
            _warn(self.folder, f"{choice.kind} was chosen, and {why}")
            return self.predictor.network_outputs
        except Exception as problem:  # whatever an engine's library raises
            raise BundleError(
                f"{self.folder}: {choice.kind} can't be loaded: {str(problem).splitlines()[0]}", ANEW
            ) from problem
        for found, wanted in zip(answers(engine, self.predictor), choice.answers, strict=True):
            if not np.allclose(found, wanted, RELATIVE, ABSOLUTE):
                raise BundleError(f"{self.folder}: {choice.kind} answers otherwise than when it was measured", ANEW)
        return engine


def answers(engine: Engine, predictor: NetworkPredictor) -> tuple[tuple[float, ...], ...]:
    """What an engine says of the bundle's golden inputs."""
    goldens = predictor.manifest.goldens
    return tuple(numbers_of(engine(predictor.place(golden.value())[None])) for golden in goldens)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as problem:
        raise BundleError(f"{path}: can't be read: {problem.strerror}", ANEW) from None


def _place(bundle: Path, found: Mapping[str, str]) -> Path:
    """The folder of a machine."""
    return bundle / FOLDER / hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:12]


def _warn(place: Path, why: str) -> None:
    warnings.warn(f"{place}: {why}; PyTorch answers. `visus optimize` chooses anew", EngineWarning, stacklevel=3)


class EngineWarning(UserWarning):
    """A predictor answers more slowly than it could."""
