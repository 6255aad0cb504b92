"""The image as it was."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec
import numpy as np
import torch
from msgspec.structs import replace as with_fields
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from visus.data.degrade import Degradation, require_ordered
from visus.data.image import EXTENSIONS, to_channels
from visus.data.preprocess import ImagePreprocess, Placement, Preprocess
from visus.data.types import Batch, Schema, Targets
from visus.errors import DataError, ModelError, SpecError
from visus.files import write_atomic
from visus.metrics import RestorationMeter, squared_error
from visus.models import Network
from visus.models.decoders import UNetDecoder
from visus.models.dncnn import Straight
from visus.nn.restorer import Restorer
from visus.spec import Variant
from visus.tasks.base import Case, How, exact
from visus.training import Player

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SLIGHT = 1e-3  # of pixels 0…1: differences under it count by their square in Charbonnier's loss


def _charbonnier(found: Tensor, wanted: Tensor) -> Tensor:
    """√(d² + ε²), which is |d| without a corner (Charbonnier et al. 1994, doi:10.1109/ICIP.1994.413553)."""
    return (found - wanted).square().add(SLIGHT**2).sqrt().mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": F.mse_loss, "l1": F.l1_loss, "charbonnier": _charbonnier,
}  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class Restoration:
    """A restored image, H×W×C uint8, of the size of the one that was given; C is the network's, 1 or 3."""

    restored: np.ndarray
    image: np.ndarray | None = None

    def __repr__(self) -> str:
        return f"Restoration({self.text()})"

    @property
    def change(self) -> float | None:
        """The root mean square of what was changed, in values 0…255; None where the image isn't known."""
        if self.image is None:
            return None
        before = to_channels(self.image, self.restored.shape[2])
        return float(np.sqrt(np.square(self.restored.astype(np.float64) - before).mean()))

    def row(self) -> dict[str, Any]:
        height, width, channels = self.restored.shape
        return {"width": width, "height": height, "channels": channels, "change": self.change}

    def text(self) -> str:
        height, width, _ = self.restored.shape
        return f"{width}×{height} restored" + ("" if self.change is None else f", changed by {self.change:.1f} of 255")

    def plot(self, title: str = "Prediction") -> Figure:
        from visus import viz

        images = [self.restored] if self.image is None else [self.image, self.restored]
        return viz.close_up([images], [self.text()], ["before", "after"][-len(images) :], title)

    def save(self, path: str | Path) -> Path:
        """Write the image as a file of the kind that its name ends with. Raises SpecError for one that isn't known."""
        path = Path(path)
        if path.suffix.lower() not in EXTENSIONS:
            raise SpecError(f"{path}: isn't the name of an image file", "end it in .png, or .jpg, .webp, .tif, .bmp")
        pixels, file = self.restored, io.BytesIO()
        kind = Image.registered_extensions()[path.suffix.lower()]
        Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0]).save(file, kind)
        return write_atomic(path, file.getvalue())

    def on(self, image: np.ndarray, placement: Placement) -> Restoration:
        return replace(self, image=image)


