"""The thousand classes of ImageNet (ILSVRC 2012), in the order of all published weights."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def imagenet_classes() -> tuple[tuple[str, str], ...]:
    """(WordNet id, name) of each class.

    >>> imagenet_classes()[310]
    ('n02219486', 'ant')
    """
    lines = (files("visus.data") / "imagenet.txt").read_text("utf-8").splitlines()
    return tuple((wordnet, name) for wordnet, _, name in (line.partition(" ") for line in lines))


def imagenet_labels() -> tuple[str, ...]:
    """The names alone."""
    return tuple(name for _, name in imagenet_classes())
