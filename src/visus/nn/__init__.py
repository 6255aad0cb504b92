"""Layers, and the two shapes that every network has: a pyramid of maps, and a classifier on top of one."""

from visus.nn.conv import conv_norm, pooled_head
from visus.nn.gate import Gate
from visus.nn.lenet import Prototypes, ScaledTanh, SparseConv2d, Subsample
from visus.nn.pyramid import Classifier, Pyramid, Rescale
from visus.nn.residual import PadShortcut, Residual
from visus.nn.state import load_state

__all__ = [
    "Classifier",
    "Gate",
    "PadShortcut",
    "Prototypes",
    "Pyramid",
    "Rescale",
    "Residual",
    "ScaledTanh",
    "SparseConv2d",
    "Subsample",
    "conv_norm",
    "load_state",
    "pooled_head",
]
