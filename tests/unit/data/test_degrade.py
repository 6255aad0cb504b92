"""What degradations do to images, by closed forms and beside SciPy and Pillow."""

import io
import tomllib

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from tests.helpers import pixels
from visus.data.degrade import JPEG, Blur, Missing, Noise, Poisson, Rounded, degrade, described, require_ordered
from visus.data.loader import generator
from visus.errors import SpecError
from visus.spec import decode, dumps
from visus.tasks import Restore


def images(count: int = 2, side: int = 40, channels: int = 3) -> torch.Tensor:
    """N×C×side×side uint8."""
    found = [pixels(seed, side, side, channels) for seed in range(count)]
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2)


def worse(x: torch.Tensor, *steps, seed: int = 0) -> torch.Tensor:
    return degrade(x, steps, generator(seed))


DISK = Blur(shape="disk", size=2.5)  # the only one in which nothing is drawn
STEPS = [
    Noise(sigma=(5, 50)), Poisson(peak=(4, 60)), Blur(size=(0.5, 3)), DISK,
    Blur(shape="motion", size=(3, 9)), JPEG(quality=(5, 60)), Missing(share=(0.1, 0.3)),
    Missing(shape="strokes", pieces=3), Rounded(),
]  # fmt: skip
each_step = pytest.mark.parametrize("step", STEPS, ids=lambda step: step.text)


@each_step
def test_it_is_a_function_of_the_images_and_the_seed(step):
    x = images()
    before = x.clone()
    found = worse(x, step)
    assert torch.equal(x, before)
    assert found.shape == x.shape
    assert found.dtype == torch.float32
    assert torch.equal(worse(x, step), found)
    if step != Rounded():
        assert not torch.equal(found, x.float())
        assert step == DISK or not torch.equal(worse(x, step, seed=1), found)


@each_step
def test_a_task_keeps_it_through_toml(step):
    task = Restore(degrade=(step, Noise(sigma=3)))
    assert decode(tomllib.loads(dumps(task)), Restore) == task


def test_noise_has_the_deviation_that_is_said_and_is_not_clipped():
    x = torch.zeros(1, 1, 400, 400)
    found = worse(x, Noise(sigma=25)) / 25
    assert abs(found.mean().item()) < 4 / 400  # four standard errors of 160,000 values
    assert found.std().item() == pytest.approx(1, abs=4 / 400 / 2**0.5)
    assert (found**4).mean().item() == pytest.approx(3, abs=0.1)  # of a Gaussian
    assert found.min() < -3


def test_of_a_range_each_image_has_its_own_strength():
    sigma = worse(torch.zeros(64, 1, 64, 64), Noise(sigma=(0, 50))).flatten(1).std(1)
    assert 0 <= sigma.min() < 5
    assert 45 < sigma.max() < 52
    assert sigma.mean().item() == pytest.approx(25, abs=4 * 50 / 12**0.5 / 8)


@pytest.mark.parametrize("value", [30.0, 200.0])
def test_poisson_noise_has_the_mean_and_variance_of_counts(value):
    peak = 20.0
    found = worse(torch.full((1, 1, 400, 400), value), Poisson(peak=peak))
    variance = value * 255 / peak
    assert found.mean().item() == pytest.approx(value, abs=4 * variance**0.5 / 400)
    assert found.var().item() == pytest.approx(variance, rel=0.03)
    counts = found * peak / 255
    assert torch.allclose(counts, counts.round(), atol=1e-3)


@pytest.mark.parametrize("sigma", [0.7, 1.6, 3.3])
def test_a_gaussian_blur_is_scipys(sigma):
    x = images(1, 33, 2)
    wanted = gaussian_filter(x[0].double().numpy(), (0, sigma, sigma), mode="nearest", truncate=4.0)
    np.testing.assert_allclose(worse(x, Blur(size=sigma))[0].numpy(), wanted, atol=2e-3)


def moments(step: Blur, seed: int = 0) -> tuple[float, np.ndarray, np.ndarray]:
    """Sum, mean and covariance of a kernel: what a point of light becomes."""
    point = torch.zeros(1, 1, 81, 81)
    point[..., 40, 40] = 1
    kernel = worse(point, step, seed=seed)[0, 0].double().numpy()
    at = np.stack(np.mgrid[-40:41, -40:41]).reshape(2, -1)
    mean = at @ kernel.ravel() / kernel.sum()
    return kernel.sum(), mean, (at * kernel.ravel()) @ at.T / kernel.sum() - np.outer(mean, mean)


