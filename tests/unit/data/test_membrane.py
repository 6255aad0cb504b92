"""The slices of the ISBI 2012 challenge: a stand-in is packed here, the real ones are tried where they are."""

import io
import tarfile

import numpy as np
import pytest

from tests.helpers import encoded, pixels, real_data
from visus.data.dataset import Data
from visus.data.membrane import FILE
from visus.data.named import NAMED
from visus.errors import DataError


def packed(folder, change=None) -> None:
    """Slice N: an image of the grey level N, its label black in the first N + 1 columns."""
    contents = {}
    for number in range(30):
        label = np.full((512, 512, 1), 255, np.uint8)
        label[:, : number + 1] = 0
        contents[f"image/{number}.png"] = encoded(np.full((512, 512, 1), number, np.uint8))
        contents[f"label/{number}.png"] = encoded(label)
    contents |= change or {}
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / FILE, "w") as tar:
        for name, data in contents.items():
            if data is not None:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    for name in ("XDG_DATA_DIRS", "VISUS_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / f"none-{name}"))


@pytest.mark.parametrize("place", [".", "membrane"])
def test_splits_are_blocks_of_the_stack(tmp_path, place, monkeypatch):
    monkeypatch.delenv("VISUS_DATA", raising=False)
    packed(tmp_path / place)
    found = NAMED["membrane"].load(Data(source="membrane", dir=str(tmp_path)))
    assert {name: len(split) for name, split in found.splits.items()} == {"train": 20, "val": 5, "test": 5}
    assert found.schema.masks == ("cell", "membrane")
    numbers = [split.read(row).pixels[0, 0, 0] for split in found.splits.values() for row in range(len(split))]
    assert numbers == list(range(30))
    mask = found.splits["test"].target(4).mask
    assert mask.shape == (512, 512)
    assert mask[7].tolist() == [1] * 30 + [0] * 482


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"label/3.png": None}, r"label/3\.png isn't there"),
        ({"image/0.png": encoded(pixels(0, 20, 30, 1))}, r"image/0\.png is 20×30×1, not 512×512"),
        ({"label/29.png": encoded(np.full((512, 512, 1), 9, np.uint8))}, "other values than 0 and 255"),
    ],
)
def test_another_tar_of_that_name_is_refused(tmp_path, change, problem):
    packed(tmp_path, change)
    with pytest.raises(DataError, match=problem):
        NAMED["membrane"].load(Data(source="membrane", dir=str(tmp_path)))


def test_where_it_isnt_the_error_says_where_it_belongs(tmp_path, monkeypatch):
    monkeypatch.delenv("VISUS_DATA", raising=False)
    with pytest.raises(DataError, match=FILE) as raised:
        NAMED["membrane"].load(Data(source="membrane", dir=str(tmp_path)))
    assert "data.dir" in raised.value.remedy


def test_the_real_slices():
    real_data(FILE)
    found = NAMED["membrane"].load(Data(source="membrane"))
    shares = [found.splits["train"].target(row).mask.mean() for row in range(20)]
    assert 0.15 < np.mean(shares) < 0.3  # membranes are about a fifth of the tissue
