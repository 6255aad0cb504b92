"""The chapters of the lineage, and all the kinds of networks in them."""

from __future__ import annotations

from visus.models.catalog import origins, residual

CHAPTERS = (origins, residual)
Whole = origins.Networks | residual.Networks
