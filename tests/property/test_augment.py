"""Augmentation: labels, boxes and masks go where the pixels go."""

from itertools import count

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from visus.data.augment import LEAST_SEEN, Augment, Crop, Elastic
from visus.data.mosaic import mosaic
from visus.data.randaugment import RandAugment
from visus.data.types import VOID, Batch, Boxes, Targets
from visus.errors import SpecError


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def one(pixels_HW: np.ndarray, **target) -> Batch:
    return Batch(torch.from_numpy(pixels_HW)[None, None], Targets(**target), torch.zeros(1, dtype=torch.int64))


@st.composite
def drawn(draw, least: int = 12):
    """H×W with one bright rectangle of at least 6 pixels a side, and its box."""
    height, width = draw(st.integers(least, 64)), draw(st.integers(least, 64))
    top, left = draw(st.integers(0, height - 6)), draw(st.integers(0, width - 6))
    bottom, right = draw(st.integers(top + 6, height)), draw(st.integers(left + 6, width))
    pixels = np.zeros((height, width), np.uint8)
    pixels[top:bottom, left:right] = 255
    return pixels, Boxes(np.array([[left, top, right, bottom]], np.float32), np.array([4]))


def extent(bright_HW: np.ndarray) -> np.ndarray:
    """The box of what is bright."""
    rows, columns = np.nonzero(bright_HW)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


moves = st.builds(Augment, flip=st.booleans(), shift=st.floats(0, 0.5))
turns = st.builds(
    Augment, flip=st.booleans(), shift=st.floats(0, 0.3), zoom=st.floats(0, 1), shrink=st.floats(0, 0.5),
    rotate=st.floats(0, 180),
).filter(lambda augment: augment.zoom or augment.shrink or augment.rotate)  # fmt: skip

crops = st.builds(Crop, least=st.floats(0.2, 1), stretch=st.floats(1, 2))
operations = st.builds(RandAugment, operations=st.integers(1, 3), magnitude=st.floats(0, 30))
parts = st.builds(Augment, flip=st.booleans(), crop=crops, shift=st.floats(0, 0.3))
whatever = st.builds(
    Augment, flip=st.booleans(), crop=st.none() | crops, shift=st.floats(0, 0.3), zoom=st.sampled_from([0.0, 0.4]),
    rotate=st.sampled_from([0.0, 60.0]), randaugment=st.none() | operations,
)  # fmt: skip


def moved_by(augment: Augment, batch: Batch, seed: int, fill: int = 0) -> Batch:
    """What `apply` does to pixels, without what it does to their values."""
    draws = seeded(seed)
    drawn = None if augment.randaugment is None else augment.randaugment.draw(len(batch), draws)
    return augment.geometry(batch, draws, fill, drawn)


@given(drawn(), moves, st.integers(0, 999))
def test_flips_and_shifts_move_boxes_exactly(image, augment, seed):
    pixels, boxes = image
    moved = augment.geometry(one(pixels, boxes=(boxes,)), seeded(seed), 0)
    found = moved.inputs[0, 0].numpy()
    assert moved.inputs.dtype == torch.uint8
    assert set(np.unique(found)) <= {0, 255}
    if len(moved.target.boxes[0]) == 0:
        assert (found > 0).sum() < LEAST_SEEN * (pixels > 0).sum()
    else:
        assert np.array_equal(moved.target.boxes[0].xyxy[0], extent(found))
        assert moved.target.boxes[0].labels.tolist() == [4]


@given(drawn(), st.one_of(turns, parts, whatever), st.integers(0, 999))
def test_a_turned_or_enlarged_object_stays_in_its_box(image, augment, seed):
    pixels, boxes = image
    moved = moved_by(augment, one(pixels, boxes=(boxes,)), seed)
    bright = moved.inputs[0, 0].numpy() > 127
    assume(bright.any() and len(moved.target.boxes[0]))
    found, box = extent(bright), moved.target.boxes[0].xyxy[0]
    assert (found[:2] >= box[:2] - 1).all()
    assert (found[2:] <= box[2:] + 1).all()


