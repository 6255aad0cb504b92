"""Training, validation and test samples where the source doesn't divide them, or not into all three."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import chain

import numpy as np

from visus.data.dataset import Data, Dataset, digests, split_order
from visus.data.readers.listing import few
from visus.data.samples import Rows
from visus.errors import DataError, SpecError

LEAST = 3  # samples of a class, for any of them to leave train


def divide(dataset: Dataset, data: Data, seed: int) -> Dataset:
    """The data set with "train", "val" and "test", as far as it can be divided.

    A split that the source brings stays as it is, but for training samples that become validation samples:
    - only train: data.val and data.test are shares of the whole;
    - train and test: data.val is a share of train;
    - train and val: nothing is set apart for a test, and a note says what that means; with data.final = "val" that
      split is the test, and data.val is a share of train.
    A share of 0 makes no split. Division is class by class where samples have one label each, at random otherwise;
    exact duplicates stay together; classes of fewer than 3 samples stay in train. Where data.apart is "classes", whole
    classes are set apart, and duplicates aren't looked for. seed: equal seeds, equal splits;
    where there is a data.seed, that one holds.
    Rows keep their order. Notes tell of duplicates between splits that the source brings.
    Raises DataError where there are no training samples, SpecError for shares that leave none.
    """
    splits = dict(dataset.splits)
    if "train" not in splits and "all" in splits:
        splits["train"] = splits.pop("all")
    if not len(splits.get("train", ())):
        found = ", ".join(f"{len(samples):,} in {split}" for split, samples in splits.items()) or "no samples"
        raise DataError(f"{dataset.name}: has no training samples ({found})", "a training set needs a split train")
    if data.final == "val":
        if "val" not in splits or "test" in splits:
            raise SpecError(f"data.final = val, and {dataset.name} has {', '.join(splits)}", "leave it out")
        splits["test"] = splits.pop("val")
    notes = list(dataset.notes)
    shares = {
        "test": 0.0 if splits.keys() & {"val", "test"} else data.test,
        "val": 0.0 if "val" in splits else data.val,
    }
    if sum(shares.values()) >= 1:
        raise SpecError(
            f"data.val = {data.val} and data.test = {data.test} leave nothing to train on", "make their sum less than 1"
        )
    whole_classes = data.apart == "classes"
    carving = any(shares.values())
    # hashing reads every file: only where samples are carved, or can leak
    known = {split: digests(splits[split]) for split in splits if (carving and not whole_classes) or len(splits) > 1}
    notes += _leaks(known)
    if carving:
        whole = splits["train"]
        by_label = "label" in dataset.schema.targets
        labels = [whole.target(row).label if by_label else None for row in range(len(whole))]
        chosen = seed if data.seed is None else data.seed
        carved = (
            _carve_classes(labels, shares, chosen) if whole_classes else _carve(labels, known["train"], shares, chosen)
        )
        for split, rows in carved.items():
            if rows:
                splits[split] = Rows(whole, rows)
            else:
                notes.append(f"too few samples to set some apart for {split}")
        names = dataset.schema.labels
        if not whole_classes and (
            rare := [names[label] for label, count in sorted(_counts(labels).items()) if count < LEAST]
        ):
            notes.append(f"classes of fewer than {LEAST} samples, all of them in train: {few(rare)}")
    if "val" in splits and "test" not in splits:
        notes.append("there is no test split: figures are on the validation samples, which also chose the model")
    ordered = {split: splits[split] for split in sorted(splits, key=split_order)}
    return replace(dataset, splits=ordered, notes=tuple(notes))


def _leaks(known: dict[str, list[bytes]]) -> list[str]:
    """Notes of samples that are in train and in another split."""
    trained = set(known.get("train", ()))
    found = {split: sum(each in trained for each in digest) for split, digest in known.items() if split != "train"}
    return [
        f"{count:,} of the {len(known[split]):,} {split} samples are in train too, byte for byte: figures flatter"
        for split, count in found.items()
        if count
    ]


def _counts(labels: list[int | None]) -> Counter[int]:
    return Counter(label for label in labels if label is not None)


def _carve(labels: list[int | None], digest: list[bytes], shares: dict[str, float], seed: int) -> dict[str, list[int]]:
    """The rows, ascending, of "train" and of each split with a share. labels: None where there is no one label."""
    duplicates: dict[bytes, list[int]] = defaultdict(list)
    for row, each in enumerate(digest):
        duplicates[each].append(row)
    counts = Counter(labels)
    # by class, the groups that may leave train; a group of several labels counts for that of its first row
    free: dict[int | None, list[list[int]]] = defaultdict(list)
    for group in duplicates.values():
        if all(counts[labels[row]] >= LEAST for row in group):
            free[labels[group[0]]].append(group)
    random = np.random.default_rng(np.random.SeedSequence(seed))
    for groups in free.values():
        random.shuffle(groups)
    sizes = {label: sum(map(len, groups)) for label, groups in free.items()}
    room = {label: size - 1 for label, size in sizes.items()}  # one stays in train
    taken: dict[str, list[list[int]]] = {split: [] for split, share in shares.items() if share}
    for split, groups in taken.items():
        for label, quota in _quotas(sizes, room, shares[split], random).items():
            room[label] -= quota
            kept = []
            for group in free[label]:
                if len(group) <= quota:
                    quota -= len(group)  # noqa: PLW2901
                    groups.append(group)
                else:
                    kept.append(group)
            free[label] = kept
    _give_back(labels, taken)
    rows = {split: sorted(chain.from_iterable(groups)) for split, groups in taken.items()}
    left = set(range(len(labels))).difference(*rows.values())
    return {"train": sorted(left)} | rows


def _carve_classes(labels: list[int | None], shares: dict[str, float], seed: int) -> dict[str, list[int]]:
    """The rows, ascending, of "train" and of each split with a share, which has all samples of its classes."""
    classes = sorted(_counts(labels))
    if None in labels:
        raise SpecError("data.apart = classes, and these samples don't have a class each", "leave it out")
    random = np.random.default_rng(np.random.SeedSequence(seed))
    random.shuffle(classes)
    of: dict[int | None, str] = dict.fromkeys(classes, "train")
    for split, share in shares.items():
        count = max(1, round(share * len(of))) if share else 0
        taken, classes = classes[:count], classes[count:]
        of |= dict.fromkeys(taken, split)
    if not classes:
        raise DataError(f"{len(of)} classes are too few to set whole ones apart", "--set data.apart=samples")
    rows: dict[str, list[int]] = {
        split: [] for split in ("train", *(split for split, share in shares.items() if share))
    }
    for row, label in enumerate(labels):
        rows[of[label]].append(row)
    return rows


def _quotas(
    sizes: dict[int | None, int], room: dict[int | None, int], share: float, random: np.random.Generator
) -> dict[int | None, int]:
    """How many samples of each class: its share rounded down or up, so that the sum is that of all samples."""
    exact = {label: size * share for label, size in sizes.items()}
    quotas = {label: min(int(each), room[label]) for label, each in exact.items()}
    missing = max(1, round(sum(exact.values()))) - sum(quotas.values())
    order = [list(exact)[each] for each in random.permutation(len(exact))]
    for label in sorted(order, key=lambda label: int(exact[label]) - exact[label]):  # the largest remainders first
        if missing > 0 and quotas[label] < min(math.ceil(exact[label]), room[label]):
            quotas[label] += 1
            missing -= 1
    return quotas


def _give_back(labels: list[int | None], taken: dict[str, list[list[int]]]) -> None:
    """To train, where a class has nothing left there: all it has may be duplicates of another class's samples."""
    present = Counter(labels)
    present.subtract(labels[row] for groups in taken.values() for group in groups for row in group)
    for groups in taken.values():
        for group in list(groups):
            if any(present[labels[row]] == 0 for row in group):
                groups.remove(group)
                present.update(labels[row] for row in group)
