"""Small runs for tests: a perceptron on the digits, seconds long."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import visus
from visus.run.watch import Silent

QUICK = ("optim.lr=0.01", "model.spec.dropout=0.2", "budget.ema=0.9")


def quick_run(folder: Path, *, epochs: int = 2, settings: Sequence[str] = QUICK, model: str = "mlp") -> visus.Run:
    return visus.train(
        "digits", model=model, epochs=epochs, batch=256, settings=settings, run=folder, device="cpu", watch=Silent()
    )
