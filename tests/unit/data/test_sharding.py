"""Writing shards: nothing is lost, doubled or changed, whatever happens meanwhile."""

import hashlib
import json
import os
import random
import signal
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import class_folders, encoded, pixels
from tests.trees import coco, masked
from visus.data import sharding
from visus.data.dataset import Data, Dataset
from visus.data.open import open_dataset
from visus.data.samples import ArraySamples
from visus.data.sharding import write_shards
from visus.data.shards import JOURNAL, LEFT_OUT, MANIFEST
from visus.data.types import Schema, Target
from visus.errors import DataError, SpecError


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("VISUS_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def photos(tmp_path):
    root = class_folders(
        tmp_path / "photos",
        {"train/cat": 9, "train/dog 2": 8, "val/cat": 3, "val/dog 2": 2, "test/cat": 2, "test/dog 2": 2},
    )
    (root / "train" / "cat" / "ünï côde.JPG").write_bytes(encoded(pixels(77), "JPEG"))
    return root


def contents(folder: Path) -> dict[str, str]:
    """The digest of every file that counts, by name."""
    return {
        each.name: hashlib.sha256(each.read_bytes()).hexdigest()
        for each in sorted(folder.iterdir())
        if not each.name.startswith(".")
    }


def samples_of(dataset: Dataset, split: str) -> list[tuple[bytes, int | None]]:
    samples = dataset.splits[split]
    return sorted((samples.stored(row).read(), samples.target(row).label) for row in range(len(samples)))


def test_the_very_files_with_their_labels_each_once(photos, tmp_path):
    source = open_dataset(photos)
    manifest = write_shards(source, tmp_path / "out", count=5)
    found = open_dataset(tmp_path / "out")
    assert found.schema == source.schema
    assert list(found.splits) == ["train", "val", "test"]
    for split in found.splits:
        assert samples_of(found, split) == samples_of(source, split)
    assert (found.notes, found.skipped, found.name) == ((), (), "photos")
    assert manifest.fingerprint == source.fingerprint()
    assert [shard.samples for shard in manifest.shards] == [5, 5, 5, 3, 5, 4]


def test_it_is_webdataset_layout(photos, tmp_path):
    """Members of a key follow one another; `.cls` holds the number; keys have one dot, before the ending."""
    write_shards(open_dataset(photos), tmp_path / "out", count=100)
    with tarfile.open(tmp_path / "out" / "train-000000.tar") as tar:
        names = tar.getnames()
        images, labels = names[::2], names[1::2]
        assert [name.partition(".")[0] for name in images] == [name.partition(".")[0] for name in labels]
        assert {name.partition(".")[2] for name in images} == {"png", "jpg"}
        assert {name.partition(".")[2] for name in labels} == {"cls"}
        assert Counter(tar.extractfile(name).read() for name in labels) == {b"0": 10, b"1": 8}
    assert sum(name.endswith("_cat_0.png") for name in images) == 1  # a person finds the source


def test_pixels_of_arrays_are_kept_exactly(tmp_path):
    source = open_dataset("digits")
    manifest = write_shards(source, tmp_path / "out", size=200_000)
    found = open_dataset(tmp_path / "out")
    assert found.schema == source.schema

    def everything(dataset):
        samples = dataset.splits["train"]
        return sorted((samples.read(r).pixels.tobytes(), samples.target(r).label) for r in range(len(samples)))

    assert everything(found) == everything(source)
    assert manifest.fingerprint == source.fingerprint()


def test_all_that_is_said_of_a_scene_comes_back(tmp_path):
    source = open_dataset(Data(source="scenes", count=40))
    write_shards(source, tmp_path / "out", count=16)
    found = open_dataset(tmp_path / "out")
    assert found.schema == source.schema
    for split, samples in found.splits.items():
        for row in range(0, len(samples), 5):
            number = int(samples.name(row).rpartition("/")[2].removesuffix(".png"))
            was, now = source.splits[split].target(number), samples.target(row)
            np.testing.assert_array_equal(samples.read(row).pixels, source.splits[split].read(number).pixels)
            assert (now.label, now.values, now.captions) == (was.label, was.values, was.captions)
            np.testing.assert_array_equal(now.mask, was.mask)
            np.testing.assert_array_equal(now.boxes.xyxy, was.boxes.xyxy)
            np.testing.assert_array_equal(now.boxes.labels, was.boxes.labels)
            assert (now.boxes.phrases or ()) == was.boxes.phrases
            if len(was.boxes):
                np.testing.assert_array_equal(now.boxes.masks, was.boxes.masks)


def test_all_that_is_said_of_objects_comes_back(tmp_path):
    said = [{"image_id": 1, "category_id": 2, "bbox": [1.3, 2, 5, 6], "area": 7.25, "iscrowd": 1,
             "segmentation": {"size": [30, 40], "counts": [100, 20, 1080]}},
            {"image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "difficult": 1, "area": 3},
            {"image_id": 1, "category_id": 1, "bbox": [-3, 0, 5, 5]}]  # fmt: skip
    source = open_dataset(Data(source=str(coco(tmp_path / "in", ["a.png", "b.png"], said)), target="objects"))
    manifest = write_shards(source, tmp_path / "out", count=5)
    assert manifest.left_out == 0  # a box that was clipped is there
    found = open_dataset(tmp_path / "out")
    assert found.schema == source.schema
    rows = {len(found.splits["train"].target(row).boxes): row for row in range(2)}
    assert sorted(rows) == [0, 3]
    boxes, wanted = found.splits["train"].target(rows[3]).boxes, source.splits["train"].target(0).boxes
    for name in ("xyxy", "labels", "masks", "areas", "crowd", "difficult"):
        np.testing.assert_array_equal(getattr(boxes, name), getattr(wanted, name))
    assert manifest.fingerprint == source.fingerprint()


def test_masks_and_their_names_come_back_and_those_that_cannot_be_read_are_left_out(tmp_path):
    masks = {f"{n}": np.full((30, 40), (0, 1, 255)[n % 3], np.uint8) for n in range(6)}
    root = masked(tmp_path / "in", masks)
    (root / "classes.txt").write_text("background\ncell\nnothing")
    (root / "masks/5.png").write_bytes(b"x")
    source = open_dataset(root)
    manifest = write_shards(source, tmp_path / "out", count=9, bad=0.5)
    assert manifest.left_out == 1
    found = open_dataset(tmp_path / "out")
    assert found.schema == source.schema
    assert found.schema.masks == ("background", "cell", "nothing")
    samples = found.splits["train"]
    values = [np.unique(samples.target(row).mask).tolist() for row in range(5)]
    assert sorted(values) == [[0], [0], [1], [1], [255]]


def test_the_same_bytes_for_a_seed_however_many_write(photos, tmp_path):
    source = open_dataset(photos)
    for name, workers, seed in (("a", 1, 0), ("b", 3, 0), ("c", 1, 1)):
        write_shards(source, tmp_path / name, count=4, workers=workers, seed=seed)
    assert contents(tmp_path / "a") == contents(tmp_path / "b") != contents(tmp_path / "c")


def test_classes_are_mixed_over_shards(tmp_path):
    """Of 400 samples in 8 shards of 50, half of a class that came first: hypergeometric, 25 ± 2.36 in each."""
    labels = [Target(label=int(row >= 200)) for row in range(400)]
    source = Dataset(
        "a",
        Schema(shape=(1, 1, 1), labels=("x", "y")),
        {"train": ArraySamples("a", np.zeros((400, 1, 1, 1), np.uint8), labels)},
    )
    write_shards(source, tmp_path / "out", count=50)
    samples = open_dataset(tmp_path / "out").splits["train"]
    ones = np.bincount(samples.shards(), weights=[samples.target(row).label for row in range(400)])
    assert len(ones) == 8
    assert np.abs(ones - 25).max() < 5 * np.sqrt(50 * 0.25 * 350 / 399)


def test_sizes_are_about_those_that_were_asked_for(tmp_path):
    source = open_dataset(class_folders(tmp_path / "photos", {"a": 40, "b": 40}, height=40, width=40))
    manifest = write_shards(source, tmp_path / "out", size=100_000)
    assert len(manifest.shards) == -(-sum(1536 + 40 * 40 * 3 for _ in range(80)) // 100_000)
    assert all(80_000 < shard.size < 125_000 for shard in manifest.shards)


def test_damaged_images_are_left_out_and_listed(photos, tmp_path):
    (photos / "val" / "cat" / "1.png").write_bytes(b"not an image")
    (photos / "train" / "cat" / "x.png").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"1 of 27 images can't be read, more than 1%"):
        write_shards(open_dataset(photos), tmp_path / "refused", count=5)
    assert not (tmp_path / "refused" / MANIFEST).exists()
    source = open_dataset(photos)
    manifest = write_shards(source, tmp_path / "out", count=5, bad=0.1)
    assert (tmp_path / "out" / LEFT_OUT).read_text().splitlines() == [
        "file,cause",
        "train/cat/x.png,is a broken link",
        "val/cat/1.png,isn't an image: it is text",
    ]
    found = open_dataset(tmp_path / "out")
    assert len(found.splits["val"]) == 4
    assert found.notes == ("2 items couldn't be used when the shards were written: see left_out.csv",)
    assert manifest.fingerprint == source.fingerprint()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_any_moment_it_goes_on(photos, tmp_path, workers):
    """SIGKILL at a random file operation or sample, again and again, until a writing comes to its end."""
    source = open_dataset(photos)
    write_shards(source, tmp_path / "whole", count=3)
    chance = random.Random(workers)
    kills = 0
    for _ in range(60):
        left = chance.randrange(1, 15 * workers)
        child = os.fork()
        if not child:
            _die_after(left)
            code = 1
            try:
                write_shards(source, tmp_path / "out", count=3, workers=workers)
                code = 0
            finally:
                os._exit(code)
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            kills += 1
            if not (tmp_path / "out" / MANIFEST).exists():
                if (tmp_path / "out" / JOURNAL).exists():
                    with pytest.raises(DataError, match="unfinished"):
                        open_dataset(tmp_path / "out")
                continue
        assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
        break
    assert kills > 3
    written = contents(tmp_path / "out")
    written.pop(JOURNAL, None)  # a kill after the list of shards was written
    assert written == contents(tmp_path / "whole")
    assert samples_of(open_dataset(tmp_path / "out"), "train") == samples_of(source, "train")


def _die_after(operations: int) -> None:
    """Kill this process at so many-th of its calls that change files."""
    count = 0

    def counted(function):
        def call(*arguments, **options):
            nonlocal count
            count += 1
            if count >= operations:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return call

    os.fsync = counted(os.fsync)
    Path.replace = counted(Path.replace)
    Path.unlink = counted(Path.unlink)


def test_a_line_that_was_cut_off_is_written_anew(photos, tmp_path):
    source, out = open_dataset(photos), tmp_path / "out"
    write_shards(source, tmp_path / "whole", count=3)
    _stopped_after(source, out, 10)
    with (out / JOURNAL).open("ab") as journal:
        journal.write(b'{"shard":{"file":"train-00')
    write_shards(source, out, count=3)
    assert contents(out) == contents(tmp_path / "whole")


def test_what_was_written_is_not_written_again_but_for_what_was_lost(photos, tmp_path):
    source, out = open_dataset(photos), tmp_path / "out"
    _stopped_after(source, out, 14)
    ready = sorted(out.glob("*.tar"))
    assert len(ready) >= 3
    ready[0].unlink()
    before = {each: each.stat().st_mtime_ns for each in ready[1:]}
    write_shards(source, out, count=3)
    assert {each: each.stat().st_mtime_ns for each in before} == before
    assert samples_of(open_dataset(out), "train") == samples_of(source, "train")


def _stopped_after(source: Dataset, out: Path, samples: int) -> None:
    def stop(done: int, total: int) -> None:
        if done > samples:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shards(source, out, count=3, workers=1, progress=stop)
    assert (out / JOURNAL).exists()


def test_other_settings_other_data_and_other_folders_are_refused(photos, tmp_path):
    source, out = open_dataset(photos), tmp_path / "out"
    _stopped_after(source, out, 5)
    with pytest.raises(DataError, match="of other data, or of other settings"):
        write_shards(source, out, count=4)
    (photos / "train" / "cat" / "0.png").write_bytes(encoded(pixels(5000, 11)))
    with pytest.raises(DataError, match="of other data, or of other settings"):
        write_shards(open_dataset(photos), out, count=3)
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("x")
    with pytest.raises(DataError, match=r"isn't empty: there is mine\.txt"):
        write_shards(source, full)
    assert (full / "mine.txt").read_text() == "x"
    write_shards(open_dataset(photos), tmp_path / "done", count=100)
    with pytest.raises(DataError, match="holds shards already"):
        write_shards(open_dataset(photos), tmp_path / "done", count=100)
    with pytest.raises(DataError, match="can't be written: file exists"):
        write_shards(source, full / "mine.txt")


def test_only_one_process_writes(photos, tmp_path):
    import filelock

    (tmp_path / "out").mkdir()
    with filelock.FileLock(tmp_path / "out" / sharding.LOCK), pytest.raises(DataError, match="another process"):
        write_shards(open_dataset(photos), tmp_path / "out")


def test_a_full_disk_is_said_and_gone_on_from(photos, tmp_path, monkeypatch):
    source, out = open_dataset(photos), tmp_path / "out"
    write = sharding.write_atomic
    calls = []

    def full(path, data):
        calls.append(path)
        if len(calls) == 4:
            raise OSError(28, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(sharding, "write_atomic", full)
    with pytest.raises(DataError, match="can't be written: no space left on device") as caught:
        write_shards(source, out, count=3, workers=1)
    assert "give the same command again" in caught.value.remedy
    monkeypatch.undo()
    write_shards(source, out, count=3)


def test_what_no_shards_hold_is_refused(tmp_path):
    with pytest.raises(DataError, match="is of vectors"):
        write_shards(open_dataset("diabetes"), tmp_path / "out")
    with pytest.raises(SpecError, match="count can't be 0"):
        write_shards(open_dataset("digits"), tmp_path / "out", count=0)
    assert not (tmp_path / "out").exists()


def test_the_list_is_plain_json(photos, tmp_path):
    write_shards(open_dataset(photos), tmp_path / "out", count=5, seed=3)
    found = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert (found["format"], found["seed"], found["schema"]["labels"]) == (1, 3, ["cat", "dog 2"])
    shard = found["shards"][0]
    data = (tmp_path / "out" / shard["file"]).read_bytes()
    assert (shard["size"], shard["digest"]) == (len(data), hashlib.blake2b(data, digest_size=16).hexdigest())
