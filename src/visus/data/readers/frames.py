"""How images are turned, by row, and what lies in an image as it is stored, once that is upright."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal, final, overload

import numpy as np

from visus.data.image import header, printable, upright
from visus.data.samples import Stored
from visus.data.types import Target
from visus.errors import UnreadableImage

INVERSE = {6: 8, 8: 6}  # the EXIF orientations that undo others; each other one undoes itself


@final
class Headers:
    """Upright height and width of images, and the orientation that is undone. Each file is opened once."""

    def __init__(self, files: Sequence[Stored]) -> None:
        self.files = files
        self.known = np.zeros((len(files), 3), np.int32)  # 0: not read yet

    def __getitem__(self, row: int) -> tuple[int, int, int]:
        """Raises UnreadableImage."""
        if not self.known[row, 0]:
            found = header(self.files[row].read(), printable(self.files[row].name))
            self.known[row] = found.height, found.width, found.orientation
        height, width, orientation = self.known[row].tolist()
        return height, width, orientation


class Made(Sequence[Target]):
    """Targets that are made when they are asked for."""

    @abstractmethod
    def made(self, row: int) -> Target:
        """That of a row, from 0. May raise UnreadableImage."""

    @overload
    def __getitem__(self, row: int) -> Target: ...
    @overload
    def __getitem__(self, row: slice) -> list[Target]: ...
    def __getitem__(self, row: int | slice) -> Target | list[Target]:
        if isinstance(row, slice):
            return [self.made(each) for each in range(*row.indices(len(self)))]
        return self.made(row)


@final
class Beside(Made):
    """What is wanted of images and lies in files of its own, a mask or an image, read when it is asked for.

    read: a file's pixels, upright as the file itself says, and the orientation that was undone.
    What isn't turned by itself, and has the size of the image as it is stored, is turned with that.
    """

    def __init__(
        self, files: Sequence[Stored], wanted: Sequence[Stored], field: Literal["mask", "image"],
        read: Callable[[Stored], tuple[np.ndarray, int]],
    ) -> None:  # fmt: skip
        self.files, self.wanted, self.field, self.pixels = files, wanted, field, read
        self.headers = Headers(files)

    def __len__(self) -> int:
        return len(self.wanted)

    def made(self, row: int) -> Target:
        """Raises UnreadableImage where it can't be read, or isn't of the image's size."""
        found, own = self.pixels(self.wanted[row])
        height, width, orientation = self.headers[row]
        stored = (width, height) if orientation >= 5 else (height, width)
        if own == 1 and orientation != 1 and found.shape[:2] == stored:
            flat = found.ndim == 2
            turned = upright(found[..., None] if flat else found, orientation)
            found = np.ascontiguousarray(turned[..., 0] if flat else turned)
        if found.shape[:2] != (height, width):
            raise UnreadableImage(
                printable(self.files[row].name),
                f"its {self.field} {printable(self.wanted[row].name)} has {found.shape[1]}×{found.shape[0]} pixels, "
                f"and it has {width}×{height}",
            )
        return Target(mask=found) if self.field == "mask" else Target(image=found)


def turn_points(xy: np.ndarray, orientation: int, size: tuple[int, int]) -> np.ndarray:
    """N×2 points of a stored image as they lie in it once it is upright. size: height and width as stored."""
    height, width = size
    x, y = xy[..., 0], xy[..., 1]
    right, lower = width - x, height - y
    found = {
        2: (right, y),
        3: (right, lower),
        4: (x, lower),
        5: (y, x),
        6: (lower, x),
        7: (lower, right),
        8: (y, right),
    }
    return np.stack(found.get(orientation, (x, y)), -1)


def turn_boxes(xyxy: np.ndarray, orientation: int, size: tuple[int, int]) -> np.ndarray:
    """M×4 boxes likewise."""
    one, other = turn_points(xyxy[:, :2], orientation, size), turn_points(xyxy[:, 2:], orientation, size)
    return np.concatenate([np.minimum(one, other), np.maximum(one, other)], 1)