class Restore(Variant, frozen=True, tag="restore"):
    """Images as they were before they were made worse: from pairs of images, or clean ones and what is done to them.

    degrade: what is done to clean images, in this order: in training anew each time, in measuring always the same way.
    loss: of pixels 0…1: the mean square, the mean size, or Charbonnier's mixture of both. residual: whether the network
    gives what is to be taken away (Zhang et al. 2017, arXiv:1608.03981), or the image itself. decoder: from the
    network's maps to pixels; None: straight from the last one where all have one resolution, else a U-Net's.
    mean, std, order: the preprocessing's, found there; the network undoes it in the end.
    """

    degrade: tuple[Degradation, ...] = ()
    loss: Literal["mse", "l1", "charbonnier"] = "mse"
    residual: bool = True
    decoder: Straight | UNetDecoder | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[Annotated[float, msgspec.Meta(gt=0)], ...] | None = None
    order: Literal["rgb", "bgr"] = "rgb"
    needs: ClassVar[tuple[tuple[str, ...], ...]] = (("image",), ())
    exact: ClassVar[bool] = False
    windows: ClassVar[bool] = True

    def goal(self, schema: Schema) -> str:
        return "psnr"

    def fitted(self, schema: Schema, targets: Targets) -> Restore:
        require_ordered(self.degrade)
        if "image" in schema.targets and self.degrade:
            raise SpecError("the data are pairs already, and task.degrade would change them", "leave task.degrade out")
        if "image" not in schema.targets and not self.degrade:
            raise DataError(
                "restoration needs pairs of images, or clean ones and what is done to them",
                """--set 'task.degrade=[{kind="noise", sigma=25}]'""",
            )
        return self

    @property
    def copies(self) -> bool:
        """Whether clean images are made worse; else the data are pairs."""
        return bool(self.degrade)

    def scaled(self, preprocess: Preprocess) -> Restore:
        """The task with the scale of the network's input filled in. Raises DataError for vectors."""
        if not isinstance(preprocess, ImagePreprocess):
            raise DataError(
                "restoration is about images, and the data are vectors", "name another --task, or other data"
            )
        return with_fields(self, mean=preprocess.mean, std=preprocess.std, order=preprocess.order)

    def assemble(self, network: Network, schema: Schema) -> nn.Module:
        if self.mean is None or self.std is None:
            raise DataError("restoration needs the mean and std of the preprocessing", "call `scaled` first")
        if len(schema.shape) != 3:
            raise ModelError("restoration takes images, and the data are vectors")
        with torch.device("meta"):
            backbone = network.build(schema.shape)
        if backbone.grid is not None:
            raise ModelError(
                "this network cuts images into a fixed grid of patches, and restoration learns from other sizes",
                "another --model, such as dncnn or resnet18",
            )
        straight = len(set(backbone.strides)) == 1
        decoder = self.decoder or (Straight() if straight else UNetDecoder())
        inner = decoder.build(network, schema.shape, schema.shape[0])
        return Restorer(
            inner, residual=self.residual, multiple=max(backbone.strides), mean=self.mean, std=self.std,
            reverse=self.order == "bgr",
        )  # fmt: skip

    def players(self, model: nn.Module) -> tuple[Player, ...]:
        measure = LOSSES[self.loss]

        def loss(batch: Batch) -> dict[str, Tensor]:
            assert batch.target.image is not None
            return {self.loss: measure(model(batch.inputs), batch.target.image.float() / 255)}

        return (Player.of("restorer", model, loss),)

    def calibrate(self, model: nn.Module, batches: Iterable[Batch], held: Iterable[Batch]) -> None:
        return

    def decode(self, output: Tensor, schema: Schema) -> list[Restoration]:
        pixels_NHWC = _pixels(output).permute(0, 2, 3, 1).to(torch.uint8).cpu().numpy()
        return [Restoration(np.ascontiguousarray(each)) for each in pixels_NHWC]

    def meter(self, schema: Schema) -> RestorationMeter:
        return RestorationMeter()

    def measure(self, meter: RestorationMeter, output: Tensor, target: Targets) -> None:
        assert target.image is not None
        meter.update(_pixels(output), target.image.to(output.device))

    def errors(self, output: Tensor, target: Targets) -> Tensor:
        """Mean squared errors of pixels 0…1."""
        assert target.image is not None
        return squared_error(exact(output), target.image.to(output.device) / 255)

    def fuse(self, outputs: Sequence[Tensor], weights: Tensor, how: How, schema: Schema) -> Tensor:
        if how == "geometric":
            raise SpecError("how is 'geometric', and pixels have no probabilities", "use 'arithmetic'")
        values_MNCHW = exact(torch.stack(tuple(outputs)))
        return (weights.to(values_MNCHW).view(-1, 1, 1, 1, 1) * values_MNCHW).sum(0)

    def draw(
        self, meter: RestorationMeter, worst: Sequence[Case], some: Sequence[Case], schema: Schema
    ) -> dict[str, Figure]:
        from visus import viz

        drawn: dict[str, Figure] = {}
        for name, title, cases in (("worst", "The worst errors", worst), ("samples", "Restored", some)):
            shown = [case for case in cases if case.image is not None and case.target.image is not None][:6]
            if shown:
                drawn[name] = viz.close_up(
                    [[case.image, case.prediction.restored, case.target.image] for case in shown],  # type: ignore[attr-defined, list-item]
                    [case.name for case in shown], ("before", "after", "wanted"), title,
                )  # fmt: skip
        return drawn


def _pixels(output: Tensor) -> Tensor:
    """Of pixels 0…1 values 0…255, rounded as a file has them."""
    return (output.float() * 255).round().clamp(0, 255)
