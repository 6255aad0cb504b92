"""Weights of an ONNX file by the place of each layer in its graph: whatever the names, normalisations folded or not."""

from visus.weights.graphs.fitted import Fitted, fit
from visus.weights.graphs.layers import Unlike

__all__ = ["Fitted", "Unlike", "fit"]
