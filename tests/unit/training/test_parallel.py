"""Steps on several ranks are those of one process with the whole batch."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.ranks import Ended, on_ranks
from visus.data.types import Batch, Targets
from visus.models import CATALOG, build_classifier
from visus.nn import across
from visus.nn.synced import synchronize
from visus.run.job import together
from visus.tasks import Classify
from visus.training import SGD, AdamW, Player, fit, ready
from visus.training.divided import whole
from visus.training.parallel import of_all, replicated, shard
from visus.training.ranks import Ranks

SAMPLES, CLASSES = 16, 4
CASES = (
    "ddp plain", "ddp adamw clip", "ddp accumulate clip", "ddp uneven weights", "ddp thaw adamw", "ddp two",
    "ddp frozen", "fsdp adamw", "fsdp clip accumulate", "fsdp uneven two frozen",
)  # fmt: skip

FEW = ("ddp plain", "ddp uneven weights")


def network() -> nn.Module:
    torch.manual_seed(0)
    return build_classifier(CATALOG["resnet8"].spec, (3, 8, 8), CLASSES)


def batches(ranks: Ranks, uneven: bool) -> Iterator[Batch]:
    draws = torch.Generator().manual_seed(1)
    while True:
        inputs = torch.randn(SAMPLES, 3, 8, 8, generator=draws)
        label = torch.randint(0, CLASSES, (SAMPLES,), generator=draws)
        bounds = torch.arange(SAMPLES).tensor_split(ranks.count)
        if uneven and ranks.count == 2:  # as where a rank couldn't read some of its files
            bounds = torch.arange(SAMPLES).tensor_split((3,))
        mine = bounds[ranks.rank]
        yield Batch(inputs[mine], Targets(label=label[mine]), mine)


def all_cases(folder: Path, machines: str = "one") -> dict[str, Any]:
    torch.set_default_dtype(torch.float64)  # so that what differs isn't rounding
    if machines == "several":  # without memory that they share
        os.environ["LOCAL_WORLD_SIZE"] = "1"
    with together() as job:
        assert across.beside(torch.device("cpu")) == (job.ranks.count > 1 and machines == "one")
        cases = FEW if job.ranks.count == 4 or machines == "several" else CASES
        return {case: trained(job.ranks, *case.split()) for case in cases}


def trained(ranks: Ranks, how: str, *more: str) -> dict[str, Any]:
    """The losses of some steps, and some weights of what they lead to."""
    model = network()
    if ranks.count > 1:
        synchronize(model)
        if how == "fsdp":
            shard(model, ranks, torch.device("cpu"))
    if "frozen" in more:
        model.backbone.stages[0].requires_grad_(False).eval()
    task = Classify(weights=(1.0, 2.0, 0.5, 1.5) if "weights" in more else None, smoothing=0.1)
    players: tuple[Player, ...] = task.players(model)
    if "two" in more:
        heads = task.players(model)[0]
        players = tuple(
            dataclasses.replace(heads, name=name, groups=Player.of(name, part, heads.loss).groups)
            for name, part in (("body", model.backbone), ("head", model.head))
        )
    if ranks.count > 1:
        players = tuple((of_all if how == "fsdp" else replicated)(player, ranks) for player in players)
    learners = ready(players, AdamW(lr=1e-3, eps=1e-3) if "adamw" in more else SGD(lr=0.05))
    losses = []
    steps = fit(
        learners, batches(ranks, "uneven" in more), steps=5, clip=0.5 if "clip" in more else None,
        accumulate=2 if "accumulate" in more else 1,
    )  # fmt: skip
    for step in steps:
        losses += [part.item() for parts in step.losses.values() for part in parts.values()]
        if "thaw" in more and step.index in (1, 3):
            model.backbone.stages[0].requires_grad_(step.index == 3)
    state = {name: value.double().flatten()[:9].tolist() for name, value in whole(model.state_dict()).items()}
    return {"losses": losses, "state": state}


def close(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one["losses"] == pytest.approx(other["losses"], rel=1e-6)  # they are said in float32
    for name, values in one["state"].items():
        assert values == pytest.approx(other["state"][name], rel=1e-9, abs=1e-12), name


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> list[Ended]:
    work = "tests.unit.training.test_parallel:all_cases"
    return on_ranks(tmp_path_factory.mktemp("ranks"), work, (1, ""), (2, ""), (4, ""), (2, "several"))


@pytest.mark.parametrize("case", CASES)
def test_steps_are_those_of_one_process(case: str, ended: list[Ended]) -> None:
    (one,), two, *others = (each.found for each in ended)
    for each in (*two, *(rank for found in others if case in found[0] for rank in found)):
        close(each[case], one[case])
