"""One network on the ranks of a job."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from visus import __version__
from visus.adaptation import Full, Linear, Stage
from visus.data.preprocess import Preprocess
from visus.errors import SpecError
from visus.nn.synced import synchronize
from visus.prediction.predictor import Engine
from visus.run.resolve import Plan
from visus.run.start import Start
from visus.spec import dumps
from visus.training import Player
from visus.training.average import Average
from visus.training.parallel import of_all, replicated, shard
from visus.training.ranks import Ranks


def check_ranks(plan: Plan, ranks: Ranks, fingerprint: str) -> None:
    """Raise SpecError for settings that several ranks can't follow, and RunError where one sees something else."""
    if ranks.count == 1:
        return
    recipe = plan.recipe
    if recipe.budget.batch == "auto":
        raise SpecError("budget.batch 'auto' is found by one process, and there are several", "--batch with a number")
    ranks.require_same("versions", f"Visus {__version__} with PyTorch {torch.__version__}")
    ranks.require_same("data (fingerprint)", fingerprint)
    ranks.require_same("settings (digest)", hashlib.sha256(dumps(recipe).encode()).hexdigest()[:12])
    if recipe.runtime.parallel == "fsdp":
        if isinstance(recipe.transfer, Linear | Stage):
            raise SpecError("runtime.parallel 'fsdp' has nothing to divide where only a last layer learns", "take ddp")
        if isinstance(recipe.transfer, Full) and recipe.transfer.thaw:
            raise SpecError("runtime.parallel 'fsdp' can't thaw stages while it trains", "take ddp, or thaw=0")


def spread(
    start: Start, plan: Plan, ranks: Ranks, device: torch.device
) -> tuple[Average | None, bool]:  # fmt: skip
    """Lay the network out in memory, on the ranks too: its average, if one is wanted, and whether it is divided."""
    runtime, decay = plan.recipe.runtime, plan.recipe.budget.ema
    divided = ranks.count > 1 and runtime.parallel == "fsdp"
    if ranks.count > 1:
        synchronize(start.model)
    if runtime.channels_last and len(plan.preprocess.shape) == 3 and not divided:  # FSDP takes contiguous ones alone
        start.whole.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = None
    if decay is not None:  # torch's update of many tensors at once takes no divided ones beside whole ones
        average = Average(start.model, decay, each=divided)
    if divided:
        for model in (start.model, *([average.module] if average is not None else [])):
            shard(model, ranks, device)
    return average, divided


def spread_players(players: Sequence[Player], plan: Plan, ranks: Ranks) -> tuple[Player, ...]:
    """The same players, whose losses and gradients are those of all ranks' samples."""
    if ranks.count == 1:
        return tuple(players)
    one = of_all if plan.recipe.runtime.parallel == "fsdp" else replicated
    return tuple(one(player, ranks) for player in players)


def divided_outputs(model: nn.Module, preprocess: Preprocess, precision: torch.dtype) -> Engine:
    """What a divided network says. Its parts are put together for each call, which training uses again: in inference
    mode, as predictors compute otherwise, they would be of no use to it."""

    def outputs(placed: Tensor) -> Any:
        device = next(model.parameters()).device
        automatic = torch.autocast(device.type, precision, enabled=precision != torch.float32)
        with torch.no_grad(), automatic:
            return model(preprocess.normalize(placed.to(device)))

    return outputs
