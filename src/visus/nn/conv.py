"""Convolution with batch normalisation, and the usual head."""

from __future__ import annotations

from torch import nn


def conv_norm(
    c_in: int, c_out: int, size: int = 1, stride: int = 1, *, groups: int = 1, act: bool = True
) -> nn.Sequential:
    """Convolution without bias, "same" padding, batch normalisation, ReLU (unless act is false).

    Weights start as He et al. 2015 (arXiv:1502.01852) propose for ReLU, scaled by the fan-out.
    """
    conv = nn.Conv2d(c_in, c_out, size, stride, size // 2, groups=groups, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(c_out), *([nn.ReLU(inplace=True)] if act else []))


def pooled_head(channels: int, classes: int) -> nn.Sequential:
    """Global average pooling and one linear layer: N×C×H×W → N×classes."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))