@pytest.mark.parametrize("radius", [2.5, 4.0, 7.3])
def test_a_disk_has_a_quarter_of_its_radius_squared_as_variance(radius):
    total, mean, covariance = moments(Blur(shape="disk", size=radius))
    assert total == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(mean, 0, atol=1e-5)
    # and about 1/12 more, since a pixel's light is counted in its middle
    np.testing.assert_allclose(covariance, np.eye(2) * (radius**2 / 4 + 1 / 12), atol=0.06)


def test_motion_is_a_line_of_the_length_that_is_said_in_any_direction():
    angles = []
    for seed in range(40):
        total, mean, covariance = moments(Blur(shape="motion", size=15), seed)
        assert total == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(mean, 0, atol=1e-4)
        across, along = np.linalg.eigvalsh(covariance)
        assert along == pytest.approx(15**2 / 12, abs=0.4)  # of a uniform line; sharing pixels adds up to 1/4
        assert -1e-6 <= across < 0.3
        angles.append(np.arctan2(*np.linalg.eigh(covariance)[1][:, 1]) % np.pi)
    assert np.ptp(angles) > np.pi / 2


def test_edges_go_on_under_a_blur():
    flat = torch.full((1, 1, 12, 12), 77.0)
    for step in (Blur(size=3), Blur(shape="disk", size=4), Blur(shape="motion", size=9)):
        assert torch.allclose(worse(flat, step), flat, atol=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_pillows(channels):
    x = images(1, 32, channels)
    file = io.BytesIO()
    plain = x[0].permute(1, 2, 0).numpy()
    Image.fromarray(plain.squeeze()).save(file, "JPEG", quality=15)
    wanted = np.asarray(Image.open(file)).reshape(plain.shape)
    assert np.array_equal(worse(x, JPEG(quality=15))[0].permute(1, 2, 0).numpy(), wanted)


@pytest.mark.parametrize("shape", ["rectangles", "strokes"])
def test_missing_pixels_have_the_value_that_is_said_and_no_others_change(shape):
    x = torch.full((16, 3, 64, 80), 200.0)
    found = worse(x, Missing(shape=shape, share=0.2, pieces=2, fill=9))
    gone = found == 9
    assert torch.equal(gone, gone[:, :1].expand_as(gone))
    assert torch.equal(found[~gone], x[~gone])
    shares = gone.float().mean((1, 2, 3))
    assert shares.min() > 0.05
    assert shares.max() < 0.26
    assert len(set(shares.tolist())) > 8


def test_one_rectangle_covers_its_share():
    gone = worse(torch.ones(20, 1, 100, 150), Missing(pieces=1, share=0.3)) == 0
    for each in gone[:, 0]:
        rows, columns = each.any(1).sum().item(), each.any(0).sum().item()
        assert each.sum() == rows * columns
        assert rows * columns / 15_000 == pytest.approx(0.3, abs=0.02)
        assert 0.49 < (rows / 100) / (columns / 150) < 2.05


def test_steps_follow_one_another():
    x = images(1)
    one = degrade(x, [Blur(size=2)], generator(3))
    assert torch.equal(worse(x, Blur(size=2), Rounded()), one.round().clamp(0, 255))
    noisy = worse(x, Noise(sigma=60), Rounded())
    assert noisy.min() == 0
    assert noisy.max() == 255
    assert torch.equal(noisy, noisy.round())


def test_what_was_done_is_told_in_order():
    steps = [Blur(shape="motion", size=(3, 9)), Noise(sigma=25), JPEG(quality=(10, 40)), Missing(), Rounded()]
    assert described(steps) == (
        "motion blur of 3–9 px, Gaussian noise of σ 25, JPEG of quality 10–40, a share of 0.2 missing in rectangles, "
        "rounded to 8 bits"
    )


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({"kind": "noise", "sigma": -1}, "sigma"),
        ({"kind": "noise", "sigma": [1, 2, 3]}, "sigma"),
        ({"kind": "jpeg", "quality": 101}, "quality"),
        ({"kind": "missing", "share": 1.0}, "share"),
        ({"kind": "nois"}, "noise"),
    ],
)
def test_settings_that_make_no_sense_are_refused(plain, said):
    with pytest.raises(SpecError, match=said):
        decode({"degrade": [plain]}, Restore)


def test_a_range_that_ends_before_it_begins_is_refused():
    with pytest.raises(SpecError, match=r"(?s)sigma of the degradation 'noise' is \[50.*sigma = \[10, 50\]"):
        require_ordered([Noise(sigma=(50, 10))])
    with pytest.raises(SpecError, match="too wide"):
        worse(images(), Blur(size=65))
