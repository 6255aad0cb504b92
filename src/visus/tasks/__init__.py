"""One file per job; each is a small frozen object that assembles, trains, decodes, measures and draws."""

from visus.tasks.base import Case, How, Meter, Prediction, Task
from visus.tasks.classify import Classification, Classify, Tagging
from visus.tasks.regress import Regress, Regression

AnyTask = Classify | Regress

__all__ = [
    "AnyTask",
    "Case",
    "Classification",
    "Classify",
    "How",
    "Meter",
    "Prediction",
    "Regress",
    "Regression",
    "Tagging",
    "Task",
]
