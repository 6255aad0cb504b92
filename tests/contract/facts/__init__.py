"""What is known of the networks from elsewhere, chapter by chapter as the catalog is laid out."""

from tests.contract.facts import attention, classic, dense, inception, mobile, objects, origins, pixels, residual

CHAPTERS = (origins, classic, inception, residual, mobile, attention, dense, objects, pixels)
FACTS = {name: facts for chapter in CHAPTERS for name, facts in chapter.FACTS.items()}
COUNTS = {name: counts for chapter in CHAPTERS for name, counts in chapter.COUNTS.items()}