@given(drawn(), parts, st.integers(0, 999))
def test_a_part_of_an_object_fills_its_box(image, augment, seed):
    pixels, boxes = image
    moved = augment.geometry(one(pixels, boxes=(boxes,)), seeded(seed), 0)
    bright = moved.inputs[0, 0].numpy() > 127
    assume(bright.any() and len(moved.target.boxes[0]))
    assert moved.inputs.dtype == torch.uint8
    assert np.abs(extent(bright) - moved.target.boxes[0].xyxy[0]).max() <= 1


@given(st.floats(0.05, 1), st.floats(1, 2), st.integers(8, 60), st.integers(8, 60), st.integers(0, 999))
def test_parts_are_of_the_area_and_the_proportions_asked_for(least, stretch, height, width, seed):
    # the value of a pixel tells its place, so that corners of what is seen can be read off
    x_NCHW = torch.zeros(40, 2, height, width, dtype=torch.float32)
    x_NCHW[:, 0] = torch.arange(width) + 0.5
    x_NCHW[:, 1] = (torch.arange(height) + 0.5)[:, None]
    augment = Augment(crop=Crop(least=least, stretch=stretch))
    seen = augment.geometry(Batch(x_NCHW, Targets(), torch.arange(40)), seeded(seed), 0).inputs
    middle_h, middle_w = height // 2, width // 2
    wide = (seen[:, 0, 0, middle_w] - seen[:, 0, 0, middle_w - 1]) * width
    tall = (seen[:, 1, middle_h, 0] - seen[:, 1, middle_h - 1, 0]) * height
    inner = (wide > 2) & (tall > 2)  # so thin that there is no slope
    wide, tall = wide[inner].round(), tall[inner].round()
    assert ((wide >= 1) & (wide <= width) & (tall >= 1) & (tall <= height)).all()
    assert ((wide + 0.5) * (tall + 0.5) >= least * height * width - 0.01).all()  # sides are rounded
    assert ((wide - 0.5) / width * stretch <= (tall + 0.5) / height * stretch**2 + 1e-3).all()
    assert ((tall - 0.5) / height * stretch <= (wide + 0.5) / width * stretch**2 + 1e-3).all()


def test_parts_are_of_all_sizes_and_everywhere():
    x_NCHW = torch.zeros(2000, 2, 64, 64)
    x_NCHW[:, 0], x_NCHW[:, 1] = torch.arange(64) + 0.5, (torch.arange(64) + 0.5)[:, None]
    augment = Augment(crop=Crop())
    seen = augment.geometry(Batch(x_NCHW, Targets(), torch.arange(2000)), seeded(0), 0).inputs
    area = (seen[:, 0, 0, 32] - seen[:, 0, 0, 31]) * (seen[:, 1, 32, 0] - seen[:, 1, 31, 0])
    # uniform from 0.08 to 1 but for what doesn't fit; torchvision's RandomResizedCrop has a mean of 0.478 on squares
    assert 0.45 < area.mean() < 0.51
    assert area.min() < 0.09
    assert area.max() > 0.95
    assert abs(seen[:, :, 31:33, 31:33].mean((0, 2, 3)) - 32).max() < 1  # on the whole, in the middle


@given(st.floats(0, 0.5), st.floats(0.01, 1), st.floats(0, 0.5), st.booleans(), st.integers(0, 999))
def test_an_enlarged_or_reduced_rectangle_fills_its_box(shift, zoom, shrink, flip, seed):
    pixels = np.zeros((48, 40), np.uint8)
    pixels[18:30, 12:28] = 255
    boxes = Boxes(np.array([[12, 18, 28, 30]], np.float32), np.array([0]))
    augment = Augment(shift=shift, zoom=zoom, shrink=shrink, flip=flip)
    moved = augment.geometry(one(pixels, boxes=(boxes,)), seeded(seed), 0)
    bright = moved.inputs[0, 0].numpy() > 127
    assume(bright.any() and len(moved.target.boxes[0]))
    assert np.abs(extent(bright) - moved.target.boxes[0].xyxy[0]).max() <= 1.5


