"""Whole images of sizes of their own, and the windows that are learnt from."""

from itertools import chain, islice

import numpy as np
import pytest
import torch

from tests.helpers import encoded, pixels
from visus.data.augment import Augment
from visus.data.loader import Loader, prepare
from visus.data.preprocess import ImagePreprocess
from visus.data.samples import FileSamples, OnDisk
from visus.data.types import Schema, Target
from visus.data.whole import Whole
from visus.errors import DataError, SpecError

SIZES = ((20, 30), (16, 16), (41, 25), (7, 50))
SCHEMA = Schema(shape=(1, 0, 0), targets=("mask", "image"), masks=("dark", "light"))
PREPROCESS = ImagePreprocess(size=(16, 12), channels=1, fit="tile", margin=2)


def samples(folder, broken: tuple[int, ...] = ()) -> FileSamples:
    """Noise; its mask is what is light in it, its pair its negative."""
    stored, targets = [], []
    for row, (height, width) in enumerate(SIZES):
        image = pixels(row, height, width, 1)
        data = b"no image" if row in broken else encoded(image)
        (folder / f"{row}.png").write_bytes(data)
        stored.append(OnDisk(folder / f"{row}.png", f"{row}.png", len(data)))
        targets.append(Target(mask=(image[..., 0] > 127).astype(np.uint8), image=255 - image))
    return FileSamples(stored, targets)


def whole(folder, room: int = 1 << 20) -> Whole:
    found = prepare(samples(folder), SCHEMA, PREPROCESS, room=room)
    assert isinstance(found, Whole)
    return found


def test_images_keep_their_sizes_and_pixels(tmp_path):
    prepared = whole(tmp_path)
    assert prepared.rows.tolist() == [0, 1, 2, 3]
    for row, size in enumerate(SIZES):
        batch = prepared.gather(torch.tensor([row]))
        assert batch.inputs.shape == (1, 1, *size)
        assert torch.equal(batch.inputs[0, 0], torch.from_numpy(pixels(row, *size, 1)[..., 0]))
        assert torch.equal(batch.target.mask, (batch.inputs[:, 0] > 127).byte())


@pytest.mark.parametrize("room", [1 << 20, 2000, 0])
def test_windows_and_their_targets_are_cut_alike_whatever_is_kept(tmp_path, room):
    draws = torch.Generator().manual_seed(3)
    batch = whole(tmp_path, room).windows(torch.tensor([3, 1, 0, 2, 0]), PREPROCESS, draws)
    assert batch.inputs.shape == (5, 1, 16, 12)
    assert batch.rows.tolist() == [3, 1, 0, 2, 0]
    assert torch.equal(batch.target.mask, (batch.inputs[:, 0] > 127).byte())
    assert torch.equal(batch.target.image, 255 - batch.inputs)
    assert not torch.equal(batch.inputs[2], batch.inputs[4])
    again = whole(tmp_path).windows(torch.tensor([3, 1, 0, 2, 0]), PREPROCESS, torch.Generator().manual_seed(3))
    assert torch.equal(again.inputs, batch.inputs)


def test_every_pixel_is_in_some_core(tmp_path):
    prepared, draws = whole(tmp_path), torch.Generator().manual_seed(0)
    image = prepared.gather(torch.tensor([0])).inputs[0, 0]
    seen = torch.zeros_like(image, dtype=torch.bool)
    places = {tuple(image[y : y + 12, x : x + 8].flatten().tolist()): (y, x) for y in range(9) for x in range(23)}
    for _ in range(600):
        core = prepared.windows(torch.tensor([0]), PREPROCESS, draws).inputs[0, 0, 2:-2, 2:-2]
        y, x = places[tuple(core.flatten().tolist())]  # so it never reaches over the edge
        seen[y : y + 12, x : x + 8] = True
    assert seen.all()


def test_an_epoch_takes_as_many_windows_as_cover_the_images(tmp_path):
    prepared = whole(tmp_path)
    often = round(np.mean([height * width for height, width in SIZES]) / (12 * 8))
    assert prepared.often(PREPROCESS) == often == 6
    loader = Loader(prepared, PREPROCESS, 4, torch.device("cpu"), seed=1)
    assert len(loader) == 6
    rows = [batch.rows.tolist() for batch in islice(loader.train(), 6)]
    assert sorted(chain(*rows)) == sorted([0, 1, 2, 3] * 6)


def test_training_goes_on_where_it_was_and_is_augmented(tmp_path):
    loader = Loader(whole(tmp_path), PREPROCESS, 3, torch.device("cpu"), Augment(flip=True, shift=0.1), seed=1)
    straight = list(islice(loader.train(), 20))
    for batch, other in zip(straight[13:], loader.train(13), strict=False):
        assert torch.equal(batch.inputs, other.inputs)
        assert torch.equal(batch.target.mask, other.target.mask)
    assert straight[0].inputs.shape == (3, 1, 16, 12)


def test_evaluation_takes_images_one_by_one(tmp_path):
    loader = Loader(whole(tmp_path), PREPROCESS, 3, torch.device("cpu"))
    assert [tuple(batch.inputs.shape[2:]) for batch in loader.evaluate()] == list(SIZES)


def test_what_cant_be_read_is_left_out(tmp_path):
    found = prepare(samples(tmp_path, broken=(1,)), SCHEMA, PREPROCESS, bad=0.5)
    assert found.rows.tolist() == [0, 2, 3]
    assert [each.name for each in found.skipped] == ["1.png"]
    with pytest.raises(DataError, match="1 of 4 files can't be read"):
        prepare(samples(tmp_path, broken=(1,)), SCHEMA, PREPROCESS, bad=0.1)


def test_a_file_that_turns_bad_is_named(tmp_path):
    prepared = whole(tmp_path, room=0)
    (tmp_path / "2.png").write_bytes(b"gone")
    with pytest.raises(DataError, match=r"2\.png: .*could be read before"):
        prepared.gather(torch.tensor([2]))


def test_a_margin_that_leaves_nothing_is_refused():
    with pytest.raises(SpecError, match="leaves nothing of windows of 64×64") as raised:
        ImagePreprocess(size=(64, 64), fit="tile", margin=32)
    assert "preprocess.margin=8" in raised.value.remedy
    ImagePreprocess(size=(64, 64), margin=32)  # of no window


def test_placed_images_are_as_they_were():
    preprocess = ImagePreprocess(size=(16, 12), channels=3, fit="tile", margin=2)
    image = pixels(0, 9, 40, 1)
    assert torch.equal(preprocess.place(image), torch.from_numpy(image).permute(2, 0, 1).expand(3, -1, -1))
    where = preprocess.placement(9, 40)
    assert (where.scale_x, where.scale_y, where.left, where.top, where.height, where.width) == (1, 1, 0, 0, 9, 40)
