"""The one definition of preprocessing: in training, evaluation, prediction and exported graphs alike.

It has two halves. `place` is geometry on 8-bit pixels (channels, resize, crop) and yields 8-bit pixels, which can be
kept in memory; `normalize` is arithmetic on whole batches, on the device. Vectors only have the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from typing import Annotated, Any, Literal, Protocol

import msgspec
import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor

from visus.data.image import Source, read_pixels, to_channels
from visus.data.types import VOID, Boxes, Schema, Target
from visus.data.views import MIDDLE, View
from visus.errors import DataError, SpecError, UnreadableImage
from visus.ops.resize import Interpolation, resize
from visus.spec import Variant

LARGEST = 1 << 22  # pixels: up to that many any image may be resized to before it is cut
THINNEST = 64  # times the input's area: what an image may grow to before the middle is cut out
MARGIN = 32  # pixels: a multiple of the strides of all usual networks
ORDINARY = View()
Side = Annotated[int, msgspec.Meta(ge=1, le=16384)]


class Placing(Protocol):
    """What makes inputs out of pixels or numbers: the first half of preprocessing, for one network or for several."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a placed input, which is uint8 for images and float32 for vectors; of a window where images stay whole."""

    @property
    def whole(self) -> bool:
        """Whether placed inputs are whole images, of sizes of their own."""

    def place(self, value: np.ndarray) -> Tensor:
        """H×W×C uint8 or F float32 → one placed input. Raises UnreadableImage, and DataError for the other kind."""

    def place_many(self, block: Tensor) -> Tensor:
        """N values of one size → N placed inputs."""

    def place_target(self, target: Target, height: int, width: int) -> Target:
        """The target of an image of height×width, moved with its pixels."""


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
        "center": not resized; cut or filled on all sides alike (28×28 digits for a 32×32 network);
        "tile": neither resized nor cut; the network learns from windows of that size at random places, and answers for
        images of any size window by window. For tasks with an answer for every pixel.
    margin: of a window, the pixels at each edge that only show its core what is beside it (see "tile").
    crop: the share of the resized image that is kept (see "crop"). interpolation: of the resizing, antialiased unless
    "nearest". fill: the value, 0…255, of pixels that are filled in. order: of the colours as the network takes them.
    mean, std: per channel in that order, of pixel values in 0…1.
    Raises SpecError for a margin that leaves nothing of a window.
    """

    size: tuple[Side, Side]
    channels: Literal[1, 3] = 3
    fit: Literal["crop", "stretch", "pad", "center", "tile"] = "crop"
    margin: Annotated[int, msgspec.Meta(ge=0)] = MARGIN
    crop: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"
    fill: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0
    order: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, ...] = (0.5,)
    std: tuple[Annotated[float, msgspec.Meta(gt=0)], ...] = (0.5,)

    def __post_init__(self) -> None:
        if self.whole and min(self.core) < 1:
            raise SpecError(
                f"a margin of {self.margin} leaves nothing of windows of {self.size[0]}×{self.size[1]} pixels",
                f"--set preprocess.margin={min(self.size) // 8}",
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """C×H×W of the network's input."""
        return (self.channels, *self.size)

    @property
    def whole(self) -> bool:
        """Whether images keep their sizes, and networks see them window by window."""
        return self.fit == "tile"

    @property
    def core(self) -> tuple[int, int]:
        """Height and width of a window without its margin."""
        return self.size[0] - 2 * self.margin, self.size[1] - 2 * self.margin

    def placement(self, height: int, width: int, view: View = ORDINARY) -> Placement:
        """Where the pixels of an image of this size go, before a mirrored view is turned."""
        if self.whole:
            return Placement(1, 1, 0, 0, height, width)
        (rows, columns), (out_h, out_w) = self._resized(height, width, view), self.size
        part_h, part_w = rows, columns
        if view.part is not None and self.fit == "crop":
            want_h, want_w = self._wanted(view)
            part_h, part_w = min(rows, want_h), min(columns, want_w)
        along = MIDDLE if view.part is None else view.part
        top = -_start(rows, part_h, out_h, along, view.y)
        left = -_start(columns, part_w, out_w, along, view.x)
        return Placement(columns / width, rows / height, left, top, out_h, out_w)

    def __call__(self, sources: Source | list[Source]) -> Tensor:
        """Read, resized, cut and normalised: images as the network takes them, N×C×size float32.

        sources: a file, an encoded image's bytes, a Pillow image, an H×W×C uint8 array; or a list of them.
        Raises UnreadableImage for the first that can't be read.
        """
        several = sources if isinstance(sources, list) else [sources]
        placed = [self.place(read_pixels(each)) for each in several]
        return self.normalize(torch.stack(placed))

    def place(self, pixels: np.ndarray) -> Tensor:
        """H×W×C uint8 → C×size uint8. Raises UnreadableImage for an image that is too thin to be cut."""
        return self.place_many(as_tensor(pixels)[None])[0]

    def place_many(self, x_NHWC: Tensor) -> Tensor:
        """N×H×W×C uint8, images of one size → N×C×size uint8."""
        return self._frame(self._channels(x_NHWC), self.interpolation, self.fill)

    def place_views(self, x_NHWC: Tensor, views: Sequence[View]) -> Tensor:
        """N×H×W×C uint8, images of one size → N×V×C×size uint8, what each view sees."""
        x_NCHW = self._channels(x_NHWC)
        height, width = x_NCHW.shape[-2:]
        resized: dict[tuple[int, int], Tensor] = {}
        frames = []
        for view in views:
            size = self._resized(height, width, view)
            if size not in resized:
                resized[size] = self._resize(x_NCHW, self.interpolation, view)
            frame = self._cut(resized[size], self.placement(height, width, view), self.fill)
            frames.append(frame.flip(-1) if view.mirror else frame)
        return torch.stack(frames, 1)

    def place_target(self, target: Target, height: int, width: int) -> Target:
        """The target of an image of height×width, moved with its pixels."""
        changes: dict[str, Any] = {}
        if target.boxes is not None:
            changes["boxes"] = self._boxes(target.boxes, height, width)
        if target.mask is not None:
            changes["mask"] = self._mask(target.mask[None], VOID)[0]
        if target.image is not None:
            changes["image"] = self.place(target.image).permute(1, 2, 0).numpy()
        return changed(target, **changes) if changes else target

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

    def _wanted(self, view: View) -> tuple[int, int]:
        """The sides that a resized image is made to cover, meet or fit into."""
        if view.whole:
            return self.size
        share = self.crop if self.fit == "crop" else 1.0
        return int(self.size[0] / share * view.scale), int(self.size[1] / share * view.scale)

    def _resized(self, height: int, width: int, view: View) -> tuple[int, int]:
        want_h, want_w = (max(1, side) for side in self._wanted(view))
        if self.whole:
            return height, width
        if self.fit == "center":
            scale = 1.0 if view.whole else view.scale
            return max(1, round(height * scale)), max(1, round(width * scale))
        if self.fit == "stretch":
            return want_h, want_w
        if self.fit == "pad":
            scale = min(want_h / height, want_w / width)
            return max(1, min(want_h, round(height * scale))), max(1, min(want_w, round(width * scale)))
        if want_h * width >= want_w * height:  # the image is the wider one: its height decides
            return want_h, max(want_w, int(want_h * width / height))
        return max(want_h, int(want_w * height / width)), want_w

    def _channels(self, x_NHWC: Tensor) -> Tensor:
        """N×H×W×C → N×channels×H×W."""
        if x_NHWC.ndim != 4:
            raise DataError("this network was made for images, and the data are vectors")
        if x_NHWC.shape[3] != self.channels:
            x_NHWC = torch.from_numpy(np.stack([to_channels(pixels, self.channels) for pixels in x_NHWC.numpy()]))
        return x_NHWC.permute(0, 3, 1, 2)

    def _frame(self, x_NCHW: Tensor, interpolation: Interpolation, fill: int) -> Tensor:
        where = self.placement(*x_NCHW.shape[-2:])
        return self._cut(self._resize(x_NCHW, interpolation, ORDINARY), where, fill)

    def _resize(self, x_NCHW: Tensor, interpolation: Interpolation, view: View) -> Tensor:
        height, width = x_NCHW.shape[-2:]
        resized = self._resized(height, width, view)
        if resized[0] * resized[1] > max(THINNEST * self.size[0] * self.size[1], LARGEST, height * width):
            cause = f"is {width}×{height} pixels, too thin to be resized and cut to {self.size[1]}×{self.size[0]}"
            raise UnreadableImage("image", cause, "leave it out, or --set preprocess.fit=pad")
        return resize(x_NCHW, resized, interpolation)

    def _cut(self, x_NCHW: Tensor, where: Placement, fill: int) -> Tensor:
        """The frame that a placement cuts from a resized image, filled where the image doesn't reach."""
        if self.whole:
            return x_NCHW
        top, left = int(where.top), int(where.left)
        cut = x_NCHW[..., max(0, -top) : max(0, -top) + self.size[0], max(0, -left) : max(0, -left) + self.size[1]]
        if cut.shape[-2:] == self.size:
            return cut
        frame = x_NCHW.new_full((*x_NCHW.shape[:2], *self.size), fill)
        frame[..., max(0, top) : max(0, top) + cut.shape[-2], max(0, left) : max(0, left) + cut.shape[-1]] = cut
        return frame

    def _boxes(self, boxes: Boxes, height: int, width: int) -> Boxes:
        """Those of which something is left in the frame."""
        where = self.placement(height, width)
        moved = changed(
            boxes, xyxy=where.boxes(boxes.xyxy),
            masks=None if boxes.masks is None else self._mask(boxes.masks.astype(np.uint8), 0).astype(bool),
            areas=boxes.sizes if boxes.areas is None else boxes.areas, zoom=boxes.zoom * where.scale_x * where.scale_y,
        )  # fmt: skip
        return moved.pick(moved.sizes > 0)

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

    @property
    def whole(self) -> bool:
        """Vectors have one size."""
        return False

    def place(self, values: np.ndarray) -> Tensor:
        """F float32 → the same as a tensor."""
        return self.place_many(as_tensor(values)[None])[0]

    def place_many(self, x_NF: Tensor) -> Tensor:
        """N×F float32 → the same. Raises DataError for images."""
        if x_NF.ndim != 2:
            raise DataError("this network was made for vectors, and the data are images")
        return x_NF

    def place_target(self, target: Target, height: int, width: int) -> Target:
        """The target as it is."""
        return target

    def normalize(self, x_NF: Tensor) -> Tensor:
        """N×F float → float32."""
        mean, std = (torch.tensor(each, device=x_NF.device) for each in (self.mean, self.std))
        return (x_NF.float() - mean) / std

    def seen(self, schema: Schema) -> Schema:
        """The schema as the network sees it."""
        return replace(schema, shape=self.shape)


Preprocess = ImagePreprocess | VectorPreprocess


def _start(length: int, part: int, window: int, along: float, inside: float) -> int:
    """Where a window begins on a side of a resized image; less than 0 where it reaches over the edge.

    Rounded as torchvision rounds the middle, so that published weights see the pixels that they were trained on.
    """
    room = part - window
    return round((length - part) * along + room * (inside if room > 0 else MIDDLE))


def as_tensor(values: np.ndarray) -> Tensor:
    """An array as a tensor; copied where it can't be written, which torch wants to be able to."""
    return torch.from_numpy(np.require(values, requirements=["C", "W"]))