def test_a_quarter_turn_moves_corners_as_a_rotation_about_the_middle():
    # y points down, so that a turn of +90° takes the right to the bottom: (x, y) → (cx − (y − cy), cy + (x − cx))
    box = Boxes(np.array([[24, 14, 30, 18]], np.float32), np.array([0]))
    pixels = np.zeros((32, 32), np.uint8)
    pixels[14:18, 24:30] = 255
    augment = Augment(rotate=90)
    seed = next(seed for seed in count() if (_last_draw(seed) * 2 - 1) > 0.98)
    angle = np.radians(90 * (_last_draw(seed) * 2 - 1))
    moved = augment.geometry(one(pixels, boxes=(box,)), seeded(seed), 0)
    x, y = np.array([24, 30, 30, 24]) - 16, np.array([14, 14, 18, 18]) - 16
    turned_x, turned_y = np.cos(angle) * x - np.sin(angle) * y + 16, np.sin(angle) * x + np.cos(angle) * y + 16
    wanted = [turned_x.min(), turned_y.min(), turned_x.max(), turned_y.max()]
    assert moved.target.boxes[0].xyxy[0] == pytest.approx(wanted, abs=1e-3)
    assert np.abs(extent(moved.inputs[0, 0].numpy() > 127) - wanted).max() <= 1.5


def _last_draw(seed: int) -> float:
    """The number that `geometry` draws for the angle of a single image: the fifth."""
    return torch.rand(1 + 2 + 1 + 1, generator=seeded(seed))[4].item()


@given(drawn(), st.one_of(moves, turns, whatever), st.integers(0, 999))
def test_masks_follow_the_pixels(image, augment, seed):
    pixels, _ = image
    mask = torch.from_numpy((pixels > 0).astype(np.uint8) * 5)[None]
    moved = moved_by(augment, one(pixels, mask=mask), seed, 255)
    found = moved.target.mask[0].numpy()
    assert found.dtype == np.uint8
    assert set(np.unique(found)) <= {0, 5, VOID}
    known = found != VOID
    agree = ((moved.inputs[0, 0].numpy() > 127) == (found == 5))[known]
    exact = not (augment.zoom or augment.shrink or augment.rotate or augment.crop or augment.randaugment)
    assert agree.all() if exact else agree.sum() >= known.sum() - 4 * sum(found.shape)  # borders may differ


@given(st.one_of(moves, turns), st.integers(0, 255), st.integers(0, 999))
def test_what_comes_from_outside_is_filled(augment, fill, seed):
    pixels = np.full((20, 26), fill, np.uint8)
    moved = augment.geometry(one(pixels), seeded(seed), fill)
    assert (
        (moved.inputs - fill).abs().max() <= 1e-3 if moved.inputs.is_floating_point() else (moved.inputs == fill).all()
    )
    black = augment.geometry(one(np.zeros((20, 26), np.uint8)), seeded(seed), 255).inputs[0, 0]
    void = augment.geometry(
        one(pixels, mask=torch.zeros(1, 20, 26, dtype=torch.uint8)), seeded(seed), 0
    ).target.mask[0]  # fmt: skip
    assert ((black > 127) == (void == VOID)).float().mean() > 0.9


colours = st.builds(
    Augment, flip=st.booleans(), crop=st.none() | crops, shift=st.floats(0, 0.5), zoom=st.floats(0, 1),
    rotate=st.floats(0, 90), randaugment=st.none() | operations, saturation=st.floats(0, 1), hue=st.floats(0, 180),
    brightness=st.floats(0, 1), contrast=st.floats(0, 1), erase=st.floats(0, 1),
)  # fmt: skip


@given(colours, st.integers(0, 999))
def test_the_same_draws_give_the_same_images_and_the_batch_is_left_alone(augment, seed):
    x_NCHW = torch.randint(256, (3, 3, 16, 12), dtype=torch.uint8, generator=seeded(1))
    before = x_NCHW.clone()
    batch = Batch(x_NCHW, Targets(label=torch.tensor([0, 1, 2])), torch.arange(3))

    def run() -> torch.Tensor:
        return augment.apply(batch, seeded(seed), 0).inputs

    first = run()
    assert torch.equal(first, run())
    assert torch.equal(x_NCHW, before)
    assert first.float().min() >= 0
    assert first.float().max() <= 255.001


