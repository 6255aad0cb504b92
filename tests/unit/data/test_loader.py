"""From samples to batches: the same ones wherever one starts, every sample once an epoch, bad files left out."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from tests.helpers import encoded, pixels
from visus.data.augment import Augment, Crop
from visus.data.image import Picture
from visus.data.loader import InMemory, Loader, Streamed, generator, prepare, read_all
from visus.data.preprocess import ImagePreprocess, VectorPreprocess
from visus.data.randaugment import RandAugment
from visus.data.samples import ArraySamples, FileSamples, OnDisk, Rows
from visus.data.types import Batch, Boxes, Schema, Target
from visus.errors import DataError

LABELS = ("a", "b", "c")
SCHEMA = Schema(shape=(3, 10, 12), labels=LABELS)
PREPROCESS = ImagePreprocess(size=(8, 9), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
BUSY = Augment(
    flip=True, crop=Crop(), shift=0.2, zoom=0.1, rotate=5, randaugment=RandAugment(), saturation=0.2, hue=10,
    brightness=0.1, contrast=0.1, erase=0.2, mixup=0.3,
)  # fmt: skip
CPU = torch.device("cpu")


def arrays(count: int) -> ArraySamples:
    values = np.stack([pixels(seed) for seed in range(count)])
    return ArraySamples("set", values, [Target(label=seed % 3) for seed in range(count)])


def files(folder, count: int, broken: tuple[int, ...] = ()) -> FileSamples:
    found = []
    for row in range(count):
        data = b"no image" if row in broken else encoded(pixels(row))
        (folder / f"{row}.png").write_bytes(data)
        found.append(OnDisk(folder / f"{row}.png", f"{row}.png", len(data)))
    return FileSamples(found, [Target(label=row % 3) for row in range(count)])


def in_memory(samples, schema=SCHEMA, preprocess=PREPROCESS, bad=0.0) -> InMemory:
    return read_all(samples, schema, preprocess, bad)


def streamed(samples, schema=SCHEMA, preprocess=PREPROCESS, bad=0.0) -> Streamed:
    return Streamed(samples, schema, preprocess, bad)


def loader(prepared, batch=4, augment=BUSY, seed=5, preprocess=PREPROCESS) -> Loader:
    return Loader(prepared, preprocess, batch, CPU, augment, seed, classes=3)


def equal(one: Batch, other: Batch) -> bool:
    return (
        torch.equal(one.inputs, other.inputs)
        and torch.equal(one.rows, other.rows)
        and torch.equal(one.target.label, other.target.label)
    )


def taken(batches, count: int) -> list[Batch]:
    found = list(islice(batches, count))
    batches.close()
    return found


@pytest.mark.parametrize("start", [1, 2, 3, 7])  # 3 batches an epoch: within it, on its border, in a later one
def test_a_stream_that_starts_in_the_middle_goes_on_as_the_whole_one(start):
    whole = taken(loader(in_memory(arrays(14))).train(), 10)
    later = taken(loader(in_memory(arrays(14))).train(start), 10 - start)
    assert all(equal(one, other) for one, other in zip(whole[start:], later, strict=True))


def test_another_seed_and_another_epoch_give_other_orders():
    prepared = in_memory(arrays(12))
    orders = [
        torch.cat([batch.rows for batch in taken(loader(prepared, seed=seed).train(step), 3)]).tolist()
        for seed, step in ((0, 0), (0, 3), (1, 0))
    ]
    assert len({tuple(order) for order in orders}) == 3
    assert all(sorted(order) == list(range(12)) for order in orders)


@pytest.mark.parametrize("count", [8, 11])
def test_every_sample_once_an_epoch_but_for_a_last_batch_that_is_not_full(count):
    batches = loader(in_memory(arrays(count)))
    assert len(batches) == 2
    rows = torch.cat([batch.rows for batch in taken(batches.train(), 2)]).tolist()
    assert len(rows) == len(set(rows)) == 8
    assert set(rows) <= set(range(count))


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("kind", [in_memory, streamed])
def test_ranks_share_the_batches_of_one(kind, ranks, tmp_path):
    prepared = kind(files(tmp_path, 19))
    whole = taken(loader(prepared, batch=8, augment=Augment()).train(1), 5)
    parts = [
        taken(replace(loader(prepared, batch=8, augment=Augment()), rank=rank, ranks=ranks).train(1), 5)
        for rank in range(ranks)
    ]
    for number, batch in enumerate(whole):
        assert torch.equal(torch.cat([part[number].rows for part in parts]), batch.rows)
        assert torch.equal(torch.cat([part[number].inputs for part in parts]), batch.inputs)
        assert {len(part[number]) for part in parts} == {8 // ranks}


def test_ranks_augment_each_in_their_own_way():
    alike = in_memory(ArraySamples("set", np.stack([pixels(0)] * 8), [Target(label=0)] * 8))
    one, other = (next(replace(loader(alike, batch=8), rank=rank, ranks=2).train()).inputs for rank in (0, 1))
    assert not torch.equal(one, other)


def test_fewer_samples_than_a_batch_are_one_batch():
    batches = loader(in_memory(arrays(3)), batch=8)
    assert len(batches) == 1
    first, second = taken(batches.train(), 2)
    assert sorted(first.rows.tolist()) == sorted(second.rows.tolist()) == [0, 1, 2]


@pytest.mark.parametrize("make", [lambda folder: arrays(9), lambda folder: files(folder, 9)], ids=["block", "files"])
def test_streamed_and_in_memory_give_identical_batches(tmp_path, make):
    samples = make(tmp_path)
    one, other = loader(in_memory(samples)), loader(streamed(samples))
    assert all(equal(a, b) for a, b in zip(taken(one.train(), 5), taken(other.train(), 5), strict=True))
    assert all(equal(a, b) for a, b in zip(one.evaluate(), other.evaluate(), strict=True))


def test_a_training_batch_without_augmentation_is_the_normalised_placed_image():
    samples = arrays(5)
    (batch,) = taken(loader(in_memory(samples), augment=Augment(), batch=5).train(), 1)
    for row, inputs, label in zip(batch.rows.tolist(), batch.inputs, batch.target.label, strict=True):
        placed = PREPROCESS.place(samples.read(row).pixels)
        assert torch.equal(inputs, PREPROCESS.normalize(placed[None])[0])
        assert label == row % 3


@pytest.mark.parametrize("kind", [in_memory, streamed])
def test_evaluation_covers_all_in_order_and_is_not_augmented(kind):
    batches = list(loader(kind(arrays(10))).evaluate())
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert torch.cat([batch.rows for batch in batches]).tolist() == list(range(10))
    plain = list(loader(kind(arrays(10)), augment=Augment()).evaluate())
    assert all(equal(one, other) for one, other in zip(batches, plain, strict=True))


def test_bad_files_are_left_out_in_memory(tmp_path):
    samples = files(tmp_path, 10, broken=(2, 7))
    prepared = in_memory(samples, bad=0.25)
    assert [each.name for each in prepared.skipped] == ["2.png", "7.png"]
    assert prepared.rows.tolist() == [0, 1, 3, 4, 5, 6, 8, 9]
    batch = prepared.gather(torch.arange(8))
    for row, inputs, label in zip(batch.rows.tolist(), batch.inputs, batch.target.label.tolist(), strict=True):
        assert torch.equal(inputs, PREPROCESS.place(pixels(row)))
        assert label == row % 3


def test_bad_files_are_left_out_when_streamed_and_listed_once(tmp_path):
    prepared = streamed(files(tmp_path, 10, broken=(2, 7)), bad=0.25)
    batches = loader(prepared)
    for _ in range(2):
        rows = torch.cat([batch.rows for batch in batches.evaluate()]).tolist()
        assert rows == [0, 1, 3, 4, 5, 6, 8, 9]
    assert sorted(each.name for each in prepared.skipped) == ["2.png", "7.png"]


@pytest.mark.parametrize("kind", [in_memory, streamed])
def test_too_many_bad_files_are_refused_by_name(tmp_path, kind):
    samples = files(tmp_path, 10, broken=(1, 4, 8))
    with pytest.raises(DataError, match=r"3 of 10 files") as raised:
        list(loader(kind(samples, bad=0.25)).evaluate())
    assert all(f"{row}.png" in raised.value.problem for row in (1, 4, 8))


def test_too_many_bad_files_are_refused_in_training_too(tmp_path):
    batches = loader(streamed(files(tmp_path, 8, broken=(0, 1, 2, 3)), bad=0.25)).train()
    with pytest.raises(DataError, match="files can't be read"):
        taken(batches, 4)


def test_the_share_of_bad_files_that_is_allowed_is_allowed(tmp_path):
    samples = files(tmp_path, 8, broken=(0, 1))
    assert len(in_memory(samples, bad=0.25).rows) == 6
    with pytest.raises(DataError, match="2 of 8"):
        in_memory(samples, bad=0.24)


@pytest.mark.parametrize("kind", [in_memory, streamed])
def test_vectors_also_from_arrays_that_cannot_be_written(kind):
    values = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    values.flags.writeable = False
    samples = ArraySamples("table", values, [Target(label=row % 3) for row in range(6)])
    preprocess = VectorPreprocess(mean=(0.0, 1.0, 0.0, 0.0), std=(1.0, 2.0, 1.0, 1.0))
    prepared = kind(samples, Schema(inputs="vector", shape=(4,), labels=LABELS), preprocess)
    (batch,) = loader(prepared, batch=6, preprocess=preprocess).evaluate()
    assert np.allclose(batch.inputs, (values - [0, 1, 0, 0]) / [1, 2, 1, 1])


@pytest.mark.parametrize("kind", [in_memory, streamed])
def test_images_from_arrays_that_cannot_be_written(kind):
    samples = arrays(4)
    samples.values.flags.writeable = False
    assert torch.equal(kind(samples).gather(torch.tensor([2])).inputs[0], PREPROCESS.place(pixels(2)))


@pytest.mark.parametrize("kind", [in_memory, streamed])
def test_boxes_move_with_the_placed_images(kind):
    boxes = Boxes(np.array([[0, 0, 12, 10]], np.float32), np.array([1]))
    samples = ArraySamples("set", arrays(2).values, [Target(boxes=boxes)] * 2)
    stretch = ImagePreprocess(size=(5, 24), fit="stretch")
    batch = kind(samples, Schema(shape=(3, 10, 12), targets=("boxes",), labels=LABELS), stretch).gather(torch.arange(2))
    assert batch.target.boxes[1].xyxy.tolist() == [[0, 0, 24, 5]]


@pytest.mark.parametrize("kind", [in_memory, streamed])
def test_images_for_vectors_and_vectors_for_images_are_refused(kind):
    table = ArraySamples("table", np.zeros((2, 3), np.float32), [Target(label=0)] * 2)
    with pytest.raises(DataError, match="the data are vectors"):
        kind(table).gather(torch.arange(2))
    with pytest.raises(DataError, match="the data are images"):
        kind(arrays(2), SCHEMA, VectorPreprocess(mean=(0.0,), std=(1.0,))).gather(torch.arange(2))


def test_what_fits_is_kept_in_memory_and_what_does_not_is_streamed(monkeypatch):
    assert isinstance(prepare(arrays(3), SCHEMA, PREPROCESS), InMemory)
    monkeypatch.setattr("visus.data.loader.free_memory", lambda: 4 * 3 * 8 * 9 * 3 - 1)
    assert isinstance(prepare(arrays(3), SCHEMA, PREPROCESS), Streamed)


def test_an_empty_split_is_refused():
    with pytest.raises(DataError, match="no samples"):
        prepare(Rows(arrays(3), ()), SCHEMA, PREPROCESS)


def test_generators_differ_by_each_of_their_numbers():
    firsts = [torch.rand(4, generator=generator(*numbers)).tolist() for numbers in ((0,), (1,), (0, 0), (0, 1), (1, 0))]
    assert len({tuple(first) for first in firsts}) == 5
    assert torch.rand(4, generator=generator(7, 3)).tolist() == torch.rand(4, generator=generator(7, 3)).tolist()


def test_progress_is_told_to_the_end(tmp_path):
    told = []
    read_all(files(tmp_path, 5), SCHEMA, PREPROCESS, 0.0, lambda done, total: told.append((done, total)))
    assert told[-1] == (5, 5)


def test_the_picture_that_was_read_is_not_changed():
    samples = arrays(4)
    before = samples.values.copy()
    taken(loader(in_memory(samples, preprocess=ImagePreprocess(size=(10, 12)))).train(), 3)
    assert np.array_equal(samples.values, before)
    assert isinstance(samples.read(0), Picture)
