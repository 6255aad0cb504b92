"""What engines are called."""

from __future__ import annotations

from typing import Literal

from visus.spec import Spec

Name = Literal["pytorch", "compiled", "onnxruntime", "openvino"]
Precision = Literal["float32", "bfloat16", "int8"]


class Kind(Spec, frozen=True):
    """An engine and the type of its arithmetic."""

    engine: Name
    precision: Precision = "float32"

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


CAN: dict[Name, tuple[Precision, ...]] = {
    "pytorch": ("float32", "bfloat16"),
    "compiled": ("float32", "bfloat16"),
    "onnxruntime": ("float32", "int8"),
    "openvino": ("float32", "bfloat16", "int8"),
}
KINDS = tuple(Kind(engine=engine, precision=precision) for engine, can in CAN.items() for precision in can)


class Unavailable(Exception):
    """An engine can't be used here: why."""