@given(colours, st.integers(0, 999))
def test_bytes_and_numbers_are_changed_alike(augment, seed):
    rows = torch.linspace(0, 6, 20)
    x_NCHW = (120 + 100 * torch.sin(rows[:, None] + rows[:16]).repeat(3, 3, 1, 1)).round()
    x_NCHW[1] = x_NCHW[1].flip(0)
    kinds = [x_NCHW.to(torch.uint8), x_NCHW]
    one, other = (
        moved_by(augment, Batch(each, Targets(), torch.arange(3)), seed, 9).inputs.float() for each in kinds
    )  # fmt: skip
    assert (one - other).abs().max() <= 1.001  # each resampling of bytes rounds once, and there are two at most
    found = [augment.colour(each, seeded(seed)) for each in kinds]
    assert torch.allclose(found[0].float(), found[1].float(), atol=1e-3)


@given(st.integers(12, 40), st.integers(12, 40), st.integers(0, 2**31))
def test_four_that_meet_bring_their_boxes_and_masks(height, width, seed):
    random = np.random.default_rng(seed)
    x_NCHW, boxes = torch.zeros(3, 1, height, width, dtype=torch.uint8), []
    for row in range(3):
        top, left = random.integers(0, height - 7), random.integers(0, width - 7)
        bottom, right = random.integers(top + 7, height + 1), random.integers(left + 7, width + 1)
        x_NCHW[row, 0, top:bottom, left:right] = 255
        boxes.append(Boxes(np.array([[left, top, right, bottom]], np.float32), np.array([row])))
    batch = Batch(x_NCHW, Targets(boxes=tuple(boxes), mask=x_NCHW[:, 0] // 255), torch.arange(3))
    moved = mosaic(batch, 1.0, seeded(seed), 0.0)
    for row, found in enumerate(moved.target.boxes):
        bright, mask = moved.inputs[row, 0].numpy(), moved.target.mask[row].numpy()
        outer, inner = _around(found, height, width, 1) == 0, _around(found, height, width, -1.5) > 0
        assert not bright[outer].any()
        assert not mask[outer].any()
        assert (bright[inner] == 255).all()
        assert (mask[inner] == 1).all()


def _around(boxes: Boxes, height: int, width: int, more: float) -> np.ndarray:
    """H×W: in how many boxes, grown by so many pixels on each side, the middle of a pixel is."""
    x, y = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    inside = [
        (x > left - more) & (x < right + more) & (y > top - more) & (y < bottom + more)
        for left, top, right, bottom in boxes.xyxy
    ]
    return np.sum(inside, 0) if inside else np.zeros((height, width), int)


def test_four_that_meet_fill_the_image_and_the_share_of_images_is_as_said():
    # each image is one value, its row + 1
    x_NCHW = (torch.arange(200) + 1).byte().view(-1, 1, 1, 1).expand(-1, 1, 11, 14)
    boxes = tuple(Boxes(np.array([[0, 0, 14, 11]], np.float32), np.array([row])) for row in range(200))
    moved = mosaic(Batch(x_NCHW, Targets(boxes=boxes), torch.arange(200)), 0.5, seeded(0), 0.25)
    changed = (moved.inputs != x_NCHW).flatten(1).any(1)
    assert 65 < changed.sum() < 135  # 100 by five standard deviations
    whole = []
    for row in range(200):
        values = moved.inputs[row, 0].unique()
        assert 1 <= len(values) <= (4 if changed[row] else 1)
        found = moved.target.boxes[row]
        for (left, top, right, bottom), label in zip(found.xyxy.astype(int), found.labels, strict=True):
            assert (moved.inputs[row, 0, top:bottom, left:right] == label + 1).all()
        whole.append(len(found))
    assert all(count == 1 for count, new in zip(whole, changed, strict=True) if not new)
    assert max(whole) == 4


def test_four_images_share_no_label():
    batch = Batch(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), Targets(label=torch.tensor([0, 1])), torch.arange(2))
    with pytest.raises(SpecError, match="mosaic"):
        Augment(mosaic=0.5).apply(batch, seeded(0), 0)


def test_two_flips_are_none():
    x_NCHW = torch.randint(256, (64, 1, 5, 7), dtype=torch.uint8)
    batch = Batch(x_NCHW, Targets(), torch.arange(64))
    augment = Augment(flip=True)
    once = augment.geometry(batch, seeded(3), 0)
    assert torch.equal(augment.geometry(once, seeded(3), 0).inputs, x_NCHW)
    flipped = (once.inputs == x_NCHW.flip(3)).flatten(1).all(1)
    kept = (once.inputs == x_NCHW).flatten(1).all(1)
    assert (flipped | kept).all()
    assert 16 < flipped.sum() < 48  # half of 64, by more than four standard deviations


def test_shifts_reach_as_far_as_said_both_ways_and_no_further():
    x_NCHW = torch.zeros(400, 1, 20, 10, dtype=torch.uint8)
    x_NCHW[:, :, 10, 5] = 255
    moved = Augment(shift=0.2).geometry(Batch(x_NCHW, Targets(), torch.arange(400)), seeded(0), 0)
    where = moved.inputs[:, 0].nonzero()
    assert (where[:, 1] - 10).unique().tolist() == [-4, -3, -2, -1, 0, 1, 2, 3, 4]  # 0.2 of 20
    assert (where[:, 2] - 5).unique().tolist() == [-2, -1, 0, 1, 2]  # 0.2 of 10


def test_an_idle_augment_changes_nothing():
    assert Augment().idle()
    x_NCHW = torch.randint(256, (2, 3, 6, 6), dtype=torch.uint8)
    batch = Batch(x_NCHW, Targets(label=torch.tensor([0, 1])), torch.arange(2))
    draws = seeded(0)
    assert Augment().geometry(batch, draws, 0) is batch
    assert torch.equal(Augment().colour(x_NCHW, draws), x_NCHW)
    assert Augment().mix(batch, 2, draws) is batch


@pytest.mark.parametrize(
    "augment",
    [
        Augment(flip=True), Augment(shift=0.1), Augment(zoom=0.1), Augment(shrink=0.1), Augment(mosaic=0.1),
        Augment(erase=0.1), Augment(mixup=0.2), Augment(crop=Crop()), Augment(randaugment=RandAugment()),
        Augment(saturation=0.1), Augment(hue=1.0),
    ],
)  # fmt: skip
def test_an_augment_that_does_something_is_not_idle(augment):
    assert not augment.idle()


def test_contrast_keeps_the_mean_and_brightness_the_differences():
    x_NCHW = torch.full((8, 1, 4, 4), 100.0)
    x_NCHW[..., :2] = 140.0
    contrast = Augment(contrast=0.5).colour(x_NCHW, seeded(0))
    assert torch.allclose(contrast.mean((1, 2, 3)), torch.full((8,), 120.0))
    spread = (contrast.amax((1, 2, 3)) - contrast.amin((1, 2, 3))) / 40
    assert ((spread >= 0.5) & (spread <= 1.5)).all()
    assert spread.std() > 0
    bright = Augment(brightness=0.2).colour(x_NCHW, seeded(0))
    assert torch.allclose(bright.amax((1, 2, 3)) - bright.amin((1, 2, 3)), torch.full((8,), 40.0), atol=1e-4)
    assert ((bright - x_NCHW).abs() <= 0.2 * 255 + 1e-3).all()


def test_erasing_touches_one_rectangle_of_the_said_share_of_the_chosen_images():
    x_NCHW = torch.full((200, 3, 40, 40), -1.0)
    erased = Augment(erase=0.5).colour(x_NCHW, seeded(0)) != -1
    touched = erased.flatten(1).any(1)
    assert 65 < touched.sum() < 135  # 100 by five standard deviations
    for hit_CHW in erased[touched]:
        assert (hit_CHW == hit_CHW[0]).all()
        left, top, right, bottom = extent(hit_CHW[0].numpy())
        assert hit_CHW[0, top:bottom, left:right].all()
        assert hit_CHW[0].float().mean() <= 0.2 + 2 / 40  # the area, and what rounding to pixels adds


@given(st.sampled_from([Augment(mixup=0.4), Augment(cutmix=1.0), Augment(mixup=0.4, cutmix=1.0)]), st.integers(0, 999))
def test_mixed_labels_are_the_shares_of_the_pixels(augment, seed):
    # image i is of class i and one flat value 50·i, so that its share of each mixed image can be read off
    x_NCHW = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 3, 12, 10) * 50
    batch = Batch(x_NCHW.contiguous(), Targets(label=torch.arange(5)), torch.arange(5))
    mixed = augment.mix(batch, 7, seeded(seed))
    label_NK = mixed.target.label
    assert label_NK.shape == (5, 7)
    assert torch.allclose(label_NK.sum(1), torch.ones(5))
    assert (label_NK[:, 5:] == 0).all()
    wanted = (label_NK * torch.arange(7.0) * 50).sum(1)
    assert torch.allclose(mixed.inputs.mean((1, 2, 3)), wanted, atol=1e-2)
    assert torch.equal(mixed.rows, batch.rows)


