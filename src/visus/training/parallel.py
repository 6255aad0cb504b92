"""One network on several ranks, by PyTorch's own means: DistributedDataParallel, or FSDP2's fully_shard.

Either way a step is that of one process with the whole batch: losses and gradients are means over all of its samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from visus.data.types import Batch
from visus.nn import Classifier, across
from visus.training.player import Player
from visus.training.ranks import Ranks


def replicated(player: Player, ranks: Ranks) -> Player:
    """The same player, one of many that hold the same parameters: its gradients are those of the whole batch."""
    replica = _Replica(player)
    return replace(player, loss=_shared(replica, player, ranks), apart=replica.apart)


def shard(model: nn.Module, ranks: Ranks, device: torch.device) -> None:
    """Divide a network's parameters among the ranks, in place, stage by stage; do so before players take them up."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    mesh = init_device_mesh(device.type, (ranks.count,))
    if isinstance(model, Classifier):
        for part in (*model.backbone.stages, model.head, *model.auxiliary.values()):
            if next(part.parameters(), None) is not None:
                fully_shard(part, mesh=mesh)
    fully_shard(model, mesh=mesh)
    if isinstance(model, Classifier):
        register_fsdp_forward_method(model, "graded")


def of_all(player: Player, ranks: Ranks) -> Player:
    """The same player over a network that `shard` divided, which brings gradients together by itself."""
    return replace(player, loss=_shared(player.loss, player, ranks))


class _Turn(nn.Module):
    """A player as the module that DistributedDataParallel wraps: what learns, and a loss in place of an output."""

    def __init__(self, parameters: tuple[nn.Parameter, ...], loss: Callable[[Batch], dict[str, Tensor]]) -> None:
        super().__init__()
        self.learning = nn.ParameterList(parameters)
        self.loss = loss

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return self.loss(batch)


class _Replica:
    """A player's loss under DistributedDataParallel, which is made anew when other parameters are thawed or frozen."""

    def __init__(self, player: Player) -> None:
        self.player, self.together = player, True
        self.learning: tuple[nn.Parameter, ...] = ()
        self.wrapped: nn.parallel.DistributedDataParallel | None = None

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        learning = tuple(parameter for parameter in self.player.parameters if parameter.requires_grad)
        if self.wrapped is None or list(map(id, learning)) != list(map(id, self.learning)):
            turn = _Turn(learning, self.player.loss)
            self.learning, self.wrapped = learning, nn.parallel.DistributedDataParallel(turn)
            if across.beside(learning[0].device):  # an accelerator's are sent while others are still computed
                self.wrapped.register_comm_hook(None, lambda state, bucket: _averaged(bucket))
        with nullcontext() if self.together else self.wrapped.no_sync():
            found: dict[str, Tensor] = self.wrapped(batch)
        return found

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Gradients of batches inside of it aren't sent; those of the next one outside are sent with them."""
        self.together = False
        try:
            yield
        finally:
            self.together = True


def _averaged(bucket: Any) -> torch.futures.Future[Tensor]:
    """Gradients' means over ranks that share memory, as DistributedDataParallel sends them otherwise."""
    gradients: Tensor = bucket.buffer()
    across.add(gradients.div_(torch.distributed.get_world_size()))
    done: torch.futures.Future[Tensor] = torch.futures.Future()
    done.set_result(gradients)
    return done


class _Mean(torch.autograd.Function):
    """The value of all, with the gradient of this rank's share."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, share: Tensor, value: Tensor) -> Tensor:
        ctx.share = share.to(part.dtype)
        return value.to(part.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0] * ctx.share, None, None


def _shared(
    loss: Callable[[Batch], dict[str, Tensor]], player: Player, ranks: Ranks
) -> Callable[[Batch], dict[str, Tensor]]:
    """The loss of the whole batch, the same number on every rank: what it decides is decided alike everywhere."""

    def found(batch: Batch) -> dict[str, Tensor]:
        parts = loss(batch)
        values = torch.stack([part.detach().double() for part in parts.values()])
        weight = torch.as_tensor(player.weight(batch), dtype=values.dtype, device=values.device)
        sums = torch.cat((values * weight, weight[None]))
        across.add(sums)
        means = sums[:-1] / sums[-1]
        share = weight * ranks.count / sums[-1]  # gradients are divided by the number of ranks where they are added
        return {
            name: _Mean.apply(part, share, mean)  # type: ignore[no-untyped-call]
            for (name, part), mean in zip(parts.items(), means, strict=True)
        }

    return found
