"""What each combination of splits that a source brings becomes."""

import numpy as np
import pytest

from visus.data import splits as module
from visus.data.dataset import Data, Dataset
from visus.data.samples import ArraySamples, Samples
from visus.data.splits import divide
from visus.data.types import Schema, Target
from visus.errors import DataError, SpecError

NO_TEST = "there is no test split: figures are on the validation samples, which also chose the model"


def samples(count: int, classes: int = 2, start: int = 0) -> ArraySamples:
    """Vectors, no two alike, of the classes in turn."""
    values = np.arange(start, start + count, dtype=np.float32)[:, None]
    return ArraySamples("toy", values, [Target(label=row % classes) for row in range(count)])


def dataset(targets: tuple[str, ...] = ("label",), **splits: Samples) -> Dataset:
    labels = tuple(f"class {each}" for each in range(10))
    return Dataset("toy", Schema(inputs="vector", shape=(1,), targets=targets, labels=labels), splits)


def counts(divided: Dataset) -> dict[str, int]:
    return {split: len(each) for split, each in divided.splits.items()}


@pytest.mark.parametrize("only", ["train", "all"])
def test_one_split(only):
    divided = divide(dataset(**{only: samples(100)}), Data(val=0.1, test=0.2), 0)
    assert counts(divided) == {"train": 70, "val": 10, "test": 20}
    assert divided.notes == ()
    for part in divided.splits.values():
        assert np.bincount([part.target(row).label for row in range(len(part))]).tolist() == [len(part) // 2] * 2
        assert list(part.rows) == sorted(part.rows)


def test_train_and_test():
    test = samples(10, start=500)
    divided = divide(dataset(train=samples(50), test=test), Data(val=0.2, test=0.5), 0)
    assert counts(divided) == {"train": 40, "val": 10, "test": 10}
    assert divided.splits["test"] is test


def test_train_and_val():
    given = {"train": samples(50), "val": samples(10, start=500)}
    divided = divide(dataset(**given), Data(), 0)
    assert dict(divided.splits) == given
    assert divided.notes == (NO_TEST,)


def test_all_three():
    given = {"train": samples(50), "val": samples(10, start=500), "test": samples(20, start=600)}
    divided = divide(dataset(**given), Data(), 0)
    assert dict(divided.splits) == given
    assert divided.notes == ()


def test_leaks_between_given_splits_are_counted():
    divided = divide(dataset(train=samples(50), val=samples(10, start=45), test=samples(4, start=48)), Data(), 0)
    assert divided.notes == (
        "5 of the 10 val samples are in train too, byte for byte: figures flatter",
        "2 of the 4 test samples are in train too, byte for byte: figures flatter",
    )


def test_shares_of_zero_make_no_split(monkeypatch):
    assert counts(divide(dataset(train=samples(50)), Data(val=0.2, test=0), 0)) == {"train": 40, "val": 10}
    assert counts(divide(dataset(train=samples(50)), Data(val=0, test=0.2), 0)) == {"train": 40, "test": 10}
    monkeypatch.setattr(module, "digests", None)  # nothing is hashed where nothing is carved
    assert counts(divide(dataset(train=samples(50)), Data(val=0, test=0), 0)) == {"train": 50}


def test_nothing_left_to_train_on():
    with pytest.raises(SpecError, match="leave nothing to train on"):
        divide(dataset(train=samples(50)), Data(val=0.5, test=0.5), 0)


def test_no_training_samples():
    with pytest.raises(DataError, match=r"no training samples \(10 in test\)"):
        divide(dataset(test=samples(10)), Data(), 0)
    with pytest.raises(DataError, match=r"no training samples"):
        divide(dataset(train=samples(0)), Data(), 0)


def test_rare_classes_stay_in_train():
    rare = ArraySamples("toy", np.arange(43, dtype=np.float32)[:, None], [Target(label=0)] * 40 +
                        [Target(label=7)] * 2 + [Target(label=5)])  # fmt: skip
    divided = divide(dataset(train=rare), Data(val=0.3, test=0.3), 0)
    train = divided.splits["train"]
    assert {40, 41, 42} <= set(train.rows)
    assert divided.notes == ("classes of fewer than 3 samples, all of them in train: class 5, class 7",)


def test_too_few_to_divide():
    divided = divide(dataset(train=samples(4)), Data(), 0)
    assert counts(divided) == {"train": 4}
    assert divided.notes == (
        "too few samples to set some apart for test",
        "too few samples to set some apart for val",
        "classes of fewer than 3 samples, all of them in train: class 0, class 1",
    )


def test_few_samples_of_many_classes_still_fill_the_splits():
    assert counts(divide(dataset(train=samples(30, classes=10)), Data(val=0.1, test=0.2), 0)) == {
        "train": 21, "val": 3, "test": 6,
    }  # fmt: skip


def test_regression_is_divided_at_random():
    values = np.arange(100, dtype=np.float32)[:, None]
    plain = ArraySamples("toy", values, [Target(values=(float(row),)) for row in range(100)])
    divided = divide(dataset(("values",), train=plain), Data(), 3)
    assert counts(divided) == {"train": 70, "val": 10, "test": 20}


def test_a_class_that_only_duplicates_another_keeps_a_training_sample():
    values = np.array([0, 0, 0] * 4, np.float32)[:, None] + np.repeat(np.arange(4), 3)[:, None].astype(np.float32)
    targets = [Target(label=0), Target(label=1), Target(label=0)] * 4
    divided = divide(dataset(train=ArraySamples("toy", values, targets)), Data(val=0.4, test=0.4), 0)
    train = divided.splits["train"]
    assert {train.target(row).label for row in range(len(train))} == {0, 1}


def test_a_seed_of_the_data_holds_over_that_of_the_recipe():
    def rows(data: Data, seed: int) -> list[int]:
        return list(divide(dataset(train=samples(100)), data, seed).splits["val"].rows)

    assert rows(Data(seed=4), 0) == rows(Data(seed=4), 1) == rows(Data(), 4) != rows(Data(), 1)


def test_the_validation_split_may_be_the_final_one():
    """Some published sets call their held-out samples val: results are on those, and some of train choose the model."""
    final = samples(10, start=500)
    divided = divide(dataset(train=samples(50), val=final), Data(final="val", val=0.2), 0)
    assert counts(divided) == {"train": 40, "val": 10, "test": 10}
    assert divided.splits["test"] is final
    assert divided.notes == ()


@pytest.mark.parametrize("given", [("train",), ("train", "test"), ("train", "val", "test")])
def test_a_final_validation_split_that_is_not_there(given):
    splits = {name: samples(20, start=100 * place) for place, name in enumerate(given)}
    with pytest.raises(SpecError, match=r"data\.final = val, and toy has "):
        divide(dataset(**splits), Data(final="val"), 0)
