"""The loop: whose parameters move, when, and what happens to numbers that are none. FAULTS 23 and 24."""

from collections.abc import Iterable, Iterator
from itertools import count, islice
from math import nan

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visus.data.types import Batch, Targets
from visus.errors import TrainingError
from visus.training import SGD, AdamW, Group, NotFinite, OneCycle, Optimizer, Player, Step, fit, ready
from visus.training.checkpoint import Checkpoint, random_state, read, set_random_state, write
from visus.training.loop import load_optimizer_state, optimizer_state


def batch(number: int, size: int = 8) -> Batch:
    generator = torch.Generator().manual_seed(number)
    x = torch.randn(size, 3, generator=generator)
    label = (x.sum(1) > 0).long()
    return Batch(x, Targets(label=label), torch.arange(size) + number * size)


def batches(start: int = 0) -> Iterator[Batch]:
    return (batch(number) for number in count(start))


def network(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Dropout(dropout), nn.Linear(5, 2))


def classifier(model: nn.Module) -> Player:
    return Player.of("c", model, lambda b: {"loss": F.cross_entropy(model(b.inputs), b.target.label)})


def weights(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def run(model: nn.Module, optim: Optimizer, stream: Iterable[Batch], **settings) -> list[Step]:
    return list(fit(ready([classifier(model)], optim), stream, **settings))


@pytest.mark.parametrize("optim", [SGD(lr=0.1), AdamW(lr=0.01)])
def test_steps_are_those_of_the_plain_loop_written_out(optim):
    model, plain = network(), network()
    steps = run(model, optim, batches(), steps=5)
    peer = optim.build([Group(tuple(plain.parameters()))])
    for number, step in enumerate(steps):
        loss = F.cross_entropy(plain(batch(number).inputs), batch(number).target.label)
        peer.zero_grad()
        loss.backward()
        peer.step()
        assert step.index == number
        assert step.losses["c"]["loss"].item() == pytest.approx(loss.item(), rel=1e-6)
        assert not step.losses["c"]["loss"].requires_grad
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(weights(model), weights(plain), strict=True))


def test_the_rate_and_the_momentum_follow_the_schedule_for_every_group():
    model, schedule = network(), OneCycle()
    player = Player("c", (Group(tuple(model[0].parameters()), 0.1), Group(tuple(model[3].parameters()))),
                    classifier(model).loss)  # fmt: skip
    learners = ready([player], SGD(lr=0.2))
    for step in fit(learners, batches(), steps=10, rate=schedule.factor, momentum=schedule.momentum_at):
        groups, factor = learners[0].optimizer.param_groups, schedule.factor(step.index / 10)
        assert {round(group["lr"] / factor, 9) for group in groups} == {0.02, 0.2}
        assert {group["momentum"] for group in groups} == {schedule.momentum_at(step.index / 10)}
        assert step.rate == pytest.approx(0.2 * factor)  # the one that was set, not the share of it that a group has


def test_adams_first_beta_is_its_momentum():
    learners = ready([classifier(network())], AdamW(betas=(0.9, 0.99)))
    list(fit(learners, batches(), steps=1, momentum=lambda done: 0.6))
    assert {tuple(group["betas"]) for group in learners[0].optimizer.param_groups} == {(0.6, 0.99)}


def test_sgd_without_momentum_gets_none():
    learners = ready([classifier(network())], SGD(momentum=0.0))
    list(fit(learners, batches(), steps=1, momentum=lambda done: 0.6))
    assert {group["momentum"] for group in learners[0].optimizer.param_groups} == {0.0}


