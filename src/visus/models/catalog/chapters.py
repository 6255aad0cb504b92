"""The chapters of the lineage, and all the kinds of networks in them."""

from __future__ import annotations

from visus.models.catalog import attention, classic, inception, origins, residual

CHAPTERS = (origins, classic, inception, residual, attention)
Whole = origins.Networks | classic.Networks | inception.Networks | residual.Networks | attention.Networks
