"""What a figure was measured on."""

from __future__ import annotations

from visus.run.folder import environment


def describe() -> str:
    """Machine and versions in one line each."""
    found = environment(())
    keys = ("processor", "cores", "threads", "system", "python", "torch", "visus")
    return "\n".join(f"{key}: {found[key]}" for key in keys)
