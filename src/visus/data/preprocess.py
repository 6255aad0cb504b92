"""The one definition of preprocessing: in training, evaluation, prediction and exported graphs alike.

It has two halves. `place` is geometry on 8-bit pixels (channels, resize, crop) and yields 8-bit pixels, which can be
kept in memory; `normalize` is arithmetic on whole batches, on the device. Vectors only have the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor

from visus.data.image import to_channels
from visus.data.types import VOID, Boxes, Schema, Target
from visus.errors import UnreadableImage
from visus.ops.resize import Interpolation, resize
from visus.spec import Variant

LARGEST = 1 << 22  # pixels: up to that many any image may be resized to before it is cut
THINNEST = 64  # times the input's area: what an image may grow to before the middle is cut out
Side = Annotated[int, msgspec.Meta(ge=1, le=16384)]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an image's pixels went: x' = x·scale_x + left, y' = y·scale_y + top, in a frame of height×width."""

    scale_x: float
    scale_y: float
    left: float
    top: float
    height: int
    width: int

    def boxes(self, xyxy: np.ndarray) -> np.ndarray:
        """M×4 boxes of the original image, in the frame and clipped to it."""
        scale = np.array([self.scale_x, self.scale_y] * 2, np.float32)
        offset = np.array([self.left, self.top] * 2, np.float32)
        limit = np.array([self.width, self.height] * 2, np.float32)
        return np.asarray(np.clip(xyxy * scale + offset, 0, limit), np.float32)

    def original(self, xyxy: np.ndarray) -> np.ndarray:
        """M×4 boxes of the frame, in pixels of the original image."""
        scale = np.array([self.scale_x, self.scale_y] * 2, np.float32)
        offset = np.array([self.left, self.top] * 2, np.float32)
        return np.asarray((xyxy - offset) / scale, np.float32)


