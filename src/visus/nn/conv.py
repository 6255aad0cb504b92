"""Convolution with normalisation and activation, its paddings, and the usual head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from visus.nn.activation import Activation, activation

Padding = Literal["symmetric", "tensorflow", "valid"] | int | tuple[int, int]


class TensorFlowPad(nn.Module):
    """TensorFlow's "SAME" padding for a window: out = ⌈in/stride⌉, and an odd pixel goes to the right and the bottom.

    It differs from symmetric padding where the stride is above 1 or the window even. N×C×H×W in, N×C×(H+…)×(W+…) out.
    """

    def __init__(self, size: tuple[int, int], stride: tuple[int, int], value: float = 0.0) -> None:
        super().__init__()
        self.size, self.stride, self.value = size, stride, value

    def forward(self, x_NCHW: Tensor) -> Tensor:
        (top, bottom), (left, right) = (
            self._sides(n, f, s) for n, f, s in zip(x_NCHW.shape[2:], self.size, self.stride, strict=True)
        )
        return F.pad(x_NCHW, (left, right, top, bottom), value=self.value)

    @staticmethod
    def _sides(n: int, f: int, s: int) -> tuple[int, int]:
        whole = max((-(-n // s) - 1) * s + f - n, 0)
        return whole // 2, whole - whole // 2


class ConvNormAct(nn.Module):
    """Convolution, normalisation, activation: N×c_in×H×W → N×c_out×H'×W'.

    size, stride: of the window, one number or (rows, columns). padding: "symmetric", (size − 1)/2 on each side;
    "tensorflow", see TensorFlowPad; "valid", none; or the pixels on each side. norm: builds the normalisation of so
    many channels; None for none. bias: of the convolution; None for one where no normalisation follows.
    act: by name; None for none.

    Weights start as He et al. 2015 (arXiv:1502.01852) propose for ReLU, with the variance 2/(size²·c_out); biases at
    zero. Groups don't count, as in the code of ResNeXt's authors and in torchvision, although a value of one group
    feeds no more than c_out/groups maps. EfficientNet's authors count them in depthwise convolutions:
    `visus.models.inverted.depthwise` draws those anew.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        size: int | tuple[int, int] = 1,
        stride: int | tuple[int, int] = 1,
        *,
        groups: int = 1,
        padding: Padding = "symmetric",
        norm: Callable[[int], nn.Module] | None = nn.BatchNorm2d,
        bias: bool | None = None,
        act: Activation | None = "relu",
    ) -> None:
        super().__init__()
        f = size if isinstance(size, tuple) else (size, size)
        s = stride if isinstance(stride, tuple) else (stride, stride)
        same = ((f[0] - 1) // 2, (f[1] - 1) // 2)
        fixed: dict[object, int | tuple[int, int]] = {"symmetric": same, "tensorflow": 0, "valid": 0}
        even = s == (1, 1) and all(side % 2 for side in f)  # then both sides get as much, which the convolution can do
        self.pad = TensorFlowPad(f, s) if padding == "tensorflow" and not even else nn.Identity()
        around = same if padding == "tensorflow" and even else fixed.get(padding, padding)
        has_bias = norm is None if bias is None else bias
        self.conv = nn.Conv2d(c_in, c_out, f, s, around, groups=groups, bias=has_bias)
        self.norm = nn.Identity() if norm is None else norm(c_out)
        self.act = activation(act)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        y: Tensor = self.act(self.norm(self.conv(self.pad(x_NCHW))))
        return y


def pooled_head(channels: int, classes: int, dropout: float = 0.0) -> nn.Sequential:
    """Global average pooling and one linear layer: N×C×H×W → N×classes."""
    drop = [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *drop, nn.Linear(channels, classes))
