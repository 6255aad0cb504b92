"""Figures that tell how good predictions are, each with its interval where one is known."""

from visus.metrics.classification import LabelMeter, TagMeter
from visus.metrics.detection import DetectionMeter, Found
from visus.metrics.localisation import ENOUGH, LocalisationMeter
from visus.metrics.regression import ValueMeter
from visus.metrics.score import Score, bootstrap, wilson
from visus.metrics.segmentation import MaskMeter

__all__ = [
    "ENOUGH",
    "DetectionMeter",
    "Found",
    "LabelMeter",
    "LocalisationMeter",
    "MaskMeter",
    "Score",
    "TagMeter",
    "ValueMeter",
    "bootstrap",
    "wilson",
]
