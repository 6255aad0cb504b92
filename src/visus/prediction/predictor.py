"""From an image to a prediction, the way the model was trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from visus.data.image import decode, from_pillow, printable, read_bytes
from visus.data.preprocess import ImagePreprocess, Preprocess
from visus.data.types import Schema
from visus.errors import DataError, UnreadableImage
from visus.tasks import AnyTask, Prediction

if TYPE_CHECKING:
    from visus.prediction.bundle import Manifest

Source = str | Path | bytes | Image.Image | np.ndarray


class Predictor:
    """Weights, preprocessing, labels and thresholds in one callable.

    predictor("cat.jpg") → a prediction; predictor(["a.jpg", "b.jpg"]) → a list of them.
    """

    def __init__(
        self, task: AnyTask, schema: Schema, preprocess: Preprocess, model: nn.Module, manifest: Manifest | None = None
    ) -> None:
        self.task, self.schema, self.preprocess, self.model, self.manifest = task, schema, preprocess, model, manifest

    @overload
    def __call__(self, source: Source, batch: int = 64) -> Any: ...

    @overload
    def __call__(self, source: list[Any], batch: int = 64) -> list[Any]: ...

    def __call__(self, source: Source | list[Any], batch: int = 64) -> Any:
        """One prediction for one source, a list for a list.

        A source is a file name, an encoded image's bytes, a Pillow image, an H×W or H×W×C uint8 array, or a vector of
        F numbers. Raises UnreadableImage for the first that can't be read.
        """
        if isinstance(source, (str, Path, bytes, Image.Image, np.ndarray)):
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
        """Predictions in the order of the sources, batch by batch; one that can't be read yields its error instead."""
        waiting = iter(sources)
        while some := list(islice(waiting, batch)):
            read = [self._read(source) for source in some]
            good = [each for each in read if not isinstance(each, UnreadableImage)]
            predictions = iter(self._predict(good) if good else ())
            for source, each in zip(some, read, strict=True):
                yield source, each if isinstance(each, UnreadableImage) else next(predictions)

    def outputs(self, x: Tensor) -> Any:
        """The model's output for placed inputs: N×C×H×W uint8, or N×F."""
        device = next(self.model.parameters()).device
        with torch.inference_mode():
            return self.model(self.preprocess.normalize(x.to(device)))

    def _predict(self, read: Sequence[tuple[np.ndarray, Tensor]]) -> list[Prediction]:
        outputs = self.outputs(torch.stack([tensor for _, tensor in read]))
        found: Sequence[Any] = self.task.decode(outputs, self.schema)
        if not isinstance(self.preprocess, ImagePreprocess):
            return list(found)
        return [
            prediction.on(pixels, self.preprocess.placement(*pixels.shape[:2]))
            for prediction, (pixels, _) in zip(found, read, strict=True)
        ]

    def _read(self, source: Source) -> tuple[np.ndarray, Tensor] | UnreadableImage:
        """What was read, and the same placed."""
        try:
            value = read_source(source, self.preprocess)
            return value, placed(value, self.preprocess)
        except UnreadableImage as problem:
            name = printable(source) if isinstance(source, (str, Path)) else problem.name
            return UnreadableImage(name, problem.cause, problem.remedy)


def read_source(source: Source, preprocess: Preprocess) -> np.ndarray:
    """H×W×C uint8 pixels, or F float32 values. Raises UnreadableImage, and DataError for the wrong kind of array."""
    if isinstance(preprocess, ImagePreprocess):
        if isinstance(source, np.ndarray):
            pixels = source[..., None] if source.ndim == 2 else source
            if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
                raise DataError(
                    f"an image array is {source.dtype} {'×'.join(map(str, source.shape))}",
                    "give uint8 of H×W, H×W×1 or H×W×3",
                )
            return pixels
        if isinstance(source, Image.Image):
            return from_pillow(source)
        if isinstance(source, bytes):
            return decode(source).pixels
        return decode(read_bytes(Path(source)), printable(source)).pixels
    value = np.asarray(source, np.float32) if isinstance(source, np.ndarray) else None
    if value is None or value.shape != preprocess.shape:
        given = "a file or image" if value is None else f"an array of {'×'.join(map(str, value.shape))}"
        raise DataError(f"this model takes vectors of {preprocess.shape[0]} numbers, not {given}")
    return value


def placed(value: np.ndarray, preprocess: Preprocess) -> Tensor:
    """One input before normalisation: C×H×W uint8, or F float32."""
    return preprocess.place(value) if isinstance(preprocess, ImagePreprocess) else torch.from_numpy(value)
