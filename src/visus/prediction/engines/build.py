"""Engines made ready to run: from a predictor and the files that were written for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from visus.prediction.engines.folding import folded
from visus.prediction.engines.graph import INPUT, structure, write_onnx
from visus.prediction.engines.kinds import Kind, Name, Unavailable
from visus.prediction.engines.quantized import attends, onnx_int8, openvino_int8, quiet_openvino
from visus.prediction.network import NetworkPredictor
from visus.prediction.predictor import Engine

NEEDS: dict[Name, tuple[str, ...]] = {
    "pytorch": (), "compiled": (), "onnxruntime": ("onnxscript", "onnxruntime"), "openvino": ("onnxscript", "openvino"),
}  # fmt: skip
GRAPH, ONNX_INT8, OPENVINO_INT8 = "float32.onnx", "int8.onnx", "int8.xml"


def available(kind: Kind, device: torch.device) -> None:
    """Raise Unavailable, with the reason, where an engine can't be used on this machine."""
    missing = [part for part in NEEDS[kind.engine] if find_spec(part) is None]
    if kind == Kind(engine="openvino", precision="int8") and find_spec("nncf") is None:
        missing.append("nncf")
    if missing:
        raise Unavailable(f"{' and '.join(missing)} not installed (pip install 'visus[deploy]')")
    if NEEDS[kind.engine] and device.type != "cpu":
        raise Unavailable("runs on the processor only")
    compiler = any(shutil.which(name) for name in ("g++", "clang++"))
    if kind.engine == "compiled" and device.type == "cpu" and not compiler:
        raise Unavailable("there is no C++ compiler")


def write(kind: Kind, predictor: NetworkPredictor, folder: Path, calibration: Tensor) -> None:
    """Write the files that an engine needs into a folder, unless they are there.

    calibration: placed inputs, N×C×H×W uint8, from which int8 takes the ranges of all maps.
    """
    if not NEEDS[kind.engine]:
        return
    graph = folder / GRAPH
    if not graph.exists():
        write_onnx(predictor, graph)
    if kind.precision == "int8":
        if kind.engine == "onnxruntime" and not (folder / ONNX_INT8).exists():
            onnx_int8(graph, folder / ONNX_INT8, calibration, attention=attends(predictor.model))
        if kind.engine == "openvino" and not (folder / OPENVINO_INT8).exists():
            openvino_int8(graph, folder / OPENVINO_INT8, calibration, attention=attends(predictor.model))


def files(kind: Kind) -> tuple[str, ...]:
    """What `load` reads of the folder."""
    if not NEEDS[kind.engine]:
        return ()
    if kind.precision != "int8":
        return (GRAPH,)
    return (ONNX_INT8,) if kind.engine == "onnxruntime" else (OPENVINO_INT8, OPENVINO_INT8.replace(".xml", ".bin"))


def load(kind: Kind, predictor: NetworkPredictor, folder: Path) -> Engine:
    """An engine, ready. Raises Unavailable."""
    available(kind, predictor.device)
    return LOADERS[kind.engine](kind, predictor, folder)


class _Torch:
    """PyTorch with normalisations folded, channels last; or the same compiled for the number of inputs that it saw
    first, other numbers uncompiled."""

    def __init__(self, kind: Kind, predictor: NetworkPredictor, folder: Path) -> None:
        self.dtype = torch.bfloat16 if kind.precision == "bfloat16" else torch.float32
        self.preprocess, self.device = predictor.preprocess, predictor.device
        model = folded(predictor.model, predictor.shape).to(self.dtype)
        self.images = len(predictor.shape) == 3
        self.model: nn.Module = model.to(memory_format=torch.channels_last) if self.images else model  # type: ignore[call-overload]
        self.compiled: Any = torch.compile(self.model, dynamic=False) if kind.engine == "compiled" else None
        self.count: int | None = None

    def __call__(self, placed: Tensor) -> Any:
        with torch.inference_mode():
            x = self.preprocess.normalize(placed.to(self.device)).to(self.dtype)
            if self.images:
                x = x.contiguous(memory_format=torch.channels_last)
            self.count = len(x) if self.count is None else self.count
            run = self.compiled if self.compiled is not None and len(x) == self.count else self.model
            return pytree.tree_map_only(Tensor, Tensor.float, run(x))


class _OnnxRuntime:
    def __init__(self, kind: Kind, predictor: NetworkPredictor, folder: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        path = folder / (ONNX_INT8 if kind.precision == "int8" else GRAPH)
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.structure = structure(predictor)

    def __call__(self, placed: Tensor) -> Any:
        found = self.session.run(None, {INPUT: placed.numpy(force=True)})
        return pytree.tree_unflatten([torch.from_numpy(each) for each in found], self.structure)


class _OpenVINO:
    def __init__(self, kind: Kind, predictor: NetworkPredictor, folder: Path) -> None:
        openvino = quiet_openvino()
        path = folder / (OPENVINO_INT8 if kind.precision == "int8" else GRAPH)
        precision = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}[kind.precision]
        settings = {
            "INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }  # fmt: skip
        core = openvino.Core()
        self.request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()
        self.structure = structure(predictor)

    def __call__(self, placed: Tensor) -> Any:
        found = self.request.infer({INPUT: placed.numpy(force=True)}, share_inputs=True)
        return pytree.tree_unflatten([torch.from_numpy(each.copy()) for each in found.to_tuple()], self.structure)


LOADERS: dict[Name, Callable[[Kind, NetworkPredictor, Path], Engine]] = {
    "pytorch": _Torch, "compiled": _Torch, "onnxruntime": _OnnxRuntime, "openvino": _OpenVINO,
}  # fmt: skip
