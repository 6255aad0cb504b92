"""Networks: a family is its paper's knobs and one builder; the catalog names their variants.

The modules here hold plain data and import torch only when something is built, so that names, cards and recipes are
read at once.
"""

from visus.models.build import STANDARD, Bounds, Order, build_classifier, find, list_models, signed, stage_shapes
from visus.models.cards import Card, Family
from visus.models.catalog import CATALOG, FAMILIES, TINY, Network
from visus.models.catalog.chapters import CHAPTERS
from visus.models.challenge import ENTRIES, HUMAN_ERROR, Entry
from visus.models.cut import Cut

__all__ = [
    "CATALOG",
    "CHAPTERS",
    "ENTRIES",
    "FAMILIES",
    "HUMAN_ERROR",
    "STANDARD",
    "TINY",
    "Bounds",
    "Card",
    "Cut",
    "Entry",
    "Family",
    "Network",
    "Order",
    "build_classifier",
    "find",
    "list_models",
    "signed",
    "stage_shapes",
]
