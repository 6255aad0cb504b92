"""The formulas by which two libraries' networks are filled alike."""

import math
import subprocess
import sys
import zlib

import numpy as np
import pytest

from visus.weights import peer
from visus.weights.peer import filled, question, sampled, uniform


def by_hand(name: str, index: int) -> float:
    """MurmurHash3's 32-bit finaliser (Appleby, public domain), in whole numbers."""
    h = (index * 0x9E3779B9 + zlib.crc32(name.encode())) % 2**32
    h ^= h >> 16
    h = h * 0x85EBCA6B % 2**32
    h ^= h >> 13
    h = h * 0xC2B2AE35 % 2**32
    return (h ^ h >> 16) / 2**32


def test_uniform_is_the_formula_that_its_docstring_says():
    found = uniform("layer1.0.conv1.weight", 1000)
    assert found.tolist() == [by_hand("layer1.0.conv1.weight", index) for index in range(1000)]
    assert abs(found.mean() - 0.5) < 0.03
    assert abs(found.std() - math.sqrt(1 / 12)) < 0.02
    assert abs(np.corrcoef(found, uniform("layer1.0.conv2.weight", 1000))[0, 1]) < 0.1


@pytest.mark.parametrize(
    ("name", "shape", "channels_last", "low", "high"),
    [
        ("conv1.weight", (64, 3, 7, 7), False, -math.sqrt(5 / 147), math.sqrt(5 / 147)),
        ("conv1/kernel", (7, 7, 3, 64), True, -math.sqrt(5 / 147), math.sqrt(5 / 147)),
        ("conv/depthwise_kernel", (3, 3, 32, 1), True, -math.sqrt(5 / 9), math.sqrt(5 / 9)),
        ("fc.weight", (10, 512), False, -math.sqrt(5 / 512), math.sqrt(5 / 512)),
        ("bn1.weight", (4000,), False, 0.6, 1.2),
        ("bn/gamma", (4000,), True, 0.6, 1.2),
        ("bn1.bias", (4000,), False, -0.1, 0.1),
        ("bn1.running_mean", (4000,), False, -0.1, 0.1),
        ("bn1.running_var", (4000,), False, 0.5, 1.5),
        ("bn/moving_variance", (4000,), True, 0.5, 1.5),
        ("pos_embed", (1, 197, 192), False, -0.2, 0.2),
    ],
)
def test_scales_by_what_a_tensor_is(name, shape, channels_last, low, high):
    found = filled(name, shape, channels_last)
    assert found.dtype == np.float32
    assert found.shape == shape
    assert low <= found.min() < low + 0.05 * (high - low)
    assert high >= found.max() > high - 0.05 * (high - low)


def test_large_tensors_repeat_from_a_prime_on():
    found = uniform("fc.weight", peer.PERIOD + 3)
    assert found[: peer.PERIOD + 3].tolist()[-3:] == found[:3].tolist()
    assert all(peer.PERIOD % factor for factor in range(2, 1001))


def test_counters_are_zero():
    assert filled("bn1.num_batches_tracked", ()) == 0


def test_the_question():
    x = question((3, 5, 4), 2)
    assert x.shape == (2, 3, 5, 4)
    assert x.dtype == np.float32
    assert np.abs(x).max() <= 2
    assert np.array_equal(x[:1], question((3, 5, 4)))


def test_samples_of_an_output_are_spread_over_it():
    assert sampled(np.arange(12).reshape(3, 4)).tolist() == list(range(12))
    many = sampled(np.arange(100_000))
    assert len(many) == peer.SAMPLED
    assert (many[0], many[-1]) == (0, 99_999)


def test_the_program_needs_nothing_of_visus():
    code = (
        f"import sys, runpy; runpy.run_path({peer.__file__!r}); "
        "assert not any(m.startswith('visus') for m in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
