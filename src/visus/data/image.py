"""Reading one image: bytes → upright 8-bit pixels, the same way everywhere.

| in the file | becomes |
|---|---|
| grey, black-and-white | 1 channel |
| colour, palette, CMYK, YCbCr | 3 channels (RGB) |
| alpha, or a transparent palette entry | laid over white |
| 16 bits a channel | 8 bits by scaling, never by clipping |
| EXIF orientation 2–8 | turned upright |
| animated GIF, APNG, WebP | the first frame |
| 32-bit or floating-point pixels | refused: their range isn't known |
"""

from __future__ import annotations

import io
import os
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from visus.errors import UnreadableImage

EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".gif", ".webp", ".bmp", ".ppm", ".pgm", ".pbm", ".tif", ".tiff"}
)
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "PPM")
MAX_FILE_BYTES = 512 << 20
MAX_PIXELS = Image.MAX_IMAGE_PIXELS or 89_478_485  # Pillow's own guard: a quarter of a gigabyte of RGB
ORIENTATION = 0x0112

# What Pillow has to say of odd metadata is noise here: a file that can't be read raises, and every other one is read.
warnings.filterwarnings("ignore", module=r"PIL\.")

_MAGIC = (
    (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"%!PS", "EPS"), (b"\xc5\xd0\xd3\xc6", "EPS"), (b"%PDF", "PDF"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"), (b"\xff\x0a", "JPEG XL"), (b"8BPS", "Photoshop"), (b"PK\3\4", "ZIP"),
    (b"\x1f\x8b", "gzip"), (b"<svg", "SVG"), (b"<?xml", "XML"), (b"<!DOCTYPE", "HTML"), (b"<html", "HTML"),
)  # fmt: skip


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
    with open(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableImage(name, "isn't a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise UnreadableImage(name, f"has {status.st_size:,} bytes, more than the {MAX_FILE_BYTES:,} that are read")
        try:
            return file.read()
        except OSError as problem:
            raise UnreadableImage(name, (problem.strerror or str(problem)).lower()) from None


def decode(data: bytes, name: str = "image") -> Picture:
    """Pixels of an encoded image. Raises UnreadableImage, which names the file and the cause."""
    if not data:
        raise UnreadableImage(name, "is empty (0 bytes)")
    kind = real_type(data)
    suffix = Path(name).suffix.lower()
    allowed = FORMATS if kind != "TIFF" else (("TIFF",) if suffix in (".tif", ".tiff") else ())
    if not allowed:
        raise UnreadableImage(
            name, f"is a {kind} file named {suffix or 'without an extension'}", "rename or convert it"
        )
    notes = []
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=allowed)
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise UnreadableImage(name, f"claims {width}×{height} pixels, more than the {MAX_PIXELS:,} that are read")
        if getattr(image, "n_frames", 1) > 1:
            notes.append(f"has {image.n_frames} frames, of which the first is used")  # type: ignore[attr-defined]
            image.seek(0)
        image.load()
        orientation = image.getexif().get(ORIENTATION, 1)
        if orientation in range(2, 9):
            ImageOps.exif_transpose(image, in_place=True)
        pixels = _pixels(image, name)
    except UnreadableImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnreadableImage(name, f"claims more than the {MAX_PIXELS:,} pixels that are read") from None
    except Image.UnidentifiedImageError:
        raise UnreadableImage(
            name, f"isn't an image: it is {kind}" if kind else "isn't an image of a known kind"
        ) from None
    except MemoryError:
        raise UnreadableImage(name, "needs more memory than there is") from None
    except Exception as problem:  # decoders raise nearly every type on damaged input; the file is named and skipped
        raise UnreadableImage(name, f"is damaged: {str(problem) or type(problem).__name__}") from None
    return Picture(pixels, orientation if orientation in range(2, 9) else 1, tuple(notes))


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


def _pixels(image: Image.Image, name: str) -> np.ndarray:
    if image.mode.startswith("I;16"):
        return _eight_bits(np.asarray(image, dtype=np.uint16))
    if image.mode == "I":  # 32 bits in memory; PNG and PGM fill 16 of them
        values = np.asarray(image)
        if image.format in ("PNG", "PPM") and values.min() >= 0 and values.max() <= 65535:
            return _eight_bits(values)
    if image.mode in ("I", "F"):
        raise UnreadableImage(name, "has 32-bit pixels, whose range isn't known", "save it with 8 or 16 bits a channel")
    if image.has_transparency_data:
        grey = image.mode == "LA"
        over = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        flat = Image.alpha_composite(white, over)
        return np.asarray(flat.convert("L"))[..., None] if grey else np.asarray(flat.convert("RGB"))
    if image.mode in ("L", "1"):
        return np.asarray(image.convert("L"))[..., None]
    return np.asarray(image.convert("RGB"))


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """0…65535 → 0…255, rounded."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)[..., None]
