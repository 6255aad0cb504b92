"""Bundles, and predictors made of them."""

from visus.prediction.bundle import Golden, Manifest, load, read_manifest, save
from visus.prediction.predictor import Predictor

__all__ = ["Golden", "Manifest", "Predictor", "load", "read_manifest", "save"]
