"""Of numbers."""

from __future__ import annotations

from typing import final

import numpy as np
import torch
from torch import Tensor

from visus.metrics.score import Score, bootstrap


@final
class ValueMeter:
    """Figures of regression, gathered batch by batch; all pairs are kept."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self._predicted: list[Tensor] = []
        self._true: list[Tensor] = []

    def update(self, predicted_NV: Tensor, true_NV: Tensor) -> None:
        """Take in a batch, in the units of the data."""
        self._predicted.append(predicted_NV.double())
        self._true.append(true_NV.double())

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """All predicted and all true values, N×V float64."""
        return torch.cat(self._predicted).numpy(), torch.cat(self._true).numpy()

    def scores(self) -> dict[str, Score]:
        """r2, rmse, mae, loss (mean squared error); with several values r2 is their mean, the errors run over all."""
        predicted, true = self.pairs()
        n = len(true)

        def r2(rows: np.ndarray) -> float:
            error, spread = predicted[rows] - true[rows], true[rows] - true[rows].mean(0)
            lost, there = (error**2).sum(0), (spread**2).sum(0)
            varies = there > 1e-26 * (true[rows] ** 2).sum(0)  # and not only by the rounding of its mean
            # of a constant truth, as scikit-learn has it: 1 if it is met, else 0
            return float((1 - np.divide(lost, there, out=(lost > 0).astype(float), where=varies)).mean())

        def rmse(rows: np.ndarray) -> float:
            return float(np.sqrt(((predicted[rows] - true[rows]) ** 2).mean()))

        def mae(rows: np.ndarray) -> float:
            return float(np.abs(predicted[rows] - true[rows]).mean())

        return {
            "r2": bootstrap(r2, n, higher=True),
            "rmse": bootstrap(rmse, n, higher=False),
            "mae": bootstrap(mae, n, higher=False),
            "loss": Score(value=rmse(np.arange(n)) ** 2, n=n, higher=False),
        }
