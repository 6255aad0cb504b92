"""A split of clean inputs as pairs, for measuring: each is made worse in its own way, and always in that one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import final

import numpy as np
import torch
from torch import Tensor

from visus.data.degrade import Degradation, Rounded, degrade
from visus.data.image import Picture
from visus.data.loader import Prepared, generator
from visus.data.preprocess import as_tensor
from visus.data.samples import FileSamples, Samples, Stored
from visus.data.types import Batch, Skipped, Target

DRAWS = 0  # the seed, for all runs: networks that differ in theirs are measured on the same images


@final
class Degraded:
    """The placed samples of a split, of which what is made of sample i is a function of the sample and of i."""

    def __init__(self, clean: Prepared, steps: Sequence[Degradation], unit: Tensor | None = None) -> None:
        self.clean, self.steps, self.unit = clean, tuple(steps), unit
        self.samples: Samples = DegradedSamples(clean.samples, self.steps, unit)
        self.rows: Tensor = clean.rows
        self.skipped: list[Skipped] = clean.skipped

    def gather(self, positions: Tensor) -> Batch:
        """Inputs N×C×H×W float32 of values around 0…255, or N×F float32; without steps as they are."""
        batch = self.clean.gather(positions)
        pairs = zip(torch.split(batch.inputs, 1), batch.rows.tolist(), strict=True)
        worse = [degrade(x_1CHW, self.steps, generator(DRAWS, row), self.unit) for x_1CHW, row in pairs]
        return replace(batch, inputs=torch.cat(worse), target=replace(batch.target, image=batch.inputs))


@final
class DegradedSamples(Samples):
    """The same to look at: pictures made worse and rounded to 8 bits, or vectors; and the clean ones as what is
    wanted."""

    def __init__(self, samples: Samples, steps: Sequence[Degradation], unit: Tensor | None = None) -> None:
        self.samples, self.steps, self.unit = samples, tuple(steps), unit

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, row: int) -> Picture | np.ndarray:
        found, draws = self.samples.read(row), generator(DRAWS, row)
        if not isinstance(found, Picture):
            return degrade(as_tensor(found)[None], self.steps, draws, self.unit)[0].numpy()
        x_CHW = as_tensor(found.pixels).permute(2, 0, 1)
        worse_CHW = degrade(x_CHW[None], (*self.steps, Rounded()), draws)[0]
        return replace(found, pixels=worse_CHW.to(torch.uint8).permute(1, 2, 0).numpy())

    def target(self, row: int) -> Target:
        found = self.samples.read(row)
        return replace(self.samples.target(row), image=found.pixels if isinstance(found, Picture) else found)

    def name(self, row: int) -> str:
        return self.samples.name(row)

    def digest(self, row: int) -> bytes:
        return self.samples.digest(row)

    def block(self) -> np.ndarray | None:
        return None

    def stored(self, row: int) -> Stored | None:
        return None

    def shards(self) -> np.ndarray | None:
        return self.samples.shards()

    def origin(self, row: int) -> tuple[FileSamples, int] | None:
        return None
