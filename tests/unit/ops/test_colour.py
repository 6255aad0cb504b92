"""Changes of values, beside Pillow's on the same images; turned hues beside colorsys."""

import colorsys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from visus.ops import colour

COUNT, HEIGHT, WIDTH = 16, 21, 34
FACTOR = torch.linspace(0.1, 1.9, COUNT)


def images(channels: int) -> torch.Tensor:
    """Noise, dull noise, bell-shaped values, and images of one value but for a pixel."""
    draws = np.random.default_rng(channels)
    found = []
    for index in range(COUNT):
        image = draws.integers(0, 256, (channels, HEIGHT, WIDTH))
        if index % 4 == 1:
            image = image // 3 + 40
        elif index % 4 == 2:
            image = draws.normal(120, 20, image.shape).clip(0, 255)
        elif index % 4 == 3:
            image = np.full(image.shape, draws.integers(256))
            image[0, 0, 0] = 7
        found.append(image)
    return torch.from_numpy(np.stack(found).astype(np.uint8))


def pillow(x_CHW: torch.Tensor) -> Image.Image:
    pixels = x_CHW.permute(1, 2, 0).numpy()
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def enhanced(kind: type) -> Callable[[Image.Image, int], Image.Image]:
    return lambda image, i: kind(image).enhance(FACTOR[i].item())


Theirs = Callable[[Image.Image, int], Image.Image]
NUMBERS = torch.arange(COUNT)
CASES: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], Theirs]] = {
    "brightness": (lambda x: colour.brightness(x, FACTOR), enhanced(ImageEnhance.Brightness)),
    "contrast": (lambda x: colour.contrast(x, FACTOR), enhanced(ImageEnhance.Contrast)),
    "saturation": (lambda x: colour.saturation(x, FACTOR), enhanced(ImageEnhance.Color)),
    "sharpness": (lambda x: colour.sharpness(x, FACTOR), enhanced(ImageEnhance.Sharpness)),
    "posterize": (
        lambda x: colour.posterize(x, NUMBERS % 8 + 1),
        lambda image, i: ImageOps.posterize(image, i % 8 + 1),
    ),
    "solarize": (lambda x: colour.solarize(x, NUMBERS * 17), lambda image, i: ImageOps.solarize(image, i * 17)),
    "equalize": (colour.equalize, lambda image, i: ImageOps.equalize(image)),
    "grey": (colour.grey, lambda image, i: image.convert("L")),
    "autocontrast": (colour.autocontrast, lambda image, i: ImageOps.autocontrast(image)),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_pixels_are_those_of_pillow(name, channels):
    ours, theirs = CASES[name]
    x_NCHW = images(channels)
    before = x_NCHW.clone()
    found = ours(x_NCHW)
    wanted = np.stack([np.asarray(theirs(pillow(x), i)).reshape(HEIGHT, WIDTH, -1) for i, x in enumerate(x_NCHW)])
    assert found.dtype == torch.uint8
    assert torch.equal(x_NCHW, before)
    difference = np.abs(found.permute(0, 2, 3, 1).numpy().astype(int) - wanted)
    # its table for autocontrast is of doubles multiplied in C, and may fall short of a whole number by the last bit
    assert difference.max() <= (1 if name == "autocontrast" else 0)
    assert (difference > 0).mean() < 0.001


def test_small_images_have_no_inner_pixels_to_sharpen():
    x_NCHW = torch.randint(256, (2, 3, 2, 5), dtype=torch.uint8)
    assert torch.equal(colour.sharpness(x_NCHW, torch.tensor([0.1, 1.9])), x_NCHW)


def test_from_256_on_nothing_is_solarized():
    x_NCHW = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(colour.solarize(x_NCHW, torch.tensor([256])), x_NCHW)


def test_hues_turn_as_in_yiq():
    """colorsys has the same plane of colours, with its weights rounded to two digits."""
    rgb = np.random.default_rng(0).uniform(0.35, 0.65, (40, 3))  # so that nothing is clipped
    angle, factor = np.linspace(-3, 3, 40), np.linspace(0.4, 1.6, 40)
    found = colour.recolour(
        torch.from_numpy(rgb * 255).float().view(40, 3, 1, 1), torch.from_numpy(factor).float(),
        torch.from_numpy(angle).float(),
    )  # fmt: skip
    for given, turn, strength, got in zip(rgb, angle, factor, found.view(40, 3) / 255, strict=True):
        y, i, q = colorsys.rgb_to_yiq(*given)
        turned = (i + 1j * q) * strength * np.exp(1j * turn)
        assert got.numpy() == pytest.approx(colorsys.yiq_to_rgb(y, turned.real, turned.imag), abs=2 / 255)


def test_a_turned_hue_keeps_luminance_and_grey():
    x_NCHW = torch.rand(6, 3, 4, 5) * 80 + 90
    x_NCHW[:, :, 0, 0] = 117
    changed = colour.recolour(x_NCHW, torch.ones(6), torch.linspace(-3, 3, 6))
    luminance = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    assert torch.allclose((changed * luminance).sum(1), (x_NCHW * luminance).sum(1), atol=1e-2)
    assert torch.allclose(changed[:, :, 0, 0], torch.tensor(117.0), atol=0.05)
    assert (changed - x_NCHW).abs().max() > 20
    assert torch.allclose(colour.recolour(x_NCHW, torch.ones(6), torch.zeros(6)), x_NCHW, atol=1e-3)


def test_grey_images_have_no_hue():
    x_NCHW = torch.randint(256, (2, 1, 3, 3), dtype=torch.uint8)
    assert torch.equal(colour.recolour(x_NCHW, torch.zeros(2), torch.ones(2)), x_NCHW)
