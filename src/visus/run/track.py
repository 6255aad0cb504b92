"""TensorBoard events, where TensorBoard is installed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, final


@final
class Events:
    """A writer of events into a run folder; it writes nothing where TensorBoard isn't installed."""

    def __init__(self, folder: Path) -> None:
        self._writer: Any = None
        if find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder))

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, row: Mapping[str, float]) -> None:
        """One epoch's figures, at its step."""
        if self._writer is not None:
            for name, value in row.items():
                if name not in ("step", "epoch"):
                    self._writer.add_scalar(name, value, int(row["step"]))
            self._writer.flush()
