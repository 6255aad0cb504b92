"""Predictors on disk: `visus.json`, and `model.safetensors` (weights) or `members/` (bundles). Never pickle."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import safetensors
import safetensors.torch
import torch
from msgspec.structs import replace

from visus import __version__
from visus.errors import BundleError, NotFound, SpecError, nearest
from visus.files import replacing, standing, write_atomic
from visus.nn import load_state
from visus.prediction.engines import attach
from visus.prediction.fusion import Fusion
from visus.prediction.manifest import FORMAT, FusionManifest, Golden, Manifest, NetworkManifest
from visus.prediction.network import NetworkPredictor, Viewed
from visus.prediction.predictor import Predictor, numbers_of
from visus.spec import decode as decode_spec

WEIGHTS, MANIFEST, MEMBERS = "model.safetensors", "visus.json", "members"
KINDS: dict[str, type[Manifest]] = {"network": NetworkManifest, "fusion": FusionManifest}
ANSWERS = 4096  # numbers of an output that a golden keeps: of more, so many of them, evenly spaced
ABSOLUTE, RELATIVE = 1e-3, 1e-3  # what two machines' float32 arithmetic may differ by


def save(folder: Path, predictor: NetworkPredictor | Fusion, inputs: Sequence[np.ndarray]) -> None:
    """Write a bundle, replacing one that is there only when the new one is whole. A fusion's holds its members'.

    inputs: a few H×W×C uint8 images or F float32 vectors, kept with the answers as goldens; a member that has goldens
    keeps its own. Digests and goldens are filled in here.
    """
    try:
        with replacing(folder) as new:
            _write(new, predictor, inputs)
    except OSError as problem:
        raise BundleError(
            f"{folder}: can't be written: {problem.strerror or problem}", "make room and try again"
        ) from None


def load(path: str | Path, device: torch.device | str = "cpu", *, optimized: bool = True) -> Predictor:
    """A predictor from a bundle, or from a run that has one.

    optimized: whether it answers by the engines that `visus optimize` chose for it on this machine, where it did; else
    by its network in PyTorch. Replays the goldens. Raises NotFound, and BundleError when the bundle is damaged, newer
    than this version, or answers otherwise than when it was made.
    """
    while True:
        folder = bundle_of(path)
        began = _identity(folder)
        try:
            predictor = _load(folder, device)
            if optimized:
                _attach(predictor, folder)
        except BundleError:
            if _identity(bundle_of(path)) == began:
                raise
            continue  # another process put a new one in its place meanwhile
        return predictor


def read_manifest(bundle: str | Path) -> Manifest:
    """What a bundle, or a run's bundle, is, without its weights. Raises NotFound or BundleError."""
    return _described(bundle_of(bundle) / MANIFEST)


def is_bundle(path: str | Path) -> bool:
    """Whether a folder is a bundle, or a run that has one."""
    return any((standing(folder) / MANIFEST).is_file() for folder in (Path(path), Path(path) / "model"))


def bundle_of(path: str | Path) -> Path:
    """The folder of a bundle, or of a run's bundle. Raises NotFound."""
    path = Path(path)
    for folder in (standing(path), standing(path / "model")):
        if (folder / MANIFEST).is_file():
            return folder
    if not path.exists():
        raise NotFound(f"{path}: there is no such run or bundle", "`visus train` makes one; look in runs/")
    if (path / "recipe.toml").exists():
        raise NotFound(f"{path}: this run has no model yet", f"finish it with `visus resume {path}`")
    raise NotFound(f"{path}: isn't a run or a bundle: it has no {MANIFEST}", "name a folder that `visus train` made")


def _identity(folder: Path) -> tuple[int, int]:
    """What tells a folder from another one that has come in its place; zeros where it is gone."""
    try:
        found = folder.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_ino, found.st_ctime_ns


def _described(path: Path) -> Manifest:
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
    kind = plain.get("kind", "network")  # the first bundles had no other kind, and didn't say it
    if kind not in KINDS:
        raise BundleError(f"{path}: is a bundle of the unknown kind {kind!r}", nearest(str(kind), KINDS))
    try:
        return decode_spec(plain, KINDS[kind], str(path))
    except SpecError as problem:
        raise BundleError(problem.problem, problem.remedy) from None


