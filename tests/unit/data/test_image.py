"""FAULTS 1–8, 10 and 11, and the table of what becomes what. Expected pixels come from closed forms."""

import io
import os
import struct
import threading
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers import encoded, pixels
from visus.data.image import MAX_PIXELS, decode, measure, printable, read_bytes, to_channels
from visus.data.samples import OnDisk
from visus.errors import UnreadableImage


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16(values: np.ndarray, colour: int, *more: bytes) -> bytes:
    """A PNG of 16 bits a channel, made by hand. colour: PNG's type, 0 grey, 2 RGB, 4 grey and alpha, 6 RGBA."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def sixteen(*shape: int) -> np.ndarray:
    values = np.random.default_rng(0).integers(0, 65536, shape)
    values.flat[:6] = [0, 65535, 128, 129, 255, 256]
    return values


def scaled(values: np.ndarray) -> np.ndarray:
    return np.round(values / 257).astype(np.uint8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_fault_1_truncated(kind):
    data = encoded(pixels(0, 64, 64), kind)
    with pytest.raises(UnreadableImage, match=r"cat\.x: is damaged"):
        decode(data[: len(data) // 2], "cat.x")


def test_fault_2_zero_bytes():
    with pytest.raises(UnreadableImage, match=r"cat\.jpg: is empty \(0 bytes\)"):
        decode(b"", "cat.jpg")


@pytest.mark.parametrize(
    ("data", "name", "real"),
    [
        (b"just some words\n", "a.jpg", "text"),
        (encoded(pixels(0), "TIFF"), "a.png", "TIFF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "a.png", "EPS"),
        (b"<?xml version='1.0'?><svg/>", "a.png", "XML"),
        (b"%PDF-1.7\n", "a.jpg", "PDF"),
        (b"\0\0\0\x1cftypheic", "a.jpg", "HEIF"),
        (b"PK\3\4" + bytes(30), "a.jpg", "ZIP"),
        (bytes(range(128, 256)), "a.jpg", "isn't an image of a known kind"),
    ],
)
def test_fault_3_another_kind(data, name, real):
    with pytest.raises(UnreadableImage, match=real):
        decode(data, name)


def test_fault_3_wrong_ending_of_a_known_kind_is_read():
    values = pixels(0)
    assert (decode(encoded(values, "PNG"), "a.jpg").pixels == values).all()


def test_fault_4_cmyk():
    """R = (255 − C)(255 − K) / 255, as inks on white."""
    inks = np.random.default_rng(0).integers(0, 256, (8, 8, 4), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(inks, "CMYK").save(file, "TIFF")
    want = (255.0 - inks[..., :3]) * (255.0 - inks[..., 3:]) / 255
    got = decode(file.getvalue(), "a.tif").pixels
    assert got.shape == (8, 8, 3)
    assert np.abs(got - want).max() <= 1


def test_fault_4_palette():
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 1, 2, 3])
    image.putdata([2, 0, 1])
    file = io.BytesIO()
    image.save(file, "PNG")
    assert decode(file.getvalue()).pixels.tolist() == [[[1, 2, 3], [255, 0, 0], [0, 255, 0]]]


def test_fault_4_transparent_palette_entry_is_white():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    file = io.BytesIO()
    image.save(file, "PNG", transparency=1)
    assert decode(file.getvalue()).pixels.tolist() == [[[10, 20, 30], [255, 255, 255]]]


@pytest.mark.parametrize("channels", [2, 4])
def test_fault_4_alpha_over_white(channels):
    values = pixels(1, 16, 16, channels)
    values[0, 0, -1], values[0, 1, -1] = 0, 255
    alpha = values[..., -1:] / 255.0
    want = values[..., :-1] * alpha + 255 * (1 - alpha)
    got = decode(encoded(values)).pixels
    assert got.shape == (16, 16, channels - 1)
    assert np.abs(got - want).max() <= 1
    assert (got[0, 0] == 255).all()
    assert (got[0, 1] == values[0, 1, :-1]).all()


def test_fault_4_black_and_white():
    file = io.BytesIO()
    bits = np.array([[True, False, True]])
    Image.fromarray(bits).save(file, "PNG")
    assert decode(file.getvalue()).pixels.tolist() == [[[255], [0], [255]]]


def test_fault_4_grey_with_a_transparent_value_stays_grey():
    file = io.BytesIO()
    Image.fromarray(np.array([[7, 9]], np.uint8)).save(file, "PNG", transparency=9)
    assert decode(file.getvalue()).pixels.tolist() == [[[7], [255]]]


def test_fault_4_sixteen_bit_grey():
    values = sixteen(9, 7)
    got = decode(png16(values, 0)).pixels
    assert (got == scaled(values)[..., None]).all()


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_fault_4_sixteen_bit_grey_pgm_and_tiff(order):
    values = sixteen(9, 7).astype(">u2")
    assert (decode(b"P5 7 9 65535\n" + values.tobytes(), "a.pgm").pixels == scaled(values)[..., None]).all()
    file = io.BytesIO()
    Image.fromarray(values.astype(np.uint16)).save(file, "TIFF")
    assert (decode(file.getvalue(), "a.tif").pixels == scaled(values)[..., None]).all()


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_fault_4_sixteen_bit_colour_and_alpha(colour, channels):
    values = sixteen(9, 7, channels)
    if colour != 2:
        values[..., -1] = 65535
    kept = values if colour == 2 else values[..., :-1]
    got = decode(png16(values, colour)).pixels
    assert got.shape == kept.shape
    assert (got == scaled(kept)).all()


def test_fault_4_sixteen_bit_transparency():
    values = sixteen(9, 7, 4)
    alpha = values[..., 3:] / 65535
    got = decode(png16(values, 6)).pixels
    assert np.abs(got - (values[..., :3] / 257 * alpha + 255 * (1 - alpha))).max() <= 1.5
    grey = sixteen(9, 7)
    key = chunk(b"tRNS", struct.pack(">H", 256))
    want = np.where(grey == 256, 255, scaled(grey))
    assert (decode(png16(grey, 0, key)).pixels[..., 0] == want).all()
    colour = sixteen(9, 7, 3)
    key = chunk(b"tRNS", struct.pack(">HHH", *colour[4, 4]))
    got = decode(png16(colour, 2, key)).pixels
    want = scaled(colour)
    want[4, 4] = 255
    assert (got == want).all()


def test_fault_4_floating_point_is_refused():
    file = io.BytesIO()
    Image.fromarray(np.zeros((2, 2), np.float32)).save(file, "TIFF")
    with pytest.raises(UnreadableImage, match="32-bit"):
        decode(file.getvalue(), "a.tif")


# for each EXIF orientation, what undoes it, by the standard's table of where row 0 and column 0 are
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_fault_5_orientation(kind, orientation):
    values = pixels(0, 3, 5)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(values, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    name = "a.tif" if kind == "TIFF" else "a.png"
    picture = decode(data, name)
    assert picture.orientation == orientation
    assert (picture.pixels == UPRIGHT[orientation](values)).all()
    assert measure(data, name) == (3, *picture.pixels.shape[:2])


def test_fault_5_sixteen_bit_colour_is_turned_too():
    values = sixteen(3, 5, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = png16(values, 2, chunk(b"eXIf", exif.tobytes()[6:]))
    assert (decode(data).pixels == np.rot90(scaled(values), -1)).all()


def test_fault_5_orientation_out_of_range_is_ignored():
    exif = Image.Exif()
    exif[0x0112] = 99
    values = pixels(0)
    picture = decode(encoded(values, exif=exif))
    assert picture.orientation == 1
    assert (picture.pixels == values).all()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_fault_6_animated(kind):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("#ff0000", "#00ff00", "#0000ff")]
    file = io.BytesIO()
    options = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], **options)
    picture = decode(file.getvalue())
    assert picture.notes == ("has 3 frames, of which the first is used",)
    assert (picture.pixels == [255, 0, 0]).all()


def test_fault_6_the_preview_in_a_photograph_is_no_frame():
    file = io.BytesIO()
    image = Image.new("RGB", (32, 32), "#808080")
    image.save(file, "MPO", save_all=True, append_images=[image.resize((8, 8))])
    picture = decode(file.getvalue(), "phone.jpg")
    assert picture.notes == ()
    assert picture.pixels.shape == (32, 32, 3)


def huge(kind: str) -> bytes:
    side = 60_000
    if kind == "PNG":
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    data = bytearray(encoded(pixels(0), kind))
    if kind == "JPEG":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", side, side)
    elif kind == "GIF":
        data[6:10] = struct.pack("<HH", side, side)
    else:
        data[18:26] = struct.pack("<ii", side, side)
    return bytes(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP"])
def test_fault_7_claims_of_60000_squared_allocate_nothing(kind):
    data = huge(kind)
    tracemalloc.start()
    with pytest.raises(UnreadableImage, match=f"claims .*{MAX_PIXELS:,}"):
        decode(data, "huge")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 << 20


def test_fault_7_between_the_limits_of_pillow_too():
    side = int(MAX_PIXELS**0.5) + 100
    with pytest.raises(UnreadableImage, match="claims"):
        decode(f"P6 {side} {side} 255\n".encode() + bytes(30), "a.ppm")


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200 << 20))),
        chunk(b"iCCP", b"Profile\0\0" + zlib.compress(bytes(200 << 20))),
    ],
)
def test_fault_8_huge_text_and_profile_stay_within_caps(extra):
    plain = encoded(pixels(0))
    data = plain[:33] + extra + plain[33:]
    tracemalloc.start()
    with pytest.raises(UnreadableImage, match="damaged"):
        decode(data, "text.png")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 << 20


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFO")
def test_fault_10_fifo_never_blocks(tmp_path: Path):
    os.mkfifo(tmp_path / "a.jpg")
    raised = []

    def read() -> None:
        with pytest.raises(UnreadableImage, match="isn't a regular file") as caught:
            read_bytes(tmp_path / "a.jpg")
        raised.append(caught)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(5)
    assert raised


def test_fault_10_device_and_folder(tmp_path: Path):
    with pytest.raises(UnreadableImage, match=r"isn't a regular file|is a directory|permission denied"):
        read_bytes(tmp_path)
    with pytest.raises(UnreadableImage):
        read_bytes(Path(os.devnull))


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may read everything")
def test_fault_10_no_permission(tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(pixels(0)))
    path.chmod(0)
    with pytest.raises(UnreadableImage, match="permission denied"):
        read_bytes(path)


def test_fault_11_deleted_or_changed(tmp_path: Path):
    path = tmp_path / "a.png"
    data = encoded(pixels(0))
    path.write_bytes(data)
    file = OnDisk(path, "a.png", len(data))
    assert file.read() == data
    path.write_bytes(data + b"more than before" * 1000)
    with pytest.raises(UnreadableImage, match=f"changed from {len(data):,}"):
        file.read()
    path.unlink()
    with pytest.raises(UnreadableImage, match="no such file"):
        file.read()


@pytest.mark.parametrize(
    ("data", "channels"),
    [
        (encoded(pixels(0, channels=1)), 1),
        (encoded(pixels(0, channels=2)), 1),
        (encoded(pixels(0, channels=3)), 3),
        (png16(sixteen(10, 12), 0), 1),
        (png16(sixteen(10, 12, 2), 4), 1),
        (png16(sixteen(10, 12, 3), 2), 3),
    ],
)
def test_measure_agrees_with_decode(data, channels):
    assert measure(data) == (channels, 10, 12)
    height, width, found = decode(data).pixels.shape
    assert (found, height, width) == (channels, 10, 12)


def test_to_channels():
    grey, colour = pixels(0, channels=1), pixels(0)
    assert (to_channels(grey, 3) == grey).all()
    luma = colour @ np.array([0.299, 0.587, 0.114])
    assert np.abs(to_channels(colour, 1)[..., 0] - luma).max() <= 0.51
    with pytest.raises(ValueError, match="1 or 3"):
        to_channels(grey, 2)


def test_printable_is_one_line_of_utf8():
    name = os.fsdecode(b"a\xff\n\x1b[31m.jpg")
    assert printable(name).encode().isascii()
    assert printable("🐜 ok") == "🐜 ok"


def test_an_image_too_thin_to_be_cut_is_refused_before_memory_is_taken() -> None:
    from visus.data.preprocess import ImagePreprocess

    with pytest.raises(UnreadableImage, match="5000×3 pixels, too thin"):  # it would become 373,333×224
        ImagePreprocess(size=(224, 224)).place(np.zeros((3, 5000, 3), np.uint8))
    assert ImagePreprocess(size=(224, 224), fit="pad").place(np.zeros((3, 5000, 3), np.uint8)).shape == (3, 224, 224)
