"""One file per job; each is a small frozen object that assembles, trains, decodes, measures and draws."""

from visus.tasks.base import Case, GivesBack, How, InGroups, Meter, Prediction, Task, degradations, in_windows, unit_of
from visus.tasks.classify import Classification, Classify, Tagging
from visus.tasks.detect import Detect
from visus.tasks.fast_rcnn import FastRCNN
from visus.tasks.localise import Localisation, Localise
from visus.tasks.masks import Segmentation
from visus.tasks.objects import Detecting, Detection
from visus.tasks.rcnn import RCNN
from visus.tasks.regress import Regress, Regression
from visus.tasks.restore import Restoration, Restore
from visus.tasks.segment import Segment
from visus.tasks.yolo import YoloV1

AnyTask = Classify | Regress | Localise | Detect | YoloV1 | FastRCNN | RCNN | Segment | Restore

__all__ = [
    "RCNN",
    "AnyTask",
    "Case",
    "Classification",
    "Classify",
    "Detect",
    "Detecting",
    "Detection",
    "FastRCNN",
    "GivesBack",
    "How",
    "InGroups",
    "Localisation",
    "Localise",
    "Meter",
    "Prediction",
    "Regress",
    "Regression",
    "Restoration",
    "Restore",
    "Segment",
    "Segmentation",
    "Tagging",
    "Task",
    "YoloV1",
    "degradations",
    "in_windows",
    "unit_of",
]
