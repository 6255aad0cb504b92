"""Pure tensor functions."""

from visus.ops.resize import resize

__all__ = ["resize"]
