"""Looking into networks."""

from visus.explanation.follow import Span
from visus.explanation.receptive import Field, layer_fields, receptive_field
from visus.explanation.summary import Row, Summary, summarize

__all__ = ["Field", "Row", "Span", "Summary", "layer_fields", "receptive_field", "summarize"]
