"""The verbs that bring a model to where it serves: optimize, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from visus.cli.learn import Json, Settings
from visus.cli.show import watcher


def optimize(
    run: str,
    *,
    batch: Annotated[tuple[int, ...], Parameter(negative="", consume_multiple=True)] = (1,),
    precision: Annotated[tuple[str, ...], Parameter(negative="", consume_multiple=True)] = (
        "float32",
        "bfloat16",
        "int8",
    ),
    engine: Annotated[tuple[str, ...], Parameter(negative="", consume_multiple=True)] = (),
    tolerance: float = 1e-4,
    lose: float = 0.5,
    data: str | None = None,
    samples: int = 1000,
    seconds: float = 2.0,
    device: str = "auto",
    settings: Settings = (),
    json: Json = False,
) -> None:
    """Choose the fastest engine for a model on this machine, among those that say the same, and keep it in the model.

    Parameters
    ----------
    run
        A run folder or bundle.
    batch
        Numbers of inputs at a time to choose for: --batch 1 16.
    precision
        What may be chosen: float32, bfloat16, int8.
    engine
        What may be chosen: pytorch, compiled, onnxruntime, openvino; by default all that are installed.
    tolerance
        What float32 outputs may differ by, as a share of the greatest.
    lose
        How many points of the score bfloat16 and int8 may lose.
    data
        Data to check on; by default the validation samples of the run.
    samples
        How many of them at most.
    seconds
        For which each engine is timed.
    device
        auto, cpu, cuda.
    settings
        Settings of the run to change, such as data.source=PATH; may be given often.
    json
        Lines of JSON instead of words.
    """
    from visus.run.optimizing import optimize as choose

    choose(
        run, batches=batch, precisions=precision, engines=engine or None, tolerance=tolerance, lose=lose, data=data,
        samples=samples, seconds=seconds, device=device, settings=settings, watch=watcher(json),
    )  # fmt: skip


def export(
    run: str,
    *,
    to: Literal["onnx", "openvino", "torch-export"] = "onnx",
    out: Path | None = None,
    given: Annotated[Literal["image", "placed"] | None, Parameter(name="--input")] = None,
    raw: bool = False,
    data: str | None = None,
    samples: int = 64,
    tolerance: float = 1e-4,
    settings: Settings = (),
    json: Json = False,
) -> None:
    """Write a model as one file that needs no Visus, compared with the model on real samples.

    Parameters
    ----------
    run
        A run folder or bundle.
    to
        onnx, openvino or torch-export.
    out
        The file; by default model.onnx and so on in the run's folder.
    given
        What the file takes: image (pixels of any size; resizing is inside) or placed (resized and cut already).
    raw
        Of a detector the network's own output, and not the objects that are found.
    data
        Data to compare on; by default the validation samples of the run.
    samples
        How many of them at most.
    tolerance
        What outputs may differ by, as a share of the greatest.
    settings
        Settings of the run to change, such as data.source=PATH; may be given often.
    json
        Lines of JSON instead of words.
    """
    from visus.run.exporting import export as write

    write(
        run, to, out, given=given, raw=raw, data=data, samples=samples, tolerance=tolerance, settings=settings,
        watch=watcher(json),
    )  # fmt: skip
