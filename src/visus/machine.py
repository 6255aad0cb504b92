"""What a machine computes with."""

from __future__ import annotations

import hashlib
import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from visus import __version__

QUOTA = Path("/sys/fs/cgroup/cpu.max")
LIBRARIES = ("numpy", "pillow", "msgspec", "safetensors", "torchmetrics", "scikit-learn")


def described() -> dict[str, Any]:
    """Versions and processor, as far as they can be told without torch being loaded."""
    libraries = {}
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            libraries[name] = version(name)
    return {
        "visus": __version__,
        "torch": version("torch"),
        "python": platform.python_version(),
        "libraries": libraries,
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
    }


def processor() -> str:
    """The processor's name."""
    return _told().get("model name", "") or platform.processor() or platform.machine()


def abilities() -> str:
    """A digest of the instructions that the processor knows; of nothing where the system doesn't tell."""
    told = _told()
    return hashlib.sha256(told.get("flags", told.get("Features", "")).encode()).hexdigest()[:12]


def cores() -> int:
    """How many cores this process may use: by its affinity, and by what a container is allowed."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # no such limit, or none in the form of Linux's second control groups
        allowed, period = map(int, QUOTA.read_text("ascii").split())
        found = min(found, -(-allowed // period))
    return max(1, found)


def _told() -> dict[str, str]:
    """What Linux says of the first processor."""
    found: dict[str, str] = {}
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            name, _, value = line.partition(":")
            found.setdefault(name.strip(), value.strip())
    return found
