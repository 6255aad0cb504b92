"""Networks made for images out of images; the counts of what restores are in tests/unit/models/test_dncnn.py."""

from tests.contract.facts.base import Counts, Facts

FACTS = {"dncnn": Facts()}

COUNTS: dict[str, Counts] = {}
