"""How much each member of a fusion counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from visus.data.types import Schema, Targets
from visus.tasks import AnyTask, How

PORTION = 1024  # samples at a time: the gradient's working memory


def fit_weights(
    task: AnyTask, schema: Schema, outputs: Sequence[Tensor], target: Targets, how: How
) -> tuple[float, ...]:
    """The weights, none below 0 and 1 in sum, with which the fused outputs' mean error on these samples is least.

    The errors are the task's: log loss of classes, squared error of values. Both are convex in the weights, of the
    arithmetic as of the geometric mean, so that there is one minimum and no start can miss it; members that say the
    same count alike. outputs: of each member, N×K, in the order of the schema's names.
    """
    from scipy.optimize import minimize

    count, rows = len(outputs), len(outputs[0])
    portions = [
        (tuple(each[some].double() for each in outputs), target.pick(some))
        for some in torch.split(torch.arange(rows), PORTION)
    ]

    def error(weights: np.ndarray) -> tuple[float, np.ndarray]:
        total, gradient = 0.0, np.zeros(count)
        for said, truth in portions:
            weights_M = torch.tensor(weights, requires_grad=True)
            found = task.errors(task.fuse(said, weights_M, how, schema), truth).sum()
            (slope_M,) = torch.autograd.grad(found, weights_M)
            total, gradient = total + found.item(), gradient + slope_M.numpy()
        return total / rows, gradient / rows

    alike = np.full(count, 1 / count)
    found = minimize(
        error, alike, jac=True, method="SLSQP", bounds=[(0, 1)] * count, options={"ftol": 1e-12, "maxiter": 1000},
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1, "jac": lambda weights: np.ones(count)},
    )  # fmt: skip
    inside = np.clip(found.x, 0, None)
    # the solver ends within rounding of the minimum; where a corner or the middle is as good, it is that
    best = min((alike, *np.eye(count), inside / inside.sum()), key=lambda weights: error(weights)[0])
    return tuple(best.tolist())
