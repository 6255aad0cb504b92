"""What was read from a file of weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from visus.weights.formats.onnx_graph import Node


@dataclass(frozen=True, slots=True)
class Stored:
    """The tensors of a file, with their values and types as they are stored.

    path: the file that was read, inside a folder if a folder was given.
    format: safetensors, torch-zip, torch-stream, torch-tar, keras, keras-weights, keras-h5 or onnx.
    tensors: by the names of the file, in its order. Tensors that share memory in the file share it here.
    notes: what was unwrapped, renamed or left out, in plain values; empty where all is as in the file.
    nodes: of an ONNX graph, in the order in which they run; other formats have none.
    """

    path: Path
    format: str
    tensors: dict[str, Tensor]
    notes: dict[str, Any] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()
