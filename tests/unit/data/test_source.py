"""Placed samples are the same whatever is kept of them, and are decoded no more than once."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import class_folders, encoded, pixels
from visus.data.cache import sets
from visus.data.cache.folder import entries, pixels_folder
from visus.data.dataset import Data
from visus.data.loader import InMemory, Loader, Streamed, prepare
from visus.data.open import open_dataset
from visus.data.preprocess import ImagePreprocess
from visus.data.samples import ArraySamples, FileSamples, Joined, OnDisk, Relabelled, Rows
from visus.data.source import PLAIN, Resources, Source, crew_for
from visus.data.types import Boxes, Schema, Skipped, Target
from visus.errors import DataError

SCHEMA = Schema(shape=(3, 0, 0), labels=("a", "b", "c"))
PREPROCESS = ImagePreprocess(size=(8, 9))
KEEPING = Resources(cache=10**8)


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    """Sets of a few files are worth keeping, and files are settled at once."""
    monkeypatch.setenv("VISUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sets, "WORTH", 0.0)
    monkeypatch.setattr("visus.data.identity.SETTLED", -1)


@pytest.fixture
def reads(monkeypatch):
    """The names of the files that were read."""
    found: list[str] = []
    read = OnDisk.read

    def watched(file: OnDisk) -> bytes:
        found.append(file.name)
        return read(file)

    monkeypatch.setattr(OnDisk, "read", watched)
    return found


def files(folder, count: int = 10, broken: tuple[int, ...] = (), targets=None) -> FileSamples:
    folder.mkdir(exist_ok=True)
    found = []
    for row in range(count):
        path = folder / f"{row}.png"
        if not path.exists():
            path.write_bytes(b"no image" if row in broken else encoded(pixels(row, 10 + row, 12)))
        found.append(OnDisk(path, path.name, path.stat().st_size))
    return FileSamples(found, targets or [Target(label=row % 3) for row in range(count)])


def placed(samples, resources=PLAIN, placing=PREPROCESS) -> list[np.ndarray | str]:
    """Of each row the pixels, or why there are none."""
    source = Source(samples, placing, resources)
    out = torch.zeros((len(samples), *placing.shape), dtype=torch.uint8)
    found = source.place(range(len(samples)), out)
    source.close()
    return [each.cause if isinstance(each, Skipped) else out[row].numpy() for row, each in enumerate(found)]


def same(one, other) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in zip(one, other, strict=True)
    )


def test_what_is_kept_is_what_was_placed_and_needs_no_reading(tmp_path, reads):
    samples = files(tmp_path / "set")
    want = placed(samples)
    reads.clear()
    assert same(placed(samples, KEEPING), want)
    assert len(reads) == 10
    assert same(placed(files(tmp_path / "set"), KEEPING), want)
    assert len(reads) == 10


def test_files_that_cannot_be_read_are_never_kept(tmp_path, reads):
    want = placed(files(tmp_path / "set", broken=(2, 7)))
    assert [each for each in want if isinstance(each, str)] == ["isn't an image: it is text"] * 2
    reads.clear()
    for _ in range(3):
        assert same(placed(files(tmp_path / "set"), KEEPING), want)
    assert sorted(reads[10:]) == ["2.png", "2.png", "7.png", "7.png"]


@pytest.mark.parametrize("listed_again", [False, True])
def test_fault_11_a_file_that_changed_or_went_is_treated_as_if_nothing_were_kept(tmp_path, listed_again):
    samples = files(tmp_path / "set")
    placed(samples, KEEPING)
    whole = encoded(pixels(50, 13, 12))
    shorter = tmp_path / "set" / "3.png"  # of the same size, if not listed again
    old = shorter.read_bytes()
    shorter.write_bytes(whole if listed_again else old[:-30] + bytes([old[-30] ^ 1]) + old[-29:])
    (tmp_path / "set" / "5.png").write_bytes(b"of another size")
    (tmp_path / "set" / "8.png").unlink()
    if listed_again:
        (tmp_path / "set" / "8.png").write_bytes(encoded(pixels(51)))
        samples = files(tmp_path / "set")
    want = placed(samples)
    assert same(placed(samples, KEEPING), want)
    assert isinstance(want[5], str)
    assert isinstance(want[8], str) is not listed_again


def test_batches_are_the_same_whatever_is_kept(tmp_path):
    samples = files(tmp_path / "set", broken=(4,))

    def batches(resources, rows=samples) -> list:
        prepared = Streamed(rows, SCHEMA, PREPROCESS, 0.2, resources)
        loader = Loader(prepared, PREPROCESS, 3, torch.device("cpu"), seed=3)
        found = loader.train()
        taken = [next(found) for _ in range(7)]
        found.close()
        return taken

    want = batches(PLAIN)
    placed(Rows(samples, [1, 2, 6]), KEEPING)
    for _ in range(2):  # some are kept, then all
        for one, other in zip(batches(KEEPING), want, strict=True):
            assert torch.equal(one.inputs, other.inputs)
            assert torch.equal(one.rows, other.rows)
            assert torch.equal(one.target.label, other.target.label)
    assert any(len(batch) == 2 for batch in want)  # the unreadable one is left out of its batch


def test_parts_of_a_set_share_what_is_kept(tmp_path, reads):
    samples = files(tmp_path / "set")
    want = placed(samples)
    placed(Rows(samples, range(5)), KEEPING)
    placed(Relabelled(Rows(samples, range(5, 10)), (1, 0, 2)), KEEPING)
    reads.clear()
    others = files(tmp_path / "others", 3)
    joined = Joined([Rows(samples, [9, 0]), others, Rows(samples, [4])])
    assert same(placed(joined, KEEPING), [want[9], want[0], *placed(others), want[4]])
    assert sorted(reads) == sorted(2 * ["0.png", "1.png", "2.png"])  # of the others, twice
    assert sorted(each.images for each in entries(pixels_folder())) == [3, 10]


@pytest.mark.parametrize(
    ("changes", "again"),
    [({"size": (9, 8)}, 10), ({"fit": "pad"}, 10), ({"fill": 3}, 10), ({"channels": 1}, 10), ({"mean": (0.1,)}, 0)],
)
def test_another_geometry_is_kept_apart_and_another_mean_is_not(tmp_path, reads, changes, again):
    samples = files(tmp_path / "set")
    placed(samples, KEEPING)
    reads.clear()
    other = ImagePreprocess(**({"size": (8, 9)} | changes))
    assert same(placed(samples, KEEPING, other), placed(samples, PLAIN, other))
    assert len(reads) == again + 10


def test_another_version_of_what_decodes_starts_anew(tmp_path, reads, monkeypatch):
    samples = files(tmp_path / "set")
    placed(samples, KEEPING)
    monkeypatch.setattr("simplejpeg.__version__", "99")
    placed(samples, KEEPING)
    assert len(reads) == 20


def test_boxes_are_placed_without_decoding(tmp_path, reads):
    box = Target(boxes=Boxes(np.array([[0, 0, 12, 10]], np.float32), np.array([0])))
    samples = files(tmp_path / "set", 3, targets=[box] * 3)
    stretch = ImagePreprocess(size=(20, 24), fit="stretch")
    source = Source(samples, stretch, KEEPING)
    out = torch.zeros((3, *stretch.shape), dtype=torch.uint8)
    first = source.place(range(3), out)
    reads.clear()
    again = source.place(range(3), out)
    source.close()
    for found in (first, again):  # image i is 10 + i pixels high
        bottoms = [each.boxes.xyxy[0].tolist() for each in found]
        assert np.allclose(bottoms, [[0, 0, 24, 200 / (10 + row)] for row in range(3)])


@pytest.mark.parametrize("ending", ["tar", "zip"])
def test_members_of_archives_are_kept_too(tmp_path, ending):
    class_folders(tmp_path / "set", {"a": 3, "b": 3})
    path = Path(shutil.make_archive(str(tmp_path / "set"), ending, tmp_path / "set"))
    samples = open_dataset(Data(source=str(path))).splits["train"]
    want = placed(samples)
    assert same(placed(samples, KEEPING), want)
    os.utime(path, ns=(10**18, 10**18))  # now no member can be read: what gives them all the same is what is kept
    assert all(isinstance(each, str) for each in placed(samples, KEEPING))
    samples = open_dataset(Data(source=str(path))).splits["train"]
    assert same(placed(samples, KEEPING), want)


def test_what_is_in_memory_is_read_from_what_is_kept(tmp_path, reads):
    samples = files(tmp_path / "set", broken=(3,))
    one = prepare(samples, SCHEMA, PREPROCESS, bad=0.2)
    for _ in range(2):
        other = prepare(samples, SCHEMA, PREPROCESS, bad=0.2, resources=KEEPING)
        assert isinstance(other, InMemory)
        assert torch.equal(one.inputs, other.inputs)
        assert other.skipped == one.skipped
    assert len(reads) == 10 + 10 + 1


def test_a_file_that_changes_while_it_is_read_is_not_kept(tmp_path, monkeypatch):
    samples = files(tmp_path / "set", 2)
    read = OnDisk.read

    def slow(file: OnDisk) -> bytes:
        data = read(file)
        if file.name == "1.png":
            os.utime(file.path, ns=(10**18, 10**18))
        return data

    monkeypatch.setattr(OnDisk, "read", slow)
    placed(samples, KEEPING)
    (entry,) = entries(pixels_folder())
    assert entry.kept == 1


def test_what_was_written_just_now_is_not_kept_yet(tmp_path, monkeypatch):
    monkeypatch.setattr("visus.data.identity.SETTLED", 3600 * 10**9)
    placed(files(tmp_path / "set"), KEEPING)
    (entry,) = entries(pixels_folder())
    assert entry.kept == 0


def test_small_sets_and_pixels_in_memory_leave_nothing_behind(tmp_path, monkeypatch):
    placed(ArraySamples("set", np.stack([pixels(0)]), [Target(label=0)]), KEEPING)
    monkeypatch.setattr(sets, "WORTH", 5.0)
    placed(files(tmp_path / "set"), KEEPING)
    assert not (tmp_path / "cache").exists()


def test_the_cost_is_of_files_and_bytes(tmp_path):
    """5 seconds of one core: 20,000 files without content, or 500 million bytes in few files."""
    empty = FileSamples([OnDisk(tmp_path, "", 0)] * 20_000, [])
    large = FileSamples([OnDisk(tmp_path, "", 5 * 10**6)] * 100, [])
    assert sets.cost(empty) == pytest.approx(5.0)
    assert sets.cost(large) == pytest.approx(5.025)


def test_without_room_all_is_decoded_and_it_is_said(tmp_path, reads):
    samples, said = files(tmp_path / "set"), []
    want = placed(samples)
    assert same(placed(samples, Resources(cache=100, say=said.append)), want)
    (text,) = said
    assert "decoded in every epoch" in text
    assert "runtime.cache=1" in text


def test_fault_36_a_cache_folder_that_cannot_be_is_said_and_all_works(tmp_path, monkeypatch):
    samples, said = files(tmp_path / "set"), []
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("VISUS_CACHE", str(tmp_path / "file"))
    assert same(placed(samples, Resources(cache=10**8, say=said.append)), placed(samples))
    assert len(said) == 1
    assert "VISUS_CACHE" in said[0]


def test_workers_are_chosen_for_many_cores_and_much_work(tmp_path, monkeypatch):
    much = {"train": FileSamples([OnDisk(tmp_path, "", 10**9)] * 4, [])}
    little = {"train": FileSamples([OnDisk(tmp_path, "", 10**8)] * 4, [])}
    monkeypatch.setattr("visus.data.source.cores", lambda: 7)
    assert crew_for(much, PREPROCESS, None) is None
    monkeypatch.setattr("visus.data.source.cores", lambda: 16)
    assert crew_for(little, PREPROCESS, None) is None
    assert crew_for(much, PREPROCESS, 0) is None
    for workers, count in ((None, 16), (3, 3)):
        crew = crew_for(much, PREPROCESS, workers)
        assert len(crew._workers) == count
        assert crew.processes == []  # before they are needed
        crew.close()


def test_a_batch_of_which_nothing_can_be_read_is_refused_as_ever(tmp_path):
    samples = files(tmp_path / "set", 4, broken=(0, 1))
    prepared = Streamed(samples, SCHEMA, PREPROCESS, 0.5, KEEPING)
    with pytest.raises(DataError, match="none of the 2 samples"):
        prepared.gather(torch.tensor([0, 1]))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize("resources", [PLAIN, KEEPING], ids=["decoded", "kept"])
def test_memory_is_flat_over_epochs(tmp_path, resources):
    """20 epochs of 16 images of 224×224 are 48 MB, of which nothing may stay."""
    large = ImagePreprocess(size=(224, 224))
    stream = Streamed(files(tmp_path / "set", 16), SCHEMA, large, 0.0, resources)

    def epochs(count: int) -> int:
        for _ in range(count):
            stream.gather(torch.arange(16))
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before = epochs(5)
    assert epochs(20) - before < 20 << 20