def _write(folder: Path, predictor: NetworkPredictor | Fusion, inputs: Sequence[np.ndarray]) -> str:
    """The digest of the description that was written."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest: Manifest
    if isinstance(predictor, Fusion):
        members = []
        for index, (each, member) in enumerate(zip(predictor.members, predictor.manifest.members, strict=True)):
            inside = each.network if isinstance(each, Viewed) else each
            assert isinstance(inside, (NetworkPredictor, Fusion))
            own = [golden.value() for golden in inside.manifest.goldens]
            members.append(replace(member, digest=_write(_member(folder, index), inside, own or inputs)))
        manifest = replace(predictor.manifest, members=tuple(members))
    else:
        state = predictor.model.state_dict()
        data = safetensors.torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()})
        write_atomic(folder / WEIGHTS, data)
        manifest = replace(predictor.manifest, weights=hashlib.sha256(data).hexdigest())
    goldens = (Golden.of(value) for value in inputs)
    manifest = replace(
        manifest, goldens=tuple(replace(golden, output=_answer(golden, predictor)) for golden in goldens)
    )
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    write_atomic(folder / MANIFEST, text)
    return hashlib.sha256(text).hexdigest()


def _load(folder: Path, device: torch.device | str) -> Predictor:
    manifest = _described(folder / MANIFEST)
    predictor: Predictor
    if isinstance(manifest, FusionManifest):
        predictor = _fusion(folder, manifest, device)
    else:
        assert isinstance(manifest, NetworkManifest)
        predictor = _network(folder, manifest, device)
    _replay(predictor, folder)
    return predictor


def _attach(predictor: Predictor, folder: Path) -> None:
    """Engines of this machine, for each network inside."""
    if isinstance(predictor, NetworkPredictor):
        attach(predictor, folder)
    elif isinstance(predictor, Fusion):
        for index, member in enumerate(predictor.members):
            _attach(member.network if isinstance(member, Viewed) else member, _member(folder, index))


def _network(folder: Path, manifest: NetworkManifest, device: torch.device | str) -> NetworkPredictor:
    data = _read(folder / WEIGHTS, manifest.weights)
    try:
        tensors = safetensors.torch.load(data)
    except safetensors.SafetensorError as problem:
        raise BundleError(f"{folder / WEIGHTS}: is damaged: {problem}") from None
    model = manifest.task.assemble(manifest.network, manifest.preprocess.seen(manifest.schema))
    load_state(model, tensors, str(folder / WEIGHTS))
    return NetworkPredictor(manifest, model.eval().to(device))


def _fusion(folder: Path, manifest: FusionManifest, device: torch.device | str) -> Fusion:
    members: list[Predictor] = []
    try:
        for index, member in enumerate(manifest.members):
            inside = _member(folder, index)
            _read(inside / MANIFEST, member.digest)
            found = _load(inside, device)
            if member.views is not None:
                if not isinstance(found, NetworkPredictor):
                    raise SpecError(f"member {index + 1} has views, and is a fusion, which has its own")
                found = Viewed(found, member.views, manifest.how)
            members.append(found)
        return Fusion(manifest, members)
    except SpecError as problem:
        raise BundleError(f"{folder / MANIFEST}: {problem.problem}") from None


def _member(folder: Path, index: int) -> Path:
    return folder / MEMBERS / str(index + 1)


def _read(path: Path, digest: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise BundleError(f"{path}: can't be read: {problem.strerror}") from None
    if hashlib.sha256(data).hexdigest() != digest:
        raise BundleError(f"{path}: is damaged: its checksum fails", "copy the bundle again, or make it anew")
    return data


def _answer(golden: Golden, predictor: Predictor) -> tuple[float, ...]:
    numbers = numbers_of(predictor.outputs(predictor.place(golden.value())[None]))
    if len(numbers) <= ANSWERS:
        return numbers
    return tuple(numbers[place] for place in np.linspace(0, len(numbers) - 1, ANSWERS).round().astype(int).tolist())


def _replay(predictor: Predictor, folder: Path) -> None:
    for index, golden in enumerate(predictor.manifest.goldens):
        found, wanted = np.array(_answer(golden, predictor)), np.array(golden.output)
        if found.shape != wanted.shape or not np.all(np.abs(found - wanted) <= ABSOLUTE + RELATIVE * np.abs(wanted)):
            difference = np.abs(found - wanted).max() if found.shape == wanted.shape else float("inf")
            raise BundleError(
                f"{folder}: golden input {index + 1} gives another answer than when the bundle was made "
                f"(largest difference {difference:.3g})",
                "the file was changed, or a library computes differently here: train anew, or install the versions "
                "of the run's environment.json",
            )
