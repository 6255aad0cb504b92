"""A model as one file for other programs, held against the model on real samples before it is given out."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from visus import __version__
from visus.data.image import Picture, to_channels
from visus.data.preprocess import as_tensor
from visus.data.samples import Samples
from visus.errors import MissingPart, ModelError, RunError, SpecError, UnreadableImage, nearest
from visus.files import write_atomic
from visus.prediction import Engine, NetworkPredictor, load
from visus.prediction.engines import Given, quiet_openvino, write_onnx, write_torch
from visus.run.evaluation import held_out, spread
from visus.run.watch import Silent, Watch
from visus.tasks import Detecting

Format = Literal["onnx", "openvino", "torch-export"]
SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "openvino": ".xml", "torch-export": ".pt2"}
TOLERANCE = 1e-4
SAMPLES = 64


@dataclass(frozen=True)
class Parity:
    """How an exported file and the model agree on real samples.

    difference: the greatest of the outputs, over the greatest output; of objects the greatest of their scores, and of
    their sides over the image's. same: the share of samples for which the highest value of an output is in the same
    place, or for which the same objects are found. reader: what read the file.
    """

    format: Format
    given: Given
    data: str
    samples: int
    difference: float
    same: float
    reader: str
    visus: str = __version__
    torch: str = torch.__version__


@dataclass(frozen=True)
class Exported:
    """The file, and how it agrees with the model."""

    path: Path
    parity: Parity


def export(
    run: str | Path,
    to: str = "onnx",
    out: str | Path | None = None,
    *,
    given: str | None = None,
    raw: bool = False,
    data: str | Path | None = None,
    samples: int = SAMPLES,
    tolerance: float = TOLERANCE,
    settings: Iterable[str] = (),
    watch: Watch | None = None,
) -> Exported:
    """Write a model of one network as a file that needs no Visus: "onnx", "openvino" or "torch-export".

    given: "image": N×H×W×C uint8, images of any one size, of which the file itself does all the rest; or "placed":
    N×C×H×W uint8, as resized and cut already, or N×F float32. By default images where the model takes them. What comes
    out is the network's output; of a detector boxes N×T×4 (xyxy, in pixels of what was given), scores N×T and labels
    N×T, overlapping ones suppressed and the surest first, unless `raw` asks for the network's own.
    FILE.parity.json beside it tells how it agrees with the model on real samples.
    out: the file; by default model.onnx and so on in the run's folder. data: other samples than the run's validation
    ones. Raises MissingPart, and ModelError where the two differ by more than the tolerance: nothing is written then.
    """
    watch = watch or Silent()
    predictor = load(run, optimized=False)
    if not isinstance(predictor, NetworkPredictor):
        raise ModelError(f"{run}: is a fusion of several networks", "export its members")
    form: Format = _one_of(to, get_args(Format), "exported to")
    inputs: Given = _one_of(given or _usual(predictor), get_args(Given), "given")
    answers = isinstance(predictor.task, Detecting) and not raw
    path = Path(out) if out is not None else Path(run) / f"model{SUFFIXES[form]}"
    if path.suffix != SUFFIXES[form]:
        named = path.with_suffix(SUFFIXES[form])
        raise SpecError(f"{path}: a file of {form} ends in {SUFFIXES[form]}", f"--out {named}")
    if path.exists():
        raise RunError(f"{path}: exists already", "name another --out, or remove it")
    held, _, name = held_out(predictor, data, settings)
    with tempfile.TemporaryDirectory() as work:
        with watch.work(f"exporting to {form}"):
            engine, reader = _write(form, predictor, Path(work) / path.name, inputs, answers)
        with watch.work(f"comparing on {name}"):
            compared = _found_alike if answers else _alike
            parity = _parity(predictor, engine, spread(held, samples), form, inputs, name, reader, compared)
        if not parity.difference <= tolerance:
            raise ModelError(
                f"what was exported differs from the model by {parity.difference:.1e} of the greatest output, more "
                f"than {tolerance:.0e}, on {parity.samples} samples of {name}",
                "nothing was written; allow more with --tolerance, or leave resizing out with --input placed",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        for each in sorted(Path(work).iterdir(), key=lambda part: part.name == path.name):  # it, after what it needs
            write_atomic(path.with_name(each.name), each.read_bytes())
    write_atomic(path.with_name(f"{path.name}.parity.json"), json.dumps(asdict(parity), indent=1))
    same = f"{parity.same:.2%}".replace("%", " %")
    rows = [(form, reader, f"{parity.difference:.1e}", same, str(parity.samples), name)]
    watch.table("parity with the model", ("file", "read by", "difference", "same answer", "samples", "of"), rows)
    watch.event("export", {"path": str(path), **asdict(parity)})
    watch.say(f"exported: {path}")
    return Exported(path, parity)


def _one_of(word: str, known: tuple[str, ...], what: str) -> Any:
    if word not in known:
        raise SpecError(f"a model can't be {what} {word!r}", nearest(word, known))
    return word


def _usual(predictor: NetworkPredictor) -> Given:
    return "image" if predictor.schema.inputs == "image" else "placed"


def _write(
    form: Format, predictor: NetworkPredictor, path: Path, given: Given, answers: bool
) -> tuple[Engine, str]:  # fmt: skip
    """Write the file; what it says, as read back from it, and by which library."""
    if form == "torch-export":
        write_torch(predictor, path, given, answers=answers)
        module = torch.export.load(path).module()
        return module, f"torch {torch.__version__}"
    if form == "onnx":
        write_onnx(predictor, path, given, answers=answers)
        return _onnx(path)
    graph = path.with_suffix(".onnx")
    write_onnx(predictor, graph, given, answers=answers)
    try:
        openvino = quiet_openvino()
    except ModuleNotFoundError:
        raise MissingPart("openvino", "writing its files", "deploy") from None
    core = openvino.Core()
    openvino.save_model(core.read_model(graph), path, compress_to_fp16=False)
    for each in path.parent.glob(f"{graph.name}*"):
        each.unlink()
    compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return (
        lambda placed: [torch.from_numpy(each.copy()) for each in compiled(placed.numpy()).to_tuple()],
        f"openvino {openvino.__version__.partition('-')[0]}",
    )


def _onnx(path: Path) -> tuple[Engine, str]:
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise MissingPart("onnxruntime", "comparing ONNX files with the model", "deploy") from None
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return (
        lambda placed: [torch.from_numpy(each) for each in session.run(None, {name: placed.numpy()})],
        f"onnxruntime {onnxruntime.__version__}",
    )


# A file's tensors and the model's output for one sample, and the sample where it was given as it is: how far they are
# apart, how great they are, and whether they say the same.
Compared = Callable[[NetworkPredictor, list[Tensor], Any, np.ndarray | None], tuple[float, float, bool]]


def _alike(
    predictor: NetworkPredictor, answer: list[Tensor], output: Any, pixels: np.ndarray | None
) -> tuple[float, float, bool]:
    worst = greatest = 0.0
    same = True
    for one, other in zip(answer, pytree.tree_leaves(output), strict=True):
        worst, greatest = max(worst, float((one - other).abs().max())), max(greatest, float(other.abs().max()))
        same &= bool(one.argmax() == other.argmax())
    return worst, greatest, same


def _found_alike(
    predictor: NetworkPredictor, answer: list[Tensor], output: Any, pixels: np.ndarray | None
) -> tuple[float, float, bool]:
    """Each object that the model finds is held against the nearest one of its class in the file's answer."""
    assert isinstance(predictor.task, Detecting)
    (wanted,) = predictor.task.decode(output, predictor.schema)
    height, width = predictor.shape[1:]
    if pixels is not None:
        height, width = pixels.shape[:2]
        wanted = wanted.on(pixels, predictor.placement(height, width))
    boxes_T4, scores_T, labels_T = (each[0].double().numpy() for each in answer)
    sides_4, worst = np.array([width, height] * 2), 0.0
    for box_4, score, label in zip(wanted.xyxy, wanted.scores, wanted.labels, strict=True):
        apart_T = np.maximum(np.abs((boxes_T4 - box_4) / sides_4).max(1), np.abs(scores_T - score))
        worst = max(worst, float(np.where(labels_T == label, apart_T, 1.0).min(initial=1.0)))
    shown = (boxes_T4[:, 2:] > boxes_T4[:, :2]).all(1) & (scores_T >= predictor.task.threshold) & (scores_T > 0)
    return worst, 1.0, sorted(labels_T[shown].tolist()) == sorted(wanted.labels.tolist())


