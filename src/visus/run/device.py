"""On what a run computes, and how exactly."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from visus.errors import SpecError
from visus.machine import cores
from visus.run.recipe import Runtime
from visus.training.ranks import ALONE, Ranks

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h


def device_of(name: str, ranks: Ranks = ALONE) -> torch.device:
    """The device of a name; "auto" takes CUDA, then Apple's, then the processor. Raises SpecError.

    Of several ranks on a machine each has an accelerator of its own.
    """
    if ranks.count > 1:
        return _device_of_rank(name, ranks)
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise SpecError(
            f"runtime.device {name!r} can't be used: there is no such device", "--device auto, cpu, cuda, cuda:1 or mps"
        ) from None
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as problem:
        cause = str(problem).splitlines()[0]
        raise SpecError(f"runtime.device {name!r} can't be used: {cause}", "--device auto, or --device cpu") from None
    return device


def _device_of_rank(name: str, ranks: Ranks) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name not in ("cpu", "cuda"):
        raise SpecError(
            f"runtime.device {name!r} can't be used by {ranks.count} ranks",
            "--device auto, cuda or cpu: each takes an accelerator of its own",
        )
    if name == "cuda" and ranks.beside > torch.cuda.device_count():
        raise SpecError(
            f"{ranks.beside} ranks on this machine have {torch.cuda.device_count()} CUDA devices",
            f"torchrun --nproc-per-node {max(1, torch.cuda.device_count())}, or --device cpu",
        )
    if name == "cpu":
        return torch.device("cpu")
    torch.cuda.set_device(ranks.local)
    return torch.device("cuda", ranks.local)


def threads_of(runtime: Runtime, ranks: Ranks) -> int | None:
    """How many threads of the processor this process takes; None: as many as torch does."""
    if runtime.threads is not None or ranks.beside == 1:
        return runtime.threads
    return max(1, cores() // ranks.beside)


def wait_for(device: torch.device) -> None:
    """Until an accelerator has done what it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def precision_of(runtime: Runtime) -> torch.dtype:
    """The type of the network's arithmetic; float32 where it hasn't been decided."""
    return torch.bfloat16 if runtime.precision == "bfloat16" else torch.float32


def keep_memory() -> bool:
    """Keep freed memory in this process, from now on; whether the system's allocator could be told (glibc's can).

    It would otherwise give each large block back to the system and fetch it anew in every step, page by page.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, 1 << 30))


@contextmanager
def setting(runtime: Runtime, seed: int, ranks: Ranks = ALONE) -> Iterator[None]:
    """Seed, threads and determinism of a run; what the process had before is put back, but for the allocator."""
    threads, exact, strict = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    if runtime.keep_memory:
        keep_memory()
    if (wanted := threads_of(runtime, ranks)) is not None:
        torch.set_num_threads(wanted)
    if runtime.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(exact, warn_only=strict)
        torch.set_rng_state(state)
