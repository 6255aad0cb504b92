"""Who learns, the loop, optimisers, schedules and checkpoints."""

from visus.training.loop import Learner, NotFinite, Step, fit, ready
from visus.training.optim import SGD, AdamW, Optimizer
from visus.training.player import Group, Player
from visus.training.schedule import Constant, Cosine, OneCycle, Plateau, Schedule, Steps

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
