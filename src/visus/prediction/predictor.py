"""From an image to a prediction: what all predictors have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils import _pytree as pytree

from visus.data.image import Source, printable, read_pixels
from visus.data.preprocess import Placement
from visus.data.types import Schema, Target
from visus.errors import DataError, ModelError, UnreadableImage, require_count
from visus.prediction.manifest import Manifest
from visus.tasks import AnyTask, Prediction


class Engine(Protocol):
    """Placed inputs, N×C×H×W uint8 or N×F float32 → a network's output, as the network itself gives it."""

    def __call__(self, placed: Tensor) -> Any: ...


class Predictor(ABC):
    """What says something of an image or a vector: a network with its preprocessing, or several of them as one.

    predictor("cat.jpg") → a prediction; predictor(["a.jpg", "b.jpg"]) → a list of them.

    A predictor works in two steps: `place` makes an input of 8-bit pixels out of one image, which may be kept, and
    `outputs` says what many of those mean. It is what evaluation measures, whatever is inside.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest

    def __repr__(self) -> str:
        """One line: what is inside, and how much it tells apart."""
        schema = self.schema
        answers = f"{len(schema.labels)} classes" if schema.labels else ", ".join(schema.values[:3])
        if schema.targets == ("mask",):
            answers = f"{len(schema.masks)} classes of pixels"
        return f"{type(self).__name__}({self._inside()}; {answers or 'no names'})"

    @abstractmethod
    def _inside(self) -> str:
        """What is inside, in a few words."""

    @property
    def task(self) -> AnyTask:
        """How its outputs are read and measured."""
        return self.manifest.task

    @property
    def schema(self) -> Schema:
        """What its inputs and answers are."""
        return self.manifest.schema

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where it computes."""

    @abstractmethod
    def digest(self) -> str:
        """A hash of all that its answers come from: weights, preprocessing, labels, views, members."""

    @property
    @abstractmethod
    def looks(self) -> int:
        """How often it looks at each image."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of a placed input, which is uint8 for images and float32 for vectors; of a window where images stay whole."""

    @property
    @abstractmethod
    def whole(self) -> bool:
        """Whether placed inputs are whole images, of sizes of their own; then they are looked at one by one."""

    @property
    def eight_bits(self) -> bool:
        """Whether it takes images of 8 bits alone, and none of other values, as noise gives them."""
        return False

    @abstractmethod
    def place(self, value: np.ndarray) -> Tensor:
        """H×W×C uint8 or F float32 → one placed input. Raises UnreadableImage, and DataError for the other kind."""

    @abstractmethod
    def place_many(self, block: Tensor) -> Tensor:
        """N values of one size → N placed inputs."""

    @abstractmethod
    def place_target(self, target: Target, height: int, width: int) -> Target:
        """The target of an image of height×width, in the coordinates of the outputs."""

    @abstractmethod
    def placement(self, height: int, width: int) -> Placement:
        """Where an image's pixels are in the coordinates of the outputs."""

    @abstractmethod
    def outputs(self, placed: Tensor) -> Any:
        """The output of the task for N placed inputs, on the predictor's device."""

    def portion(self, batch: int) -> int:
        """How many images are looked at in one go, for `batch` inputs at a time. Raises SpecError."""
        require_count("batch", batch)
        return 1 if self.whole else max(1, batch // self.looks)

    def decode_predictions(self, output: Any, top: int = 5) -> list[list[tuple[str, float]]]:
        """What `outputs` gave, or a network's `predict`, in words: the `top` most probable classes of each image, with
        their probabilities.

        x = predictor.preprocess("cat.jpg"); predictor.decode_predictions(predictor.predict(x))
        output: N×K scores. Raises ModelError where no classes are named, and DataError for what is no such output.
        """
        count = len(self.schema.labels)
        if not count:
            raise ModelError("this model doesn't name classes", "call the predictor itself")
        if not isinstance(output, Tensor) or output.ndim != 2 or output.shape[1] != count:
            raise DataError(
                f"the scores of {count} classes can't be {described(output)}",
                f"give a tensor of N×{count}, as predict and outputs give it",
            )
        found: Sequence[Any] = self.task.decode(output, self.schema)
        return [each.top(top) for each in found]

    @overload
    def __call__(self, source: Source, batch: int = 64) -> Any: ...

    @overload
    def __call__(self, source: list[Any], batch: int = 64) -> list[Any]: ...

    def __call__(self, source: Source | list[Any], batch: int = 64) -> Any:
        """One prediction for one source, a list for a list.

        A source is a file name, an encoded image's bytes, a Pillow image, an H×W or H×W×C uint8 array, or a vector of
        F numbers. Raises UnreadableImage for the first that can't be read, and DataError for what is no source.
        """
        if not isinstance(source, list | tuple):
            return self([source])[0]
        found = []
        for _, prediction in self.stream(source, batch):
            if isinstance(prediction, UnreadableImage):
                raise prediction
            found.append(prediction)
        return found

    def stream(
        self, sources: Iterable[Source], batch: int = 64
    ) -> Iterator[tuple[Source, Prediction | UnreadableImage]]:
        """Predictions in the order of the sources, batch by batch; one that can't be read yields its error instead.

        batch: inputs at a time; of images that are looked at often there are fewer. Raises SpecError under 1.
        """
        waiting, portion = iter(sources), self.portion(batch)
        while some := list(islice(waiting, portion)):
            read = [self._read(source) for source in some]
            good = [each for each in read if not isinstance(each, UnreadableImage)]
            predictions = iter(self._predict(good) if good else ())
            for source, each in zip(some, read, strict=True):
                yield source, each if isinstance(each, UnreadableImage) else next(predictions)

    def _predict(self, read: Sequence[tuple[np.ndarray, Tensor]]) -> list[Prediction]:
        outputs = self.outputs(torch.stack([tensor for _, tensor in read]))
        found: Sequence[Any] = self.task.decode(outputs, self.schema)
        if self.schema.inputs == "vector":
            return list(found)
        return [
            prediction.on(pixels, self.placement(*pixels.shape[:2]))
            for prediction, (pixels, _) in zip(found, read, strict=True)
        ]

    def _read(self, source: Source) -> tuple[np.ndarray, Tensor] | UnreadableImage:
        """What was read, and the same placed."""
        try:
            value = read_source(source, self.schema)
            return value, self.place(value)
        except UnreadableImage as problem:
            name = printable(source) if isinstance(source, (str, Path)) else problem.name
            return UnreadableImage(name, problem.cause, problem.remedy)


def numbers_of(output: Any) -> tuple[float, ...]:
    """All numbers of an output, in order."""
    leaves = [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)]
    return tuple(number for leaf in leaves for number in leaf.float().flatten().tolist())


def read_source(source: Source, schema: Schema) -> np.ndarray:
    """H×W×C uint8 pixels, or F float32 values. Raises UnreadableImage, and DataError for the wrong kind of array."""
    if schema.inputs == "image":
        return read_pixels(source)
    value = np.asarray(source, np.float32) if isinstance(source, np.ndarray) else None
    if value is None or value.shape != schema.shape:
        given = "a file or image" if isinstance(source, str | Path | bytes | Image.Image) else described(source)
        raise DataError(f"this model takes vectors of {schema.shape[0]} numbers, not {given}")
    return value


def described(value: object) -> str:
    """What was given, in a few words: "a tensor of 3×224×224 uint8"."""
    if not isinstance(value, Tensor | np.ndarray):
        return f"something of the type {type(value).__name__}"
    kind = "a tensor" if isinstance(value, Tensor) else "an array"
    return f"{kind} of {'×'.join(map(str, value.shape)) or 'one'} {str(value.dtype).removeprefix('torch.')}"
