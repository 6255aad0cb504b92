"""What holds for every scene."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from visus.data.scenes import HELD_OUT, KINDS, VOCABULARY, Scene, draw, parse
from visus.data.scenes.grammar import COLOURS, captions

SCENES = st.builds(
    draw,
    st.integers(0, 2**32),
    st.integers(0, 2**40),
    st.sampled_from(["train", "val", "test"]),
    size=st.sampled_from([48, 64, 75, 128]),
    objects=st.sampled_from([(0, 4), (1, 4), (3, 4), (4, 4)]),
)
PAIRS = st.lists(st.tuples(st.sampled_from(COLOURS), st.sampled_from(KINDS)), max_size=4)


@settings(deadline=None, max_examples=150)
@given(SCENES)
def test_boxes_bound_the_masks(scene: Scene):
    boxes = scene.target.boxes
    size = len(scene.pixels)
    assert boxes.xyxy.dtype == np.float32
    assert boxes.labels.dtype == np.int64
    assert boxes.masks.shape == (len(boxes), size, size)
    assert boxes.masks.dtype == bool
    for mask, xyxy in zip(boxes.masks, boxes.xyxy, strict=True):
        rows, columns = np.nonzero(mask)
        assert xyxy.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@settings(deadline=None, max_examples=150)
@given(SCENES)
def test_masks_agree(scene: Scene):
    boxes, mask = scene.target.boxes, scene.target.mask
    assert boxes.masks.sum(0).max(initial=0) <= 1
    assert mask.dtype == np.uint8
    expected = np.zeros(mask.shape, np.int64)
    for own, label in zip(boxes.masks, boxes.labels, strict=True):
        expected += own * (label + 1)
    assert np.array_equal(mask, expected)


@settings(deadline=None, max_examples=150)
@given(SCENES)
def test_the_label_is_the_largest(scene: Scene):
    boxes = scene.target.boxes
    assert scene.target.values == (float(len(boxes)),)
    areas = np.prod(boxes.xyxy[:, 2:] - boxes.xyxy[:, :2], axis=1)
    if not len(boxes):
        assert scene.target.label is None
    else:
        assert scene.target.label == boxes.labels[areas.argmax()]
        assert (np.delete(areas, areas.argmax()) * 1.2 <= areas.max()).all()


@settings(deadline=None, max_examples=150)
@given(SCENES)
def test_captions_count_the_objects(scene: Scene):
    target = scene.target
    truth = Counter(tuple(phrase.split()) for phrase in target.boxes.phrases)
    assert [KINDS.index(phrase.split()[1]) for phrase in target.boxes.phrases] == target.boxes.labels.tolist()
    assert len(set(target.captions)) == 5
    for caption in target.captions:
        assert parse(caption) == truth
        assert set(caption.split()) <= set(VOCABULARY)
        assert " ".join(caption.split()) == caption


@settings(deadline=None)
@given(PAIRS, st.integers(0, 2**32), st.integers(0, 2**32))
def test_parse_inverts_every_wording(pairs: list[tuple[str, str]], seed: int, places: int):
    centres = np.random.default_rng(places).random((len(pairs), 2))
    for caption in captions(np.random.default_rng(seed), pairs, centres):
        assert parse(caption) == Counter(pairs)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(0, 2**40))
def test_scenes_are_pure_and_training_never_sees_what_is_held_out(seed: int, index: int):
    scene, again = draw(seed, index), draw(seed, index)
    assert np.array_equal(scene.pixels, again.pixels)
    assert scene.target.captions == again.target.captions
    assert np.array_equal(scene.target.boxes.masks, again.target.boxes.masks)
    assert not {tuple(phrase.split()) for phrase in scene.target.boxes.phrases} & HELD_OUT
    tested = draw(seed, index, "test").target.boxes
    assert {tuple(phrase.split()) for phrase in tested.phrases} & HELD_OUT
