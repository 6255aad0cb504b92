"""Layers, and the two shapes that every network has: a pyramid of maps, and a classifier on top of one."""

from visus.nn.activation import Activation, activation
from visus.nn.conv import ConvNormAct, Padding, TensorFlowPad, pooled_head
from visus.nn.detector import Detector
from visus.nn.gate import Gate
from visus.nn.lenet import AveragePool, Prototypes, ScaledTanh, SparseConv2d, Subsample, Tanh, WholeConv2d
from visus.nn.localizer import Localizer
from visus.nn.pyramid import Classifier, Pyramid, Rescale, parted
from visus.nn.rcnn import Pooled, Proposing, Windowed
from visus.nn.residual import DropPath, PadShortcut, Residual
from visus.nn.state import WithoutRandomStart, load_state
from visus.nn.yolo import Yolo

__all__ = [
    "Activation",
    "AveragePool",
    "Classifier",
    "ConvNormAct",
    "Detector",
    "DropPath",
    "Gate",
    "Localizer",
    "PadShortcut",
    "Padding",
    "Pooled",
    "Proposing",
    "Prototypes",
    "Pyramid",
    "Rescale",
    "Residual",
    "ScaledTanh",
    "SparseConv2d",
    "Subsample",
    "Tanh",
    "TensorFlowPad",
    "WholeConv2d",
    "Windowed",
    "WithoutRandomStart",
    "Yolo",
    "activation",
    "load_state",
    "parted",
    "pooled_head",
]
