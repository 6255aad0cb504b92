"""How much."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from msgspec.structs import replace as with_fields
from torch import Tensor, nn
from torch.nn import functional as F

from visus.data.preprocess import Placement
from visus.data.types import Batch, Schema, Targets
from visus.errors import DataError, SpecError
from visus.metrics import ValueMeter
from visus.models import Network, build_classifier, signed
from visus.nn import Classifier, Rescale
from visus.spec import Variant
from visus.tasks.base import Case, How, exact
from visus.training import Player

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 5  # values in the line that stands for a prediction
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mse": F.mse_loss, "l1": F.l1_loss, "huber": F.huber_loss}


@dataclass(frozen=True, slots=True, repr=False)
class Regression:
    """Numbers: values V of the names, in the units of the data."""

    values: np.ndarray
    names: tuple[str, ...]
    image: np.ndarray | None = None

    def __repr__(self) -> str:
        more = f", … ({len(self.names)} in all)" if len(self.names) > SHOWN else ""
        shown = zip(self.names[:SHOWN], self.values, strict=False)
        return f"Regression({', '.join(f'{name} {value:.4g}' for name, value in shown)}{more})"

    def row(self) -> dict[str, Any]:
        return {name: float(value) for name, value in zip(self.names, self.values, strict=True)}

    def text(self) -> str:
        return ", ".join(f"{name} {value:.4g}" for name, value in self.row().items())

    def plot(self, title: str = "Prediction") -> Figure:
        from visus import viz

        image = np.full((8, 8, 1), 255, np.uint8) if self.image is None else self.image
        return viz.sheet([image], [self.text()], title)

    def on(self, image: np.ndarray, placement: Placement) -> Regression:
        return replace(self, image=image)


class Regress(Variant, frozen=True, tag="regress"):
    """Numbers, by mean squared error unless another loss is named.

    loss: on standardised values, so that every target weighs alike. mean, std: of the training targets, found there;
    the network gives values in the units of the data.
    """

    loss: Literal["mse", "l1", "huber"] = "mse"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    needs: ClassVar[tuple[tuple[str, ...], ...]] = (("values",),)
    exact: ClassVar[bool] = True

    def goal(self, schema: Schema) -> str:
        return "r2"

    def fitted(self, schema: Schema, targets: Targets) -> Regress:
        if self.mean is not None and self.std is not None:
            for name, given in (("mean", self.mean), ("std", self.std)):
                if len(given) != len(schema.values):
                    raise DataError(f"task.{name} has {len(given)} numbers for {len(schema.values)} values")
            return self
        assert targets.values is not None
        if not targets.values.isfinite().all():
            raise DataError("a value to predict is NaN or infinite", "`visus data check` names the rows")
        std = targets.values.std(0, correction=0)
        return with_fields(
            self,
            mean=tuple(targets.values.mean(0).tolist()),
            std=tuple(each if each > 0 else 1.0 for each in std.tolist()),
        )

    def assemble(self, network: Network, schema: Schema) -> nn.Module:
        if self.mean is None or self.std is None:
            raise DataError("a regression needs the mean and std of its targets", "call `fitted` first")
        model = build_classifier(signed(network), schema.shape, len(schema.values))
        model.head = nn.Sequential(model.head, Rescale(self.mean, self.std))
        for stage, head in model.auxiliary.items():
            model.auxiliary[stage] = nn.Sequential(head, Rescale(self.mean, self.std))
        return model

    def players(self, model: nn.Module) -> tuple[Player, ...]:
        assert isinstance(model, Classifier)
        measure = LOSSES[self.loss]
        rescale = next(module for module in model.modules() if isinstance(module, Rescale))

        def loss(batch: Batch) -> dict[str, Tensor]:
            assert batch.target.values is not None
            parts = [
                share * measure(found_NV / rescale.std, batch.target.values / rescale.std)
                for share, found_NV in model.graded(batch.inputs)
            ]
            return {self.loss: torch.stack(parts).sum()}

        return (Player.of("regressor", model, loss),)

    def calibrate(self, model: nn.Module, batches: Iterable[Batch], held: Iterable[Batch]) -> None:
        return

    def decode(self, output: Tensor, schema: Schema) -> list[Regression]:
        return [Regression(row, schema.values) for row in output.float().cpu().numpy()]

    def meter(self, schema: Schema) -> ValueMeter:
        return ValueMeter(schema.values)

    def measure(self, meter: ValueMeter, output: Tensor, target: Targets) -> None:
        assert target.values is not None
        meter.update(output.float().cpu(), target.values.cpu())

    def errors(self, output: Tensor, target: Targets) -> Tensor:
        assert target.values is not None
        assert self.std is not None
        values_NV = exact(output)
        return ((values_NV - target.values) / torch.tensor(self.std).to(values_NV)).square().mean(1)

    def fuse(self, outputs: Sequence[Tensor], weights: Tensor, how: How, schema: Schema) -> Tensor:
        if how == "geometric":
            raise SpecError("how is 'geometric', and a regression's values have no probabilities", "use 'arithmetic'")
        values_MNV = exact(torch.stack(tuple(outputs)))
        return (weights.to(values_MNV).view(-1, 1, 1) * values_MNV).sum(0)

    def draw(self, meter: ValueMeter, worst: Sequence[Case], some: Sequence[Case], schema: Schema) -> dict[str, Figure]:
        from visus import viz

        predicted, true = meter.pairs()
        pictures: dict[str, Figure] = {}
        for index, name in enumerate(schema.values):
            suffix = "" if len(schema.values) == 1 else f"_{index + 1}"
            pictures[f"scatter{suffix}"] = viz.scatter(predicted[:, index], true[:, index], name)
            pictures[f"residuals{suffix}"] = viz.residuals(predicted[:, index], true[:, index], name)
        for key, title, cases in (("worst", "The worst errors", worst), ("samples", "Samples", some)):
            images = [case.image for case in cases if case.image is not None]
            if images:
                captions = [
                    f"{case.prediction.text()}\ntruth: {', '.join(f'{each:.4g}' for each in case.target.values or ())}"
                    for case in cases
                ]
                pictures[key] = viz.sheet(images, captions, title)
        return pictures
