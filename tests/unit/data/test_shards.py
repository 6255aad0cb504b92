"""Reading shards, ours and those of others. FAULTS 1, 11, 12, 20 and 22."""

import io
import itertools
import os
import pickle
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import class_folders, encoded, pixels
from visus.data.augment import Augment
from visus.data.check import check
from visus.data.dataset import Data, Dataset
from visus.data.loader import Loader, Streamed, read_all
from visus.data.open import open_dataset
from visus.data.order import WINDOW
from visus.data.preprocess import ImagePreprocess
from visus.data.readers import shard_index, shards, tars
from visus.data.readers.shards import SHARDS
from visus.data.sharding import write_shards
from visus.data.shards import Runs
from visus.data.splits import divide
from visus.errors import DataError, UnreadableImage

Members = list[tuple[str, bytes]]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("VISUS_CACHE", str(folder))
    return folder


def pack(path: Path, members: Members, mode: str = "w:") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def image(seed: int, kind: str = "PNG") -> bytes:
    return encoded(pixels(seed), kind)


def numbered(count: int, first: int = 0, classes: int = 3) -> Members:
    """As WebDataset's TarWriter packs {"__key__": …, "jpg": …, "cls": …}."""
    found: Members = []
    for at in range(first, first + count):
        found += [(f"{at:06d}.cls", str(at % classes).encode()), (f"{at:06d}.jpg", image(at, "JPEG"))]
    return found


def said(dataset: Dataset, split: str = "train") -> dict[str, object]:
    samples = dataset.splits[split]
    return {samples.name(row).rpartition("/")[2]: samples.target(row) for row in range(len(samples))}


@pytest.fixture
def own(tmp_path):
    """Ours: 60 photographs of 3 classes, in 8 shards of training and 2 of validation."""
    photos = class_folders(
        tmp_path / "photos",
        {f"{split}/{name}": count for split, count in (("train", 16), ("val", 4)) for name in "abc"},
    )
    write_shards(open_dataset(photos), tmp_path / "own", count=6)
    return tmp_path / "own"


# --- of others


def test_one_tar(tmp_path):
    found = open_dataset(pack(tmp_path / "a.tar", numbered(7)))
    assert (found.name, found.schema.labels, found.schema.targets) == ("a", ("0", "1", "2"), ("label",))
    assert found.schema.shape == (3, 10, 12)
    samples = found.splits["train"]
    assert [samples.target(row).label for row in range(7)] == [0, 1, 2, 0, 1, 2, 0]
    assert samples.name(3) == "a.tar/000003.jpg"
    assert samples.stored(3).read() == image(3, "JPEG")
    np.testing.assert_array_equal(samples.read(3).pixels, read_by_pillow(image(3, "JPEG")))


def read_by_pillow(data: bytes) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("names", [("train-0.tar", "val-0.tar"), ("set_training_00.tar", "set_dev_00.tar"),
                                   ("train/0.tar", "val/0.tar")])  # fmt: skip
def test_splits_by_name(tmp_path, names):
    root = tmp_path / "set"
    pack(root / names[0], numbered(6))
    pack(root / names[1], numbered(3, 100))
    (root / "README.md").write_text("x")
    found = open_dataset(root)
    assert {split: len(samples) for split, samples in found.splits.items()} == {"train": 6, "val": 3}


def test_tars_in_natural_order_without_a_split_are_training(tmp_path):
    for number in (10, 9):
        pack(tmp_path / "set" / f"part{number}.tar", numbered(2, number))
    samples = open_dataset(tmp_path / "set").splits["train"]
    assert [samples.name(row).split("/")[0] for row in range(4)] == ["part9.tar"] * 2 + ["part10.tar"] * 2
    assert samples.shards().tolist() == [0, 0, 1, 1]


def test_a_tar_without_a_split_among_others_is_refused(tmp_path):
    pack(tmp_path / "set" / "train-0.tar", numbered(2))
    pack(tmp_path / "set" / "more-0.tar", numbered(2))
    with pytest.raises(DataError, match=r"more-0\.tar: its name says no split"):
        open_dataset(tmp_path / "set")


