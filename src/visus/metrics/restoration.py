"""How near restored images are to those that were wanted."""

from __future__ import annotations

from typing import final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from visus.metrics.score import Score, bootstrap

WINDOW, SIGMA = 11, 1.5  # of SSIM's Gaussian window (Wang et al. 2004, §III.B)
K1, K2 = 0.01, 0.03
EXACT = 1e-10  # in place of a mean squared error of 0, so that identical images have a finite figure (148 dB)
LEVELS = 255.0


@final
class RestorationMeter:
    """Figures of restored images, gathered batch by batch: psnr in decibels, ssim, and the loss (mean squared error of
    values 0…1), each the mean over images. There is no ssim where an image is smaller than its window of 11×11."""

    def __init__(self) -> None:
        self._rows: list[Tensor] = []  # mean squared error, SSIM

    def update(self, found_NCHW: Tensor, wanted_NCHW: Tensor) -> None:
        """Take in a batch of images of values 0…255, as they are written: rounded."""
        error_N, like_N = squared_error(found_NCHW, wanted_NCHW), torch.full((len(found_NCHW),), torch.nan)
        if min(found_NCHW.shape[-2:]) >= WINDOW:
            like_N = ssim(found_NCHW, wanted_NCHW)
        self._rows.append(torch.stack([error_N.cpu(), like_N.double().cpu()], 1))

    def scores(self) -> dict[str, Score]:
        """psnr, ssim, loss."""
        error_N, like_N = torch.cat(self._rows).numpy().T
        ratio_N = decibels(torch.from_numpy(error_N)).numpy()
        found = {"psnr": _mean(ratio_N, higher=True)}
        if not np.isnan(like_N).any():
            found["ssim"] = _mean(like_N, higher=True)
        found["loss"] = _mean(error_N / LEVELS**2, higher=False)
        return found

    def each(self) -> list[float]:
        """The PSNR of every image, in order."""
        found: list[float] = decibels(torch.cat(self._rows)[:, 0]).tolist()
        return found


def squared_error(found_NCHW: Tensor, wanted_NCHW: Tensor) -> Tensor:
    """N means of squared differences, float64."""
    return (found_NCHW.double() - wanted_NCHW.double()).square().flatten(1).mean(1)


def decibels(error_N: Tensor) -> Tensor:
    """Peak signal-to-noise ratios of mean squared errors of values 0…255: 10·log10(255²/error)."""
    return 10 * torch.log10(LEVELS**2 / error_N.clamp_min(EXACT))


def ssim(found_NCHW: Tensor, wanted_NCHW: Tensor) -> Tensor:
    """N structural similarities of images of values 0…255 (Wang, Bovik, Sheikh and Simoncelli 2004,
    doi:10.1109/TIP.2003.819861): the mean over channels and over all places where the window lies inside of the image.

    The window is a Gaussian of standard deviation 1.5 and 11×11 pixels; variances are the window's own. float64.
    """
    x, y = found_NCHW.double(), wanted_NCHW.double()
    mean_x, mean_y = _seen(x), _seen(y)
    var_x, var_y, both = _seen(x * x) - mean_x**2, _seen(y * y) - mean_y**2, _seen(x * y) - mean_x * mean_y
    c1, c2 = (K1 * LEVELS) ** 2, (K2 * LEVELS) ** 2
    like = (2 * mean_x * mean_y + c1) * (2 * both + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return like.flatten(1).mean(1)


def _seen(x_NCHW: Tensor) -> Tensor:
    """The mean in each window that lies inside: 10 pixels less a side."""
    place_K = torch.arange(WINDOW, device=x_NCHW.device).double() - WINDOW // 2
    weights_K = torch.exp(-(place_K**2) / (2 * SIGMA**2))
    weights_K = weights_K / weights_K.sum()
    flat = x_NCHW.flatten(0, 1)[:, None]
    return F.conv2d(F.conv2d(flat, weights_K.view(1, 1, -1, 1)), weights_K.view(1, 1, 1, -1)).view(
        *x_NCHW.shape[:2], x_NCHW.shape[2] - WINDOW + 1, x_NCHW.shape[3] - WINDOW + 1
    )


def _mean(values_N: np.ndarray, *, higher: bool) -> Score:
    return bootstrap(lambda rows: float(values_N[rows].mean()), len(values_N), higher=higher)
