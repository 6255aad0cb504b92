"""Looking into networks."""

from visus.explanation.blocks import Block
from visus.explanation.diagram import diagram
from visus.explanation.fold import Line, folded
from visus.explanation.summary import Row, Stage, Summary, summarize

__all__ = ["Block", "Line", "Row", "Stage", "Summary", "diagram", "folded", "summarize"]
