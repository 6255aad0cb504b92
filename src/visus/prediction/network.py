"""Predictors of one network: as it was trained, and through several views."""

from __future__ import annotations

import hashlib
from math import prod
from typing import Any, final

import msgspec
import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor, nn

from visus.data.preprocess import ImagePreprocess, Placement, Preprocess, as_tensor
from visus.data.types import Target
from visus.data.views import NAMED, Views
from visus.errors import DataError, SpecError
from visus.ops.tiles import tiled, window
from visus.prediction.manifest import NetworkManifest
from visus.prediction.predictor import Engine, Predictor, described
from visus.tasks import How


@final
class NetworkPredictor(Predictor):
    """Weights, preprocessing, labels and thresholds in one callable.

    precision: of the network's arithmetic. engine: what computes its outputs; None: the network itself, in PyTorch.
    """

    manifest: NetworkManifest

    def __init__(
        self,
        manifest: NetworkManifest,
        model: nn.Module,
        precision: torch.dtype = torch.float32,
        engine: Engine | None = None,
    ) -> None:
        super().__init__(manifest)
        self.model, self.precision, self.engine = model, precision, engine

    def _inside(self) -> str:
        return f"{self.manifest.model}, input {'×'.join(map(str, self.shape))}"

    @property
    def preprocess(self) -> Preprocess:
        """From an image or vector to the network's input."""
        return self.manifest.preprocess

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def digest(self) -> str:
        told = replace(self.manifest, weights="", goldens=(), scores={}, recipe=None, fingerprint=None, split=None)
        total = hashlib.blake2b(msgspec.json.encode((told, str(self.precision))), digest_size=16)
        for name, tensor in sorted(self.model.state_dict().items()):
            total.update(name.encode() + bytes(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy()))
        return total.hexdigest()

    @property
    def looks(self) -> int:
        return 1

    @property
    def shape(self) -> tuple[int, ...]:
        return self.preprocess.shape

    @property
    def whole(self) -> bool:
        return self.preprocess.whole

    @property
    def eight_bits(self) -> bool:
        return self.engine is not None and len(self.shape) == 3

    def place(self, value: np.ndarray) -> Tensor:
        return self.preprocess.place(value)

    def place_many(self, block: Tensor) -> Tensor:
        return self.preprocess.place_many(block)

    def place_target(self, target: Target, height: int, width: int) -> Target:
        return self.preprocess.place_target(target, height, width)

    def placement(self, height: int, width: int) -> Placement:
        assert isinstance(self.preprocess, ImagePreprocess)
        return self.preprocess.placement(height, width)

    def outputs(self, placed: Tensor) -> Any:
        """The network's output for N×C×H×W uint8, or N×F float32, by whatever engine is the fastest here.

        Of whole images it is put together from windows. Raises ModelError where it isn't an answer for every pixel.
        """
        run = self.network_outputs if self.engine is None else self.engine
        if self.eight_bits:
            placed = placed.to(torch.uint8)
        if not self.whole:
            return run(placed)
        assert isinstance(self.preprocess, ImagePreprocess)
        return tiled(run, placed, self.preprocess.size, self.preprocess.margin)

    def looked_at(self, placed: Tensor) -> Tensor:
        """What the network itself gets of placed inputs: all of them, or the first window of each whole image."""
        if not self.whole:
            return placed
        assert isinstance(self.preprocess, ImagePreprocess)
        return window(placed, -self.preprocess.margin, -self.preprocess.margin, self.preprocess.size)

    def network_outputs(self, placed: Tensor) -> Any:
        """The same by the network itself, in PyTorch: what all engines are held to."""
        return self.predict(self.preprocess.normalize(placed.to(self.device)))

    def predict(self, x: Tensor) -> Any:
        """The network's output for what `preprocess` made: N×C×H×W or N×F float32 → N×K scores of a classifier.

        Raises DataError for what is no such tensor.
        """
        if not isinstance(x, Tensor) or x.ndim != len(self.shape) + 1 or not x.is_floating_point():
            wanted = "×".join(("N", *map(str, self.shape)))
            raise DataError(
                f"a network's input can't be {described(x)}", f"give a float tensor of {wanted}, as preprocess makes it"
            )
        device = self.device
        with (
            torch.inference_mode(),
            torch.autocast(device.type, self.precision, enabled=self.precision != torch.float32),
        ):
            return self.model(x.to(device))


@final
class Viewed(Predictor):
    """A network that looks at each image several times; what it says is averaged.

    Raises SpecError for vectors, and where the views are all alike since they show all of an image.
    """

    manifest: NetworkManifest

    def __init__(self, network: NetworkPredictor, views: Views, how: How = "arithmetic") -> None:
        super().__init__(network.manifest)
        self.network, self.views, self.how = network, views, how
        self._each = views.each()
        if not isinstance(network.preprocess, ImagePreprocess):
            raise SpecError("views are of images, and this network takes vectors", "leave the views out")
        if network.whole:
            raise SpecError("this network sees whole images window by window already", "leave the views out")
        self._preprocess = network.preprocess
        self._refuse_alike()

    def _inside(self) -> str:
        return f"{self.manifest.model}, {self.looks} views"

    @property
    def device(self) -> torch.device:
        return self.network.device

    def digest(self) -> str:
        told = msgspec.json.encode((self.network.digest(), self.views, self.how))
        return hashlib.blake2b(told, digest_size=16).hexdigest()

    @property
    def looks(self) -> int:
        return len(self._each)

    @property
    def shape(self) -> tuple[int, ...]:
        """V×C×H×W."""
        return (len(self._each), *self._preprocess.shape)

    @property
    def whole(self) -> bool:
        return False

    def place(self, value: np.ndarray) -> Tensor:
        return self.place_many(as_tensor(value)[None])[0]

    def place_many(self, block: Tensor) -> Tensor:
        return self._preprocess.place_views(block, self._each)

    def place_target(self, target: Target, height: int, width: int) -> Target:
        return target  # what can be averaged over views has no place in them

    def placement(self, height: int, width: int) -> Placement:
        return Placement(1, 1, 0, 0, height, width)

    def outputs(self, placed: Tensor) -> Any:
        views = len(self._each)
        found = self.network.outputs(placed.flatten(0, 1)).unflatten(0, (-1, views)).unbind(1)
        return self.task.fuse(found, torch.full((views,), 1 / views), self.how, self.schema)

    def _refuse_alike(self) -> None:
        """Crops that show the same of every image cost time and tell nothing."""
        if self.views.crops == "center":
            return
        height, width = self._preprocess.size
        known = self.schema.shape[1:]
        shapes = [known] if prod(known) else [(3 * height, 3 * width), (3 * height, 4 * width), (4 * height, 3 * width)]
        for rows, columns in shapes:
            seen = {self._preprocess.placement(rows, columns, view) for view in self._each}
            if len(seen) > len(set(self.views.scales)):
                return
        named = next((name for name, views in NAMED.items() if views == self.views), self.views.crops)
        raise SpecError(
            f"the crops of the views {named!r} are all alike: at this scale the network sees all that there is",
            "look more closely, with --scales 1.15, or leave the crops out",
        )
