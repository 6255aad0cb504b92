"""A network whose backbone never changes: its features are computed once, and a layer learns on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from visus.data.augment import Augment
from visus.data.loader import InMemory, Loader
from visus.data.preprocess import VectorPreprocess
from visus.data.types import Targets
from visus.nn import Classifier, Pyramid, parted


def split(model: Classifier) -> tuple[nn.Sequential, Classifier]:
    """What is before the last layer that learns, frozen; and a classifier that is the rest, shared with the model.

    The first takes N×C×H×W and gives features, N×F in most networks. Raises ModelError where the head has no layer
    that learns.
    """
    before, last = parted(model.head)
    fixed = nn.Sequential(model.backbone, *before).requires_grad_(False).eval()
    return fixed, Classifier(Pyramid([nn.Identity()], model.backbone.channels[-1:], ()), last)


def features_of(
    fixed: nn.Module, loader: Loader, *, precision: torch.dtype = torch.float32,
    progress: Callable[[int, int], None] | None = None,
) -> Loader:  # fmt: skip
    """A loader of the features of every sample of a loader's split, computed once, without augmentation."""
    found: list[Tensor] = []
    targets: list[Targets] = []
    rows: list[Tensor] = []
    done = 0
    with torch.inference_mode():
        for batch in loader.evaluate():
            with torch.autocast(loader.device.type, precision, enabled=precision != torch.float32):
                found.append(fixed(batch.inputs).float().cpu())
            targets.append(batch.target.to(torch.device("cpu")))
            rows.append(batch.rows)
            done += len(batch)
            if progress is not None:
                progress(done, len(loader.prepared.rows))
    inputs = torch.cat(found).clone()
    plain = VectorPreprocess(mean=(0.0,), std=(1.0,))  # leaves them as they are
    kept = InMemory(loader.prepared.samples, torch.cat(rows), loader.prepared.skipped, inputs, Targets.joined(targets))
    return replace(loader, prepared=kept, preprocess=plain, augment=Augment(), channels_last=False)
