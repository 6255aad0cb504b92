"""Batch normalisation by the statistics of all ranks' samples. torch's own takes no tensors of the processor."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from visus.nn import across

ALL = [True, True, True]  # gradients wanted: of input, weight and bias


class SyncedBatchNorm(_BatchNorm):
    """Batch normalisation as it would be of all ranks' samples at once; in evaluation as ever. N×C×… in and out.

    of: the one whose parameters and statistics it takes over; names in the state stay.
    """

    def __init__(self, of: _BatchNorm) -> None:
        super().__init__(of.num_features, of.eps, of.momentum, affine=False, track_running_stats=False)
        self.affine, self.track_running_stats, self.training = of.affine, of.track_running_stats, of.training
        self.weight, self.bias = of.weight, of.bias
        self.running_mean, self.running_var = of.running_mean, of.running_var
        self.num_batches_tracked = of.num_batches_tracked

    def _check_input_dim(self, input: Tensor) -> None:  # of any number of dimensions, as torch's own SyncBatchNorm
        if input.ndim < 2:
            raise ValueError(f"expected at least 2 dimensions, got {input.ndim}")

    def forward(self, x_NC: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x_NC)
        mean_C, var_C, count, y_NC = _Normalize.apply(  # type: ignore[no-untyped-call]
            x_NC, self.weight, self.bias, self.eps, self.running_mean
        )
        if self.running_mean is not None and self.running_var is not None:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            with torch.no_grad():
                self.running_mean.lerp_(mean_C, momentum)
                self.running_var.lerp_(var_C * (count / (count - 1)), momentum)
        found: Tensor = y_NC
        return found


class _Normalize(torch.autograd.Function):
    """Normalise by mean and variance over all ranks; the kernels are those of torch's batch normalisation.

    One sum over ranks forward and one backward, of two numbers a channel each.
    """

    @staticmethod
    def forward(
        ctx: Any, x_NC: Tensor, weight_C: Tensor | None, bias_C: Tensor | None, eps: float, near_C: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        own_C, var_C = torch.batch_norm_update_stats(x_NC, None, None, 0.0)
        own_C = own_C if near_C is None else own_C - near_C  # sums of squares lose little close to the mean
        n = x_NC.numel() // x_NC.shape[1]
        sums = torch.cat((own_C * n, (var_C + own_C.square()) * n, own_C.new_tensor([n])))
        across.add(sums)
        (mean_C, square_C), count = sums[:-1].view(2, -1) / sums[-1], sums[-1]
        var_C = (square_C - mean_C.square()).clamp_min(0)
        mean_C = mean_C if near_C is None else mean_C + near_C
        y_NC = F.batch_norm(x_NC, mean_C, var_C, weight_C, bias_C, False, 0.0, eps)
        ctx.save_for_backward(x_NC, weight_C, mean_C, var_C, count)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean_C, var_C, count)
        return mean_C, var_C, count, y_NC

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None, None]:
        """With g the gradient, x̂ the normalised input and means over all ranks: w/σ·(g − mean(g) − x̂·mean(g·x̂))."""
        x_NC, weight_C, mean_C, var_C, count = ctx.saved_tensors
        g_NC = gradients[3]
        # as in evaluation: gx is w/σ·g, gw = Σ g·x̂ and gb = Σ g over this rank's samples
        gx_NC, gw_C, gb_C = torch.ops.aten.native_batch_norm_backward(
            g_NC, x_NC, weight_C, mean_C, var_C, None, None, False, ctx.eps, ALL
        )
        sums_2C = torch.stack((gb_C, gw_C))
        across.add(sums_2C)
        g_C, gn_C = sums_2C / count
        inverse_C = (var_C + ctx.eps).rsqrt()
        scale_C = inverse_C if weight_C is None else inverse_C * weight_C
        slope_C = -scale_C * inverse_C * gn_C
        offset_C = -scale_C * g_C - slope_C * mean_C
        shape = (1, -1, *[1] * (x_NC.ndim - 2))
        gx_NC.addcmul_(x_NC, slope_C.to(x_NC.dtype).view(shape)).add_(offset_C.to(x_NC.dtype).view(shape))
        has = weight_C is not None
        return gx_NC, gw_C if has else None, gb_C if has else None, None, None


def synchronize(model: nn.Module) -> None:
    """Put a SyncedBatchNorm in the place of every batch normalisation inside of a network."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm) and not isinstance(child, SyncedBatchNorm):
                setattr(module, name, SyncedBatchNorm(child))
