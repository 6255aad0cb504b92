"""Schedules beside torch's. Ours are functions of the share done, i/N at step i of N; torch's count steps."""

import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler as peers

from visus.training import Constant, Cosine, OneCycle, Plateau, Steps

N = 200
RATE = 0.3


def optimizer(momentum: float = 0.9) -> torch.optim.SGD:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], RATE, momentum=momentum)


def rates(optim, scheduler, steps: int = N) -> list[tuple[float, float]]:
    """Rate and momentum at each step."""
    found = []
    for _ in range(steps):
        found.append((optim.param_groups[0]["lr"], optim.param_groups[0]["momentum"]))
        optim.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SequentialLR's own use of a deprecated argument
            scheduler.step()
    return found


def ours(schedule, steps: int = N) -> list[float]:
    return [RATE * schedule.factor(index / steps) for index in range(steps)]


def close(one, other) -> bool:
    return one == pytest.approx(other, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("rise", [0.1, 0.3, 0.5])
def test_one_cycle_is_torchs_with_its_momentum(rise):
    # torch's last step is number total_steps − 1 and its peak number pct_start·total_steps − 1; in ours the peak is at
    # step rise·N and the end at N, the step after the last. So ours is torch's with one step more, not taken.
    schedule, optim = OneCycle(rise=rise), optimizer()
    peer = peers.OneCycleLR(
        optim, RATE, total_steps=N + 1, pct_start=(rise * N + 1) / (N + 1),
        div_factor=1 / schedule.start, final_div_factor=schedule.start / schedule.end,
    )  # fmt: skip
    wanted = rates(optim, peer)
    assert close(ours(schedule), [rate for rate, _ in wanted])
    assert close([schedule.momentum_at(index / N) for index in range(N)], [momentum for _, momentum in wanted])


def test_one_cycles_defaults_are_torchs():
    optim = optimizer()
    peers.OneCycleLR(optim, RATE, total_steps=10)
    group, schedule = optim.param_groups[0], OneCycle()
    assert RATE * schedule.factor(0) == pytest.approx(group["initial_lr"])
    assert RATE * schedule.factor(1) == pytest.approx(group["min_lr"])
    assert schedule.momentum == (group["base_momentum"], group["max_momentum"])


def test_one_cycle_can_leave_the_momentum_alone():
    assert OneCycle(moves_momentum=False).momentum_at(0.4) is None


@pytest.mark.parametrize("end", [0.0, 0.1])
def test_cosine_is_torchs(end):
    optim = optimizer()
    wanted = rates(optim, peers.CosineAnnealingLR(optim, T_max=N, eta_min=end * RATE))
    assert close(ours(Cosine(end=end)), [rate for rate, _ in wanted])


def test_steps_are_torchs():
    optim = optimizer()
    wanted = rates(optim, peers.MultiStepLR(optim, milestones=[100, 150], gamma=0.1))
    assert close(ours(Steps(at=(0.5, 0.75), by=0.1)), [rate for rate, _ in wanted])


@pytest.mark.parametrize("schedule", [Constant(warmup=0.25), Steps(at=(0.5,), warmup=0.25)])
def test_warm_up_is_torchs_linear_rise_from_nothing(schedule):
    # torch refuses to start at 0 itself
    optim = optimizer()
    wanted = rates(optim, peers.LinearLR(optim, start_factor=1e-13, total_iters=N // 4), N // 2)
    assert close(ours(schedule)[: N // 2], [rate for rate, _ in wanted])


def test_cosine_after_a_warm_up_is_torchs_two_in_sequence():
    optim = optimizer()
    parts = [
        peers.LinearLR(optim, start_factor=1e-13, total_iters=50),
        peers.CosineAnnealingLR(optim, T_max=N - 50, eta_min=0.01 * RATE),
    ]
    wanted = rates(optim, peers.SequentialLR(optim, parts, milestones=[50]))
    assert close(ours(Cosine(warmup=0.25, end=0.01)), [rate for rate, _ in wanted])


@given(
    st.lists(st.floats(0, 1) | st.sampled_from([0.5, float("nan")]), max_size=40),
    st.integers(0, 4),
    st.sampled_from([0.1, 0.5]),
    st.sampled_from([0.0, 1e-3]),
)
def test_plateau_is_torchs(scores, patience, by, least):
    optim = optimizer()
    peer = peers.ReduceLROnPlateau(
        optim, mode="max", factor=by, patience=patience, threshold=0, min_lr=least * RATE, eps=0
    )
    schedule = Plateau(by=by, patience=patience, least=least)
    for index, score in enumerate(scores):
        peer.step(score)
        assert RATE * schedule.factor(0.5, scores[: index + 1]) == pytest.approx(optim.param_groups[0]["lr"], rel=1e-9)


SCHEDULES = (
    Constant(), Constant(warmup=0.1), OneCycle(), OneCycle(rise=0.01), Cosine(warmup=0.3), Cosine(warmup=0.9),
    Steps(at=(0.2, 0.9), warmup=0.1), Plateau(warmup=0.2),
)  # fmt: skip


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@given(done=st.floats(0, 1))
def test_the_highest_rate_is_the_optimisers_and_none_is_negative(schedule, done):
    assert 0 <= schedule.factor(done) <= 1
    assert max(schedule.factor(index / 1000) for index in range(1001)) == pytest.approx(1, abs=1e-3)
