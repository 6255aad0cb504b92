"""Boxes that are written and read again are the same boxes."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import pixels
from visus.data.converting import convert
from visus.data.dataset import Data, Dataset
from visus.data.open import open_dataset
from visus.data.samples import ArraySamples
from visus.data.types import Boxes, Schema, Target

LABELS = ("cat", "Fußgänger", "a < b & c")


@st.composite
def sets(draw: st.DrawFn) -> Dataset:
    """Three images of one size with up to four boxes, of whole or broken pixels, each class at least once."""
    height, width = draw(st.integers(1, 700)), draw(st.integers(1, 900))
    share = st.floats(0, 1, width=32)
    targets = []
    for image in range(3):
        rows = []
        for _ in range(draw(st.integers(1, 4))):
            x, y = sorted((draw(share), draw(share))), sorted((draw(share), draw(share)))
            box = np.array([x[0] * width, y[0] * height, x[1] * width, y[1] * height])
            box[2:] = np.maximum(box[2:], box[:2] + 0.01)
            if draw(st.booleans()):
                box = np.concatenate([np.floor(box[:2]), np.ceil(box[2:])])
            box[2:] = np.minimum(box[2:], (width, height))
            box[:2] = np.minimum(box[:2], box[2:] - 0.01)
            rows.append(box)
        labels = [image, *draw(st.lists(st.integers(0, 2), min_size=len(rows) - 1, max_size=len(rows) - 1))]
        difficult = np.array(draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
        boxes = Boxes(np.array(rows, np.float32), np.array(labels), difficult=difficult if difficult.any() else None)
        targets.append(Target(boxes=boxes))
    samples = ArraySamples("set", np.stack([pixels(seed, height, width) for seed in range(3)]), targets)
    return Dataset("set", Schema(shape=(3, height, width), targets=("boxes",), labels=LABELS), {"train": samples})


def same(one: Dataset, other: Dataset, *, difficult: bool) -> None:
    for row in range(3):
        before, after = one.splits["train"].target(row).boxes, other.splits["train"].target(row).boxes
        assert before is not None
        assert after is not None
        np.testing.assert_allclose(after.xyxy, before.xyxy, atol=1e-3)
        assert [other.schema.labels[each] for each in after.labels] == [
            one.schema.labels[each] for each in before.labels
        ]
        if difficult:
            np.testing.assert_array_equal(after.difficult, before.difficult)


@settings(max_examples=12, deadline=None)
@given(sets(), st.sampled_from(["coco", "voc", "yolo"]))
def test_a_format_gives_back_what_it_was_given(dataset, to):
    with TemporaryDirectory() as folder:
        convert(dataset, Path(folder) / "out", to)
        found = open_dataset(Data(source=f"{folder}/out"))
        assert found.skipped == ()
        same(dataset, found, difficult=to != "yolo")


@settings(max_examples=8, deadline=None)
@given(sets())
def test_coco_to_voc_to_coco(dataset):
    with TemporaryDirectory() as folder:
        for before, to in (("", "coco"), ("coco", "voc"), ("voc", "again")):
            given = open_dataset(Data(source=f"{folder}/{before}")) if before else dataset
            convert(given, Path(folder) / to, "coco" if to == "again" else to)
        same(dataset, open_dataset(Data(source=f"{folder}/again")), difficult=True)
