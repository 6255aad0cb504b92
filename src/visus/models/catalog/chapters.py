"""The chapters of the lineage, and all the kinds of networks in them."""

from __future__ import annotations

from visus.models.catalog import attention, classic, dense, inception, mobile, objects, origins, pixels, residual

CHAPTERS = (origins, classic, inception, residual, mobile, attention, dense, objects, pixels)
Whole = (
    origins.Networks
    | classic.Networks
    | inception.Networks
    | residual.Networks
    | mobile.Networks
    | attention.Networks
    | dense.Networks
    | objects.Networks
    | pixels.Networks
)
