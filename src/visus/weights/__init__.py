"""Weights from other libraries: safe to read, proven to give the same answers."""
