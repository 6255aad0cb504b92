"""Asking another library, in this Python or in that of another environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from visus.errors import WeightsError
from visus.weights import peer as program
from visus.weights.peers import Peer

ASKABLE = ("torchvision", "timm", "keras")


def ask(
    peer: Peer,
    layers: Sequence[str] = (),
    *,
    file: Path | None = None,
    python: str | Path = sys.executable,
    images: np.ndarray | None = None,
    count: int = 1,
) -> dict[str, np.ndarray]:
    """The library's scores ("logits"), its tensors' shapes ("facts", JSON), and samples of the outputs of layers.

    file: real weights in the library's own format; by default every tensor is filled by the formula.
    python: an interpreter that has the library. images: N×C×H×W float32; by default `count` questions.
    Raises WeightsError where that interpreter lacks the library, and where the library fails.
    """
    if peer.library not in ASKABLE:
        raise WeightsError(f"{peer.library} can't be asked: it is no library that runs", "certify another source")
    with tempfile.TemporaryDirectory() as folder:
        out, given = Path(folder) / "answer.npz", Path(folder) / "images.npy"
        if images is not None:
            np.save(given, images)
        request = {
            "library": peer.library, "call": peer.call, "arguments": dict(peer.arguments), "input": peer.input,
            "file": None if file is None else str(file.resolve()), "layers": list(layers), "out": str(out),
            "images": None if images is None else str(given), "count": count, "damping": peer.damping,
        }  # fmt: skip
        try:
            done = subprocess.run(
                [str(python), program.__file__], input=json.dumps(request), capture_output=True, text=True, check=False,
                env={"KERAS_BACKEND": "torch", **os.environ},
            )  # fmt: skip
        except OSError as problem:
            raise WeightsError(f"{python} can't be run: {problem.strerror}", "name a Python: --python") from None
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"status {done.returncode}"
            remedy = "name the Python of an environment that has it: --python peers/bin/python"
            raise WeightsError(
                f"{python}: {peer.library}'s {peer.call} failed: {last}", remedy if "No module named" in last else ""
            )
        if not out.exists():
            raise WeightsError(f"{python}: ends without an answer: it is no Python", "name a Python: --python")
        with np.load(out) as answer:
            return dict(answer)
