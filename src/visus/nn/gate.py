"""Squeeze-and-excitation."""

from __future__ import annotations

from torch import Tensor, nn

from visus.nn.activation import Activation, activation


class Gate(nn.Module):
    """Channels reweighted by their global means (Hu et al. 2017, arXiv:1709.01507): N×C×H×W in and out.

    inner: channels between the two layers. act: after the first, scale: after the second.
    """

    def __init__(self, channels: int, inner: int, act: Activation = "relu", scale: Activation = "sigmoid") -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, channels, 1)
        self.act, self.scale = activation(act), activation(scale)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        mean_NC11 = x_NCHW.mean((2, 3), keepdim=True)
        weight_NC11: Tensor = self.scale(self.excite(self.act(self.squeeze(mean_NC11))))
        return x_NCHW * weight_NC11
