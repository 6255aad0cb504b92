"""Looking into networks."""

from visus.explain.summary import Row, Summary, summarize

__all__ = ["Row", "Summary", "summarize"]
