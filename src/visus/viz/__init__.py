"""Pictures: figures of what a network learned and where it errs, and a report of a run as one HTML page.

All take plain arrays and strings, and return a matplotlib `Figure`; `save` and `png` make files of them.
"""

from visus.viz.atlas import accuracy_against_cost, errors_by_year
from visus.viz.bars import counts, top
from visus.viz.classification import calibration, confused_pairs, confusion, per_class
from visus.viz.compared import compared_curves
from visus.viz.curves import learning_curves, rate_curve
from visus.viz.maps import sample_map
from visus.viz.masks import draw_mask, mask_palette, masked, overlaps
from visus.viz.objects import histogram, pairs, palette, picture, precision_recall, precisions
from visus.viz.regression import residuals, scatter
from visus.viz.report import Picture, Table, Text, render
from visus.viz.restoration import close_up
from visus.viz.sheets import colour, draw_boxes, sheet
from visus.viz.style import RIGHT, WRONG, label, png, save

__all__ = [
    "RIGHT",
    "WRONG",
    "Picture",
    "Table",
    "Text",
    "accuracy_against_cost",
    "calibration",
    "close_up",
    "colour",
    "compared_curves",
    "confused_pairs",
    "confusion",
    "counts",
    "draw_boxes",
    "draw_mask",
    "errors_by_year",
    "histogram",
    "label",
    "learning_curves",
    "mask_palette",
    "masked",
    "overlaps",
    "pairs",
    "palette",
    "per_class",
    "picture",
    "png",
    "precision_recall",
    "precisions",
    "rate_curve",
    "render",
    "residuals",
    "sample_map",
    "save",
    "scatter",
    "sheet",
    "top",
]
