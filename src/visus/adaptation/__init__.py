"""From one task to another: what of a trained network is kept, what learns anew, and when."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from visus.adaptation.plans import Full, Linear, Partial, Plan, Scratch, Stage, network_of, parse_plan

if TYPE_CHECKING:
    from visus.adaptation.frozen import features_of, split
    from visus.adaptation.learning import groups, set_epoch

# What works on networks needs torch, and plans, which are read and checked first, don't.
_HOMES = {
    "features_of": "visus.adaptation.frozen",
    "groups": "visus.adaptation.learning",
    "set_epoch": "visus.adaptation.learning",
    "split": "visus.adaptation.frozen",
}

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
