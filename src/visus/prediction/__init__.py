"""Predictors: of one network, of several views, of several predictors; and the bundles that keep them."""

from visus.prediction.bundle import bundle_of, load, read_manifest, save
from visus.prediction.fusion import Fusion
from visus.prediction.manifest import FusionManifest, Golden, Manifest, Member, NetworkManifest
from visus.prediction.network import NetworkPredictor, Viewed
from visus.prediction.predictor import Engine, Predictor
from visus.prediction.weights import fit_weights

__all__ = [
    "Engine",
    "Fusion",
    "FusionManifest",
    "Golden",
    "Manifest",
    "Member",
    "NetworkManifest",
    "NetworkPredictor",
    "Predictor",
    "Viewed",
    "bundle_of",
    "fit_weights",
    "load",
    "read_manifest",
    "save",
]
