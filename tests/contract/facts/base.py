"""The two kinds of facts."""

from dataclasses import dataclass

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Facts:
    """Of a family. sizes: the shape of one input that its tiny network is tried with, and another. least: the height
    and width under which it refuses. ceil: whether a map of stride s has ⌈side/s⌉ pixels a side."""

    sizes: tuple[Shape, Shape] = ((3, 32, 32), (1, 40, 23))
    least: tuple[int, int] = (1, 1)
    ceil: bool = True


@dataclass(frozen=True)
class Counts:
    """Of a network of the catalog at an input and a number of classes: trainable parameters; multiply-adds
    (convolution, linear, matrix product; no bias, normalisation, activation); stored numbers that aren't trained."""

    input: Shape
    classes: int
    parameters: int
    multiply_adds: int
    buffers: int | None = None
