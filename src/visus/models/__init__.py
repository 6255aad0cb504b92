"""Networks: a family is its paper's knobs and one builder; the catalog names their variants.

The modules here hold plain data and import torch only when something is built, so that names, cards and recipes are
read at once.
"""

from visus.models.build import build_classifier, find, list_models, signed, stage_shapes
from visus.models.cards import Card, Family
from visus.models.catalog import CATALOG, FAMILIES, TINY, Network
from visus.models.cut import Cut

__all__ = [
    "CATALOG",
    "FAMILIES",
    "TINY",
    "Card",
    "Cut",
    "Family",
    "Network",
    "build_classifier",
    "find",
    "list_models",
    "signed",
    "stage_shapes",
]