class ImagePreprocess(Variant, frozen=True, tag="image"):
    """How an image becomes the network's input.

    size: height, width of the input. channels: 1 (grey) or 3 (RGB).
    fit: how the image meets that size:
        "crop": the shorter side is resized to size / `crop`, then the middle is cut out (photographs; often 0.875);
        "stretch": resized to the size, its proportions lost;
        "pad": resized to fit inside, the rest filled;
        "center": not resized; cut or filled on all sides alike (28×28 digits for a 32×32 network).
    crop: the share of the resized image that is kept (see "crop"). interpolation: of the resizing, antialiased unless
    "nearest". fill: the value, 0…255, of pixels that are filled in. order: of the colours as the network takes them.
    mean, std: per channel in that order, of pixel values in 0…1.
    """

    size: tuple[Side, Side]
    channels: Literal[1, 3] = 3
    fit: Literal["crop", "stretch", "pad", "center"] = "crop"
    crop: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"
    fill: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0
    order: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, ...] = (0.5,)
    std: tuple[Annotated[float, msgspec.Meta(gt=0)], ...] = (0.5,)

    @property
    def shape(self) -> tuple[int, ...]:
        """C×H×W of the network's input."""
        return (self.channels, *self.size)

    def placement(self, height: int, width: int) -> Placement:
        """Where the pixels of an image of this size go."""
        (rows, columns), (out_h, out_w) = self._resized(height, width), self.size
        # torchvision's rounding of the middle, so that published weights see the pixels that they were trained on
        top, left = -round((rows - out_h) / 2.0), -round((columns - out_w) / 2.0)
        return Placement(columns / width, rows / height, left, top, out_h, out_w)

    def place(self, pixels: np.ndarray) -> Tensor:
        """H×W×C uint8 → C×size uint8. Raises UnreadableImage for an image that is too thin to be cut."""
        own = np.require(to_channels(pixels, self.channels), requirements=["C", "W"])  # torch wants to be able to write
        return self.place_many(torch.from_numpy(own)[None])[0]

    def place_many(self, x_NHWC: Tensor) -> Tensor:
        """N×H×W×C uint8, images of one size → N×C×size uint8."""
        if x_NHWC.shape[3] != self.channels:
            x_NHWC = torch.from_numpy(np.stack([to_channels(pixels, self.channels) for pixels in x_NHWC.numpy()]))
        return self._frame(x_NHWC.permute(0, 3, 1, 2), self.interpolation, self.fill)

    def place_target(self, target: Target, height: int, width: int) -> Target:
        """The target of an image of height×width, moved with its pixels."""
        changes: dict[str, object] = {}
        if target.boxes is not None:
            masks = target.boxes.masks
            moved = None if masks is None else self._mask(masks.astype(np.uint8), 0).astype(bool)
            xyxy = self.placement(height, width).boxes(target.boxes.xyxy)
            changes["boxes"] = Boxes(xyxy, target.boxes.labels, moved, target.boxes.phrases)
        if target.mask is not None:
            changes["mask"] = self._mask(target.mask[None], VOID)[0]
        if target.image is not None:
            changes["image"] = self.place(target.image).permute(1, 2, 0).numpy()
        if not changes:
            return target
        kept = {name: getattr(target, name) for name in ("label", "labels", "values", "captions")}
        kept |= {name: getattr(target, name) for name in ("boxes", "mask", "image")} | changes
        return Target(**kept)

    def normalize(self, x_NCHW: Tensor) -> Tensor:
        """N×C×H×W uint8 RGB → float32, (value/255 − mean)/std, channel by channel in the network's order."""
        if self.order == "bgr":
            x_NCHW = x_NCHW.flip(1)
        mean = torch.tensor(self.mean, device=x_NCHW.device).view(-1, 1, 1) * 255
        scale = 1 / (torch.tensor(self.std, device=x_NCHW.device).view(-1, 1, 1) * 255)
        return (x_NCHW.float() - mean) * scale

    def denormalize(self, x_NCHW: Tensor) -> Tensor:
        """The inverse of `normalize`, rounded to uint8: what the network saw, to look at."""
        mean, std = (torch.tensor(each, device=x_NCHW.device).view(-1, 1, 1) for each in (self.mean, self.std))
        seen = ((x_NCHW * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)
        return seen.flip(1) if self.order == "bgr" else seen

    def seen(self, schema: Schema) -> Schema:
        """The schema as the network sees it."""
        return replace(schema, shape=self.shape)

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        out_h, out_w = self.size
        if self.fit == "center":
            return height, width
        if self.fit == "stretch":
            return out_h, out_w
        if self.fit == "pad":
            scale = min(out_h / height, out_w / width)
            return max(1, min(out_h, round(height * scale))), max(1, min(out_w, round(width * scale)))
        want_h, want_w = int(out_h / self.crop), int(out_w / self.crop)
        if want_h * width >= want_w * height:  # the image is the wider one: its height decides
            return want_h, max(want_w, int(want_h * width / height))
        return max(want_h, int(want_w * height / width)), want_w

    def _frame(self, x_NCHW: Tensor, interpolation: Interpolation, fill: int) -> Tensor:
        height, width = x_NCHW.shape[-2:]
        where = self.placement(height, width)
        resized = self._resized(height, width)
        if resized[0] * resized[1] > max(THINNEST * self.size[0] * self.size[1], LARGEST, height * width):
            cause = f"is {width}×{height} pixels, too thin to be resized and cut to {self.size[1]}×{self.size[0]}"
            raise UnreadableImage("image", cause, "leave it out, or --set preprocess.fit=pad")
        x_NCHW = resize(x_NCHW, resized, interpolation)
        top, left = int(where.top), int(where.left)
        cut = x_NCHW[..., max(0, -top) : max(0, -top) + self.size[0], max(0, -left) : max(0, -left) + self.size[1]]
        if cut.shape[-2:] == self.size:
            return cut
        frame = x_NCHW.new_full((*x_NCHW.shape[:2], *self.size), fill)
        frame[..., max(0, top) : max(0, top) + cut.shape[-2], max(0, left) : max(0, left) + cut.shape[-1]] = cut
        return frame

    def _mask(self, mask_NHW: np.ndarray, fill: int) -> np.ndarray:
        return self._frame(torch.from_numpy(np.ascontiguousarray(mask_NHW))[None], "nearest", fill)[0].numpy()


class VectorPreprocess(Variant, frozen=True, tag="vector"):
    """How a vector becomes the network's input: (value − mean)/std, feature by feature.

    Constant features have std 1.
    """

    mean: tuple[float, ...]
    std: tuple[Annotated[float, msgspec.Meta(gt=0)], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """(F,) of the network's input."""
        return (len(self.mean),)

    def normalize(self, x_NF: Tensor) -> Tensor:
        """N×F float → float32."""
        mean, std = (torch.tensor(each, device=x_NF.device) for each in (self.mean, self.std))
        return (x_NF.float() - mean) / std

    def seen(self, schema: Schema) -> Schema:
        """The schema as the network sees it."""
        return replace(schema, shape=self.shape)


Preprocess = ImagePreprocess | VectorPreprocess
