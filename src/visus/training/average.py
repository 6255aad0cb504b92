"""An average of a network's weights over the steps, which wanders less than they do."""

from __future__ import annotations

from typing import Any, final

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn, get_ema_multi_avg_fn


@final
class Average(AveragedModel):
    """An exponential moving average of weights and statistics, `module`, laid out as the network is.

    decay: what stays of the average at a step. At first it is lower, (1 + n)/(10 + n) at the n-th step, so that the
    random start is soon forgotten; TensorFlow's `ExponentialMovingAverage` with `num_updates` has the same.
    each: tensor by tensor, as divided ones want it.
    """

    def __init__(self, model: nn.Module, decay: float, *, each: bool = False) -> None:
        super().__init__(model, use_buffers=True)
        self.decay, self.each = decay, each

    def update_parameters(self, model: nn.Module) -> None:
        """Take the weights of a step in."""
        number = int(self.n_averaged)
        decay: Any = min(self.decay, (1 + number) / (10 + number))
        if self.each:
            self.avg_fn = get_ema_avg_fn(decay)  # type: ignore[no-untyped-call]
        else:
            self.multi_avg_fn = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        super().update_parameters(model)
