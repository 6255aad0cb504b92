"""A library to ask where none is installed: a package named torchvision that has one network, under its own names."""

from __future__ import annotations

import os
from pathlib import Path

from torch import nn

VERSION = "9.9"
# SqueezeNet 1.1, written out (Iandola et al. 2016, arXiv:1602.07360, and the authors' release 1.1)
SOURCE = """
import torch
from torch import nn

class Fire(nn.Module):
    def __init__(self, c_in, squeezed, expanded):
        super().__init__()
        self.squeeze = nn.Conv2d(c_in, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x):
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x).relu(), self.expand3x3(x).relu()], 1)

class SqueezeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(64, 16, 64), Fire(128, 16, 64), nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(128, 32, 128), Fire(256, 32, 128), nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256),
        )
        self.classifier = nn.Sequential(nn.Dropout(), nn.Conv2d(512, 1000, 1), nn.ReLU())

    def forward(self, x):
        return self.classifier(self.features(x)).mean((2, 3))

class models:
    @staticmethod
    def get_model(name, weights):
        assert (name, weights) == ("squeezenet1_1", None)
        model = SqueezeNet()
        # changes
        return model
"""


def library(folder: Path, *changes: str) -> str:
    """Write it into a folder; what PYTHONPATH must be for it to be found. changes: lines that alter `model`."""
    package, facts = folder / "torchvision", folder / f"torchvision-{VERSION}.dist-info"
    package.mkdir(parents=True)
    facts.mkdir()
    lines = "".join(f"\n        {line}" for line in changes)
    (package / "__init__.py").write_text(SOURCE.replace("\n        # changes", lines), encoding="utf-8")
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torchvision\nVersion: {VERSION}\n")
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def squeezenet() -> nn.Module:
    """Its network, in this process."""
    found: dict[str, type] = {}
    exec(SOURCE, found)
    return found["SqueezeNet"]().eval()


def change(layer: str, result: str) -> str:
    """A line that makes a layer of `model` give something else, told from its inputs x and its output y."""
    return f'model.get_submodule("{layer}").register_forward_hook(lambda _, x, y: {result})'
