"""From one task to another: what of a trained network is kept, what learns anew, and when."""

from visus.adaptation.frozen import features_of, split
from visus.adaptation.learning import groups, set_epoch
from visus.adaptation.plans import Full, Linear, Partial, Plan, Scratch, Stage, network_of, parse_plan

__all__ = [
    "Full",
    "Linear",
    "Partial",
    "Plan",
    "Scratch",
    "Stage",
    "features_of",
    "groups",
    "network_of",
    "parse_plan",
    "set_epoch",
    "split",
]
