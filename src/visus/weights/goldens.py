"""Small files that prove an import without the library that the weights came from.

A golden file has another library's names and shapes of tensors, and that library's scores when every tensor is filled
by a formula (`peer.filled`) and the input is `peer.question`. Whoever fills, imports and runs must get the same scores.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from visus.files import write_atomic
from visus.models import build_classifier
from visus.nn import Classifier, WithoutRandomStart, load_state
from visus.spec import Spec, decode
from visus.weights.peer import filled, question
from visus.weights.peers import Peer
from visus.weights.translate import translate


class GoldenWeights(Spec, frozen=True):
    """tensors: name → shape, "3x4". scores: of the one question. versions: of the libraries that gave them."""

    library: str
    network: str
    versions: dict[str, str]
    input: tuple[int, ...]
    tensors: dict[str, str]
    scores: tuple[float, ...]


def read_golden(path: Path) -> GoldenWeights:
    """Read a golden file."""
    return decode(json.loads(path.read_text("utf-8")), GoldenWeights, str(path))


def write_golden(path: Path, peer: Peer, answer: dict[str, np.ndarray]) -> None:
    """Keep a library's answer to the first question."""
    facts = json.loads(answer["facts"].tobytes())
    head = {"library": peer.library, "network": peer.name, "versions": facts["versions"], "input": list(peer.input)}
    lines = [
        f"  {json.dumps(name)}: {json.dumps('x'.join(map(str, shape)))}" for name, shape in facts["tensors"].items()
    ]
    scores = ", ".join(f"{value:.8g}" for value in answer["logits"][0].tolist())
    text = json.dumps(head)[:-1] + ',\n"tensors": {\n' + ",\n".join(lines) + '\n},\n"scores": [' + scores + "]}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.encode())


def fill(golden: GoldenWeights, damping: float = 1.0) -> dict[str, Tensor]:
    """The tensors that the formula gives, by the library's names."""
    shapes = {name: tuple(map(int, text.split("x"))) if text else () for name, text in golden.tensors.items()}
    keras = golden.library == "keras"
    return {name: torch.from_numpy(filled(name, shape, keras, damping)) for name, shape in shapes.items()}


def network(peer: Peer, stored: dict[str, Tensor], source: str) -> Classifier:
    """Our network with another library's tensors, ready to answer."""
    with WithoutRandomStart():
        model = build_classifier(peer.spec, peer.input, peer.classes)
    load_state(model, translate(peer, stored, peer.classes, source), source)
    return model.eval()


def replay(peer: Peer, golden: GoldenWeights) -> float:
    """The greatest difference of our scores from the library's, over the greatest of its scores."""
    model = network(peer, fill(golden, peer.damping), f"the golden file of {peer.key}")
    with torch.inference_mode():
        found = model(torch.from_numpy(question(golden.input))).reshape(-1)
    wanted = torch.tensor(golden.scores)
    return float((found - wanted).abs().max() / wanted.abs().max())
