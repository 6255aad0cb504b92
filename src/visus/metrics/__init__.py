"""Figures that tell how good predictions are, each with its interval where one is known."""

from visus.metrics.classification import LabelMeter, TagMeter
from visus.metrics.detection import DetectionMeter, Found
from visus.metrics.localisation import ENOUGH, LocalisationMeter
from visus.metrics.regression import ValueMeter
from visus.metrics.restoration import RestorationMeter, decibels, squared_error, ssim
from visus.metrics.score import Score, bootstrap, wilson
from visus.metrics.segmentation import MaskMeter

__all__ = [
    "ENOUGH",
    "DetectionMeter",
    "Found",
    "LabelMeter",
    "LocalisationMeter",
    "MaskMeter",
    "RestorationMeter",
    "Score",
    "TagMeter",
    "ValueMeter",
    "bootstrap",
    "decibels",
    "squared_error",
    "ssim",
    "wilson",
]
