"""Class folders in archives. FAULTS 11, 20, 21 and 22. Hostile archives are made by hand."""

import io
import os
import pickle
import stat
import struct
import tarfile
import time
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.helpers import class_folders, encoded, pixels, real_data
from visus.data.dataset import Data, Dataset
from visus.data.readers import archives, tars
from visus.data.readers.archives import ARCHIVES, ENDINGS
from visus.data.readers.folders import FOLDERS
from visus.errors import DataError, UnreadableImage

Members = list[tuple[str, bytes]]

PETS: Members = [(f"{kind}/{number}.png", encoded(pixels(ord(kind[0]) + number))) for kind in ("cat", "dog")
                 for number in (10, 9)]  # fmt: skip


def pack(path: Path, members: Members = PETS, **options: int) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", options.get("method", zipfile.ZIP_DEFLATED)) as file:
            for name, data in members:
                file.writestr(name, data)
        return path
    mode = {".tar": "w:", ".gz": "w:gz", ".tgz": "w:gz", ".xz": "w:xz", ".txz": "w:xz", ".bz2": "w:bz2"}[path.suffix]
    with tarfile.open(path, mode) as file:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            file.addfile(entry, io.BytesIO(data))
    return path


def read(path: Path) -> Dataset:
    assert ARCHIVES.recognises(path)
    before = sorted(path.parent.rglob("*"))
    try:
        return ARCHIVES.read(path, Data())
    finally:
        assert sorted(path.parent.rglob("*")) == before  # nothing is written


def contents(dataset: Dataset, split: str = "train") -> Members:
    samples = dataset.splits[split]
    return [(samples.name(row), samples.files[row].read()) for row in range(len(samples))]


@pytest.mark.parametrize("ending", [*ENDINGS, ".ZIP"])
def test_equal_to_the_folder(tmp_path, ending):
    folder = class_folders(tmp_path / "pets", {"train/cat": 3, "train/dog": 2, "val/cat": 1, "val/dog": 1})
    (folder / "notes.txt").write_text("x")
    files = [path for path in folder.rglob("*") if path.is_file()]
    packed = [(path.relative_to(folder).as_posix(), path.read_bytes()) for path in files]
    path = pack(tmp_path / f"pets{ending.lower()}", packed)
    path = path.rename(tmp_path / f"pets{ending}")
    want, got = FOLDERS.read(folder, Data()), read(path)
    assert got.name == "pets"
    assert (got.schema, got.notes, got.skipped) == (want.schema, want.notes, want.skipped)
    assert contents(got) == contents(want)
    assert contents(got, "val") == contents(want, "val")
    assert got.fingerprint() == want.fingerprint()
    assert (got.splits["train"].read(0).pixels == want.splits["train"].read(0).pixels).all()


@pytest.mark.parametrize("ending", [".tar", ".zip"])
def test_a_single_top_folder_is_stripped(tmp_path, ending):
    members = [(f"./photos/{name}", data) for name, data in PETS]
    members += [("./README.md", b"x"), ("__MACOSX/photos/cat/._9.png", b"x"), ("./photos/.DS_Store", b"x")]
    dataset = read(pack(tmp_path / f"a{ending}", members))
    assert dataset.schema.labels == ("cat", "dog")
    assert [name for name, _ in contents(dataset)] == [
        "photos/cat/9.png", "photos/cat/10.png", "photos/dog/9.png", "photos/dog/10.png",
    ]  # fmt: skip


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".zip"])
def test_many_threads_and_a_pickle(tmp_path, ending):
    members = [(f"{kind}/{n}.png", encoded(pixels(n + 1000 * (kind == "b")))) for kind in "ab" for n in range(100)]
    dataset = read(pack(tmp_path / f"a{ending}", members))
    samples = pickle.loads(pickle.dumps(dataset.splits["train"]))
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda row: samples.files[row % 200].read(), range(2000)))
    assert got == [data for _, data in members] * 10


