"""The stages of a network, what they are made of, and the table of its layers."""

import pytest
import torch
from torch import nn

from visus.explanation import Row, folded, summarize
from visus.explanation.blocks import blocks_of
from visus.explanation.summary import summarize_module
from visus.models import CATALOG, TINY
from visus.nn import ConvNormAct, Gate, Residual, SparseConv2d, WholeConv2d


class Branches(nn.Module):
    """As blocks with branches side by side are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList([nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3)])


class TwoByTwo(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 4, 2), nn.Linear(4, 4)


def words(*blocks: nn.Module) -> list[str]:
    return [str(part) for part in blocks_of(nn.Sequential(*blocks))]


def conv(*args: int, **options: object) -> nn.Conv2d:
    return nn.Conv2d(*args, **options)


@pytest.mark.parametrize(
    ("block", "says"),
    [
        (conv(3, 8, 7, 2), "7×7 conv, stride 2"),
        (nn.Conv2d(4, 4, (1, 7), (2, 1)), "1×7 conv, stride 2×1"),
        (conv(8, 8, 3, groups=8), "3×3 depthwise conv"),
        (conv(8, 8, 3, groups=2), "3×3 conv in 2 groups"),
        (ConvNormAct(3, 8, 3, 2), "3×3 conv, stride 2"),
        (SparseConv2d(((0, 1), (1,)), 2, 5), "5×5 sparse conv"),
        (WholeConv2d(3, 8, (5, 4)), "5×4 conv"),
        (nn.MaxPool2d(3, 2), "3×3 max pool, stride 2"),
        (nn.AvgPool2d(2), "2×2 average pool, stride 2"),
        (nn.AdaptiveAvgPool2d(1), "global average pool"),
        (nn.AdaptiveAvgPool2d((6, 6)), "average pool to 6×6"),
        (nn.Linear(3, 10), "linear 10"),
        (nn.LocalResponseNorm(5), "local response norm"),
        (Gate(8, 2), "gate"),
        (Residual([ConvNormAct(4, 4, 3), ConvNormAct(4, 4, 3)], nn.Identity()), "residual 3×3 · 3×3"),
        (Residual([ConvNormAct(4, 4), Gate(4, 2)], ConvNormAct(4, 4)), "residual 1×1 · gate"),
        (nn.Sequential(conv(4, 4, 3, groups=4), nn.ReLU(), conv(4, 4, 1)), "3×3 depthwise · 1×1"),
        (nn.Sequential(*[conv(4, 4, 1) for _ in range(6)]), "block"),
        (Branches(), "2 branches"),
        (TwoByTwo(), "two by two 2×2 · linear 4"),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_a_block_in_words(block, says):
    assert words(block, nn.ReLU(), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Conv2d(1, 1, 9)) == [
        says,
        "9×9 conv",
    ]


def test_equal_blocks_are_counted_also_where_they_take_turns():
    def pair() -> list[nn.Module]:
        return [conv(4, 4, 3, groups=4), nn.ReLU(), conv(4, 4, 1)]

    assert words(*pair(), *pair(), *pair(), nn.MaxPool2d(2)) == [
        "3 × (3×3 depthwise conv, 1×1 conv)", "2×2 max pool, stride 2",
    ]  # fmt: skip
    assert words(Branches(), Branches()) == ["2 × (2 branches)"]
    assert words(conv(4, 4, 3), conv(4, 4, 3), conv(4, 4, 5)) == ["2 × 3×3 conv", "5×5 conv"]


def test_the_stages_of_resnet50():
    """He et al. 2015 (arXiv:1512.03385), table 1: 7×7/2 and 3×3/2 max pool, then 3, 4, 6 and 3 bottlenecks."""
    stages = summarize(CATALOG["resnet50"].spec, (3, 224, 224), 1000).stages
    assert [stage.name for stage in stages] == [*(f"stages.{index}" for index in range(5)), "head"]
    assert [stage.map for stage in stages] == [
        (64, 56, 56), (256, 56, 56), (512, 28, 28), (1024, 14, 14), (2048, 7, 7), (1000,),
    ]  # fmt: skip
    assert [stage.stride for stage in stages] == [4, 4, 8, 16, 32, None]
    assert ["; ".join(map(str, stage.blocks)) for stage in stages] == [
        "7×7 conv, stride 2; 3×3 max pool, stride 2",
        *(f"{count} × residual 1×1 · 3×3 · 1×1" for count in (3, 4, 6, 3)),
        "global average pool; linear 1000",
    ]
    # by hand: the kernels and two numbers a map for each normalisation; 2048·1000 weights and 1000 biases
    assert (stages[0].parameters, stages[-1].parameters) == (7 * 7 * 3 * 64 + 2 * 64, 2048 * 1000 + 1000)
    assert (stages[0].multiply_adds, stages[-1].multiply_adds) == (7 * 7 * 3 * 64 * 112 * 112, 2048 * 1000)


@pytest.mark.parametrize("family", sorted(TINY))
def test_stages_and_lines_add_up(family):
    shape = next(card.input for card in CATALOG.values() if card.family == family)
    found = summarize(TINY[family], shape, 7)
    assert found.input == shape
    assert found.stages[-1].map == (7,)
    assert sum(stage.parameters for stage in found.stages) + found.auxiliary == found.parameters
    assert sum(stage.multiply_adds for stage in found.stages) == found.multiply_adds
    lines = folded(found.rows)
    assert sum(line.parameters for line in lines) == sum(row.parameters for row in found.rows)
    assert sum(line.multiply_adds for line in lines) == sum(row.multiply_adds for row in found.rows)
    assert len(lines) <= len(found.rows)


def test_what_only_passes_on_is_no_layer():
    model = nn.Sequential(nn.Identity(), nn.Linear(3, 2), nn.Identity())
    found = summarize_module(model, torch.zeros(1, 3))
    assert [row.name for row in found.rows] == ["1"]
    assert (found.stages, found.auxiliary) == ((), 0)


def test_only_neighbours_that_are_equal_in_everything_are_folded():
    def block(name: str, channels: int) -> list[Row]:
        return [
            Row(f"{name}.conv", "Conv2d", (channels, 4, 4), 9, 90),
            Row(f"{name}.act", "ReLU", (channels, 4, 4), 0, 0),
        ]

    rows = [*block("a.0", 8), *block("a.1", 8), *block("a.2", 8), *block("a.3", 16), *block("a.4", 8)]
    assert [(line.name, line.like, line.count) for line in folded(rows)] == [
        ("a.0.conv", "", 1), ("a.0.act", "", 1), ("a.1 … 2", "a.0", 2),
        ("a.3.conv", "", 1), ("a.3.act", "", 1), ("a.4.conv", "", 1), ("a.4.act", "", 1),
    ]  # fmt: skip
    named = [*block("left", 8), *block("right", 8)]  # no list: each has its own meaning
    assert [line.name for line in folded(named)] == [row.name for row in named]