def _parity(
    predictor: NetworkPredictor, engine: Engine, samples: Samples, form: Format, given: Given, name: str, reader: str,
    compared: Compared,
) -> Parity:  # fmt: skip
    """One sample after the other, each of its own size."""
    greatest = worst = 0.0
    same = count = 0
    for row in range(len(samples)):
        try:
            found = samples.read(row)
            value = found.pixels if isinstance(found, Picture) else found
            placed = predictor.looked_at(predictor.place(value)[None])
        except UnreadableImage:
            continue
        output = predictor.network_outputs(placed)
        with torch.inference_mode():
            answer = pytree.tree_leaves(engine(_image(predictor, value) if given == "image" else placed))
        apart, great, agreed = compared(predictor, answer, output, value if given == "image" else None)
        worst, greatest = max(worst, apart), max(greatest, great)
        same, count = same + agreed, count + 1
    if not count:
        raise ModelError(f"none of the samples of {name} can be read", "name others: --data FOLDER")
    return Parity(form, given, name, count, worst / max(greatest, 1e-12), same / count, reader)


def _image(predictor: NetworkPredictor, pixels: np.ndarray) -> Tensor:
    """An image with as many channels as the network takes: 1×H×W×C uint8."""
    return as_tensor(to_channels(pixels, predictor.shape[0]))[None]
