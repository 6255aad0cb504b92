"""The chapters of the lineage, and all the kinds of networks in them."""

from __future__ import annotations

from visus.models.catalog import attention, origins, residual

CHAPTERS = (origins, residual, attention)
Whole = origins.Networks | residual.Networks | attention.Networks
