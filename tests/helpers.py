"""Small things that many tests make."""

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn


def pixels(seed: int, height: int = 10, width: int = 12, channels: int = 3) -> np.ndarray:
    """H×W×C uint8 noise, other for each seed."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def encoded(values: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    """An image file of H×W×C uint8 pixels."""
    file = io.BytesIO()
    Image.fromarray(values[..., 0] if values.shape[2] == 1 else values).save(file, kind, **options)
    return file.getvalue()


def class_folders(root: Path, counts: Mapping[str, int], **size: int) -> Path:
    """PNG images, no two alike, in a folder for each class: {"cat": 3} makes cat/0.png to cat/2.png."""
    seed = sum(1 for path in root.rglob("*.png")) if root.exists() else 0
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (root / name / f"{number}.png").write_bytes(encoded(pixels(seed, **size)))
            seed += 1
    return root


def used(model: nn.Module) -> None:
    """Give a network's normalisations and biases values as if it had seen images."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
            elif tensor.is_floating_point() and tensor.ndim == 1:
                tensor.add_(torch.empty_like(tensor).uniform_(-0.1, 0.1))


def real_data(name: str) -> Path:
    """A file or folder of real data; skips the test where there is none."""
    folder = os.environ.get("VISUS_DATA")
    if not folder:
        pytest.skip("VISUS_DATA names no folder of real data")
    path = Path(folder) / name
    if not path.exists():
        pytest.skip(f"there is no {name} in VISUS_DATA")
    return path
