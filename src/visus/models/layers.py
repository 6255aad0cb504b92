"""Single layers as specs: what networks are made of that their papers give as a table of layers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from visus.errors import ModelError
from visus.models.parts import Count, Factor
from visus.spec import Variant

if TYPE_CHECKING:
    from torch import nn


class Convolution(Variant, frozen=True, tag="convolution"):
    """A convolution with biases, then ReLU: N×C×H×W → N×filters×H'×W', H' = ⌊(H + 2·padding − size)/stride⌋ + 1.

    filters: how many. size, stride, padding: of the window, in pixels a side. groups: the channels are divided into so
    many, and a filter sees one of them.
    """

    filters: Count
    size: Count
    stride: Count = 1
    padding: Annotated[int, msgspec.Meta(ge=0)] = 0
    groups: Count = 1

    def channels(self, c_in: int) -> int:
        """Of its output."""
        return self.filters

    def least(self, out: int) -> int:
        """The fewest pixels a side of which `out` pixels remain."""
        return max(1, (out - 1) * self.stride + self.size - 2 * self.padding)

    def build(self, c_in: int) -> nn.Module:
        """N×c_in×H×W in. Raises ModelError where the groups don't divide the channels or the filters."""
        from visus.nn import ConvNormAct

        if c_in % self.groups or self.filters % self.groups:
            raise ModelError(f"{c_in} channels and {self.filters} filters can't be divided into {self.groups} groups")
        return ConvNormAct(
            c_in, self.filters, self.size, self.stride, groups=self.groups, padding=self.padding, norm=None
        )


class MaxPool(Variant, frozen=True, tag="max-pool"):
    """The largest value of each window, without padding; N×C×H×W in, as many channels out.

    size, stride: of the window, in pixels a side; windows overlap where size is above stride. rounding: "down" leaves
    out a last window that isn't full; "up" keeps it (as Caffe does).
    """

    size: Count = 3
    stride: Count = 2
    rounding: Literal["down", "up"] = "down"

    def channels(self, c_in: int) -> int:
        """Of its output."""
        return c_in

    def least(self, out: int) -> int:
        """The fewest pixels a side of which `out` pixels remain."""
        last = self.size if self.rounding == "down" else max(self.size - self.stride, 0) + 1
        return (out - 1) * self.stride + last

    def build(self, c_in: int) -> nn.Module:
        """N×c_in×H×W in, as many channels out."""
        from torch import nn

        return nn.MaxPool2d(self.size, self.stride, ceil_mode=self.rounding == "up")


class ResponseNorm(Variant, frozen=True, tag="response-norm"):
    """Local response normalisation (Krizhevsky et al. 2012, §3.3): b = a / (k + alpha·Σ a²)^beta, N×C×H×W in and out.

    size: of how many channels the sum is, the value's own in the middle. k, beta: the constant and the exponent. alpha:
    multiplies the sum, as in the paper; torch and Caffe divide theirs by the size, so that the paper's 1e-4 is 5e-4
    there.
    """

    size: Count = 5
    k: Factor = 2.0
    alpha: Factor = 1e-4
    beta: Factor = 0.75
    stride = 1

    def channels(self, c_in: int) -> int:
        """Of its output."""
        return c_in

    def least(self, out: int) -> int:
        """The fewest pixels a side of which `out` pixels remain."""
        return out

    def build(self, c_in: int) -> nn.Module:
        """N×c_in×H×W in and out."""
        from torch import nn

        return nn.LocalResponseNorm(self.size, self.alpha * self.size, self.beta, self.k)


Layer = Convolution | MaxPool | ResponseNorm


def least_side(layers: Sequence[Layer]) -> int:
    """The fewest pixels a side of which one remains after all of these."""
    return reduce(lambda out, layer: layer.least(out), reversed(layers), 1)
