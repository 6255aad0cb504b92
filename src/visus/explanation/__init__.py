"""Looking into networks."""

from visus.explanation.blocks import Block
from visus.explanation.diagram import diagram
from visus.explanation.fold import Line, folded
from visus.explanation.follow import Span
from visus.explanation.receptive import Field, layer_fields, receptive_field
from visus.explanation.summary import Row, Stage, Summary, summarize

__all__ = [
    "Block",
    "Field",
    "Line",
    "Row",
    "Span",
    "Stage",
    "Summary",
    "diagram",
    "folded",
    "layer_fields",
    "receptive_field",
    "summarize",
]