def test_classes_txt_names_the_classes(tmp_path):
    pack(tmp_path / "set" / "0.tar", numbered(3))
    (tmp_path / "set" / "classes.txt").write_text("cat\ndog\nemu\nfox\n")
    assert open_dataset(tmp_path / "set").schema.labels == ("cat", "dog", "emu", "fox")
    assert open_dataset(tmp_path / "set" / "0.tar").schema.labels == ("cat", "dog", "emu", "fox")


def test_fault_12_a_label_out_of_range(tmp_path):
    pack(tmp_path / "set" / "0.tar", numbered(3))
    (tmp_path / "set" / "classes.txt").write_text("cat\ndog\n")
    with pytest.raises(DataError, match=r"0\.tar/000002\.jpg: has the label 2, where there are 0 to 1"):
        open_dataset(tmp_path / "set")
    for label in (b"-1", b"99999999999999999999"):
        path = pack(tmp_path / "b.tar", [("1.jpg", image(1)), ("1.cls", label)])
        with pytest.raises(DataError, match=f"has the label {int(label)}"):
            open_dataset(path)


def test_classes_by_name(tmp_path):
    members: Members = []
    for at, word in enumerate((b"dog", b"cat 10", b"cat 9")):
        members += [(f"{at}.png", image(at)), (f"{at}.json", b'{"label": "%s", "width": 5}' % word)]
    path = pack(tmp_path / "a.tar", members)
    found = open_dataset(path)
    assert found.schema.labels == ("cat 9", "cat 10", "dog")
    assert [target.label for target in said(found).values()] == [2, 1, 0]
    (tmp_path / "classes.txt").write_text("dog\ncat 9\n")
    with pytest.raises(DataError, match=r"cat 10: these classes aren't in classes\.txt"):
        open_dataset(path)
    pack(path, [*members, ("7.png", image(7)), ("7.cls", b"7")])
    with pytest.raises(DataError, match="some labels are numbers, others names"):
        open_dataset(path)


def test_captions_labels_values_and_boxes(tmp_path):
    captions = open_dataset(
        pack(
            tmp_path / "a.tar",
            [("1.jpg", image(1)), ("1.txt", b"a cat \n"), ("2.jpg", image(2)), ("2.json", b'{"caption": "two"}')],
        )
    )
    assert captions.schema.targets == ("captions",)
    assert [target.captions for target in said(captions).values()] == [("a cat",), ("two",)]
    several = open_dataset(
        pack(tmp_path / "b.tar", [("1.jpg", image(1)), ("1.json", b'{"labels": [0, 3], "values": [1.5, 2]}')])
    )
    assert (several.schema.targets, len(several.schema.labels), len(several.schema.values)) == (
        ("labels", "values"),
        4,
        2,
    )
    assert (said(several)["1.jpg"].labels, said(several)["1.jpg"].values) == ((0, 3), (1.5, 2.0))
    boxes = b'{"boxes": [{"xyxy": [1, 2, 5, 8], "label": 1, "mask": {"size": [2, 3], "counts": [1, 2, 3]}}]}'
    found = said(open_dataset(pack(tmp_path / "c.tar", [("1.jpg", image(1)), ("1.json", boxes)])))["1.jpg"].boxes
    assert (found.xyxy.tolist(), found.labels.tolist(), found.phrases) == ([[1, 2, 5, 8]], [1], None)
    # COCO: down the columns, first what is outside
    assert found.masks.tolist() == [[[False, True, False], [True, False, False]]]


def test_runs_of_masks():
    mask = np.array([[1, 1, 0], [0, 1, 0]], bool)  # columns: 10 11 00
    assert (Runs.of(mask).counts, Runs.of(mask).size) == ([0, 1, 1, 2, 2], (2, 3))
    classes = np.array([[7, 7, 255], [0, 7, 255]], np.uint8)
    assert (Runs.of(classes).counts, Runs.of(classes).values) == ([1, 1, 2, 2], [7, 0, 7, 255])
    for each in (mask, classes, np.zeros((0, 4), bool), np.zeros((3, 2), bool)):
        again = Runs.of(each).mask()
        np.testing.assert_array_equal(again, each)
        assert again.dtype == each.dtype or each.size == 0
    for wrong in (Runs((2, 3), [5]), Runs((-2, -3), [6]), Runs((2, 3), [7, -1]), Runs((1 << 40, 1 << 40), [1 << 80]),
                  Runs((2, 3), [6], [256]), Runs((2, 3), [6], [1, 2])):  # fmt: skip
        with pytest.raises(ValueError, match=r"runs that|a class from"):
            wrong.mask()


