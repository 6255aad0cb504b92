"""A predictor as a graph for other programs: from images or placed inputs to the numbers of its output, in one file."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeGuard

import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.utils import _pytree as pytree

from visus.data.framing import framed, unframed
from visus.data.preprocess import ImagePreprocess, Preprocess
from visus.errors import MissingPart, SpecError
from visus.nn import Proposing
from visus.prediction.network import NetworkPredictor
from visus.spec import tree
from visus.tasks import Detecting

Given = Literal["placed", "image"]
INPUT = "input"
EXAMPLE = 2  # inputs that a network is traced with: of one, an exporter takes the number for a constant
SIDES = (48, 64)  # of the images that it is traced with
LARGE = 1 << 30  # bytes of weights from which ONNX wants them in a file of their own


def require_graph(predictor: NetworkPredictor) -> None:
    """Raise SpecError where what a network does is no graph, so that no engine but PyTorch can do it."""
    if isinstance(predictor.model, Proposing):
        raise SpecError(
            "this model looks at regions which are found in each image step by step, and that is no graph",
            "predict with `visus predict`, which computes it as it is; or train with --task detect",
        )


class Graph(nn.Module):
    """A network with its preprocessing: inputs → the tensors of its output.

    given: "placed": N×C×H×W uint8, as resized and cut, or N×F float32; "image": N×H×W×C uint8, images of any one size.
    answers: of a detector what comes out are the objects that are found, with boxes in pixels of what was given; else
    it is the network's output.
    Raises SpecError for images where the network takes vectors, or windows of images, and for what is no graph.
    """

    def __init__(self, predictor: NetworkPredictor, given: Given = "placed", *, answers: bool = False) -> None:
        super().__init__()
        require_graph(predictor)
        self.task = predictor.task if answers and isinstance(predictor.task, Detecting) else None
        self.model, self.preprocess, self.given = predictor.model, predictor.preprocess, given
        if given == "image" and not isinstance(self.preprocess, ImagePreprocess):
            raise SpecError("this model takes vectors, not images", "--input placed")
        if given == "image" and self.preprocess.whole:
            raise SpecError("this model sees images window by window, and a graph takes one window", "--input placed")

    def forward(self, input: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.named(input).values())

    def named(self, input: Tensor) -> dict[str, Tensor]:
        """What comes out, by name."""
        preprocess = self.preprocess
        placed = framed(preprocess, input) if self._of_images(preprocess) else input
        output = self.model(preprocess.normalize(placed))
        if self.task is None:
            return {f"output{number}": each for number, each in enumerate(pytree.tree_leaves(output))}
        found = self.task.answered(output)
        if "boxes" in found and self._of_images(preprocess):
            found["boxes"] = unframed(preprocess, found["boxes"], input)
        return found

    def _of_images(self, preprocess: Preprocess) -> TypeGuard[ImagePreprocess]:
        return self.given == "image"

    @property
    def sizes(self) -> dict[str, Any]:
        """The sides of the input that may differ from those it is traced with."""
        sides = {1: Dim("height", min=2), 2: Dim("width", min=2)} if self.given == "image" else {}
        return {INPUT: {0: Dim("batch"), **sides}}


def example(predictor: NetworkPredictor, count: int = EXAMPLE, given: Given = "placed") -> Tensor:
    """Inputs of no meaning."""
    if predictor.schema.inputs == "vector":
        return torch.zeros(count, *predictor.shape)
    shape = (*SIDES, predictor.shape[0]) if given == "image" else predictor.shape
    return torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def structure(predictor: NetworkPredictor) -> pytree.TreeSpec:
    """How the tensors of an output belong together."""
    return pytree.tree_flatten(predictor.network_outputs(example(predictor, 1)))[1]


def write_onnx(
    predictor: NetworkPredictor, path: Path, given: Given = "placed", *, answers: bool = False
) -> None:  # fmt: skip
    """Write the graph as an ONNX file, which tells labels and preprocessing in its metadata. Raises MissingPart."""
    try:
        import onnxscript  # noqa: F401
    except ModuleNotFoundError:
        raise MissingPart("onnxscript", "writing ONNX files", "deploy") from None
    graph = Graph(predictor, given, answers=answers).eval().cpu()
    inputs = example(predictor, given=given)
    size = sum(tensor.numel() * tensor.element_size() for tensor in graph.state_dict().values())
    with _quiet():
        program: Any = torch.onnx.export(
            graph, (inputs,), dynamo=True, verbose=False, input_names=[INPUT],
            output_names=list(graph.named(inputs)), dynamic_shapes=graph.sizes,
        )  # fmt: skip
    program.model.metadata_props.update(description(predictor, given))
    program.save(path, external_data=size > LARGE)


def write_torch(
    predictor: NetworkPredictor, path: Path, given: Given = "placed", *, answers: bool = False
) -> None:  # fmt: skip
    """Write the graph as an exported program of PyTorch."""
    graph = Graph(predictor, given, answers=answers).eval().cpu()
    with _quiet():
        program = torch.export.export(graph, (example(predictor, given=given),), dynamic_shapes=graph.sizes)
        torch.export.save(program, path, extra_files=description(predictor, given))


def description(predictor: NetworkPredictor, given: Given) -> dict[str, str]:
    """What a file says of itself: JSON but for the names."""
    manifest = predictor.manifest
    return {
        "visus": manifest.version, "model": manifest.model, "given": given,
        "labels": json.dumps(manifest.schema.labels), "preprocess": json.dumps(tree(manifest.preprocess)),
        "task": json.dumps(tree(manifest.task)),
    }  # fmt: skip


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what exporters tell of their own parts."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
