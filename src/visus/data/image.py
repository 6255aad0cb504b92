"""Reading one image: bytes → upright 8-bit pixels, the same way everywhere.

| in the file | becomes |
|---|---|
| grey, black-and-white | 1 channel |
| colour, palette, CMYK, YCbCr | 3 channels (RGB) |
| alpha, or a transparent palette entry or value | laid over white |
| 16 bits a channel | 8 bits by scaling, never by clipping: round(v / 257); colour TIFF: the high byte |
| EXIF orientation 2–8 | turned upright |
| animated GIF, APNG, WebP; TIFF of several pages | the first frame |
| 32-bit or floating-point pixels | refused: their range isn't known |
"""

from __future__ import annotations

import io
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from visus.data.jpeg import decode_plain
from visus.errors import DataError, UnreadableImage

EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".gif", ".webp", ".bmp", ".ppm", ".pgm", ".pbm", ".tif", ".tiff"}
)
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "PPM")
MAX_FILE_BYTES = 512 << 20
MAX_PIXELS = Image.MAX_IMAGE_PIXELS or 89_478_485  # Pillow's own guard: a quarter of a gigabyte of RGB
ORIENTATION = 0x0112
GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16L", "I;16B", "I;16N")

# What Pillow has to say of odd metadata is noise here: a file that can't be read raises, and every other one is read.
warnings.filterwarnings("ignore", module=r"PIL\.")

