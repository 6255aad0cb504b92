"""Visus: image neural networks, all of them.

>>> import visus
>>> net = visus.create_model("resnet50", classes=10)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from visus.data.open import open_dataset
    from visus.errors import VisusError
    from visus.explanation import summarize
    from visus.models import list_models
    from visus.prediction import Predictor, load
    from visus.run.api import Measured, create_model, evaluate, predict, pretrained, train
    from visus.run.recipe import Recipe
    from visus.run.training import Run, resume

# Where the public names live; what is slow to import is imported when it is first used.
_HOMES = {
    "Measured": "visus.run.api",
    "Predictor": "visus.prediction",
    "Recipe": "visus.run.recipe",
    "Run": "visus.run.training",
    "VisusError": "visus.errors",
    "create_model": "visus.run.api",
    "evaluate": "visus.run.api",
    "list_models": "visus.models",
    "load": "visus.prediction",
    "open_dataset": "visus.data.open",
    "predict": "visus.run.api",
    "pretrained": "visus.run.api",
    "resume": "visus.run.training",
    "summarize": "visus.explanation",
    "train": "visus.run.api",
}

__all__ = [
    "Measured",
    "Predictor",
    "Recipe",
    "Run",
    "VisusError",
    "__version__",
    "create_model",
    "evaluate",
    "list_models",
    "load",
    "open_dataset",
    "predict",
    "pretrained",
    "resume",
    "summarize",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'visus' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
