"""What a bundle says of itself, in `visus.json`."""

from __future__ import annotations

import base64
import io
from typing import Annotated, Any

import msgspec
import numpy as np
from PIL import Image

from visus import __version__
from visus.data.image import decode
from visus.data.preprocess import Preprocess
from visus.data.types import Schema
from visus.data.views import Views
from visus.metrics import Score
from visus.models import Network
from visus.spec import Spec, Variant
from visus.tasks import AnyTask, How

FORMAT = 1
LONGEST_GOLDEN = 512  # pixels: larger golden images are made smaller, so that a bundle stays small


class Golden(Spec, frozen=True):
    """An input and what the predictor said of it when the bundle was made.

    image: a PNG file in base64; or vector: F numbers. output: the numbers of the predictor's output, in order; of many
    thousands a part.
    """

    output: tuple[float, ...] = ()
    image: str | None = None
    vector: tuple[float, ...] | None = None

    @staticmethod
    def of(value: np.ndarray) -> Golden:
        """Of H×W×C uint8 pixels, made smaller where they are many, or F float32 values; the answer is still to come."""
        if value.ndim == 1:
            return Golden(vector=tuple(value.tolist()))
        small = Image.fromarray(value if value.shape[2] == 3 else value[..., 0])
        small.thumbnail((LONGEST_GOLDEN, LONGEST_GOLDEN))
        file = io.BytesIO()
        small.save(file, "PNG")
        return Golden(image=base64.b64encode(file.getvalue()).decode())

    def value(self) -> np.ndarray:
        """H×W×C uint8 pixels, or F float32 values."""
        if self.image is None:
            return np.array(self.vector, np.float32)
        return decode(base64.b64decode(self.image)).pixels


class Manifest(Variant, frozen=True, kw_only=True):
    """What every predictor is, whatever it is made of.

    format: of this file. version: of Visus. schema: of the data, before preprocessing.
    split: which one the scores are of. fingerprint: of the data. recipe: the settings, `data` and `seed` among them;
    the last four are there where the predictor was made from data.
    """

    task: AnyTask
    schema: Schema
    format: int = FORMAT
    version: str = __version__
    split: str | None = None
    scores: dict[str, Score] = msgspec.field(default_factory=dict)
    fingerprint: str | None = None
    recipe: dict[str, Any] | None = None
    goldens: tuple[Golden, ...] = ()


class NetworkManifest(Manifest, frozen=True, kw_only=True, tag="network"):
    """Of one network. model: its name in the catalog. weights: the SHA-256 of the weights' file."""

    model: str
    network: Network
    preprocess: Preprocess
    weights: str = ""


class Member(Spec, frozen=True):
    """One predictor of a fusion. digest: the SHA-256 of its own `visus.json`, which has that of its weights.

    views: through which it sees each image; None: as it is.
    """

    name: str
    weight: Annotated[float, msgspec.Meta(ge=0)]
    views: Views | None = None
    digest: str = ""


class FusionManifest(Manifest, frozen=True, kw_only=True, tag="fusion"):
    """Of several predictors together, whose weights sum to 1.

    how: the mean over them is taken, and that over their views. fitted: the data and split that the weights were fitted
    on; None: they were given.
    """

    members: tuple[Member, ...]
    how: How = "arithmetic"
    fitted: str | None = None
