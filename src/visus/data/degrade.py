"""Clean images made worse, as what restoration learns from: whole batches, on the device, drawn anew each time.

Pixels are float32 of 0…255 on the way, and neither rounded nor clipped unless a degradation does that: noise leaves
that range, as in the experiments that published figures of denoising come from.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace as changed
from math import ceil, pi
from typing import Annotated, Literal

import msgspec
import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

from visus.data.types import Batch
from visus.errors import SpecError
from visus.spec import Variant

Level = Annotated[float, msgspec.Meta(ge=0)]
Above = Annotated[float, msgspec.Meta(gt=0)]
Part = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Quality = Annotated[int, msgspec.Meta(ge=1, le=100)]
# pairs; msgspec 0.22 crashes where a constrained number may be a tuple of fixed length instead
Pair = msgspec.Meta(min_length=2, max_length=2)
Levels = Annotated[tuple[Level, ...], Pair]
Aboves = Annotated[tuple[Above, ...], Pair]
Parts = Annotated[tuple[Part, ...], Pair]
Qualities = Annotated[tuple[Quality, ...], Pair]
FINE = 16  # points a pixel's side, when a kernel's weight is the share of the pixel that a shape covers
TAIL = 4.0  # standard deviations at which a Gaussian kernel ends
WIDEST = 64.0  # pixels: the largest blur


class Noise(Variant, frozen=True, tag="noise"):
    """White Gaussian noise, added to every value. sigma: its standard deviation, of values 0…255, and of vectors in
    standard deviations of each feature; or the least and the greatest, and each input has its own between them (blind
    denoising)."""

    sigma: Level | Levels = 25.0

    @property
    def text(self) -> str:
        return f"Gaussian noise of σ {_between(self.sigma)}"

    def apply(self, x_NCHW: Tensor, draws: torch.Generator) -> Tensor:
        """N×C×H×W, or N×F, in and out."""
        sigma_N111 = _drawn(self.sigma, len(x_NCHW), draws).view(-1, *[1] * (x_NCHW.ndim - 1)).to(x_NCHW.device)
        there = _on(x_NCHW.device, draws)
        noise_NCHW = torch.randn(x_NCHW.shape, generator=there, device=x_NCHW.device)
        return noise_NCHW.mul_(sigma_N111).add_(x_NCHW)


class Poisson(Variant, frozen=True, tag="poisson"):
    """The noise of counting light: a value v becomes a Poisson number of mean v·peak/255, times 255/peak.

    peak: the count of a white pixel, or the least and the greatest; the fewer, the noisier."""

    peak: Above | Aboves = 30.0

    @property
    def text(self) -> str:
        return f"Poisson noise of peak {_between(self.peak)}"

    def apply(self, x_NCHW: Tensor, draws: torch.Generator) -> Tensor:
        """N×C×H×W in and out; values below 0 have no counts, and count as 0."""
        scale_N111 = _drawn(self.peak, len(x_NCHW), draws).view(-1, 1, 1, 1).to(x_NCHW.device) / 255
        return torch.poisson((x_NCHW * scale_N111).clamp_min(0), _on(x_NCHW.device, draws)).div_(scale_N111)


class Blur(Variant, frozen=True, tag="blur"):
    """A blur by one kernel for each image; the outermost pixels go on beyond the edges.

    shape: "gaussian", "disk" (a lens out of focus) or "motion" (a straight line in a random direction).
    size: in pixels, the standard deviation, the radius or the length; or the least and the greatest.
    """

    shape: Literal["gaussian", "disk", "motion"] = "gaussian"
    size: Above | Aboves = 1.6

    @property
    def text(self) -> str:
        return f"{self.shape} blur of {_between(self.size)} px"

    def apply(self, x_NCHW: Tensor, draws: torch.Generator) -> Tensor:
        """N×C×H×W in and out. Raises SpecError for kernels of more than 64 pixels."""
        count, channels = x_NCHW.shape[:2]
        if max(_ends(self.size)) > WIDEST:
            raise SpecError(f"a blur of {_between(self.size)} px is too wide", f"at most {WIDEST:.0f} px")
        sizes_N, turns_N = _drawn(self.size, count, draws), torch.rand(count, generator=draws) * pi
        kernels_NKK = _kernels(self.shape, sizes_N.tolist(), turns_N.tolist()).to(x_NCHW.device)
        reach = kernels_NKK.shape[-1] // 2
        padded = F.pad(x_NCHW, (reach,) * 4, mode="replicate").flatten(0, 1)[None]
        each_PKK = kernels_NKK.repeat_interleave(channels, 0)[:, None]
        return F.conv2d(padded, each_PKK, groups=count * channels).view(x_NCHW.shape)


class JPEG(Variant, frozen=True, tag="jpeg"):
    """Compression as JPEG (Pillow's, colours at half the resolution), of values rounded and clipped to 8 bits.

    quality: 1…100, or the least and the greatest.
    """

    quality: Quality | Qualities = 10

    @property
    def text(self) -> str:
        return f"JPEG of quality {_between(self.quality)}"

    def apply(self, x_NCHW: Tensor, draws: torch.Generator) -> Tensor:
        """N×C×H×W in and out, C 1 or 3."""
        least, most = _ends(self.quality)
        quality_N = torch.randint(int(least), int(most) + 1, (len(x_NCHW),), generator=draws).tolist()
        pixels_NHWC = Rounded().apply(x_NCHW, draws).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        found = [_jpeg(pixels, quality) for pixels, quality in zip(pixels_NHWC, quality_N, strict=True)]
        return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).to(x_NCHW.device).float()


class Missing(Variant, frozen=True, tag="missing"):
    """Pixels that are lost, of all channels alike (inpainting). They all have the value `fill`, and by that they are
    known: a network gets no mask beside the image, so that every network can do it. To have a part of a picture filled
    in, paint it over with that value.

    shape: "rectangles", of sides up to twice as unlike as the image's, or "strokes", as of a pen. share: of the pixels,
    or the least and the greatest; where pieces lie over one another it is less. pieces: how many.
    """

    shape: Literal["rectangles", "strokes"] = "rectangles"
    share: Part | Parts = 0.2
    pieces: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 4
    fill: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0

    @property
    def text(self) -> str:
        low, high = _ends(self.share)
        share = f"{low:.3g}" if low == high else f"{low:.3g}–{high:.3g}"
        return f"a share of {share} missing in {self.shape}"

    def apply(self, x_NCHW: Tensor, draws: torch.Generator) -> Tensor:
        """N×C×H×W in and out."""
        height, width = x_NCHW.shape[-2:]
        draw = _rectangles if self.shape == "rectangles" else _strokes
        masks = [
            draw(height, width, share, self.pieces, draws)
            for share in _drawn(self.share, len(x_NCHW), draws).tolist()
        ]  # fmt: skip
        gone_N1HW = torch.from_numpy(np.stack(masks))[:, None].to(x_NCHW.device)
        return x_NCHW.masked_fill(gone_N1HW, float(self.fill))


class Rounded(Variant, frozen=True, tag="rounded"):
    """Values rounded to whole numbers and clipped to 0…255, as a file of 8 bits has them."""

    @property
    def text(self) -> str:
        return "rounded to 8 bits"

    def apply(self, x_NCHW: Tensor, draws: torch.Generator) -> Tensor:
        """N×C×H×W in and out."""
        return x_NCHW.round().clamp(0, 255)


Degradation = Noise | Poisson | Blur | JPEG | Missing | Rounded


def degrade(x_NCHW: Tensor, steps: Sequence[Degradation], draws: torch.Generator, unit: Tensor | None = None) -> Tensor:
    """Images N×C×H×W of values 0…255, made worse step by step: float32, and a function of them and of `draws` alone;
    as they are without a step. unit: of vectors N×F, what each feature is measured in.
    """
    if not steps:
        return x_NCHW
    x_NCHW = x_NCHW.float()
    if unit is not None:
        x_NCHW = x_NCHW / unit
    for step in steps:
        x_NCHW = step.apply(x_NCHW, draws)
    return x_NCHW if unit is None else x_NCHW * unit


def degraded(batch: Batch, steps: Sequence[Degradation], draws: torch.Generator, unit: Tensor | None = None) -> Batch:
    """A batch of clean inputs as pairs: the input is made worse, and what is wanted is what it was."""
    worse = degrade(batch.inputs, steps, draws, unit)
    return changed(batch, inputs=worse, target=changed(batch.target, image=batch.inputs))


def described(steps: Sequence[Degradation]) -> str:
    """What was done to the images, in words.

    >>> described([Blur(size=2), Noise(sigma=(0, 55))])
    'gaussian blur of 2 px, Gaussian noise of σ 0–55'
    """
    return ", ".join(step.text for step in steps)


def require_ordered(steps: Sequence[Degradation]) -> None:
    """Raise SpecError where a range ends before it begins."""
    for step in steps:
        for name in step.__struct_fields__:
            value = getattr(step, name)
            if isinstance(value, tuple) and value[0] > value[1]:
                kind = step.__struct_config__.tag
                raise SpecError(
                    f"{name} of the degradation {kind!r} is {list(value)}: nothing lies between the two",
                    f"{name} = [{value[1]:g}, {value[0]:g}]",
                )


def _ends(given: float | tuple[float, ...]) -> tuple[float, float]:
    return (given[0], given[1]) if isinstance(given, tuple) else (given, given)


def _between(given: float | tuple[float, ...]) -> str:
    low, high = _ends(given)
    return f"{low:g}" if low == high else f"{low:g}–{high:g}"


def _drawn(given: float | tuple[float, ...], count: int, draws: torch.Generator) -> Tensor:
    """N values, even in the range."""
    low, high = _ends(given)
    return low + torch.rand(count, generator=draws) * (high - low)


def _on(device: torch.device, draws: torch.Generator) -> torch.Generator:
    """A generator of that device, which follows from the other one: there noise is made where it is needed."""
    if device.type == "cpu":
        return draws
    return torch.Generator(device).manual_seed(int(torch.randint(2**62, (), generator=draws)))


def _kernels(shape: str, sizes: Sequence[float], turns: Sequence[float]) -> Tensor:
    """N×K×K, each with the sum 1 and its middle in the middle. turns: the directions of motion, in radians."""
    make: Callable[[float, float], Tensor] = {"gaussian": _gaussian, "disk": _disk, "motion": _motion}[shape]
    found = [make(size, turn) for size, turn in zip(sizes, turns, strict=True)]
    widest = max(each.shape[-1] for each in found)
    return torch.stack([F.pad(each, ((widest - each.shape[-1]) // 2,) * 4) for each in found]).float()


def _gaussian(size: float, turn: float) -> Tensor:
    reach = int(TAIL * size + 0.5)
    weights_K = torch.exp(-(torch.arange(-reach, reach + 1).double() ** 2) / (2 * size**2))
    weights_K /= weights_K.sum()
    return weights_K[:, None] * weights_K


def _disk(size: float, turn: float) -> Tensor:
    """Each pixel has the share of it that the disk covers."""
    reach = ceil(size)
    place_S = (torch.arange((2 * reach + 1) * FINE).double() + 0.5) / FINE - reach - 0.5
    inside_SS = (place_S[:, None] ** 2 + place_S**2 <= size**2).double()
    weights_KK = F.avg_pool2d(inside_SS[None], FINE)[0]
    return weights_KK / weights_KK.sum()


def _motion(size: float, turn: float) -> Tensor:
    """Points along a line, each shared between the four pixels around it."""
    reach = ceil(size / 2) + 1
    count = max(1, ceil(size * FINE))
    along_P = ((torch.arange(count).double() + 0.5) / count - 0.5) * size
    direction_2 = torch.tensor([np.sin(turn), np.cos(turn)]).double()
    place_P2 = along_P[:, None] * direction_2 + reach
    first_P2, weights_KK = place_P2.floor().long(), torch.zeros(2 * reach + 1, 2 * reach + 1).double()
    part_P2 = place_P2 - first_P2
    for down in (0, 1):
        for right in (0, 1):
            weight_P = (part_P2[:, 0] if down else 1 - part_P2[:, 0]) * (part_P2[:, 1] if right else 1 - part_P2[:, 1])
            weights_KK.index_put_((first_P2[:, 0] + down, first_P2[:, 1] + right), weight_P, accumulate=True)
    return weights_KK / weights_KK.sum()


def _jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    """H×W×C uint8, written and read."""
    file = io.BytesIO()
    Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0]).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)).reshape(pixels.shape)


def _rectangles(height: int, width: int, share: float, pieces: int, draws: torch.Generator) -> np.ndarray:
    """H×W bool."""
    mask = np.zeros((height, width), bool)
    for stretch, y, x in torch.rand(pieces, 3, generator=draws).tolist():
        ratio = 2 ** (2 * stretch - 1)
        tall = min(height, max(1, round(height * (share / pieces * ratio) ** 0.5)))
        wide = min(width, max(1, round(width * (share / pieces / ratio) ** 0.5)))
        top, left = round(y * (height - tall)), round(x * (width - wide))
        mask[top : top + tall, left : left + wide] = True
    return mask


def _strokes(height: int, width: int, share: float, pieces: int, draws: torch.Generator) -> np.ndarray:
    """H×W bool: lines that bend three times, half as long as the image's diagonal and as wide as the share asks."""
    long = np.hypot(height, width) / 2
    wide = max(1, round(share * height * width / pieces / long))
    canvas = Image.new("1", (width, height))
    pen = ImageDraw.Draw(canvas)
    for y, x, turn, *bends in torch.rand(pieces, 6, generator=draws).tolist():
        points, angle = [(x * width, y * height)], 2 * pi * turn
        for bend in (0.5, *bends):
            angle += (2 * bend - 1) * pi / 2
            points.append((points[-1][0] + long / 4 * np.cos(angle), points[-1][1] + long / 4 * np.sin(angle)))
        pen.line(points, fill=1, width=wide, joint="curve")
    return np.array(canvas)
