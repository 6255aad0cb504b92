"""The scenes that are drawn: what the data set holds, and that its promises are kept."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import pytest

from visus.data.dataset import Data
from visus.data.scenes import COLOURS, HELD_OUT, KINDS, VOCABULARY, SceneSamples, draw, load, parse
from visus.data.scenes.draw import CONTRAST, GREYS, OUTLINES, PALETTE, SPREAD, _scans, digit, shape
from visus.data.scenes.grammar import DIGITS, SHAPES, captions
from visus.data.scenes.layout import arrange, compose
from visus.data.types import Targets
from visus.errors import DataError, SpecError

ROWS = 120  # scenes that a test looks at


def pairs_of(target) -> set[tuple[str, str]]:
    return {tuple(phrase.split()) for phrase in target.boxes.phrases}


def iou(a: np.ndarray, b: np.ndarray) -> float:
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    areas = [np.prod(each[2:] - each[:2]) for each in (a, b)]
    return sides.prod() / (sum(areas) - sides.prod())


@pytest.fixture(scope="module")
def dataset():
    return load(Data("scenes", count=1500))


def test_sizes(dataset):
    assert {split: len(samples) for split, samples in dataset.splits.items()} == {
        "train": 1500,
        "val": 150,
        "test": 150,
    }
    assert [len(load(Data("scenes")).splits[split]) for split in ("train", "val", "test")] == [10_000, 1_000, 1_000]
    assert len(load(Data("scenes", count=1)).splits["test"]) == 100


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_samples_are_what_the_schema_says(dataset, split):
    samples, schema = dataset.splits[split], dataset.schema
    rows = range(8)
    for row in rows:
        pixels = samples.read(row).pixels
        assert pixels.shape == (64, 64, 3)
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        assert pixels.flags.writeable
    columns = Targets.collate([samples.target(row) for row in rows], schema)
    assert columns.label.shape == (8,)
    assert columns.values.shape == (8, 1)
    assert columns.mask.shape == (8, 64, 64)
    assert samples.name(3) == f"scenes/{split}[3]"
    assert samples.block() is None


def test_reading_depends_on_nothing_but_the_row(dataset):
    samples = dataset.splits["train"]
    rows = list(range(40))
    there = [samples.digest(row) for row in rows]
    back = [samples.digest(row) for row in reversed(rows)][::-1]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(samples.digest, rows)) == there == back
        masks = list(pool.map(lambda row: samples.target(row).mask, rows))
    assert all(np.array_equal(mask, samples.target(row).mask) for row, mask in zip(rows, masks, strict=True))
    assert all(np.array_equal(samples.read(row).pixels, draw(0, row).pixels) for row in rows)
    assert samples.target(5).captions == draw(0, 5).target.captions


def test_no_two_scenes_are_equal(dataset):
    found = [samples.digest(row) for samples in dataset.splits.values() for row in range(100)]
    found += [SceneSamples(1, "train", 100).digest(row) for row in range(100)]
    assert len(set(found)) == len(found)


def test_a_row_beyond_the_end_is_refused(dataset):
    with pytest.raises(IndexError, match="no row 150"):
        dataset.splits["val"].read(150)
    with pytest.raises(IndexError):
        dataset.splits["val"].target(-1)


def test_held_out_pairs_occur_where_they_may(dataset):
    novel = {
        split: [bool(pairs_of(dataset.splits[split].target(row)) & HELD_OUT) for row in range(ROWS)]
        for split in ("train", "val", "test")
    }
    assert not any(novel["train"])
    assert novel["val"] == [row % 2 == 1 for row in range(ROWS)]
    assert all(novel["test"])


def test_a_fifth_is_held_out_but_no_colour_and_no_kind():
    seen = {(colour, kind) for colour in COLOURS for kind in KINDS} - HELD_OUT
    assert len(HELD_OUT) / (len(COLOURS) * len(KINDS)) == pytest.approx(0.2, abs=0.01)
    assert Counter(colour for colour, _ in seen).keys() == set(COLOURS)
    assert min(Counter(kind for _, kind in seen).values()) >= 5


def test_splits_share_no_scan():
    from sklearn.datasets import load_digits

    scans = {
        split: {scan.tobytes() for kind in DIGITS for scan in _scans()[split, kind]}
        for split in ("train", "val", "test")
    }
    assert not any(a & b for a, b in combinations(scans.values(), 2))
    images = load_digits().images
    assert set().union(*scans.values()) == {np.pad(image * 15, 1).astype(np.uint8).tobytes() for image in images}
    assert [len(scans[split]) / len(images) for split in scans] == pytest.approx([0.7, 0.15, 0.15], abs=0.01)


def test_train_sees_every_kind_colour_count_and_most_labels(dataset):
    targets = [dataset.splits["train"].target(row) for row in range(600)]
    pairs = [pair for target in targets for pair in pairs_of(target)]
    assert {colour for colour, _ in pairs} == set(COLOURS)
    assert {kind for _, kind in pairs} == set(KINDS)
    assert {target.values for target in targets} == {(1.0,), (2.0,), (3.0,), (4.0,)}
    assert {target.label for target in targets} == set(range(len(KINDS)))


def test_objects_overlap_little():
    for row in range(600):
        boxes = draw(3, row, objects=(3, 4)).target.boxes
        assert max(iou(a, b) for a, b in combinations(boxes.xyxy, 2)) <= 0.1


def test_most_of_each_object_can_be_seen():
    for row in range(ROWS):
        rng = np.random.default_rng(row)
        things = arrange(rng, "train", compose(rng, "train", row, (3, 4)), 64)
        free = np.ones((64, 64), bool)
        for thing in things:
            solid = thing.stamp.alpha > 0.5
            seen = (solid & free[thing.stamp.window]).sum()
            assert seen >= 0.8 * thing.stamp.area
            free[thing.stamp.window] &= ~solid


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [9.0, 12.0, 17.3, 28.0])
def test_a_stamp_is_as_large_as_asked(kind, side):
    rng = np.random.default_rng(0)
    for _ in range(20):
        stamp = shape(rng, kind, side) if kind in OUTLINES else digit(rng, "val", kind, side)
        solid = stamp.alpha > 0.5
        assert solid.sum() == stamp.area
        assert not any(edge.any() for edge in (solid[0], solid[-1], solid[:, 0], solid[:, -1]))
        assert all(edge.any() for edge in (solid[1], solid[-2], solid[:, 1], solid[:, -2]))
        assert max(stamp.height, stamp.width) <= side + 1
        assert max(stamp.height, stamp.width) >= side * 0.75 - 1  # a sharp tip covers no pixel by half


def test_areas_of_shapes_are_those_of_geometry():
    rng = np.random.default_rng(0)
    areas = {kind: np.mean([shape(rng, kind, 100).alpha.sum() for _ in range(3)]) for kind in ("circle", "square")}
    assert areas["circle"] == pytest.approx(np.pi / 4 * 100**2, rel=0.02)  # a polygon of 24 corners has 1 % less
    turn = OUTLINES["square"][1]
    assert turn == 45  # so its side is 100/(cos + sin), at most 100 and at least 71
    assert 100**2 / 2 * 0.98 <= areas["square"] <= 100**2


def test_every_colour_finds_a_background():
    for colour in PALETTE.values():
        assert np.linalg.norm(np.array(colour) - GREYS.min()) > CONTRAST + 3**0.5 * SPREAD / 2


def test_objects_have_their_colours():
    for row in range(ROWS):
        scene = draw(0, row)
        for mask, phrase in zip(scene.target.boxes.masks, scene.target.boxes.phrases, strict=True):
            middle = np.median(scene.pixels[mask], axis=0)
            distances = {colour: np.linalg.norm(middle - rgb) for colour, rgb in PALETTE.items()}
            assert min(distances, key=distances.get) == phrase.split()[0]


def test_nothing_there():
    scene = draw(0, 7, objects=(0, 0))
    target = scene.target
    assert target.label is None
    assert target.values == (0.0,)
    assert target.boxes.xyxy.shape == (0, 4)
    assert target.boxes.masks.shape == (0, 64, 64)
    assert not target.mask.any()
    assert all(parse(caption) == Counter() for caption in target.captions)
    assert len(set(target.captions)) == 5


@pytest.mark.parametrize(
    "wrong",
    [{"split": "dev"}, {"size": 40}, {"objects": (1, 5)}, {"objects": (2, 1)}, {"objects": (-1, 1)}, {"index": -1}],
)
def test_what_there_is_not_is_refused(wrong):
    with pytest.raises(SpecError, match="there is no scene"):
        draw(**({"seed": 0, "index": 0} | wrong))


def test_relations_are_those_of_the_picture():
    pairs = [("red", "star"), ("blue", "7")]
    places = {"left of": (9, 0), "right of": (-9, 1), "above": (1, 9), "below": (0, -9)}
    for relation, offset in places.items():
        said = {
            caption
            for seed in range(20)
            for caption in captions(np.random.default_rng(seed), pairs, np.array([(0, 0), offset]))
        }
        assert f"a red star {relation} a blue 7" in said
        opposite = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}[relation]
        assert f"a blue 7 {opposite} a red star" in said
        assert not any(f"star {opposite}" in caption or f"7 {relation}" in caption for caption in said)
    unclear = captions(np.random.default_rng(0), pairs, np.array([(0, 0), (9, 8)]))
    assert not any("of a blue" in caption or "above" in caption or "below" in caption for caption in unclear)


@pytest.mark.parametrize(
    ("caption", "counts"),
    [
        ("two red squares and a blue circle", {("red", "square"): 2, ("blue", "circle"): 1}),
        ("there are three red 7s with an orange cross", {("red", "7"): 3, ("orange", "cross"): 1}),
        ("a picture of four white crosses", {("white", "cross"): 4}),
        ("you can see one green heart left of two blue stars", {("green", "heart"): 1, ("blue", "star"): 2}),
        ("a red star and a red star", {("red", "star"): 2}),
        ("there is nothing", {}),
    ],
)
def test_captions_are_read(caption, counts):
    assert parse(caption) == Counter(counts)


@pytest.mark.parametrize(
    "text",
    ["", "a", "there is ", "a red", "red square", "a pink square", "a red dog", "a red square and",
     "a red square a red 7", "a red square and nothing", "two red squares, a blue 7", "A red square",
     "a  red square", "a red squaresx"],
)  # fmt: skip
def test_other_texts_are_refused(text):
    with pytest.raises(DataError, match="grammar"):
        parse(text)


def test_the_vocabulary_is_fixed():
    assert len(VOCABULARY) == len(set(VOCABULARY))
    assert {*COLOURS, *DIGITS, *SHAPES, "7s", "crosses", "nothing", "an", "are", "of", "four"} <= set(VOCABULARY)
