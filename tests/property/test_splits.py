"""Whatever the samples are: a partition, class by class, duplicates together, and the same for the same seed."""

from collections import Counter, defaultdict
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visus.data.dataset import Data, Dataset
from visus.data.samples import ArraySamples, Rows
from visus.data.splits import LEAST, divide
from visus.data.types import Schema, Target
from visus.errors import DataError

Drawn = list[tuple[int, int]]  # of each sample, its label and which content of that label it has

distinct = st.lists(st.integers(0, 4), min_size=1, max_size=80).map(lambda labels: list(enumerate(labels)))
repeated = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=80)
shares = st.floats(0, 0.45)


def dataset(content_and_label: Drawn, per_label: bool) -> Dataset:
    values = [[content, label if per_label else 0] for content, label in content_and_label]
    targets = [Target(label=label) for _, label in content_and_label]
    schema = Schema(inputs="vector", shape=(2,), labels=tuple("abcde"))
    return Dataset("toy", schema, {"train": ArraySamples("toy", np.array(values, np.float32), targets)})


def rows(divided: Dataset, split: str) -> list[int]:
    found = divided.splits.get(split)
    if found is None:
        return []
    return list(found.rows) if isinstance(found, Rows) else list(range(len(found)))


@given(repeated, shares, shares, st.integers(0, 2**32), st.booleans())
def test_a_partition_in_order_with_duplicates_together(drawn, val, test, seed, per_label):
    divided = divide(dataset(drawn, per_label), Data(val=val, test=test), seed)
    parts = {split: rows(divided, split) for split in ("train", "val", "test")}
    assert sorted(sum(parts.values(), [])) == list(range(len(drawn)))  # noqa: RUF017 — three lists
    assert all(part == sorted(part) for part in parts.values())
    where = {row: split for split, part in parts.items() for row in part}
    homes = defaultdict(set)
    for row, (content, label) in enumerate(drawn):
        homes[content, label if per_label else 0].add(where[row])
    assert all(len(home) == 1 for home in homes.values())
    trained = {drawn[row][1] for row in parts["train"]}
    assert trained == {label for _, label in drawn}
    assert not ("val" in divided.splits and val == 0)
    assert not ("test" in divided.splits and test == 0)


@given(repeated, shares, shares, st.integers(0, 2**32))
def test_each_class_has_its_share_to_one_group(drawn, val, test, seed):
    divided = divide(dataset(drawn, per_label=True), Data(val=val, test=test), seed)
    sizes = Counter(label for _, label in drawn)
    groups = Counter(drawn)
    for split, share in (("val", val), ("test", test)):
        found = Counter(drawn[row][1] for row in rows(divided, split))
        for label, size in sizes.items():
            largest = max(count for (_, other), count in groups.items() if other == label)
            if size < LEAST:
                assert found[label] == 0
            else:
                assert abs(found[label] - size * share) <= largest


@given(distinct, shares, shares, st.integers(0, 2**32))
def test_without_duplicates_the_sum_is_the_share_of_all(drawn, val, test, seed):
    divided = divide(dataset(drawn, per_label=True), Data(val=val, test=test), seed)
    sizes = Counter(label for _, label in drawn)
    free = sum(size for size in sizes.values() if size >= LEAST)
    assert len(rows(divided, "test")) == (max(1, round(free * test)) if free and test else 0)


@given(repeated, st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_split(drawn, seed):
    first, again = (divide(dataset(drawn, per_label=True), Data(), seed) for _ in range(2))
    assert first.notes == again.notes
    assert all(rows(first, split) == rows(again, split) for split in ("train", "val", "test"))


@given(st.integers(0, 2**32), st.integers(1, 2**32))
def test_another_seed_gives_another_split(seed, step):
    drawn = list(enumerate([0, 1] * 100))
    first, other = (divide(dataset(drawn, per_label=True), Data(), each) for each in (seed, seed + step))
    assert rows(first, "test") != rows(other, "test")
    assert rows(first, "val") != rows(other, "val")


@given(distinct, st.floats(0.1, 0.45), st.floats(0.1, 0.45), st.integers(0, 2**32))
def test_whole_classes_are_set_apart(drawn, val, test, seed):
    count = len({label for _, label in drawn})
    data = Data(val=val, test=test, apart="classes")
    if max(1, round(val * count)) + max(1, round(test * count)) >= count:
        with pytest.raises(DataError, match="too few"):
            divide(dataset(drawn, per_label=True), data, seed)
        return
    parts = {
        split: rows(divide(dataset(drawn, per_label=True), data, seed), split) for split in ("train", "val", "test")
    }
    assert sorted(sum(parts.values(), [])) == list(range(len(drawn)))  # noqa: RUF017 — three lists
    classes = [{drawn[row][1] for row in part} for part in parts.values()]
    assert not any(one & other for one, other in combinations(classes, 2))
    assert [len(each) for each in classes[1:]] == [max(1, round(share * count)) for share in (val, test)]
