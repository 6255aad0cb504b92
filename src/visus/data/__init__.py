"""Samples: read, checked, divided, preprocessed, augmented and loaded."""
