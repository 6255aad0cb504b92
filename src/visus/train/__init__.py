"""Who learns, the loop, optimisers, schedules and checkpoints."""

from visus.train.loop import Learner, NotFinite, Step, fit, ready
from visus.train.optim import SGD, AdamW, Optimizer
from visus.train.player import Group, Player
from visus.train.schedule import Constant, Cosine, OneCycle, Plateau, Schedule, Steps

__all__ = [
    "SGD",
    "AdamW",
    "Constant",
    "Cosine",
    "Group",
    "Learner",
    "NotFinite",
    "OneCycle",
    "Optimizer",
    "Plateau",
    "Player",
    "Schedule",
    "Step",
    "Steps",
    "fit",
    "ready",
]