def test_what_is_no_sample_is_left_out_and_listed(tmp_path):
    members = [
        *numbered(5),
        ("lost.cls", b"1"),
        ("two.jpg", image(1)), ("two.png", image(2)), ("two.cls", b"1"),
        ("bad.jpg", image(1)), ("bad.json", b'{"label": [1]}'),
        ("none.jpg", image(1)), ("none.cls", b" "),
        ("alone.jpg", image(1)),
        ("mask.jpg", image(1)), ("mask.json", b'{"label": 1, "mask": {"size": [2, 2], "counts": [5], "values": [1]}}'),
        ("long.jpg", image(1)), ("long.cls", b"1" * 2000),
        (".hidden.jpg", image(1)), ("__MACOSX/._1.jpg", b"x"), ("1.seg.png", image(3)), ("notes.md", b"x"),
    ]  # fmt: skip
    found = open_dataset(pack(tmp_path / "a.tar", members))
    assert len(found.splits["train"]) == 5
    listed = {each.name.rpartition("/")[2].partition(".")[0]: each.cause for each in found.skipped}
    assert listed.keys() == {"lost", "two", "bad", "none", "alone", "mask", "long", "1", "notes"}
    assert listed["lost"] == listed["notes"] == "has no image"
    assert listed["two"] == "has several images"
    assert listed["bad"].startswith("what is said of it can't be read: Expected `int | str | null`, got `array`")
    assert listed["none"].endswith("the .cls is empty")
    assert listed["alone"] == "lacks label, which others have"
    assert "runs that don't fill 2×2 pixels" in listed["mask"]
    assert listed["long"] == "its .cls has 2,000 bytes; 1,024 are read"


def test_keys_end_at_the_first_dot_of_the_last_part(tmp_path):
    members = [
        ("a.b/1.x.png", image(0)),
        ("a.b/1.jpg", image(1)),
        ("a.b/1.cls", b"0"),
        ("./c/1.JPG", image(2)),
        ("./c/1.cls", b"1"),
    ]
    found = open_dataset(pack(tmp_path / "a.tar", members))
    assert {name: target.label for name, target in said(found).items()} == {"1.jpg": 0, "1.JPG": 1}


def test_fault_22_names(tmp_path):
    names = ["a b", "ünï", "🐜", "new\nline", "x" * 240]
    members = [
        each
        for at, name in enumerate(names)
        for each in ((f"{name}.png", image(at)), (f"{name}.cls", b"%d" % (at % 2)))
    ]
    samples = open_dataset(pack(tmp_path / "a.tar", members)).splits["train"]
    found = [samples.name(row).removeprefix("a.tar/") for row in range(len(samples))]
    assert found == ["a b.png", "ünï.png", "🐜.png", "new\\nline.png", "x" * 240 + ".png"]
    assert [samples.stored(row).read() for row in range(len(samples))] == [image(at) for at in range(5)]


# --- what is what


def test_what_was_an_archive_of_class_folders_still_is(tmp_path):
    folders = [
        (f"{kind}/{n}.{end}", image(n)) for kind in ("cat", "dog") for n in (1, 2) for end in ("png", "json", "txt")
    ]
    for number, members in enumerate(
        (folders, [("cover.png", image(0)), *folders], [(f"p/{n}", d) for n, d in folders])
    ):
        path = pack(tmp_path / f"{number}.tar", members)
        assert not SHARDS.recognises(path)
        assert open_dataset(path).schema.labels == ("cat", "dog")
    assert not SHARDS.recognises(class_folders(tmp_path / "photos", {"a": 1, "b": 1}))
    pack(tmp_path / "photos" / "backup.tar", numbered(1))
    assert open_dataset(tmp_path / "photos").schema.labels == ("a", "b")


@pytest.mark.parametrize("ending", ["tar.gz", "tgz", "tar.xz", "tar.bz2"])
def test_a_compressed_shard_is_refused_with_what_to_do(tmp_path, ending):
    kind = {"tgz": "gz"}.get(ending, ending.rpartition(".")[2])
    path = pack(tmp_path / "set" / f"0.{ending}", numbered(3), f"w:{kind}")
    for source in (path, path.parent):
        with pytest.raises(DataError, match=r"is compressed, and the samples of a shard") as caught:
            open_dataset(source)
        assert "unpack it to a plain .tar" in caught.value.remedy


