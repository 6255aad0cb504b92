"""Networks of 8-bit integers: weights, and maps whose ranges are those that calibration inputs gave.

What attends has a few values in its tokens that are far larger than all others: with one range for all of an input the
others would vanish. There NNCF keeps in float what suffers, and ONNX Runtime takes the range of each input anew.
"""

from __future__ import annotations

import io
import logging
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from visus.nn.attention import DotProduct
from visus.prediction.engines.graph import INPUT


def quiet_openvino() -> Any:
    """OpenVINO, which tells nobody anything: it and NNCF do without the library of telemetry where there is none."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def attends(model: nn.Module) -> bool:
    """Whether there is attention in a network."""
    return any(isinstance(module, DotProduct) for module in model.modules())


def openvino_int8(graph: Path, path: Path, calibration: Tensor, *, attention: bool) -> None:
    """Write a graph with NNCF's static quantisation. attention: whether there is any in it."""
    openvino = quiet_openvino()
    import nncf

    nncf.set_log_level(logging.ERROR)
    data = nncf.Dataset([each[None].numpy() for each in calibration])
    with redirect_stdout(io.StringIO()):  # it draws a bar of its own
        found = nncf.quantize(
            openvino.Core().read_model(graph), data, preset=nncf.QuantizationPreset.MIXED, subset_size=len(calibration),
            model_type=nncf.ModelType.TRANSFORMER if attention else None,
        )  # fmt: skip
    openvino.save_model(found, path, compress_to_fp16=False)


def onnx_int8(graph: Path, path: Path, calibration: Tensor, *, attention: bool) -> None:
    """Write a graph with ONNX Runtime's quantisation: a scale for each channel of the weights. attention: whether there
    is any in it; then only its matrix products are quantised, dynamically."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.inputs = iter(calibration)

        def get_next(self) -> dict[str, Any] | None:
            found = next(self.inputs, None)
            return None if found is None else {INPUT: found[None].numpy()}

    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(graph), str(prepared), skip_symbolic_shape=True)
        if attention:
            quantization.quantize_dynamic(
                str(prepared), str(path), ["MatMul", "Gemm"], per_channel=True,
                weight_type=quantization.QuantType.QInt8,
            )  # fmt: skip
            return
        quantization.quantize_static(
            str(prepared), str(path), Reader(), quant_format=quantization.QuantFormat.QDQ, per_channel=True,
            activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
        )  # fmt: skip
