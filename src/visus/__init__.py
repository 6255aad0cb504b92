"""Visus: image neural networks, all of them."""

__version__ = "0.1.0"
