"""A network that says whether there is an object, what it is and where."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from visus.nn.conv import ConvNormAct
from visus.nn.pyramid import Pyramid


class Localizer(nn.Module):
    """Two heads on one trunk: N×C×H×W → N×(5+K): presence (before the sigmoid), box, K classes (before softmax).

    The box is x and y of its middle, width and height, in pixels of the input.
    shape: C×H×W of the trunk's last map. width: channels that it is reduced to, whose places the heads keep apart: a
    mean over them would forget where the object is. hidden: units of each head.
    """

    def __init__(
        self, backbone: Pyramid, shape: tuple[int, int, int], classes: int, *, width: int, hidden: int
    ) -> None:
        super().__init__()
        self.backbone = backbone
        channels, rows, columns = shape
        self.reduce = nn.Sequential(ConvNormAct(channels, width), nn.Flatten())
        self.what, self.where = (
            nn.Sequential(nn.Linear(width * rows * columns, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
            for outputs in (1 + classes, 4)
        )

    def forward(self, x_NCHW: Tensor) -> Tensor:
        found_NF = self.reduce(self.backbone.maps(x_NCHW)[-1])
        what_NK, where_N4 = self.what(found_NF).float(), self.where(found_NF).float().sigmoid()
        height, width = x_NCHW.shape[-2:]
        where_N4 = where_N4 * where_N4.new_tensor([width, height, width, height])
        return torch.cat((what_NK[:, :1], where_N4, what_NK[:, 1:]), 1)
