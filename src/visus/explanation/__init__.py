"""Looking into networks."""

from visus.explanation.summary import Row, Summary, summarize

__all__ = ["Row", "Summary", "summarize"]