_MAGIC = (
    (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"%!PS", "EPS"), (b"\xc5\xd0\xd3\xc6", "EPS"), (b"%PDF", "PDF"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"), (b"\xff\x0a", "JPEG XL"), (b"8BPS", "Photoshop"), (b"PK\3\4", "ZIP"),
    (b"\x1f\x8b", "gzip"), (b"<svg", "SVG"), (b"<?xml", "XML"), (b"<!DOCTYPE", "HTML"), (b"<html", "HTML"),
)  # fmt: skip

Source = str | Path | bytes | Image.Image | np.ndarray


# how Pillow unpacks a PNG of 16 bits a channel, and how it would unpack the low bytes of the same pixels
_GREY_ALPHA = "LA;16B"
_LOW_BYTES = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L", _GREY_ALPHA: "RGBA"}


def _same(pixels: np.ndarray) -> np.ndarray:
    return pixels


# what undoes each EXIF orientation, H×W×C
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90,
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded image.

    pixels: H×W×C uint8, C 1 or 3. orientation: the EXIF value that was undone. notes: what was noticed.
    """

    pixels: np.ndarray
    orientation: int = 1
    notes: tuple[str, ...] = ()


def read_bytes(path: Path) -> bytes:
    """The bytes of a regular file. Raises UnreadableImage for anything else; never waits on a pipe or device."""
    name = printable(path)
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as problem:
        raise UnreadableImage(name, (problem.strerror or str(problem)).lower()) from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableImage(name, "isn't a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise UnreadableImage(name, f"has {status.st_size:,} bytes, more than the {MAX_FILE_BYTES:,} that are read")
        with open(handle, "rb", closefd=False) as file:
            return file.read(status.st_size + 1)  # one more shows that it grew; not all of what was added since
    except OSError as problem:
        raise UnreadableImage(name, (problem.strerror or str(problem)).lower()) from None
    finally:
        os.close(handle)


def decode(data: bytes, name: str = "image") -> Picture:
    """Pixels of an encoded image. Raises UnreadableImage, which names the file and the cause."""
    notes: tuple[str, ...] = ()
    with _reading(data, name):
        file = _opened(data, name)
        image: Image.Image = file
        if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:  # MPO: a photograph with its preview
            notes = (f"has {image.n_frames} frames, of which the first is used",)  # type: ignore[attr-defined]
            image.seek(0)
        deep = _unpacking(file)
        orientation = image.getexif().get(ORIENTATION, 1)
        if image.format in ("JPEG", "MPO") and image.mode in ("L", "RGB"):
            plain = decode_plain(data, image.height, image.width, image.mode == "L")
            if plain is not None:
                pixels = np.ascontiguousarray(_UPRIGHT.get(orientation, _same)(plain))
                return Picture(pixels, orientation if orientation in range(2, 9) else 1, notes)
        image.load()
        if deep in _LOW_BYTES:
            _finer(image, data, deep)
        if deep == _GREY_ALPHA:  # Pillow makes it a colour image
            image = image.convert("LA")
        if orientation in range(2, 9) and image.format != "TIFF":  # Pillow turns a TIFF when it loads it
            ImageOps.exif_transpose(image, in_place=True)
        pixels = _pixels(image, name)
    return Picture(pixels, orientation if orientation in range(2, 9) else 1, notes)


def read_pixels(source: Source) -> np.ndarray:
    """H×W×C uint8 pixels of a file, of an encoded image's bytes, of a Pillow image, or of an array of them.

    Raises UnreadableImage, and DataError for an array that isn't H×W, H×W×1 or H×W×3 uint8, and for all else.
    """
    if isinstance(source, np.ndarray):
        pixels = source[..., None] if source.ndim == 2 else source
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
            raise DataError(
                f"an image array is {source.dtype} {'×'.join(map(str, source.shape))}",
                "give uint8 of H×W, H×W×1 or H×W×3",
            )
        return pixels
    if isinstance(source, Image.Image):
        return from_pillow(source)
    if isinstance(source, bytes):
        return decode(source).pixels
    if not isinstance(source, str | Path):
        raise DataError(
            f"an image can't be of the type {type(source).__name__}",
            "give a file's path, its bytes, a Pillow image or a uint8 array of H×W, H×W×1 or H×W×3",
        )
    return decode(read_bytes(Path(source)), printable(source)).pixels


def from_pillow(image: Image.Image) -> np.ndarray:
    """Pixels of a Pillow image, H×W×C uint8, by the same rules as those of a file. Raises UnreadableImage."""
    upright = ImageOps.exif_transpose(image)
    return _pixels(upright, "image")


class Header(NamedTuple):
    """What `decode` will give, from a file's header alone. orientation: the EXIF value that it will undo."""

    channels: int
    height: int
    width: int
    orientation: int


def header(data: bytes, name: str = "image") -> Header:
    """What `decode` will give, without decoding. Raises UnreadableImage."""
    with _reading(data, name):
        image = _opened(data, name)
        width, height = image.size
        # a PNG without this entry would be decoded in search of metadata behind its pixels
        known = image.format != "PNG" or "exif" in image.info
        orientation = image.getexif().get(ORIENTATION, 1) if known else 1
        if image.format != "TIFF" and orientation in range(5, 9):  # Pillow gives a TIFF's size as it will be
            width, height = height, width
    grey = image.mode in GREY_MODES or _unpacking(image) == _GREY_ALPHA
    return Header(1 if grey else 3, height, width, orientation if orientation in range(2, 9) else 1)


def measure(data: bytes, name: str = "image") -> tuple[int, int, int]:
    """Channels, height and width that `decode` will give, from the header alone. Raises UnreadableImage."""
    return header(data, name)[:3]


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """H×W×C pixels as they are stored, turned as an EXIF orientation says."""
    return _UPRIGHT.get(orientation, _same)(pixels)


def read_numbers(data: bytes, name: str = "mask") -> tuple[np.ndarray, int]:
    """The numbers in the pixels of a mask, and the EXIF orientation that was undone: H×W of a palette's places or of
    grey values, uint8 or uint16, or H×W×3 uint8 of colours. Raises UnreadableImage.
    """
    with _reading(data, name):
        image = _opened(data, name)
        image.load()
        if image.mode in ("RGBA", "RGBX", "CMYK", "YCbCr"):
            image = image.convert("RGB")  # type: ignore[assignment]
        if image.mode in ("LA", "PA"):
            image = image.getchannel(0)  # type: ignore[assignment]
        orientation = 1 if image.format == "TIFF" else image.getexif().get(ORIENTATION, 1)
        numbers = np.asarray(image)
    if numbers.dtype == bool:
        numbers = numbers.astype(np.uint8)
    if numbers.dtype not in (np.uint8, np.uint16):
        if numbers.dtype != np.int32 or numbers.min() < 0 or numbers.max() > 65535:
            raise UnreadableImage(name, f"has {numbers.dtype} pixels, which can't be numbers of classes")
        numbers = numbers.astype(np.uint16)
    flat = numbers.ndim == 2
    turned = upright(numbers[..., None] if flat else numbers, orientation)
    return np.ascontiguousarray(turned[..., 0] if flat else turned), orientation if orientation in range(2, 9) else 1


def as_png(pixels: np.ndarray) -> bytes:
    """A PNG file of H×W×C uint8 pixels."""
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return file.getvalue()


def to_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """H×W×C with 1 or 3 channels: colour to grey by ITU-R 601 luma, rounded as Pillow does."""
    if pixels.shape[2] == channels:
        return pixels
    if channels == 1:
        return np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    raise ValueError(f"images have 1 or 3 channels, not {channels}")


def real_type(data: bytes) -> str:
    """What kind of file the bytes really are: "TIFF", "text", … or "" when unknown."""
    head = data[:64].lstrip()
    for magic, kind in _MAGIC:
        if data.startswith(magic) or head[: len(magic)].lower() == magic.lower():
            return kind
    if data[4:8] == b"ftyp":
        return "AVIF" if data[8:12] in (b"avif", b"avis") else "HEIF or MP4"
    if all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in data[:512]):
        return "text"
    return ""