def test_a_member_packed_again_counts_once(tmp_path):
    again = encoded(pixels(99))
    dataset = read(pack(tmp_path / "a.tar", [*PETS, ("cat/9.png", again)]))
    assert dict(contents(dataset))["cat/9.png"] == again
    assert len(dataset.splits["train"]) == 4
    assert dataset.notes == ("packed more than once, the last one counts: cat/9.png",)


def test_other_layouts_are_explained(tmp_path):
    path = pack(tmp_path / "a.tar", [("image/1.png", PETS[0][1]), ("imgs/2.png", PETS[1][1])])
    with pytest.raises(DataError, match="parts of samples, not classes") as caught:
        read(path)
    assert "unpack it" in caught.value.remedy
    with pytest.raises(DataError, match="no image, only 1 other files"):
        read(pack(tmp_path / "b.zip", [("a.txt", b"x")]))
    with pytest.raises(DataError, match="no image"):
        read(pack(tmp_path / "c.tar", []))


@pytest.mark.parametrize("ending", [".tar", ".tar.xz", ".zip"])
@pytest.mark.parametrize(
    "name", ["/etc/1.png", "../cat/1.png", "cat/../../1.png", "C:/cat/1.png", "c:cat", r"cat\..\..\1.png", r"\\h\x"]
)
def test_fault_20_members_that_climb_out(tmp_path, ending, name):
    with pytest.raises(DataError, match="leads out of the archive"):
        read(pack(tmp_path / f"a{ending}", [*PETS, (name, b"x")]))


@pytest.mark.parametrize("ending", [".tar", ".tar.gz"])
@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"V"]
)
def test_fault_20_links_and_devices_in_a_tar(tmp_path, ending, kind):
    path = tmp_path / f"a{ending}"
    with tarfile.open(path, "w:gz" if ending.endswith("gz") else "w:") as file:
        entry = tarfile.TarInfo("cat/evil.png")
        entry.type, entry.linkname = kind, "/etc/passwd"
        file.addfile(entry)
    with pytest.raises(DataError, match=r"the member cat/evil\.png is (a link|neither a file nor a folder)"):
        read(path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_fault_20_links_and_devices_in_a_zip(tmp_path, kind):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        entry = zipfile.ZipInfo("cat/evil.png")
        entry.external_attr = (kind | 0o777) << 16
        file.writestr(entry, "/etc/passwd")
    with pytest.raises(DataError, match=r"the member cat/evil\.png is (a link|neither a file nor a folder)"):
        read(path)


def test_fault_21_ratio_of_a_member_and_of_all(tmp_path):
    with pytest.raises(DataError, match=r"cat/a\.png unpacks from .* to 20,971,520 bytes"):
        read(pack(tmp_path / "a.zip", [*PETS, ("cat/a.png", bytes(20 << 20))]))
    with pytest.raises(DataError, match="all of it unpacks"):
        read(pack(tmp_path / "b.zip", [*PETS, *((f"cat/a{each}.png", bytes(9 << 20)) for each in range(4))]))
    for ending in (".tar.gz", ".tar.xz", ".tar.bz2"):
        with pytest.raises(DataError, match="200 times its size: a bomb"):
            read(pack(tmp_path / f"a{ending}", [*PETS, ("cat/a.txt", bytes(60 << 20))]))


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".zip"])
def test_fault_21_entries(tmp_path, monkeypatch, ending):
    path = pack(tmp_path / f"a{ending}")
    monkeypatch.setattr(tars, "MAX_ENTRIES", 4)
    assert len(read(path).splits["train"]) == 4
    monkeypatch.setattr(tars, "MAX_ENTRIES", 3)
    with pytest.raises(DataError, match="more than 3 entries"):
        read(path)


def test_fault_21_two_million_entries_are_counted_before_a_record_is_made_of_each(tmp_path):
    record = b"PK\1\2" + bytes(42)
    count = tars.MAX_ENTRIES + 1
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(record) * count, 0, 0)
    (tmp_path / "a.zip").write_bytes(record * count + end)
    start = time.monotonic()
    with pytest.raises(DataError, match="more than 2,000,000 entries"):
        read(tmp_path / "a.zip")
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".zip"])
def test_fault_21_a_member_larger_than_any_image(tmp_path, monkeypatch, ending):
    path = pack(tmp_path / f"a{ending}")
    monkeypatch.setattr(tars, "MAX_FILE_BYTES", 100)
    with pytest.raises(DataError, match="at most 100 are read"):
        read(path)


