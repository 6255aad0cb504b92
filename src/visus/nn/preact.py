"""What stands before a convolution in pre-activation networks (He et al. 2016, arXiv:1603.05027)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from visus.nn.activation import Activation, activation


class NormAct(nn.Module):
    """Normalisation, activation, dropout: N×channels×H×W in and out.

    norm: builds the normalisation of so many channels. act: by name. dropout: the chance that a value is zeroed while
    training (Zagoruyko & Komodakis 2016, arXiv:1605.07146, §2.4).
    """

    def __init__(
        self,
        channels: int,
        *,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
        act: Activation = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm, self.act = norm(channels), activation(act)
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x_NCHW: Tensor) -> Tensor:
        y: Tensor = self.drop(self.act(self.norm(x_NCHW)))
        return y
