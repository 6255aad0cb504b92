"""A trained model on disk: `model.safetensors` (weights) and `visus.json` (everything else). Never pickle."""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import safetensors
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from visus import __version__
from visus.data.image import decode
from visus.data.preprocess import ImagePreprocess, Preprocess
from visus.data.types import Schema
from visus.errors import BundleError, NotFound, SpecError
from visus.files import sync_folder, write_atomic
from visus.metrics import Score
from visus.models import Network
from visus.nn import load_state
from visus.prediction.predictor import Predictor, placed
from visus.spec import Spec
from visus.spec import decode as decode_spec
from visus.tasks import AnyTask

FORMAT = 1
WEIGHTS, MANIFEST = "model.safetensors", "visus.json"
LONGEST_GOLDEN = 512  # pixels: larger golden images are made smaller, so that a bundle stays small
ABSOLUTE, RELATIVE = 1e-3, 1e-3  # what two machines' float32 arithmetic may differ by


class Golden(Spec, frozen=True):
    """An input and what the model said of it when the bundle was made.

    image: a PNG file in base64; or vector: F numbers. output: the numbers of the model's output, in order.
    """

    output: tuple[float, ...]
    image: str | None = None
    vector: tuple[float, ...] | None = None


class Manifest(Spec, frozen=True):
    """What a bundle is, beside its weights.

    format: of this file. version: of Visus. weights: the SHA-256 of the weights' file. schema: of the data, before
    preprocessing. scores: of the split named. fingerprint: of the data. recipe: of the run, fully resolved.
    """

    format: int
    version: str
    weights: str
    task: AnyTask
    model: str
    network: Network
    schema: Schema
    preprocess: Preprocess
    split: str
    scores: dict[str, Score]
    fingerprint: str
    recipe: dict[str, Any]
    goldens: tuple[Golden, ...]


def save(folder: Path, manifest: Manifest, model: nn.Module, inputs: Sequence[np.ndarray]) -> None:
    """Write a bundle, replacing one that is there only when the new one is whole.

    inputs: a few H×W×C uint8 images or F float32 vectors, kept with the model's answers as goldens.
    manifest: its `weights` and `goldens` are filled in here.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    data = safetensors.torch.save(tensors)
    manifest = msgspec.structs.replace(
        manifest,
        weights=hashlib.sha256(data).hexdigest(),
        goldens=tuple(_golden(each, manifest, model) for each in inputs),
    )
    new, old = folder.with_name(f"{folder.name}.new"), folder.with_name(f"{folder.name}.old")
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        write_atomic(new / WEIGHTS, data)
        write_atomic(new / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except OSError as problem:
        raise BundleError(
            f"{folder}: can't be written: {problem.strerror or problem}", "make room and try again"
        ) from None
    sync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def load(path: str | Path, device: torch.device | str = "cpu") -> Predictor:
    """A predictor from a bundle, or from a run that has one.

    Replays the goldens. Raises NotFound, and BundleError when the bundle is damaged, newer than this version, or
    answers otherwise than when it was made.
    """
    folder, manifest = _find(Path(path)), read_manifest(path)
    try:
        data = (folder / WEIGHTS).read_bytes()
    except OSError as problem:
        raise BundleError(f"{folder / WEIGHTS}: can't be read: {problem.strerror}") from None
    if hashlib.sha256(data).hexdigest() != manifest.weights:
        raise BundleError(f"{folder / WEIGHTS}: is damaged: its checksum fails", "copy the bundle again, or train anew")
    try:
        tensors = safetensors.torch.load(data)
    except safetensors.SafetensorError as problem:
        raise BundleError(f"{folder / WEIGHTS}: is damaged: {problem}") from None
    model = manifest.task.assemble(manifest.network, manifest.preprocess.seen(manifest.schema))
    load_state(model, tensors, str(folder / WEIGHTS))
    predictor = Predictor(manifest.task, manifest.schema, manifest.preprocess, model.eval().to(device), manifest)
    _replay(predictor, manifest, folder)
    return predictor


def is_bundle(path: str | Path) -> bool:
    """Whether a folder is a bundle, or a run that has one."""
    return any((folder / MANIFEST).is_file() for folder in (Path(path), Path(path) / "model"))


def _find(path: Path) -> Path:
    for folder in (path, path / "model"):
        if (folder / MANIFEST).is_file():
            return folder
    if not path.exists():
        raise NotFound(f"{path}: there is no such run or bundle", "`visus train` makes one; look in runs/")
    if (path / "recipe.toml").exists():
        raise NotFound(f"{path}: this run has no model yet", f"finish it with `visus resume {path}`")
    raise NotFound(f"{path}: isn't a run or a bundle: it has no {MANIFEST}")


def read_manifest(bundle: str | Path) -> Manifest:
    """What a bundle, or a run's bundle, is, without its weights. Raises NotFound or BundleError."""
    path = _find(Path(bundle)) / MANIFEST
    try:
        plain = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as problem:
        raise BundleError(f"{path}: can't be read: {problem}") from None
    if not isinstance(plain, dict) or not isinstance(plain.get("format"), int):
        raise BundleError(f"{path}: isn't a bundle's description")
    if plain["format"] > FORMAT:
        raise BundleError(
            f"{path}: has format {plain['format']}, written by Visus {plain.get('version', '?')}; "
            f"this is Visus {__version__}, which reads formats up to {FORMAT}",
            "pip install --upgrade visus",
        )
    try:
        return decode_spec(plain, Manifest, str(path))
    except SpecError as problem:
        raise BundleError(problem.problem, problem.remedy) from None


def _golden(value: np.ndarray, manifest: Manifest, model: nn.Module) -> Golden:
    if isinstance(manifest.preprocess, ImagePreprocess):
        small = Image.fromarray(value if value.shape[2] == 3 else value[..., 0])
        small.thumbnail((LONGEST_GOLDEN, LONGEST_GOLDEN))
        file = io.BytesIO()
        small.save(file, "PNG")
        encoded = base64.b64encode(file.getvalue()).decode()
        value = decode(file.getvalue()).pixels
        return Golden(output=_answer(value, manifest.preprocess, model), image=encoded)
    return Golden(output=_answer(value, manifest.preprocess, model), vector=tuple(value.tolist()))


def _answer(value: np.ndarray, preprocess: Preprocess, model: nn.Module) -> tuple[float, ...]:
    device = next(model.parameters()).device
    with torch.inference_mode():
        output = model(preprocess.normalize(placed(value, preprocess)[None].to(device)))
    leaves = [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)]
    return tuple(number for leaf in leaves for number in leaf.float().flatten().tolist())


def _replay(predictor: Predictor, manifest: Manifest, folder: Path) -> None:
    for index, golden in enumerate(manifest.goldens):
        if golden.image is not None:
            value = decode(base64.b64decode(golden.image)).pixels
        else:
            value = np.array(golden.vector, np.float32)
        found = np.array(_answer(value, manifest.preprocess, predictor.model))
        wanted = np.array(golden.output)
        if found.shape != wanted.shape or not np.all(np.abs(found - wanted) <= ABSOLUTE + RELATIVE * np.abs(wanted)):
            difference = np.abs(found - wanted).max() if found.shape == wanted.shape else float("inf")
            raise BundleError(
                f"{folder}: golden input {index + 1} gives another answer than when the bundle was made "
                f"(largest difference {difference:.3g})",
                "the file was changed, or a library computes differently here: train anew, or install the versions "
                "of the run's environment.json",
            )
