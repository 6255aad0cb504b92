"""Looks at one image: at several sizes, at several places, mirrored; what is said of them is averaged.

A view is a placement, as the ordinary one is: the image is resized, and a window of the input's size is cut from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Annotated, Literal

import msgspec

from visus.errors import NotFound, nearest
from visus.spec import Spec, check

Scale = Annotated[float, msgspec.Meta(gt=0, le=4)]
MIDDLE = 0.5
FIVE = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (MIDDLE, MIDDLE))  # x, y


@dataclass(frozen=True, slots=True)
class View:
    """One look at an image; without anything said, the ordinary one of training and evaluation.

    scale: the resized image's sides, as a multiple of their ordinary length.
    part: where the part of the image lies that has the input's proportions, from 0 (left, or top) to 1; None: the whole
    image is the part. x, y: where in that part the window lies, from 0 (left, top) to 1 (right, bottom); in the middle
    where the part isn't larger than the window.
    whole: the part is resized to the window's size, in place of a window being cut from it. mirror: left and right.
    """

    scale: float = 1.0
    part: float | None = MIDDLE
    x: float = MIDDLE
    y: float = MIDDLE
    whole: bool = False
    mirror: bool = False


class Views(Spec, frozen=True):
    """The looks at each image.

    scales: the resized image's sides, as multiples of their ordinary length (1: what `preprocess.crop` says).
    crops: where the network's window lies in the resized image:
        "center": in the middle;
        "five": in the four corners of the middle part and in its middle (Krizhevsky et al. 2012 with `mirror`: ten
        windows of 224 in the middle 256×256, where the network was trained with a crop of 224/256);
        "grid": at grid × grid places, evenly from edge to edge of the whole image (Simonyan and Zisserman 2014);
        "parts": in the left, middle and right part (top, middle and bottom of an upright image), each of the input's
        proportions: its four corners, its middle, and all of it resized to the window (Szegedy et al. 2014).
    grid: places a side. mirror: each of them also with left and right exchanged.
    Raises SpecError for what is none of these, made in Python too.
    """

    scales: Annotated[tuple[Scale, ...], msgspec.Meta(min_length=1)] = (1.0,)
    crops: Literal["center", "five", "grid", "parts"] = "center"
    grid: Annotated[int, msgspec.Meta(ge=2, le=16)] = 5
    mirror: bool = False

    def __post_init__(self) -> None:
        check(self)

    def each(self) -> tuple[View, ...]:
        """All of them.

        >>> len(Views(crops="five", mirror=True).each())
        10
        """
        found = [view for scale in self.scales for view in self._at(scale)]
        sides = (False, True) if self.mirror else (False,)
        return tuple(replace(view, mirror=mirror) for view in found for mirror in sides)

    def _at(self, scale: float) -> list[View]:
        if self.crops == "five":
            return [View(scale, x=x, y=y) for x, y in FIVE]
        if self.crops == "grid":
            steps = [step / (self.grid - 1) for step in range(self.grid)]
            return [View(scale, None, x, y) for y, x in product(steps, steps)]
        if self.crops == "parts":
            return [
                view
                for part in (0.0, MIDDLE, 1.0)
                for view in (*(View(scale, part, x, y) for x, y in FIVE), View(scale, part, whole=True))
            ]
        return [View(scale)]


NAMED: dict[str, Views] = {
    "center": Views(),
    "mirror": Views(mirror=True),
    "five": Views(crops="five"),
    "ten": Views(crops="five", mirror=True),
    "vgg": Views(scales=(1.0, 1.5, 2.0), crops="grid", mirror=True),  # 150: sides of 256, 384 and 512
    "googlenet": Views(scales=(1.0, 1.125, 1.25, 1.375), crops="parts", mirror=True),  # 144: 256, 288, 320, 352
}


def named_views(name: str) -> Views:
    """The views of a name. Raises NotFound.

    >>> len(named_views("googlenet").each())
    144
    """
    if name not in NAMED:
        raise NotFound(f"there are no views named {name!r}", nearest(name, NAMED))
    return NAMED[name]
