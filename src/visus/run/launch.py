"""What torchrun's environment variables say; other launchers set some of them."""

from __future__ import annotations

import os

from visus.errors import SpecError


def stated(name: str) -> bool:
    """Whether a variable says something."""
    return os.environ.get(name, "") != ""


def number(name: str, default: int) -> int:
    """A variable's whole number, not negative. Raises SpecError."""
    given = os.environ.get(name, "")
    if given == "":
        return default
    if not (given.isascii() and given.isdigit()):
        raise SpecError(f"{name}={given}: isn't a whole number", "start with torchrun, or unset it")
    return int(given)
