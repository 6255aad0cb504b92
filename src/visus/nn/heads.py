"""Heads of the networks before residual ones: fully connected layers, and means of class maps."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from visus.nn.activation import Activation
from visus.nn.conv import ConvNormAct


def dense_head(channels: int, grid: int, hidden: Sequence[int], classes: int, dropout: float = 0.0) -> nn.Sequential:
    """Fully connected layers on a map of any size: N×channels×H×W → N×classes.

    The map is averaged to grid×grid, which leaves one of that size as it is. hidden: units of the layers with ReLU,
    each of them followed by dropout. Their weights start as He et al. 2015 (arXiv:1502.01852) propose, biases at zero.
    """
    layers: list[nn.Module] = [nn.AdaptiveAvgPool2d(grid), nn.Flatten()]
    width = channels * grid * grid
    for units in hidden:
        layer = nn.Linear(width, units)
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.ReLU(inplace=True), *([nn.Dropout(dropout)] if dropout else [])]
        width = units
    return nn.Sequential(*layers, nn.Linear(width, classes))


def class_map_head(channels: int, classes: int, act: Activation | None, dropout: float = 0.0) -> nn.Sequential:
    """A 1×1 convolution to a map for each class, and the mean of each: N×channels×H×W → N×classes.

    act: on the maps. dropout: of what comes in. Weights start with a deviation of 1/√channels, so that scores are about
    as large as what comes in: with small ones, as they are often drawn here, a ReLU after them learns slowly.
    """
    maps = ConvNormAct(channels, classes, norm=None, act=act)
    nn.init.kaiming_normal_(maps.conv.weight, nonlinearity="linear")
    drop = [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*drop, maps, nn.AdaptiveAvgPool2d(1), nn.Flatten())
