"""Looking into networks."""

from visus.explanation.diagram import diagram
from visus.explanation.fold import Line, folded
from visus.explanation.parts import Part
from visus.explanation.summary import Row, Stage, Summary, summarize

__all__ = ["Line", "Part", "Row", "Stage", "Summary", "diagram", "folded", "summarize"]