def test_cutmix_leaves_each_pixel_to_one_of_the_two_images():
    x_NCHW = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 16, 16).contiguous()
    batch = Batch(x_NCHW, Targets(label=torch.arange(4)), torch.arange(4))
    mixed = Augment(cutmix=1.0).mix(batch, 4, seeded(5))
    assert set(mixed.inputs.unique().tolist()) <= {0.0, 1.0, 2.0, 3.0}
    assert (mixed.inputs != x_NCHW).any()


def test_mixing_without_classes_is_refused():
    batch = Batch(torch.zeros(2, 1, 4, 4), Targets(values=torch.zeros(2, 1)), torch.arange(2))
    with pytest.raises(SpecError, match="mixup"):
        Augment(mixup=0.2).mix(batch, 2, seeded(0))


@given(drawn(least=24), st.floats(0.5, 4), st.integers(2, 4), st.integers(0, 2**31))
def test_elastic_deformation_takes_masks_where_the_pixels_go(drawing, sd, grid, seed):
    pixels, _ = drawing
    augment = Augment(elastic=Elastic(sd=sd, grid=grid))
    moved = augment.geometry(one(pixels, mask=torch.from_numpy(pixels[None] // 255)), seeded(seed), 0)
    bright = moved.inputs[0, 0]
    assert moved.target.mask.dtype == torch.uint8
    # the nearest pixel is bright where the blend of the four around is mostly so
    sure = (bright < 60) | (bright > 195)
    assert torch.equal((bright > 127)[sure], (moved.target.mask[0] == 1)[sure])


def test_elastic_deformation_is_drawn_anew_for_each_image_and_seeded():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint8)
    x = torch.from_numpy(pixels).expand(3, 1, 40, 40)
    batch = Batch(x, Targets(), torch.arange(3))
    augment = Augment(elastic=Elastic(sd=3))
    first, again, other = (augment.geometry(batch, seeded(seed), 0).inputs for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


def test_nodes_are_displaced_by_a_gaussian_of_that_deviation():
    # an image of its own columns: in the corner nodes the value tells the displacement
    columns = torch.arange(100.0).mul(2).byte().expand(400, 1, 100, 100)
    moved = Augment(elastic=Elastic(sd=5)).geometry(Batch(columns, Targets(), torch.arange(400)), seeded(0), 0)
    middle = moved.inputs[:, 0, 49:51, 49:51].mean((1, 2)) / 2 - 49.5  # where the node of a 3×3 grid lies
    assert middle.mean().item() == pytest.approx(0, abs=0.8)
    assert middle.std().item() == pytest.approx(5, rel=0.1)


def test_boxes_cant_be_deformed():
    batch = one(np.zeros((20, 20), np.uint8), boxes=(Boxes(np.array([[1, 2, 3, 4]], np.float32), np.array([0])),))
    with pytest.raises(SpecError, match="boxes can't follow"):
        Augment(elastic=Elastic()).geometry(batch, seeded(0), 0)