def test_fault_21_memory_of_a_compressed_tar(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMORY", 500)
    with pytest.raises(DataError, match="more than 500 bytes of memory") as caught:
        read(pack(tmp_path / "a.tar.xz"))
    assert ".tar" in caught.value.remedy
    assert len(read(pack(tmp_path / "a.tar")).splits["train"]) == 4


def test_fault_21_a_tar_header_of_gigabytes(tmp_path):
    entry = tarfile.TarInfo("pax")
    entry.type, entry.size = tarfile.XHDTYPE, 4 << 30
    path = tmp_path / "a.tar"
    with open(path, "wb") as file:
        file.write(entry.tobuf())
        file.truncate(5 << 30)
    with pytest.raises(DataError, match="has a header of 4,294,967,296 bytes"):
        read(path)


def changed(path: Path, name: bytes, at: int, value: bytes) -> Path:
    """A zip whose central record of a member has other bytes at an offset."""
    data = bytearray(path.read_bytes())
    start = data.rindex(name) - 46
    assert data[start : start + 4] == b"PK\1\2"
    data[start + at : start + at + len(value)] = value
    path.write_bytes(data)
    return path


def test_fault_21_overlapping_entries(tmp_path):
    path = changed(pack(tmp_path / "a.zip"), b"dog/9.png", 42, struct.pack("<L", 0))
    with pytest.raises(DataError, match="overlaps"):
        read(path)
    path = changed(pack(tmp_path / "a.zip"), b"dog/9.png", 20, struct.pack("<L", 1 << 20))
    with pytest.raises(DataError, match="overlaps"):
        read(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(("claim", "text"), [(-1, "holds more than"), (1, "holds less than")])
def test_fault_21_a_member_of_another_size_than_it_claims(tmp_path, method, claim, text):
    path = pack(tmp_path / "a.zip", method=method)
    path = changed(path, b"cat/9.png", 24, struct.pack("<L", len(dict(PETS)["cat/9.png"]) + claim))
    dataset = read(path)
    with pytest.raises(UnreadableImage, match=text):
        dataset.splits["train"].read(0)
    assert dataset.splits["train"].read(1)


def test_damaged_members_of_a_zip(tmp_path):
    dataset = read(changed(pack(tmp_path / "a.zip"), b"cat/9.png", 16, b"\0\0\0\0"))
    with pytest.raises(UnreadableImage, match="checksum"):
        dataset.splits["train"].read(0)
    data = bytearray(pack(tmp_path / "a.zip").read_bytes())
    at = data.index(b"cat/9.png") + 9
    data[at : at + 20] = b"\xff" * 20
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(UnreadableImage, match="damaged"):
        read(tmp_path / "a.zip").splits["train"].read(0)
    data[data.index(b"cat/9.png") - 30] = 0
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(UnreadableImage, match="no header"):
        read(tmp_path / "a.zip").splits["train"].read(0)


def test_an_encrypted_zip_and_an_unusual_method(tmp_path):
    with pytest.raises(DataError, match="encrypted"):
        read(changed(pack(tmp_path / "a.zip"), b"cat/9.png", 8, b"\1\0"))
    with pytest.raises(DataError, match="method 12"):
        read(pack(tmp_path / "b.zip", method=zipfile.ZIP_BZIP2))


@pytest.mark.parametrize("ending", ENDINGS)
def test_damaged_archives(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    for data in (b"", b"no archive at all" * 100):
        path.write_bytes(data)
        with pytest.raises(DataError, match="the archive is damaged"):
            read(path)
    many = [(f"{kind}/{number}.png", PETS[0][1]) for kind in ("cat", "dog") for number in range(40)]
    whole = pack(path, many).read_bytes()
    for cut in (len(whole) // 2, len(whole) // 3 // 512 * 512):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError, match="the archive is damaged"):
            read(path)


def test_a_tar_damaged_in_the_middle_is_not_taken_for_its_beginning(tmp_path):
    path = pack(tmp_path / "a.tar")
    data = bytearray(path.read_bytes())
    at = data.index(b"dog/10.png")
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="before its end mark"):
        read(path)


def test_a_compressed_tar_with_a_wrong_checksum(tmp_path):
    path = pack(tmp_path / "a.tar.gz")
    data = bytearray(path.read_bytes())
    data[-8] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="the archive is damaged"):
        read(path)


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".zip"])
def test_damage_anywhere_is_a_typed_error_or_harmless(tmp_path, ending):
    path = pack(tmp_path / f"a{ending}")
    whole = path.read_bytes()
    for at in range(0, len(whole), max(1, len(whole) // 250)):
        data = bytearray(whole)
        data[at] ^= 0xFF
        path.write_bytes(data)
        try:
            dataset = read(path)
        except DataError:
            continue
        for samples in dataset.splits.values():
            for row in range(len(samples)):
                try:
                    samples.read(row)
                except UnreadableImage:
                    continue


@pytest.mark.parametrize("ending", [".tar", ".zip"])
def test_fault_11_an_archive_that_changed_or_went(tmp_path, ending):
    path = pack(tmp_path / f"a{ending}")
    samples = read(path).splits["train"]
    pack(path, PETS[::-1])
    os.utime(path, ns=(0, 0))
    with pytest.raises(UnreadableImage, match="changed since it was listed"):
        samples.read(0)
    path.unlink()
    with pytest.raises(UnreadableImage, match="no such file"):
        samples.read(0)


def test_fault_22_names(tmp_path):
    names = ["two words", "🐜🐝", "two\nlines", "x" * 251, "İıß", os.fsdecode(b"\xff\xfe")]
    members = [(f"{name}/{name}.png", encoded(pixels(index))) for index, name in enumerate(names)]
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w:", errors="surrogateescape") as file:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            file.addfile(entry, io.BytesIO(data))
    dataset = read(path)
    assert len(dataset.schema.labels) == len(names)
    assert all(name.isprintable() for name, _ in contents(dataset))
    assert dataset.fingerprint()
    dataset = read(pack(tmp_path / "a.zip", members[:5]))
    assert set(dataset.schema.labels) == set(names[:5])


def test_a_zip_with_utf8_names_that_says_nothing_of_it(tmp_path):
    path = pack(tmp_path / "a.zip", [("cat/1.png", PETS[0][1]), ("f\xfcchs/1.png", PETS[1][1])])
    data = path.read_bytes().replace(b"\x00\x08\x08\x00", b"\x00\x00\x08\x00")  # the flag that names are UTF-8
    path.write_bytes(data)
    assert read(path).schema.labels == ("cat", "füchs")


def test_a_zip_with_backslashes(tmp_path):
    path = pack(tmp_path / "a.zip", [("cat\\1.png", PETS[0][1]), ("dog\\1.png", PETS[1][1])])
    assert read(path).schema.labels == ("cat", "dog")


def test_real_archives():
    dataset = ARCHIVES.read(real_data("ants-bees.tar"), Data())
    assert dataset.schema.labels == ("ants", "bees")
    assert {split: len(samples) for split, samples in dataset.splits.items()} == {"train": 245, "val": 153}
    with pytest.raises(DataError, match="train400 looks like a split"):
        ARCHIVES.read(real_data("greyscale-denoise.tar"), Data())


def test_cifar_is_listed_in_seconds():
    dataset = ARCHIVES.read(real_data("cifar10-jpeg.tar.xz"), Data())
    assert dataset.schema.shape == (3, 32, 32)
    assert {split: len(samples) for split, samples in dataset.splits.items()} == {"train": 50_000, "test": 10_000}
    assert zlib.crc32(dataset.splits["test"].files[0].read()) != 0
