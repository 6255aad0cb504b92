"""The order of an epoch: each sample once, within windows of shards, and how well it mixes."""

from itertools import chain, islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from visus.data.loader import InMemory, Loader, generator
from visus.data.order import WINDOW, epoch_order, in_groups
from visus.data.preprocess import VectorPreprocess
from visus.data.samples import ArraySamples, Joined, Rows, Samples
from visus.data.types import Target, Targets


class Sharded(Samples):
    """Samples of which only the shards are known."""

    def __init__(self, shards):
        self.numbers = np.asarray(shards, np.int64)

    def __len__(self):
        return len(self.numbers)

    def read(self, row):
        raise NotImplementedError

    def target(self, row):
        return Target(label=0)

    def name(self, row):
        return str(row)

    def digest(self, row):
        return str(row).encode()

    def block(self):
        return None

    def stored(self, row):
        return None

    def shards(self):
        return self.numbers

    def origin(self, row):
        return None


def order(samples, rows=None, seed=0, epoch=0):
    rows = torch.arange(len(samples)) if rows is None else rows
    return epoch_order(samples, rows, generator(seed, epoch))


def test_without_shards_it_is_a_shuffle_of_all():
    samples = ArraySamples("a", np.zeros((50, 3), np.float32), [Target(label=0)] * 50)
    assert order(samples).tolist() == torch.randperm(50, generator=generator(0, 0)).tolist()