@pytest.mark.parametrize("name", ["/etc/1.png", "../1.png", "a/../../1.png", "C:/1.png"])
def test_fault_20_members_that_climb_out(tmp_path, name):
    path = pack(tmp_path / "set" / "0.tar", [*numbered(80), (name, image(1))])
    for source in (path, path.parent):
        with pytest.raises(DataError, match="leads out of the archive"):
            open_dataset(source)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_fault_20_links_and_devices(tmp_path, kind):
    path = tmp_path / "0.tar"
    with tarfile.open(path, "w:") as tar:
        for name, data in numbered(40):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        entry = tarfile.TarInfo("link.jpg")
        entry.type, entry.linkname = kind, "/etc/passwd"
        tar.addfile(entry)
    with pytest.raises(DataError, match=r"link\.jpg is (a link|neither a file nor a folder)"):
        open_dataset(path)


def test_a_shard_that_ends_early(tmp_path):
    path = pack(tmp_path / "0.tar", numbered(20))
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(DataError, match="the archive is damaged"):
        open_dataset(path)


def test_an_empty_set(tmp_path):
    pack(tmp_path / "set" / "0.tar", [("a.txt", b"x")])
    with pytest.raises(DataError, match=r"holds no sample; the first of 1: 0\.tar/a: has no image"):
        open_dataset(tmp_path / "set")


# --- the index that is kept


def test_headers_are_read_once(tmp_path, cache, monkeypatch):
    path = pack(
        tmp_path / "0.tar", [*numbered(5), ("lost.cls", b"1"), ("x.jpg", image(9)), ("x.json", b'{"label": 2}')]
    )
    first = open_dataset(path)
    members = tars.members
    peeks = itertools.count()

    def only_a_look(root, path):
        if next(peeks):
            raise AssertionError("the headers were read again")
        return members(root, path)

    monkeypatch.setattr(tars, "members", only_a_look)
    again = open_dataset(path)
    assert (again.schema, again.skipped, said(again)) == (first.schema, first.skipped, said(first))
    assert again.fingerprint() == first.fingerprint()
    assert len(list((cache / "shards").iterdir())) == 1


def test_a_shard_that_changed_is_read_anew(tmp_path):
    path = pack(tmp_path / "0.tar", numbered(5))
    assert len(open_dataset(path).splits["train"]) == 5
    pack(path, numbered(6))
    assert len(open_dataset(path).splits["train"]) == 6
    size, modified = path.stat().st_size, path.stat().st_mtime_ns
    pack(path, numbered(6, 1))
    assert path.stat().st_size == size
    os.utime(path, ns=(modified + 5, modified + 5))
    assert open_dataset(path).splits["train"].target(0).label == 1


