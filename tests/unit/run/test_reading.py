"""Verbs that read images use what is kept of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import visus
from visus.data import identity, samples
from visus.data.cache import sets
from visus.run.features import features
from visus.run.watch import Silent

SIDE, EACH = 16, 8


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of images, which are taken for a large set."""
    monkeypatch.setattr(sets, "WORTH", 0.0)
    monkeypatch.setattr(identity, "SETTLED", 0)
    monkeypatch.setenv("VISUS_CACHE", str(tmp_path / "cache"))
    chance = np.random.default_rng(0)
    for name in ("dark", "light"):
        (tmp_path / "photographs" / name).mkdir(parents=True)
        for number in range(EACH):
            pixels = chance.integers(0, 128, (SIDE, SIDE, 3), dtype=np.uint8) + (128 if name == "light" else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photographs" / name / f"{number}.png")
    return tmp_path / "photographs"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are decoded from now on."""
    names: list[str] = []
    decode = samples.decode

    def told(data: bytes, name: str = "image") -> samples.Picture:
        names.append(name)
        return decode(data, name)

    monkeypatch.setattr(samples, "decode", told)
    return names


def test_measuring_and_features_decode_only_what_isnt_kept(
    photographs: Path, tmp_path: Path, decoded: list[str]
) -> None:
    settings = ("preprocess.size=[16, 16]",)
    run = visus.train(photographs, model="mlp", epochs=1, settings=settings, run=tmp_path / "run", watch=Silent())
    decoded.clear()
    first = visus.evaluate(run.folder, photographs)
    assert len(decoded) == 2 * EACH  # all of so few are shown
    decoded.clear()
    off = visus.evaluate(run.folder, photographs, settings=("runtime.cache=0",))
    assert len(decoded) == 4 * EACH
    assert off.scores == first.scores


def test_features_are_taken_of_what_is_kept(photographs: Path, tmp_path: Path, decoded: list[str]) -> None:
    settings = ("preprocess.size=[16, 16]", "runtime.cache=0")
    run = visus.train(photographs, model="lenet5", epochs=1, settings=settings, run=tmp_path / "run", watch=Silent())
    decoded.clear()
    first = features(photographs, run.folder, watch=Silent())
    assert len(decoded) == 2 * EACH
    decoded.clear()
    again = features(photographs, run.folder, watch=Silent())
    assert not decoded
    np.testing.assert_array_equal(first.values, again.values)
