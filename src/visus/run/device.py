"""On what a run computes, and how exactly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from visus.errors import SpecError
from visus.run.recipe import Runtime


def device_of(name: str) -> torch.device:
    """The device of a name; "auto" takes CUDA, then Apple's, then the processor. Raises SpecError."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as problem:
        cause = str(problem).splitlines()[0]
        raise SpecError(f"runtime.device {name!r} can't be used: {cause}", "--device auto, or --device cpu") from None
    return device


def precision_of(runtime: Runtime) -> torch.dtype:
    """The type of the network's arithmetic."""
    return torch.bfloat16 if runtime.precision == "bfloat16" else torch.float32


@contextmanager
def setting(runtime: Runtime, seed: int) -> Iterator[None]:
    """Seed, threads and determinism of a run; what the process had before is put back."""
    threads, exact, strict = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    if runtime.threads is not None:
        torch.set_num_threads(runtime.threads)
    if runtime.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(exact, warn_only=strict)
        torch.set_rng_state(state)
