"""What the specs of several families are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from visus.errors import ModelError
from visus.spec import Spec

if TYPE_CHECKING:
    from torch import nn

Count = Annotated[int, msgspec.Meta(ge=1)]
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Factor = Annotated[float, msgspec.Meta(gt=0)]


class BatchNorm(Spec, frozen=True):
    """Batch normalisation (Ioffe & Szegedy 2015, arXiv:1502.03167).

    eps: added to the variance. momentum: the share of the newest batch in the running statistics (in Keras and
    TensorFlow, 1 minus that). scale: whether it has a factor a channel beside its offset.
    """

    eps: Factor = 1e-5
    momentum: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.1
    scale: bool = True

    def build(self, channels: int) -> nn.Module:
        """N×channels×H×W in and out."""
        import torch
        from torch import nn

        found = nn.BatchNorm2d(channels, self.eps, self.momentum)
        if not self.scale:  # a constant, neither trained nor stored
            del found.weight
            found.register_buffer("weight", torch.ones(channels), persistent=False)
        return found


def require_image(spec: Spec, shape: tuple[int, ...], least: tuple[int, int] = (1, 1)) -> tuple[int, int, int]:
    """Channels, height and width of an image that a network can take; else ModelError with the least size."""
    name = f"a network of the kind {spec.__struct_config__.tag}"
    channels, *sides = shape
    if len(sides) != 2:
        raise ModelError(f"{name} takes images, not vectors of {channels}", "--model mlp takes vectors")
    height, width = sides
    if height < least[0] or width < least[1]:
        raise ModelError(
            f"{name} can't take inputs of {'×'.join(map(str, shape))}",
            f"give images of at least {least[0]}×{least[1]} pixels: {sized(least)}",
        )
    return channels, height, width


def sized(sides: tuple[int, int]) -> str:
    """How inputs of that size are asked for: by summary and train, in recipes, in Python."""
    height, width = sides
    short = f"--size {height}" if height == width else f"--set preprocess.size=[{height},{width}]"
    return f"{short}, or image_size={height if height == width else sides} in Python"
