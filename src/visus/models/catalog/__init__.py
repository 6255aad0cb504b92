"""The networks by name: literal tables, one for each chapter of the lineage; a variant is a value.

Each chapter names its FAMILIES (paper), a TINY network a family (a few thousand parameters, for tests and for trying
things out) and its CARDS.
"""

from __future__ import annotations

from visus.models import cards
from visus.models.cards import Card, Family
from visus.models.catalog.chapters import CHAPTERS, Whole
from visus.models.cut import Cut

Network = Whole | Cut
vars(cards)["Network"] = Network  # where the annotation of Card.spec is looked up; cards can't import this module

FAMILIES: dict[str, Family] = {name: family for chapter in CHAPTERS for name, family in chapter.FAMILIES.items()}
TINY: dict[str, Network] = {name: spec for chapter in CHAPTERS for name, spec in chapter.TINY.items()}
CATALOG: dict[str, Card] = {name: card for chapter in CHAPTERS for name, card in chapter.CARDS.items()}