class Pair:
    """A generator and a discriminator of numbers; each notes what it sees of the other's gradients."""

    def __init__(self, turns: int = 1) -> None:
        torch.manual_seed(0)
        self.g, self.d = nn.Linear(3, 1), nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))
        self.turns: list[str] = []
        self.rows: list[int] = []
        self.players = (
            Player("d", Player.of("d", self.d, self._d).groups, self._d, SGD(lr=0.1), turns=turns),
            Player("g", Player.of("g", self.g, self._g).groups, self._g, SGD(lr=0.1)),
        )

    def _d(self, b: Batch) -> dict[str, Tensor]:
        self._note("d", b)
        real, fake = self.d(b.inputs[:, :1]), self.d(self.g(b.inputs))  # not detached: the loop keeps them apart
        return {"real": F.softplus(-real).mean(), "fake": F.softplus(fake).mean()}

    def _g(self, b: Batch) -> dict[str, Tensor]:
        self._note("g", b)
        return {"fool": F.softplus(-self.d(self.g(b.inputs))).mean()}

    def _note(self, who: str, b: Batch) -> None:
        self.turns.append(who)
        self.rows.append(int(b.rows[0]) // len(b))


def test_players_take_their_turns_each_with_a_new_batch():
    pair = Pair(turns=3)
    steps = list(fit(ready(pair.players, SGD()), batches(), steps=2))
    assert pair.turns == ["d", "d", "d", "g"] * 2
    assert pair.rows == list(range(8))
    assert [set(step.losses["d"]) | set(step.losses["g"]) for step in steps] == [{"real", "fake", "fool"}] * 2


def test_a_player_moves_only_its_own_parameters():
    for mover, frozen in ((0, "g"), (1, "d")):
        pair = Pair()
        before = {"g": weights(pair.g), "d": weights(pair.d)}
        list(fit(ready(pair.players[mover : mover + 1], SGD()), batches(), steps=1))
        after = {"g": weights(pair.g), "d": weights(pair.d)}
        moved = {"g": "d", "d": "g"}[frozen]
        assert same(before[frozen], after[frozen])
        assert not same(before[moved], after[moved])
        assert all(p.grad is None for p in getattr(pair, frozen).parameters())


def test_two_players_move_as_in_the_loop_written_out():
    pair, plain = Pair(), Pair()
    list(fit(ready(pair.players, SGD()), batches(), steps=3))
    optims = {name: torch.optim.SGD(getattr(plain, name).parameters(), 0.1, momentum=0.9, nesterov=True)
              for name in "dg"}  # fmt: skip
    for group in optims.values():  # as SGD() has it: weights decay
        params = group.param_groups.pop()["params"]
        for chosen, decay in (([p for p in params if p.ndim > 1], 5e-4), ([p for p in params if p.ndim <= 1], 0.0)):
            group.add_param_group({"params": chosen, "weight_decay": decay})
    for number in range(3):
        for turn, name in enumerate("dg"):
            loss = sum(getattr(plain, f"_{name}")(batch(2 * number + turn)).values())
            plain.d.zero_grad()
            plain.g.zero_grad()
            loss.backward()
            optims[name].step()
    for name in "dg":
        found, wanted = weights(getattr(pair, name)), weights(getattr(plain, name))
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("accumulate", [2, 4])
def test_accumulated_batches_are_one_large_one(accumulate):
    small, large = network(), network()
    run(small, SGD(), batches(), steps=3, accumulate=accumulate)

    def joined() -> Iterator[Batch]:
        for start in count(0, accumulate):
            parts = [batch(start + index) for index in range(accumulate)]
            yield Batch(
                torch.cat([part.inputs for part in parts]),
                Targets(label=torch.cat([part.target.label for part in parts])),
                torch.cat([part.rows for part in parts]),
            )

    run(large, SGD(), joined(), steps=3)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(weights(small), weights(large), strict=True))


def test_a_step_is_not_longer_than_the_clip():
    for clip, wanted in ((1e-3, 1e-3), (1e9, None)):
        model = network()
        before = weights(model)
        run(model, SGD(lr=1.0, momentum=0.0, weight_decay=0.0), batches(), steps=1, clip=clip)
        moved = torch.cat([(a - b).flatten() for a, b in zip(weights(model), before, strict=True)]).norm().item()
        if wanted is None:
            assert moved > 1e-2
        else:
            assert moved == pytest.approx(wanted, rel=1e-2)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_at_once_and_names_part_and_rows(value):
    model = network()
    good = classifier(model)

    def loss(b: Batch) -> dict[str, Tensor]:
        parts = good.loss(b)
        return {**parts, "extra": parts["loss"] * (value if b.rows[0] == 16 else 0.0)}

    stream = fit(ready([Player("c", good.groups, loss)], SGD()), batches(), steps=9)
    seen: list[list[Tensor]] = []
    with pytest.raises(NotFinite, match=r"at step 3: c: .*extra (nan|inf)") as raised:
        seen.extend(weights(model) for _ in stream)
    assert raised.value.rows == tuple(range(16, 24))
    assert len(seen) == 2
    assert same(weights(model), seen[-1])  # of the step before
    assert "lr" in raised.value.remedy


