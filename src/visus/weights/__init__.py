"""Weights from elsewhere: reading their files safely."""
