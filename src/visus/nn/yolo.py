"""The head of YOLO's first version."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from visus.nn.activation import activation
from visus.nn.conv import ConvNormAct
from visus.nn.pyramid import Pyramid


class Yolo(nn.Module):
    """One look at a grid of S×T cells (Redmon et al. 2016, arXiv:1506.02640, §2), all outputs linear.

    Each cell says for B boxes where they are (x, y: the middle, in cells from the cell's own corner; the square roots
    of width and height as shares of the image's) and how well they fit, and K class probabilities.

    shape: C×H×W of the trunk's last map. channels: of the head's 3×3 convolutions. strides: theirs, after which a pixel
    is a cell. norm: builds their normalisation of so many channels; None for none. narrow: units of a linear layer
    before the hidden one; 0 for none. hidden: units of the fully connected layer that sees all cells at once; 0 for a
    convolution of each cell in its place. dropout: after that layer. size: height and width of the input.
    """

    def __init__(
        self, backbone: Pyramid, shape: tuple[int, int, int], classes: int, *, boxes: int, channels: int,
        strides: Sequence[int], norm: Callable[[int], nn.Module] | None, narrow: int, hidden: int, dropout: float,
        size: tuple[int, ...],
    ) -> None:  # fmt: skip
        super().__init__()
        self.backbone, self.boxes, self.classes, self.size = backbone, boxes, classes, (size[0], size[1])
        c_in, rows, columns = shape
        convs = []
        for stride in strides:
            convs.append(ConvNormAct(c_in, channels, 3, stride, norm=norm, act="leaky"))
            c_in, rows, columns = channels, -(-rows // stride), -(-columns // stride)
        self.convs, self.cells = nn.Sequential(*convs), (rows, columns)
        outputs, seen = boxes * 5 + classes, c_in * rows * columns
        if not hidden:
            self.last: nn.Module = nn.Conv2d(c_in, outputs, 1)
        else:
            self.last = nn.Sequential(
                nn.Flatten(), *([nn.Linear(seen, narrow)] if narrow else []), nn.Linear(narrow or seen, hidden),
                activation("leaky"), nn.Dropout(dropout), nn.Linear(hidden, outputs * rows * columns),
                nn.Unflatten(1, (outputs, rows, columns)),
            )  # fmt: skip

    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Scores N×A×K in 0…1 and boxes N×A×4 (xyxy, pixels of the input, cut off at its edges), A = S·T·B."""
        output_NSTV = self.cells_of(x_NCHW)
        said_NSTB5 = self.each(output_NSTV)
        shares_NSTK = output_NSTV[..., self.boxes * 5 :]
        scores_NSTBK = said_NSTB5[..., 4:].clamp(0, 1) * shares_NSTK[..., None, :].clamp(0, 1)
        height, width = self.size
        boxes_NA4 = self.placed(said_NSTB5).flatten(1, 3)
        limit_4 = boxes_NA4.new_tensor([width, height, width, height])
        return scores_NSTBK.flatten(1, 3), boxes_NA4.clamp_min(0).minimum(limit_4)

    def cells_of(self, x_NCHW: Tensor) -> Tensor:
        """N×S×T×(B·5+K): for each box x, y, √width, √height and fit, then the classes."""
        found_NVST: Tensor = self.last(self.convs(self.backbone.maps(x_NCHW)[-1]))
        return found_NVST.permute(0, 2, 3, 1).float()

    def each(self, output_NSTV: Tensor) -> Tensor:
        """N×S×T×B×5: what cells say for each box."""
        return output_NSTV[..., : self.boxes * 5].reshape(*output_NSTV.shape[:3], self.boxes, 5)

    def placed(self, said_NSTB5: Tensor) -> Tensor:
        """N×S×T×B×4: the boxes as left, top, right and bottom in pixels of the input."""
        (rows, columns), (height, width) = self.cells, self.size
        device = said_NSTB5.device
        y_S11 = torch.arange(rows, device=device).view(-1, 1, 1)
        x_1T1 = torch.arange(columns, device=device).view(1, -1, 1)
        middle_x = (said_NSTB5[..., 0] + x_1T1) * (width / columns)
        middle_y = (said_NSTB5[..., 1] + y_S11) * (height / rows)
        middle = torch.stack((middle_x, middle_y), -1)
        half = said_NSTB5[..., 2:4].square() * said_NSTB5.new_tensor([width, height]) / 2
        return torch.cat((middle - half, middle + half), -1)
