"""Certificates of the networks that match a pattern: their photographs, and the files that are written."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from tests.libraries import change, library
from visus.errors import DataError, NotFound, WeightsError
from visus.run.certificates import certify_all
from visus.weights.certify import page, read_certificate
from visus.weights.goldens import read_golden, replay
from visus.weights.peers import PEERS

KEY = "torchvision:squeezenet1_1"


def test_a_certificate_its_page_and_a_golden_file_are_written(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", library(tmp_path / "library"))
    out, goldens = tmp_path / "out", tmp_path / "goldens"
    [found] = certify_all("TorchVision:*net1_1", out=out, goldens=goldens)
    assert found.holds
    written = {path.relative_to(tmp_path).as_posix() for folder in (out, goldens) for path in folder.rglob("*.*")}
    name = "torchvision/squeezenet1_1"
    assert written == {f"out/{name}.json", f"out/{name}.md", f"goldens/{name}.json"}
    assert read_certificate(out / f"{name}.json") == found
    assert (out / f"{name}.md").read_text(encoding="utf-8") == page(found)
    assert replay(PEERS[KEY], read_golden(goldens / f"{name}.json")) < 1e-6


def test_photographs_are_fed_as_the_makers_of_the_weights_do(tmp_path, monkeypatch):
    """Of one colour all over, so that resizing and cutting change nothing; in the order that a person expects."""
    for name, colour in (("2.png", (51, 102, 255)), ("10.png", (0, 0, 0))):
        Image.new("RGB", (300, 260), colour).save(tmp_path / name)
    keep = change("features.0", f"torch.save(x[0], {str(tmp_path / 'seen')!r})")
    monkeypatch.setenv("PYTHONPATH", library(tmp_path / "library", keep))
    [found] = certify_all(KEY, images=tmp_path)
    assert (found.holds, found.inputs) == (True, 2)
    colours = torch.tensor([[0.2, 0.4, 1.0], [0.0, 0.0, 0.0]])
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])  # as torchvision says
    wanted = ((colours - mean) / deviation)[:, :, None, None].expand(2, 3, 224, 224)
    assert torch.allclose(torch.load(tmp_path / "seen", weights_only=True), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("pattern", "nearest"),
    [
        ("torchvision:squeezenet9_1", KEY),
        ("timm:resnt18", "timm:resnet18"),
        ("squeezenet1_1", KEY),
        ("keras:vgg*6x", "keras:vgg16"),
    ],
)
def test_a_pattern_that_matches_nothing_names_the_nearest(pattern, nearest):
    with pytest.raises(NotFound) as raised:
        list(certify_all(pattern))
    assert repr(pattern) in raised.value.problem
    assert raised.value.remedy.startswith(f"did you mean {nearest}")


def test_photographs_for_a_network_of_which_no_weights_are_known_are_refused(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    with pytest.raises(NotFound) as raised:
        list(certify_all("timm:resnet200", images=tmp_path, python=tmp_path / "nowhere"))
    assert raised.value.problem == "nothing is known of how timm:resnet200 is fed"
    assert "--images" in raised.value.remedy


def test_a_folder_without_photographs_is_refused(tmp_path):
    with pytest.raises(DataError, match="has no images in it"):
        list(certify_all(KEY, images=tmp_path, python=tmp_path / "nowhere"))


def test_what_can_not_be_asked_leaves_no_file(tmp_path):
    with pytest.raises(WeightsError, match="can't be asked"):
        list(certify_all("*pytorch:lite0", out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()
