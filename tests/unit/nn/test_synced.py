"""Batch normalisation over ranks is torch's own of all samples at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.ranks import on_ranks
from visus.nn import Classifier, Pyramid
from visus.nn.synced import SyncedBatchNorm, synchronize
from visus.run.job import together
from visus.training.ranks import Ranks

SIZES = (3, 5)  # samples of the two ranks


def inputs(momentum: float | None, last: bool) -> tuple[nn.BatchNorm2d, torch.Tensor, torch.Tensor]:
    """A normalisation, samples that aren't centred, and a gradient of what it gives."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4, momentum=momentum)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x_NCHW = torch.randn(sum(SIZES), 4, 3, 2) * 2 + 7
    layout = torch.channels_last if last else torch.contiguous_format
    return norm, x_NCHW.to(memory_format=layout), torch.randn(sum(SIZES), 4, 3, 2)


def all_normalized(folder: Path) -> list[Any]:
    torch.set_default_dtype(torch.float64)
    with together() as job:
        return [normalized(job.ranks, momentum, last) for momentum in (0.1, None) for last in (False, True)]


def normalized(ranks: Ranks, momentum: float | None, last: bool) -> dict[str, Any]:
    norm, x_NCHW, g_NCHW = inputs(momentum, last)
    layer: nn.Module = norm
    if ranks.count > 1:
        layer = SyncedBatchNorm(norm)
        x_NCHW, g_NCHW = (each.split(SIZES)[ranks.rank] for each in (x_NCHW, g_NCHW))
    for _ in range(2):  # the statistics that run along are near the mean the second time
        x_NCHW = x_NCHW.detach().requires_grad_()
        norm.zero_grad()
        y_NCHW = layer(x_NCHW)
        y_NCHW.backward(g_NCHW)
    found = {"y": y_NCHW, "gx": x_NCHW.grad, "gw": norm.weight.grad, "gb": norm.bias.grad, **layer.state_dict()}
    found["eval"] = layer.eval()(x_NCHW)
    return {name: value.flatten().tolist() for name, value in found.items()}


def test_it_is_that_of_all_samples(tmp_path: Path) -> None:
    one, two = on_ranks(tmp_path, "tests.unit.nn.test_synced:all_normalized", (1, ""), (2, ""))
    for whole, first, second in zip(one.found[0], *two.found, strict=True):
        assert list(whole) == list(first)
        for name, values in whole.items():
            if name in ("y", "gx", "eval"):
                got = first[name] + second[name]
            elif name in ("gw", "gb"):  # DistributedDataParallel adds them
                got = [sum(each) for each in zip(first[name], second[name], strict=True)]
            else:
                assert first[name] == second[name]
                got = first[name]
            assert got == pytest.approx(values, rel=1e-10, abs=1e-12), name


def test_a_network_keeps_its_names_and_parameters() -> None:
    model = Classifier(Pyramid([nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))], (4,), (1,)), nn.Flatten())
    before, parameters = list(model.state_dict()), list(model.parameters())
    synchronize(model)
    assert [type(each).__name__ for each in model.modules()].count("SyncedBatchNorm") == 1
    assert list(model.state_dict()) == before
    assert all(one is other for one, other in zip(model.parameters(), parameters, strict=True))


def test_inputs_without_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 dimensions"):
        SyncedBatchNorm(nn.BatchNorm1d(4)).eval()(torch.ones(4))
