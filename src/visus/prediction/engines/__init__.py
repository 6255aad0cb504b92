"""Ways to compute what a network says, and which of them a machine found the fastest.

PyTorch, PyTorch compiled, ONNX Runtime and OpenVINO, in float32, bfloat16 or int8. All take placed inputs, 8-bit pixels
as the first half of preprocessing leaves them; the second half is part of their graph.
"""

from visus.prediction.engines.build import available, files, load, write
from visus.prediction.engines.graph import Given, require_graph, write_onnx, write_torch
from visus.prediction.engines.kept import (
    Choice,
    Chosen,
    EngineWarning,
    Kept,
    Measured,
    answers,
    attach,
    keep,
    machine,
    read_kept,
)
from visus.prediction.engines.kinds import KINDS, Kind, Unavailable
from visus.prediction.engines.quantized import quiet_openvino

__all__ = [
    "KINDS",
    "Choice",
    "Chosen",
    "EngineWarning",
    "Given",
    "Kept",
    "Kind",
    "Measured",
    "Unavailable",
    "answers",
    "attach",
    "available",
    "files",
    "keep",
    "load",
    "machine",
    "quiet_openvino",
    "read_kept",
    "require_graph",
    "write",
    "write_onnx",
    "write_torch",
]
