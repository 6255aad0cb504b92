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
    from visus.data.views import Views
    from visus.errors import VisusError
    from visus.explanation import summarize
    from visus.models import list_models
    from visus.prediction import Fusion, Predictor, load
    from visus.run.api import Fused, Measured, create_model, evaluate, fuse, predict, pretrained, train
    from visus.run.bench import Paces, bench
    from visus.run.datasets import convert, shard
    from visus.run.exporting import Exported, export
    from visus.run.features import Features, features
    from visus.run.optimizing import Optimized, optimize
    from visus.run.outcome import Run
    from visus.run.predicting import Predicted, predict_to
    from visus.run.recipe import Recipe
    from visus.run.reproducing import Reproduced, reproduce
    from visus.run.training import resume
    from visus.run.transferring import Transferred, transfer

# Where the public names live; what is slow to import is imported when it is first used.
_HOMES = {
    "Exported": "visus.run.exporting",
    "Features": "visus.run.features",
    "Fused": "visus.run.api",
    "Fusion": "visus.prediction",
    "Measured": "visus.run.api",
    "Optimized": "visus.run.optimizing",
    "Paces": "visus.run.bench",
    "Predicted": "visus.run.predicting",
    "Predictor": "visus.prediction",
    "Recipe": "visus.run.recipe",
    "Reproduced": "visus.run.reproducing",
    "Run": "visus.run.outcome",
    "Transferred": "visus.run.transferring",
    "Views": "visus.data.views",
    "VisusError": "visus.errors",
    "bench": "visus.run.bench",
    "convert": "visus.run.datasets",
    "create_model": "visus.run.api",
    "evaluate": "visus.run.api",
    "export": "visus.run.exporting",
    "features": "visus.run.features",
    "fuse": "visus.run.api",
    "list_models": "visus.models",
    "load": "visus.prediction",
    "open_dataset": "visus.data.open",
    "optimize": "visus.run.optimizing",
    "predict": "visus.run.api",
    "predict_to": "visus.run.predicting",
    "pretrained": "visus.run.api",
    "reproduce": "visus.run.reproducing",
    "resume": "visus.run.training",
    "shard": "visus.run.datasets",
    "summarize": "visus.explanation",
    "train": "visus.run.api",
    "transfer": "visus.run.transferring",
}

__all__ = [
    "Exported",
    "Features",
    "Fused",
    "Fusion",
    "Measured",
    "Optimized",
    "Paces",
    "Predicted",
    "Predictor",
    "Recipe",
    "Reproduced",
    "Run",
    "Transferred",
    "Views",
    "VisusError",
    "__version__",
    "bench",
    "convert",
    "create_model",
    "evaluate",
    "export",
    "features",
    "fuse",
    "list_models",
    "load",
    "open_dataset",
    "optimize",
    "predict",
    "predict_to",
    "pretrained",
    "reproduce",
    "resume",
    "shard",
    "summarize",
    "train",
    "transfer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'visus' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
