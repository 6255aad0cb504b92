"""Bundles, and predictors made of them."""

from visus.predict.bundle import Golden, Manifest, load, save
from visus.predict.predictor import Predictor

__all__ = ["Golden", "Manifest", "Predictor", "load", "save"]
