"""Figures of restored images, beside those of scikit-image 0.26.0 on the same images."""

import numpy as np
import pytest
import torch

from visus.metrics import RestorationMeter, decibels, squared_error, ssim

# (height, width, channels): peak_signal_noise_ratio(clean, noisy, data_range=255), and structural_similarity(clean,
# noisy, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=2)
PEER = {
    (48, 64, 1): (20.89262457520469, 0.8649676094547418),
    (31, 40, 3): (20.894914115905145, 0.847809594997039),
    (11, 11, 1): (20.74673293236583, 0.8815817342497705),
}


def images(height: int, width: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """A clean image of 4×4 squares, and the same with noise: H×W×C uint8."""
    random = np.random.default_rng(height + width + channels)
    coarse = random.integers(20, 236, (-(-height // 4), -(-width // 4), channels))
    clean = np.kron(coarse, np.ones((4, 4, 1), np.int64))[:height, :width]
    noisy = np.clip(clean + random.integers(-40, 41, clean.shape), 0, 255)
    return clean.astype(np.uint8), noisy.astype(np.uint8)


def batch(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]


@pytest.mark.parametrize("shape", list(PEER), ids=str)
def test_they_are_scikit_images(shape):
    clean, noisy = (batch(each) for each in images(*shape))
    ratio, similarity = PEER[shape]
    assert decibels(squared_error(noisy, clean)).item() == pytest.approx(ratio, rel=1e-12)
    assert ssim(noisy, clean).item() == pytest.approx(similarity, rel=1e-9)


def test_the_figures_are_means_over_images_with_intervals():
    meter = RestorationMeter()
    for shape in PEER:
        clean, noisy = (batch(each) for each in images(*shape))
        meter.update(noisy, clean)
    scores = meter.scores()
    for name, place in (("psnr", 0), ("ssim", 1)):
        each = [peer[place] for peer in PEER.values()]
        assert scores[name].value == pytest.approx(np.mean(each), rel=1e-9)
        assert min(each) - 1e-9 <= scores[name].low < scores[name].value < scores[name].high <= max(each) + 1e-9
        assert (scores[name].n, scores[name].higher) == (3, True)
    assert not scores["loss"].higher
    assert meter.each() == pytest.approx([peer[0] for peer in PEER.values()])


def test_what_is_equal_has_finite_figures():
    clean, _ = (batch(each) for each in images(20, 20, 1))
    meter = RestorationMeter()
    meter.update(clean, clean)
    scores = meter.scores()
    assert scores["ssim"].value == pytest.approx(1)
    assert scores["loss"].value == 0
    assert np.isfinite(scores["psnr"].value)


def test_images_smaller_than_the_window_have_no_structural_similarity():
    meter = RestorationMeter()
    meter.update(torch.zeros(2, 1, 10, 30), torch.ones(2, 1, 10, 30))
    assert set(meter.scores()) == {"psnr", "loss"}
    assert meter.scores()["psnr"].value == pytest.approx(20 * np.log10(255))  # every pixel is off by 1
