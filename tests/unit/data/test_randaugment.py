"""RandAugment's fourteen operations at their ends, beside Pillow; ranges of the paper's code and of torchvision."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from visus.data.augment import Augment
from visus.data.randaugment import OPERATIONS, Drawn, RandAugment
from visus.data.types import Batch, Targets

HEIGHT, WIDTH = 60, 80


def smooth() -> np.ndarray:
    """H×W×3: waves of several colours."""
    row, column = np.mgrid[:HEIGHT, :WIDTH]
    waves = [np.sin(row / 9 + phase) + np.cos(column / (7 + phase)) for phase in range(3)]
    return (np.stack(waves, -1) * 55 + 120).astype(np.uint8)


def changed(name: str, level: float) -> np.ndarray:
    """One operation on one image, through Augment."""
    drawn = Drawn(torch.tensor([[OPERATIONS.index(name)]]), torch.tensor([[level]]))
    x = torch.from_numpy(smooth()).permute(2, 0, 1)[None]
    draws = torch.Generator().manual_seed(0)
    augment = Augment(randaugment=RandAugment())
    moved = augment.geometry(Batch(x, Targets(), torch.zeros(1)), draws, 0, drawn)
    return augment.colour(moved.inputs, draws, drawn)[0].permute(1, 2, 0).numpy()


def enhanced(kind: type, level: float) -> Image.Image:
    return kind(Image.fromarray(smooth())).enhance(1 + 0.9 * level)


def moved(inverse: tuple[float, ...]) -> Image.Image:
    return Image.fromarray(smooth()).transform(
        (WIDTH, HEIGHT), Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR
    )


def shifted(right: float, down: float) -> Image.Image:
    return moved((1, 0, -round(150 / 331 * right), 0, 1, -round(150 / 331 * down)))


THEIRS: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "identity": lambda image, level: image,
    "autocontrast": lambda image, level: ImageOps.autocontrast(image),
    "equalize": lambda image, level: ImageOps.equalize(image),
    "rotate": lambda image, level: image.rotate(-30 * level, Image.Resampling.BILINEAR),  # Pillow turns the other way
    "solarize": lambda image, level: ImageOps.solarize(image, round(256 * (1 - abs(level)))),
    "posterize": lambda image, level: ImageOps.posterize(image, 8 - round(4 * abs(level))),
    "colour": lambda image, level: enhanced(ImageEnhance.Color, level),
    "contrast": lambda image, level: enhanced(ImageEnhance.Contrast, level),
    "brightness": lambda image, level: enhanced(ImageEnhance.Brightness, level),
    "sharpness": lambda image, level: enhanced(ImageEnhance.Sharpness, level),
    "shear_x": lambda image, level: moved((1, -0.3 * level, 0.3 * level * HEIGHT / 2, 0, 1, 0)),
    "shear_y": lambda image, level: moved((1, 0, 0, -0.3 * level, 1, 0.3 * level * WIDTH / 2)),
    "translate_x": lambda image, level: shifted(WIDTH * level, 0),
    "translate_y": lambda image, level: shifted(0, HEIGHT * level),
}


def test_the_operations_are_the_papers_fourteen():
    assert set(OPERATIONS) == set(THEIRS)
    assert len(OPERATIONS) == 14


@pytest.mark.parametrize("level", [-1.0, -0.3, 0.3, 1.0])
@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_is_pillows(name, level):
    found = changed(name, level).astype(int)
    wanted = np.asarray(THEIRS[name](Image.fromarray(smooth()), level)).astype(int)
    if name in ("rotate", "shear_x", "shear_y"):  # borders fade out here, and end there
        lit = (found > 0).all(2) & (wanted > 0).all(2)
        assert lit.mean() > 0.5
        assert np.quantile(np.abs(found - wanted)[lit], 0.97) <= 2
        assert (np.abs((found > 0).mean() - (wanted > 0).mean())) < 0.05
    else:
        assert np.abs(found - wanted).max() <= 1


def test_the_fourteen_are_drawn_alike_and_both_ways():
    drawn = RandAugment(operations=4, magnitude=15).draw(3500, torch.Generator().manual_seed(0))
    counts = torch.bincount(drawn.kinds.flatten(), minlength=14)
    assert drawn.kinds.shape == (3500, 4)
    assert ((counts > 850) & (counts < 1150)).all()  # 1,000 each, by nearly five standard deviations
    assert drawn.levels.unique().tolist() == [-0.5, 0.5]
    assert 0.48 < (drawn.levels > 0).float().mean() < 0.52


def test_operations_follow_one_another_in_the_order_drawn():
    one, other = OPERATIONS.index("solarize"), OPERATIONS.index("brightness")
    x = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(2, 3, 1, 1)
    found = Drawn(torch.tensor([[one, other], [other, one]]), torch.full((2, 2), 0.5)).colour(x)
    values = np.arange(256)
    solar = np.where(values < 128, values, 255 - values)
    assert found[0, 0].flatten().tolist() == np.minimum(np.floor(solar * 1.45), 255).tolist()
    bright = np.minimum(np.floor(values * 1.45), 255)
    assert found[1, 0].flatten().tolist() == np.where(bright < 128, bright, 255 - bright).tolist()


def test_moves_follow_one_another_in_the_order_drawn():
    turn, right = OPERATIONS.index("rotate"), OPERATIONS.index("translate_x")
    drawn = Drawn(torch.tensor([[turn, right], [right, turn]]), torch.ones(2, 2))
    middle = torch.tensor([40.0, 30.0, 1.0])
    step = round(150 / 331 * 80)
    moved_first, moved_second = (drawn.matrix(60, 80) @ middle)[:, :2].tolist()
    assert moved_first == pytest.approx([40 + step, 30], abs=1e-3)  # the middle stays where it turns, and is moved
    turned = np.radians(30)
    assert moved_second == pytest.approx([40 + step * np.cos(turned), 30 + step * np.sin(turned)], abs=1e-3)


def test_what_befalls_an_image_is_its_own():
    """An image's pixels don't depend on those of its batch-mates."""
    x = torch.randint(256, (6, 3, 20, 24), dtype=torch.uint8)
    other = x.clone()
    other[1:] = 255 - other[1:]
    augment = Augment(flip=True, randaugment=RandAugment(operations=3, magnitude=20))

    def run(images: torch.Tensor) -> torch.Tensor:
        return augment.apply(Batch(images, Targets(), torch.arange(6)), torch.Generator().manual_seed(4), 128).inputs

    assert torch.equal(run(x)[0], run(other)[0])
    assert not torch.equal(run(x)[1:], run(other)[1:])
