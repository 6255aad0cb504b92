"""One file per job; each is a small frozen object that assembles, trains, decodes, measures and draws."""

from visus.tasks.base import Case, How, InPixels, Meter, Prediction, Task, degradations
from visus.tasks.classify import Classification, Classify, Tagging
from visus.tasks.detect import Detect
from visus.tasks.localise import Localisation, Localise
from visus.tasks.masks import Segmentation
from visus.tasks.objects import Detection
from visus.tasks.regress import Regress, Regression
from visus.tasks.restore import Restoration, Restore
from visus.tasks.segment import Segment
from visus.tasks.yolo import YoloV1

AnyTask = Classify | Regress | Localise | Detect | YoloV1 | Segment | Restore

__all__ = [
    "AnyTask",
    "Case",
    "Classification",
    "Classify",
    "Detect",
    "Detection",
    "How",
    "InPixels",
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
]
