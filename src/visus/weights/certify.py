"""Certificates: our network and another library's, layer by layer, on the same weights and inputs."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from visus import __version__
from visus.errors import WeightsError
from visus.files import write_atomic
from visus.spec import Spec, decode, tree
from visus.weights.ask import ask
from visus.weights.formats import read_weights
from visus.weights.goldens import network, write_golden
from visus.weights.peer import filled, question, sampled
from visus.weights.peers import Peer
from visus.weights.translate import layer_names

QUESTIONS = 4
LARGE = 300_000  # pixels: of inputs from that size on one question is asked, since libraries keep every map of it
TOLERANCE = 1e-4  # of the greatest score: what two orders of float32 sums may differ by in a deep network


class LayerCheck(Spec, frozen=True):
    """One layer on both sides. relative: the greatest difference over the greatest value of theirs."""

    ours: str
    theirs: str
    difference: float
    relative: float


class Certificate(Spec, frozen=True):
    """What came of a comparison.

    weights: "formula", or the name and SHA-256 of the file. inputs: how many. layers: those with an output of their
    own; of each up to 4,096 values spread over it are compared. difference, relative: of the scores, all of them.
    top1_agreement: the share of inputs whose highest score is the same class.
    """

    library: str
    theirs: str
    network: str
    versions: dict[str, str]
    weights: str
    input: tuple[int, ...]
    inputs: int
    layers: tuple[LayerCheck, ...]
    difference: float
    relative: float
    top1_agreement: float

    @property
    def holds(self) -> bool:
        """Whether the scores are the same, for float32."""
        return self.relative <= TOLERANCE

    @property
    def same_top1(self) -> str:
        """For how many inputs the highest score is the same class, as text. Of a thousand, 999 aren't 100 %."""
        return f"{round(self.top1_agreement * self.inputs):,} of {self.inputs:,}"

    @property
    def worst(self) -> LayerCheck:
        """The layer that differs most."""
        return max(self.layers, key=lambda layer: layer.relative)


def certify(
    peer: Peer,
    *,
    python: str | Path = sys.executable,
    file: Path | None = None,
    images: np.ndarray | None = None,
    golden: Path | None = None,
) -> Certificate:
    """Compare our network with the library's own.

    python: an interpreter that has the library. file: real weights; by default both are filled by the formula.
    images: N×C×H×W float32, preprocessed; by default QUESTIONS inputs that a formula gives.
    golden: a golden file to write of the library's answer to the first question, without file and images.
    Raises WeightsError where the library can't be asked, or the file isn't of that network.
    """
    if golden is not None and (file is not None or images is not None):
        raise WeightsError(
            "golden files are of weights and inputs that a formula gives", "leave out --goldens, or --file and --images"
        )
    names = list(layer_names(peer))
    count = QUESTIONS if peer.input[1] * peer.input[2] < LARGE else 1
    count = count if images is None else len(images)
    answer = ask(peer, [theirs for _, theirs in names], file=file, python=python, images=images, count=count)
    facts = json.loads(answer["facts"].tobytes())
    if golden is not None:
        write_golden(golden, peer, answer)
    if file is None:
        keras = peer.library == "keras"
        stored = {n: torch.from_numpy(filled(n, tuple(s), keras, peer.damping)) for n, s in facts["tensors"].items()}
        weights = "formula"
    else:
        stored = read_weights(file).tensors
        with file.open("rb") as stream:
            weights = f"{file.name} sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
    model = network(peer, stored, weights)
    x = question(peer.input, count) if images is None else images
    names = [(_activated(model, ours) if theirs in facts["fused"] else ours, theirs) for ours, theirs in names]
    scores, outputs = _outputs(model, [ours for ours, _ in names], torch.from_numpy(x))
    wanted = answer["logits"]
    layers = tuple(
        LayerCheck(ours=ours, theirs=theirs, **_difference(outputs[ours], answer[f"layer:{theirs}"]))
        for ours, theirs in names
        if ours in outputs and f"layer:{theirs}" in answer
    )
    return Certificate(
        library=peer.library,
        theirs=peer.name,
        network=peer.network,
        versions={"visus": __version__, **facts["versions"]},
        weights=weights,
        input=x.shape[1:],
        inputs=count,
        layers=layers,
        **_difference(scores, wanted),
        top1_agreement=float((scores.argmax(1) == wanted.argmax(1)).mean()),
    )


def write_certificate(certificate: Certificate, path: Path) -> Path:
    """Write it as JSON, a layer a line."""
    found = tree(certificate)
    layers = ",\n".join("  " + json.dumps(layer) for layer in found.pop("layers"))
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_atomic(path, json.dumps(found)[:-1] + ',\n"layers": [\n' + layers + "\n]}\n")


def read_certificate(path: Path) -> Certificate:
    """Read it again."""
    return decode(json.loads(path.read_text("utf-8")), Certificate, str(path))


def page(certificate: Certificate) -> str:
    """The certificate as Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in certificate.versions.items())
    shape = "×".join(map(str, certificate.input))
    verdict = "The two agree." if certificate.holds else "**The two do not agree.**"
    rows = [
        f"| `{layer.ours}` | `{layer.theirs}` | {layer.difference:.1e} | {layer.relative:.1e} |"
        for layer in certificate.layers
    ]
    return "\n".join(
        [
            f"# {certificate.network} and {certificate.library}'s {certificate.theirs}\n",
            f"Weights: {certificate.weights}. Inputs: {certificate.inputs} of {shape}. {versions}.\n",
            f"{verdict} Scores differ by at most {certificate.difference:.1e}, {certificate.relative:.1e} of the "
            f"greatest, where {TOLERANCE:.0e} is allowed; the highest is the same class for {certificate.same_top1}.\n",
            "| ours | theirs | greatest difference | relative |",
            "|---|---|--:|--:|",
            *rows,
            "",
        ]
    )


def _activated(model: nn.Module, path: str) -> str:
    """The activation after a layer of ours: of its unit or gate, or the next layer of a head; else the layer itself."""
    parent, _, name = path.rpartition(".")
    known = dict(model.named_modules())
    after = {"conv": "act", "norm": "act", "squeeze": "act", "excite": "scale"}.get(name, "")
    if name.isdigit():
        after = str(int(name) + 1)
    return f"{parent}.{after}" if f"{parent}.{after}" in known else path


def _outputs(model: nn.Module, names: list[str], x: Tensor) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    found: dict[str, np.ndarray] = {}

    def keep(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_: nn.Module, __: object, output: Tensor) -> None:
            found[name] = sampled(output.float().numpy()).copy()  # what follows may write over it

        return hook

    modules = dict(model.named_modules())
    hooks = [modules[name].register_forward_hook(keep(name)) for name in names if name in modules]
    with torch.inference_mode():
        scores = model(x).numpy()
    for hook in hooks:
        hook.remove()
    return scores, found


def _difference(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    if ours.size != theirs.size or not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return {"difference": float("inf"), "relative": float("inf")}  # what is no number agrees with nothing
    difference = float(np.abs(ours.reshape(-1) - theirs.reshape(-1)).max())
    return {"difference": difference, "relative": difference / max(float(np.abs(theirs).max()), 1e-30)}
