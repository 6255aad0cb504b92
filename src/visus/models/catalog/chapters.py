"""The chapters of the lineage, and all the kinds of networks in them."""

from __future__ import annotations

from visus.models.catalog import attention, classic, origins, residual

CHAPTERS = (origins, classic, residual, attention)
Whole = origins.Networks | classic.Networks | residual.Networks | attention.Networks
