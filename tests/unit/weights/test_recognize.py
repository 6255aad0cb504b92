"""Which network a file is of, by its names or by its graph."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import visus
from visus.weights.formats import Stored, read_weights
from visus.weights.recognize import fits, not_finite


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("resnet18", {}),
        ("resnet8", {"classes": 10, "channels": 1}),
        ("mobilenet_v2", {"classes": 7}),
        ("googlenet", {"classes": 5}),
        ("vit_tiny_patch16", {"image_size": 64, "classes": 2}),
        ("mlp", {}),
    ],
)
def test_our_networks_are_known_by_our_names(tmp_path: Path, name: str, asked: dict[str, int]):
    save_file(dict(visus.create_model(name, **asked).state_dict()), tmp_path / "mine.safetensors")
    assert name in fits(read_weights(tmp_path / "mine.safetensors"))


@pytest.mark.filterwarnings("ignore:You are using the legacy:DeprecationWarning")
def test_an_exported_graph_is_known_by_its_layers(tmp_path: Path):
    pytest.importorskip("onnx")
    model = visus.create_model("resnet8", classes=10, channels=1).eval()
    torch.onnx.export(model, (torch.zeros(1, 1, 32, 32),), str(tmp_path / "mine.onnx"), dynamo=False)
    assert fits(read_weights(tmp_path / "mine.onnx")) == ["resnet8"]


def test_other_networks_are_not_known():
    other = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Flatten(), torch.nn.Linear(8, 2))
    assert fits(Stored(Path("x"), "torch-zip", dict(other.state_dict()))) == []


def test_what_is_no_number_is_counted():
    values = {"a": torch.tensor([1.0, float("nan"), float("inf")]), "b": torch.ones(2), "c": torch.arange(3)}
    assert not_finite(Stored(Path("x"), "torch-zip", values)) == {"a": 2}