def test_an_index_that_is_damaged_is_made_again(tmp_path, cache):
    path = pack(tmp_path / "0.tar", numbered(5))
    whole = open_dataset(path).fingerprint()
    kept = next((cache / "shards").iterdir())
    good = kept.read_bytes()
    flipped = [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(0, len(good), 7)]
    for data in (b"", b"x", good[:-9], good[: len(good) // 2], *flipped):
        kept.write_bytes(data)
        assert open_dataset(path).fingerprint() == whole
        assert kept.read_bytes() == good


def test_fault_36_a_cache_that_cannot_be_written_is_a_note(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("VISUS_CACHE", str(tmp_path / "file"))
    pack(tmp_path / "set" / "0.tar", numbered(5))
    pack(tmp_path / "set" / "1.tar", numbered(5))
    found = open_dataset(tmp_path / "set")
    assert len(found.splits["train"]) == 10
    assert len(found.notes) == 1
    assert "read anew each time, as it can't be kept" in found.notes[0]


# --- ours


def test_a_shard_that_is_missing_cut_or_changed_is_refused_by_name(own):
    shard = own / "train-000003.tar"
    good = shard.read_bytes()
    for change in (lambda: shard.write_bytes(good[:-512]), shard.unlink):
        change()
        with pytest.raises(
            DataError, match=r"train-000003\.tar: (has .* bytes, and .* were written|the shard is missing)"
        ):
            open_dataset(own)
    shard.write_bytes(good)
    digests = own / "val-000001.digests"
    digests.write_bytes(bytes(len(digests.read_bytes())))
    with pytest.raises(DataError, match=r"val-000001\.digests: is damaged"):
        open_dataset(own)


def test_a_label_that_changed_in_a_shard_is_refused(own):
    shard = own / "val-000000.tar"
    data = bytearray(shard.read_bytes())
    with tarfile.open(shard) as tar:
        member = next(each for each in tar if each.name.endswith(".cls"))
    data[member.offset_data] ^= 3
    shard.write_bytes(data)
    with pytest.raises(DataError, match=r"val-000000\.tar: what it says of its images isn't what was written"):
        open_dataset(own)


def test_damage_anywhere_is_a_typed_error_or_a_damaged_image(own):
    """Labels are never wrong, and what is read is what was written."""
    whole = open_dataset(own)
    known = {split: said(whole, split) for split in whole.splits}
    pictures = {whole.splits["val"].name(row): whole.splits["val"].read(row).pixels for row in range(12)}
    chance = np.random.default_rng(0)
    files = [each for each in sorted(own.iterdir()) if each.name.startswith("val") or each.suffix == ".json"]
    refused = left_out = 0
    for attempt in range(300):
        file = files[attempt % len(files)]
        good = file.read_bytes()
        data = bytearray(good)
        data[chance.integers(len(data))] ^= 1 << chance.integers(8)
        file.write_bytes(data)
        try:
            found = open_dataset(own)
            if found.schema == whole.schema and found.splits.keys() == whole.splits.keys():
                assert list(said(found, "val").values()) == list(known["val"].values())
            for row in range(len(found.splits["val"])) if "val" in found.splits else ():
                try:
                    name = found.splits["val"].name(row)  # a flipped bit may have made a split of another name
                    np.testing.assert_array_equal(found.splits["val"].read(row).pixels, pictures[name])
                except UnreadableImage:
                    left_out += 1
        except DataError:
            refused += 1
        file.write_bytes(good)
    assert refused > 50
    assert left_out > 5


def test_a_list_that_is_hostile_newer_or_damaged(own):
    path = own / "shards.json"
    good = path.read_text()
    for text, message in (
        (good.replace('"format": 1', '"format": 2'), "is of format 2, and this version of Visus reads up to 1"),
        (good.replace("train-000000.tar", "../train-000000.tar"), "is no name of a shard"),
        (good.replace("train-000000.tar", "train-000001.tar"), "is there twice"),
        (good[:-20], "isn't a list of shards"),
        ("[]", "isn't a list of shards"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            open_dataset(own)


def test_fault_1_a_damaged_image_is_left_out_by_name(own):
    samples = open_dataset(own).splits["train"]
    span = samples.stored(7)
    shard = own / span.archive.path.name
    data = bytearray(shard.read_bytes())
    data[span.offset + span.size // 2] ^= 1
    shard.write_bytes(data)
    found = open_dataset(own)
    with pytest.raises(UnreadableImage, match="isn't what was written: the shard is damaged"):
        found.splits["train"].read(7)
    errors = [each for each in check(found) if each.severity == "error"]
    assert [(each.kind, each.name) for each in errors] == [("unreadable", samples.name(7))]
    prepared = read_all(found.splits["train"], found.schema, ImagePreprocess(size=(10, 12)), 0.05)
    assert [each.name for each in prepared.skipped] == [samples.name(7)]


def test_fault_11_a_shard_that_went_while_it_was_used(own):
    samples = open_dataset(own).splits["train"]
    samples.read(0)
    (own / "train-000000.tar").unlink()
    with pytest.raises(UnreadableImage, match="no such file"):
        samples.read(0)


def test_dividing_and_fingerprints_read_no_image(own, monkeypatch):
    found = open_dataset(own)
    monkeypatch.setattr(shards.Span, "read", lambda self: pytest.fail("an image was read"))
    assert found.fingerprint() == open_dataset(own).fingerprint()
    divided = divide(found, Data(val=0.0), 0)
    assert {split: len(samples) for split, samples in divided.splits.items()} == {"train": 48, "val": 12}


def test_copies_in_two_splits_are_told(tmp_path):
    photos = class_folders(tmp_path / "photos", {"train/a": 6, "train/b": 6, "val/a": 2, "val/b": 2})
    (photos / "val/a/copy.png").write_bytes((photos / "train/a/3.png").read_bytes())
    write_shards(open_dataset(photos), tmp_path / "out", count=4)
    found = open_dataset(tmp_path / "out")
    assert [each.kind for each in check(found) if each.severity == "warning"] == ["leak"]
    assert "1 of the 5 val samples are in train too" in divide(found, Data(), 0).notes[0]


def test_a_stray_tar_is_told(own):
    pack(own / "train-000099.tar", numbered(2))
    assert open_dataset(own).notes == ("tars that aren't in shards.json, ignored: train-000099.tar",)


def test_many_threads_and_a_pickle(own):
    samples = pickle.loads(pickle.dumps(open_dataset(own).splits["train"]))
    want = [samples.read(row).pixels for row in range(48)]
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda row: samples.read(row % 48).pixels, range(960)))
    assert all((one == other).all() for one, other in zip(got, want * 20, strict=True))


# --- in training


PREPROCESS = ImagePreprocess(size=(10, 12), mean=(0.5,) * 3, std=(0.2,) * 3)


def loader(own: Path, *, streamed: bool, seed: int = 5) -> Loader:
    found = open_dataset(own)
    samples = found.splits["train"]
    prepared = (
        Streamed(samples, found.schema, PREPROCESS, 0.01)
        if streamed
        else read_all(samples, found.schema, PREPROCESS, 0.01)
    )
    return Loader(prepared, PREPROCESS, 5, torch.device("cpu"), Augment(flip=True), seed)


def steps(loader: Loader, first: int, count: int) -> list[tuple[list[int], torch.Tensor]]:
    return [(batch.rows.tolist(), batch.inputs) for batch in itertools.islice(loader.train(first), count)]


def test_streamed_and_in_memory_give_identical_batches(own):
    for one, other in zip(
        steps(loader(own, streamed=True), 0, 12), steps(loader(own, streamed=False), 0, 12), strict=True
    ):
        assert one[0] == other[0]
        assert torch.equal(one[1], other[1])


@pytest.mark.parametrize("first", [1, 8, 9, 13])
def test_it_goes_on_at_any_step_as_the_whole_one(own, first):
    whole, rest = steps(loader(own, streamed=True), 0, 16), steps(loader(own, streamed=True), first, 16 - first)
    assert [rows for rows, _ in rest] == [rows for rows, _ in whole[first:]]
    assert all(torch.equal(one[1], other[1]) for one, other in zip(rest, whole[first:], strict=True))


def test_an_epoch_reads_a_few_shards_at_a_time(own):
    samples = open_dataset(own).splits["train"]
    rows = [row for rows, _ in steps(loader(own, streamed=True), 0, 9) for row in rows]  # an epoch, but for 3 samples
    assert len(set(rows)) == 45
    met = samples.shards()[rows]
    assert len(set(met.tolist())) == 8
    assert len(set(met[: 4 * 6].tolist())) == WINDOW


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="needs posix_fadvise")
def test_a_shard_is_fetched_ahead_once_several_samples_were_wanted(tmp_path, monkeypatch):
    pack(tmp_path / "set" / "0.tar", numbered(20))
    pack(tmp_path / "set" / "1.tar", numbered(20))
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda handle, offset, size, advice: asked.append((offset, size)))
    samples = open_dataset(tmp_path / "set").splits["train"]
    for row in range(shards.AHEAD - 1):
        samples.read(row)
    assert not asked
    for row in range(20):
        samples.read(row)
    size = (tmp_path / "set" / "0.tar").stat().st_size
    assert asked == [(offset, shards.PIECE) for offset in range(0, size, shards.PIECE)]


def test_no_object_is_kept_for_a_sample(tmp_path):
    """A million samples take some dozens of megabytes: their columns, and their names."""
    index, problem = shard_index.index_of(pack(tmp_path / "0.tar", numbered(50)))
    assert not problem
    columns = (index.offsets, index.sizes, index.labels, index.tops, index.widths, index.known)
    texts = (index.names, index.said, index.texts)
    assert sum(column.nbytes for column in columns) + sum(len(text.data) + text.ends.nbytes for text in texts) < 50 * 90