class Explodes(torch.autograd.Function):
    """The identity, with an infinite gradient."""

    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        return gradient * float("inf")


def exploding(model: nn.Module, bad) -> Player:
    good = classifier(model)

    def loss(b: Batch) -> dict[str, Tensor]:
        found = good.loss(b)["loss"]
        return {"loss": Explodes.apply(found) if bad(int(b.rows[0]) // 8) else found}

    return Player("c", good.groups, loss)


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_gradient_that_is_no_number_skips_the_step(clip):
    model = network()
    learners = ready([exploding(model, lambda number: number == 1)], AdamW())
    seen = []
    for step in fit(learners, batches(), steps=3, clip=clip):
        seen.append((step.skipped, weights(model)))
    assert [skipped for skipped, _ in seen] == [False, True, False]
    assert same(seen[0][1], seen[1][1])
    assert not same(seen[1][1], seen[2][1])
    assert all(w.isfinite().all() for w in seen[2][1])


@pytest.mark.parametrize("optim", [SGD(lr=0.1), AdamW(lr=0.01)])
def test_a_skipped_step_leaves_an_optimiser_as_if_it_had_not_been(optim):
    skipping, plain = network(), network()
    learners = ready([exploding(skipping, lambda number: number in (0, 3))], optim)  # 0: before there are momenta
    list(fit(learners, batches(), steps=6))
    run(plain, optim, (batch(number) for number in (1, 2, 4, 5)), steps=4)
    assert same(weights(skipping), weights(plain))


def broken(model: nn.Module, bad: int) -> Player:
    good = classifier(model)
    return Player("c", good.groups, lambda b: {"loss": good.loss(b)["loss"] * (nan if b.rows[0] == 8 * bad else 1.0)})


def test_a_loop_that_is_ahead_moves_nobody_by_what_it_has_not_looked_at():
    model = network()
    seen: list[list[Tensor]] = []
    with pytest.raises(NotFinite, match=r"at step 3: c: loss nan") as raised:
        seen.extend(weights(model) for _ in fit(ready([broken(model, 2)], SGD()), batches(), steps=9, ahead=2))
    assert raised.value.rows == tuple(range(16, 24))
    assert len(seen) == 4  # the one that broke and one more, before it was looked at
    assert same(seen[1], seen[2])
    assert not same(seen[2], seen[3])


def test_a_loop_that_is_ahead_looks_when_it_is_asked_and_at_the_end():
    ahead = fit(ready([broken(network(), 1)], SGD()), batches(), steps=9, ahead=5)
    next(ahead).check()
    with pytest.raises(NotFinite, match="at step 2"):
        next(ahead).check()
    with pytest.raises(NotFinite, match="at step 3"):
        list(fit(ready([broken(network(), 2)], SGD()), batches(), steps=3, ahead=5))


def test_a_loop_that_is_ahead_counts_skipped_steps_in_a_row():
    learners = ready([exploding(network(), lambda number: number != 2)], SGD())
    with pytest.raises(NotFinite, match="3 steps in a row, to step 6") as raised:
        list(fit(learners, batches(), steps=9, ahead=2, skips=2))
    assert raised.value.rows == tuple(range(40, 48))


def test_too_many_skipped_steps_in_a_row_are_an_error():
    model = network()
    before = weights(model)
    stream = fit(ready([exploding(model, lambda number: True)], SGD()), batches(), steps=99, skips=3)
    taken: list[bool] = []
    with pytest.raises(NotFinite, match="4 steps in a row") as raised:
        taken.extend(step.skipped for step in stream)
    assert taken == [True, True, True]
    assert raised.value.rows == tuple(range(24, 32))
    assert same(weights(model), before)


def test_skipped_steps_that_are_not_in_a_row_are_no_error():
    stream = fit(ready([exploding(network(), lambda number: number % 2 == 0)], SGD()), batches(), steps=12, skips=1)
    assert sum(step.skipped for step in stream) == 6


@pytest.mark.parametrize("optim", [SGD(lr=0.1), SGD(lr=0.1, momentum=0.0), AdamW(lr=0.01)], ids=str)
@pytest.mark.parametrize("stop", [1, 4])
def test_resuming_from_a_checkpoint_is_bit_for_bit_the_run_without_a_break(tmp_path, optim, stop):
    schedule, dropout = OneCycle(), 0.5

    def settings(start: int) -> dict:
        return {"steps": 8, "start": start, "rate": schedule.factor, "momentum": schedule.momentum_at}

    whole = network(dropout)
    torch.manual_seed(7)
    wanted = run(whole, optim, batches(), **settings(0))

    first = network(dropout)
    learners = ready([classifier(first)], optim)
    torch.manual_seed(7)
    list(islice(fit(learners, batches(), **settings(0)), stop))
    tensors, groups = optimizer_state(learners[0].optimizer)
    write(
        tmp_path / "c.safetensors",
        Checkpoint(
            {f"model.{k}": v for k, v in first.state_dict().items()}
            | {f"optimizer0.{k}": v for k, v in tensors.items()}
            | {f"random.{k}": v for k, v in random_state().items()},
            {"step": stop, "optimizers": [groups]},
        ),
    )

    torch.manual_seed(12345)
    second = network(dropout)
    again = ready([classifier(second)], optim)
    found = read(tmp_path / "c.safetensors")
    second.load_state_dict(found.part("model"))
    load_optimizer_state(again[0].optimizer, found.part("optimizer0"), found.facts["optimizers"][0])
    set_random_state(found.part("random"))
    rest = list(fit(again, batches(stop), **settings(stop)))
    assert same(weights(second), weights(whole))
    assert [step.losses["c"]["loss"].item() for step in rest] == [s.losses["c"]["loss"].item() for s in wanted[stop:]]
    assert [step.index for step in rest] == list(range(stop, 8))


def test_batches_that_run_out_are_an_error_that_says_where():
    with pytest.raises(TrainingError, match="ended at step 3 of 5"):
        run(network(), SGD(), [batch(0), batch(1)], steps=5)


def test_bfloat16_is_used_where_it_is_asked_for():
    model, seen = network(), []
    good = classifier(model)

    def loss(b: Batch) -> dict[str, Tensor]:
        seen.append(model(b.inputs).dtype)
        return good.loss(b)

    for precision in (torch.float32, torch.bfloat16):
        list(fit(ready([Player("c", good.groups, loss)], SGD()), batches(), steps=1, precision=precision))
    assert seen == [torch.float32, torch.bfloat16]
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_what_thaws_later_learns_as_with_torchs_plain_sgd() -> None:
    """Beside torch's optimiser, not fused, which starts each parameter's momentum with its first gradient."""
    ours, theirs = network(), network()
    optimizer = torch.optim.SGD(theirs.parameters(), 0.1, momentum=0.9, nesterov=True, fused=False)
    ours[0].requires_grad_(False)
    theirs[0].requires_grad_(False)
    player = Player("c", (Group(tuple(ours.parameters())),), classifier(ours).loss)
    for step in fit(ready([player], SGD(lr=0.1, weight_decay=0.0)), batches(), steps=6):
        optimizer.zero_grad()
        F.cross_entropy(theirs(batch(step.index).inputs), batch(step.index).target.label).backward()
        optimizer.step()
        torch.testing.assert_close(weights(ours), weights(theirs))
        if step.index == 2:
            ours.requires_grad_()
            theirs.requires_grad_()
    assert not torch.equal(weights(ours)[0], weights(network())[0])
