"""JPEG files become the pixels that Pillow alone makes of them, bit for bit, or are refused as Pillow refuses them."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from tests.helpers import encoded, pixels
from visus.data import image as reading
from visus.data.image import ORIENTATION, Picture, decode
from visus.data.jpeg import decode_plain
from visus.errors import UnreadableImage

SUBSAMPLING = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}


def picture(seed: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    """Something smooth with some noise and hard edges in it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [128 + 100 * np.sin(rng.uniform(0.01, 0.6) * x + rng.uniform(0.01, 0.6) * y) for _ in range(channels)]
    values = np.stack(waves, -1) + rng.normal(0, 10, (height, width, channels))
    values[height // 3 : height // 2, width // 4 : width // 2] = rng.integers(0, 256, channels)
    return values.clip(0, 255).astype(np.uint8)


def by_pillow(data: bytes) -> np.ndarray:
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    return np.asarray(upright)[..., None] if upright.mode == "L" else np.asarray(upright.convert("RGB"))


@settings(max_examples=60)
@given(
    seed=st.integers(0, 1000), height=st.integers(1, 70), width=st.integers(1, 70), channels=st.sampled_from([1, 3]),
    quality=st.integers(1, 100), chroma=st.sampled_from(sorted(SUBSAMPLING)), progressive=st.booleans(),
    orientation=st.integers(0, 9), restart=st.sampled_from([0, 1, 3]), optimize=st.booleans(),
)  # fmt: skip
def test_the_pixels_are_those_of_pillow(
    seed, height, width, channels, quality, chroma, progressive, orientation, restart, optimize
):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encoded(
        picture(seed, height, width, channels), "JPEG", quality=quality, subsampling=SUBSAMPLING[chroma],
        progressive=progressive, exif=exif, restart_marker_blocks=restart, optimize=optimize,
    )  # fmt: skip
    assert decode_plain(data, height, width, channels == 1) is not None  # the quick way is the one that is looked at
    found = decode(data)
    assert np.array_equal(found.pixels, by_pillow(data))
    assert found.orientation == (orientation if orientation in range(2, 9) else 1)
    assert found.pixels.flags.c_contiguous


def test_colours_that_are_stored_as_they_are():
    values = picture(3, 40, 33)
    data = encoded(values, "JPEG", keep_rgb=True, quality=95)
    assert np.array_equal(decode(data).pixels, by_pillow(data))
    assert np.abs(decode(data).pixels.astype(int) - values).mean() < 5  # and not taken for YCbCr


@pytest.mark.parametrize("mode", ["CMYK", "YCCK"])
def test_four_inks_are_left_to_pillow(mode):
    image = Image.fromarray(picture(4, 24, 31)).convert("CMYK")
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    data = file.getvalue()
    at = data.index(b"Adobe")
    transform = at + 11
    if mode == "YCCK":
        data = data[:transform] + b"\2" + data[transform + 1 :]
    assert np.array_equal(decode(data).pixels, by_pillow(data))


def test_a_photograph_with_a_preview_behind_it():
    first, second = (Image.fromarray(picture(seed, 20, 30)) for seed in (5, 6))
    file = io.BytesIO()
    first.save(file, "MPO", save_all=True, append_images=[second])
    assert np.array_equal(decode(file.getvalue()).pixels, by_pillow(file.getvalue()))


@pytest.mark.parametrize("behind", [b"\0" * 50, b"\xff\xd9", encoded(pixels(1), "JPEG")])
def test_what_lies_behind_the_image_changes_nothing(behind):
    data = encoded(picture(7, 33, 20), "JPEG") + behind
    assert np.array_equal(decode(data).pixels, by_pillow(data))


def with_pillow_alone(monkeypatch, data: bytes) -> Picture | str:
    with monkeypatch.context() as patch:
        patch.setattr(reading, "decode_plain", lambda *_: None)
        return outcome(data)


def outcome(data: bytes) -> Picture | str:
    try:
        return decode(data, "cat.jpg")
    except UnreadableImage as problem:
        return problem.cause


@pytest.mark.parametrize("progressive", [False, True])
def test_damaged_files_are_read_or_refused_as_by_pillow_alone(monkeypatch, progressive):
    whole = encoded(picture(8, 48, 40), "JPEG", progressive=progressive, quality=80)
    rng = np.random.default_rng(0)
    cut = [whole[: int(length)] for length in rng.integers(2, len(whole), 40)]
    bent = []
    for _ in range(160):
        data = bytearray(whole)
        for place in rng.integers(2, len(whole), rng.integers(1, 4)):
            data[place] = rng.integers(256)
        bent.append(bytes(data))
    read = 0
    for data in cut + bent:
        ours, theirs = outcome(data), with_pillow_alone(monkeypatch, data)
        if isinstance(theirs, str):
            assert ours == theirs
        else:
            assert isinstance(ours, Picture)
            assert np.array_equal(ours.pixels, theirs.pixels)
            read += 1
    assert 20 < read < 180  # both happen