@given(st.integers(0, 9), st.sampled_from([1, 2, 4]), st.integers(0, 20))
def test_ranks_share_each_batch_of_shards(seed, ranks, start):
    """Nothing lost, nothing doubled, wherever a run goes on: 3 epochs of 11 batches of 8, of 90 samples in 9 shards."""
    samples = Sharded(np.arange(90) // 10)
    prepared = InMemory(
        samples, torch.arange(90), [], torch.zeros(90, 1), Targets(label=torch.zeros(90, dtype=torch.int64))
    )

    def rows(rank, count, first):
        loader = Loader(
            prepared, VectorPreprocess(mean=(0.0,), std=(1.0,)), 8, torch.device("cpu"), seed=seed,
            rank=rank, ranks=count,
        )  # fmt: skip
        return [batch.rows.tolist() for batch in islice(loader.train(first), 33 - first)]

    whole = rows(0, 1, 0)
    parts = [rows(rank, ranks, start) for rank in range(ranks)]
    assert [list(chain(*each)) for each in zip(*parts, strict=True)] == whole[start:]
    for epoch in range(3):
        seen = list(chain(*whole[epoch * 11 : epoch * 11 + 11]))
        assert len(set(seen)) == len(seen) == 88


@given(st.lists(st.integers(0, 12), min_size=1, max_size=200), st.integers(0, 9), st.data())
def test_each_sample_once_and_windows_are_respected(shards, epoch, data):
    kept = data.draw(st.lists(st.sampled_from(range(len(shards))), min_size=1, unique=True).map(sorted))
    samples, rows = Sharded(shards), torch.tensor(kept)
    found = order(samples, rows, epoch=epoch)
    assert sorted(found.tolist()) == list(range(len(kept)))
    met = samples.numbers[rows[found].numpy()]
    used, left, windows = set(met.tolist()), met.tolist(), []
    while left:  # a window is over when all the samples of its shards were taken
        window: set[int] = set()
        waiting: dict[int, int] = {}
        for place, shard in enumerate(left):
            if shard not in window:
                window.add(shard)
                waiting[shard] = left.count(shard)
            waiting[shard] -= 1
            if len(window) == min(WINDOW, len(used)) and not any(waiting.values()):
                left = left[place + 1 :]
                break
        else:
            left = []
        assert len(window) <= WINDOW
        used -= window
        windows.append(window)
    assert sum(map(len, windows)) == len(set.union(*windows)) == len(set(met.tolist()))


def test_the_same_for_the_same_epoch_and_another_for_another():
    samples = Sharded(np.arange(300) // 30)
    assert order(samples, epoch=3).tolist() == order(samples, epoch=3).tolist()
    assert order(samples, epoch=3).tolist() != order(samples, epoch=4).tolist()
    assert order(samples, seed=1).tolist() != order(samples, seed=2).tolist()


def test_parts_keep_their_shards_apart_and_rows_keep_theirs():
    joined = Joined([Sharded([0, 0, 1]), Sharded([0, 1, 1])])
    assert joined.shards().tolist() == [0, 0, 1, 2, 3, 3]
    assert Rows(joined, [5, 0, 2]).shards().tolist() == [3, 0, 1]
    arrays = ArraySamples("a", np.zeros((2, 3), np.float32), [Target(label=0)] * 2)
    assert Joined([Sharded([0]), arrays]).shards() is None


# 12 shards of 40 samples, each shard one class: the worst case. Over E epochs.
SHARDS, EACH, EPOCHS = 12, 40, 400


@pytest.fixture(scope="module")
def met():
    """E×N: the shard of each sample, in the order of each epoch."""
    samples = Sharded(np.arange(SHARDS * EACH) // EACH)
    return np.stack([samples.numbers[order(samples, epoch=epoch).numpy()] for epoch in range(EPOCHS)])


def test_two_shards_meet_as_often_as_chance_has_it(met):
    window = WINDOW * EACH
    together = [
        len({0, 1} & set(row[start : start + window])) == 2 for row in met for start in range(0, len(row), window)
    ]
    share = np.reshape(together, (EPOCHS, -1)).any(1).mean()
    chance = (WINDOW - 1) / (SHARDS - 1)  # of the places left in the window of the first
    assert abs(share - chance) < 4 * np.sqrt(chance * (1 - chance) / EPOCHS)


def test_a_batch_is_mixed_as_one_that_is_drawn_from_its_window(met):
    """How many of a shard's n samples the first batch has is hypergeometric: B draws of W·n samples."""
    batch, total = 32, WINDOW * EACH
    own = np.array([[(row[:batch] == shard).sum() for shard in set(row[:total].tolist())] for row in met])
    mean, variance = batch / WINDOW, batch / WINDOW * (1 - 1 / WINDOW) * (total - batch) / (total - 1)
    assert own.mean() == mean  # all of a batch is from the window
    spread = ((own - mean) ** 2).mean()
    # the mean of the squares has about the error of χ² with (W − 1)·E degrees of freedom
    assert abs(spread / variance - 1) < 5 * np.sqrt(2 / ((WINDOW - 1) * EPOCHS))


def test_a_sample_is_anywhere_as_often_as_chance_has_it(met):
    """A shard's samples are in the middle of the epoch on average, over the epochs."""
    places = np.array([np.flatnonzero(row == 0).mean() for row in met]) / met.shape[1]
    # its windows are equally likely: the spread of their centres
    centres = (np.arange(SHARDS // WINDOW) + 0.5) * WINDOW / SHARDS
    assert abs(places.mean() - 0.5) < 4 * centres.std() / np.sqrt(EPOCHS)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(1, 5), st.integers(0, 2**32))
def test_groups_have_one_label_and_as_many_of_them_as_there_can_be(labels, each, seed):
    label, whole = torch.tensor(labels), torch.randperm(len(labels), generator=generator(seed))
    found = in_groups(whole, label, each)
    groups = found.view(-1, each)
    assert all(len(set(group)) == 1 for group in label[groups].tolist())
    assert len(set(found.tolist())) == len(found)
    counts = torch.bincount(label[found], minlength=6) if len(found) else torch.zeros(6, dtype=torch.int64)
    assert counts.tolist() == (torch.bincount(label, minlength=6) // each * each).tolist()
    place = {position: index for index, position in enumerate(whole.tolist())}
    firsts = [place[group[0]] for group in groups.tolist()]
    assert firsts == sorted(firsts)


def test_batches_in_groups():
    labels = torch.arange(60) % 7
    samples = ArraySamples("a", np.arange(60, dtype=np.float32)[:, None], [Target(label=int(each)) for each in labels])
    prepared = InMemory(samples, torch.arange(60), [], torch.arange(60.0)[:, None], Targets(label=labels))
    loader = Loader(prepared, VectorPreprocess(mean=(0.0,), std=(1.0,)), 12, torch.device("cpu"), each=4)
    assert len(loader) == 4  # of 7 classes, four of 9 samples and three of 8, 8 each: 56 of 12
    found = [batch.target.label.view(-1, 4) for batch in islice(loader.train(), 2 * len(loader))]
    assert all((each == each[:, :1]).all() for each in found)
    again = [batch.target.label.view(-1, 4) for batch in islice(loader.train(3), 2 * len(loader) - 3)]
    assert all(torch.equal(one, other) for one, other in zip(found[3:], again, strict=True))