def printable(name: str | Path) -> str:
    r"""A file name fit for one line of UTF-8 text: line breaks, controls and undecodable bytes are escaped.

    >>> printable("two\nlines")
    'two\\nlines'
    """
    text = os.fspath(name).encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


@contextmanager
def _reading(data: bytes, name: str) -> Iterator[None]:
    """Turns what a decoder raises on bad input into UnreadableImage."""
    try:
        yield
    except UnreadableImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnreadableImage(name, f"claims more than the {MAX_PIXELS:,} pixels that are read") from None
    except UnidentifiedImageError:
        kind = real_type(data)
        raise UnreadableImage(
            name, f"isn't an image: it is {kind}" if kind else "isn't an image of a known kind"
        ) from None
    except MemoryError:
        raise UnreadableImage(name, "needs more memory than there is") from None
    except Exception as problem:  # decoders raise nearly every type on damaged input; the file is named and skipped
        raise UnreadableImage(name, f"is damaged: {str(problem) or type(problem).__name__}") from None


def _opened(data: bytes, name: str) -> ImageFile.ImageFile:
    """The image with only its header read."""
    if not data:
        raise UnreadableImage(name, "is empty (0 bytes)")
    suffix = Path(name).suffix.lower()
    allowed: tuple[str, ...] = FORMATS
    if real_type(data) == "TIFF":
        if suffix not in (".tif", ".tiff"):
            raise UnreadableImage(
                name, f"is a TIFF file named {suffix or 'without an extension'}", "rename or convert it"
            )
        allowed = ("TIFF",)
    image = Image.open(io.BytesIO(data), formats=allowed)
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnreadableImage(name, f"claims {width}×{height} pixels, more than the {MAX_PIXELS:,} that are read")
    return image


def _unpacking(image: ImageFile.ImageFile) -> str:
    """Pillow's name of how a PNG's bytes become pixels; "" for other formats."""
    return str(image.tile[0].args) if image.format == "PNG" and image.tile else ""


def _finer(image: Image.Image, data: bytes, raw: str) -> None:
    """Put round(v / 257) in place of the high bytes that Pillow keeps of a PNG of 16 bits a channel, if in colour."""
    again = Image.open(io.BytesIO(data), formats=("PNG",))
    again.tile = [tile._replace(args=_LOW_BYTES[raw]) for tile in again.tile]
    high, low = np.asarray(image), np.asarray(again)  # the second decodes
    if raw == _GREY_ALPHA:  # read as four bytes a pixel: grey, its low byte, alpha, its low byte
        low = low[..., [1, 1, 1, 3]]
    image.paste(Image.fromarray(_eight_bits(high.astype(np.uint16) << 8 | low)))
    key = image.info.get("transparency")
    if isinstance(key, tuple):
        image.info["transparency"] = tuple(int(each) for each in _eight_bits(np.array(key)))


def _pixels(image: Image.Image, name: str) -> np.ndarray:
    if image.mode.startswith("I;16"):
        values = np.asarray(image, dtype=np.uint16)
        grey_HW = _eight_bits(values)
        grey_HW[values == image.info.get("transparency", -1)] = 255
        return grey_HW[..., None]
    if image.mode == "I":  # 32 bits in memory; PNG and PGM fill 16 of them
        values = np.asarray(image)
        if image.format in ("PNG", "PPM") and values.min() >= 0 and values.max() <= 65535:
            return _eight_bits(values)[..., None]
    if image.mode in ("I", "F"):
        raise UnreadableImage(name, "has 32-bit pixels, whose range isn't known", "save it with 8 or 16 bits a channel")
    grey = image.mode in GREY_MODES
    if image.has_transparency_data:
        over = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), over)
    return np.asarray(image.convert("L"))[..., None] if grey else np.asarray(image.convert("RGB"))


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """0…65535 → 0…255, rounded."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
