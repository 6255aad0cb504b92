"""Which class, or which classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec
import numpy as np
import torch
from msgspec.structs import replace as with_fields
from torch import Tensor, nn
from torch.nn import functional as F

from visus.data.preprocess import Placement
from visus.data.types import Batch, Schema, Targets
from visus.errors import DataError, require_count
from visus.metrics import LabelMeter, TagMeter
from visus.models import Network, build_classifier, signed
from visus.nn import Classifier
from visus.spec import Variant
from visus.tasks.base import Case, How, exact
from visus.training import Player

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 5  # labels in the line that stands for a prediction
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]


@dataclass(frozen=True, slots=True, repr=False)
class Classification:
    """One class: probabilities K, summing to 1, of the labels."""

    probabilities: np.ndarray
    labels: tuple[str, ...]
    image: np.ndarray | None = None

    def __repr__(self) -> str:
        return f"Classification({self.label} {self.confidence:.1%})"

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.labels[int(self.probabilities.argmax())]

    @property
    def confidence(self) -> float:
        """Its probability."""
        return float(self.probabilities.max())

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The k most probable classes with their probabilities. Raises SpecError under 1."""
        return _top(self.probabilities, self.labels, k)

    def row(self) -> dict[str, Any]:
        return {"label": self.label, "confidence": self.confidence, "top": dict(self.top())}

    def text(self) -> str:
        return ", ".join(f"{label} {share:.1%}" for label, share in self.top(3))

    def plot(self, title: str = "Prediction") -> Figure:
        from visus import viz

        names, shares = zip(*self.top(), strict=True)
        return viz.top(names, shares, self.image, title)

    def on(self, image: np.ndarray, placement: Placement) -> Classification:
        return replace(self, image=image)


@dataclass(frozen=True, slots=True, repr=False)
class Tagging:
    """Several classes: a probability for each label by itself, K; present above the threshold."""

    probabilities: np.ndarray
    labels: tuple[str, ...]
    threshold: float = 0.5
    image: np.ndarray | None = None

    def __repr__(self) -> str:
        present = self.present
        more = f", … ({len(present)} in all)" if len(present) > SHOWN else ""
        return f"Tagging({', '.join(present[:SHOWN]) or 'none of the labels'}{more})"

    @property
    def present(self) -> tuple[str, ...]:
        """The labels whose probability is above the threshold."""
        chosen = zip(self.labels, self.probabilities, strict=True)
        return tuple(label for label, share in chosen if share > self.threshold)

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The k most probable labels with their probabilities. Raises SpecError under 1."""
        return _top(self.probabilities, self.labels, k)

    def row(self) -> dict[str, Any]:
        return {"labels": list(self.present), "top": dict(self.top())}

    def text(self) -> str:
        return ", ".join(self.present) or "none of the labels"

    def plot(self, title: str = "Prediction") -> Figure:
        from visus import viz

        names, shares = zip(*self.top(), strict=True)
        return viz.top(names, shares, self.image, title)

    def on(self, image: np.ndarray, placement: Placement) -> Tagging:
        return replace(self, image=image)


class Classify(Variant, frozen=True, tag="classify"):
    """One class by softmax cross-entropy; or several, each by logistic cross-entropy, where the data have them.

    smoothing: label smoothing (Szegedy et al. 2015, arXiv:1512.00567, §7). balance: weight classes by the inverse of
    their frequency. weights: of the classes, in order; set by `balance`. threshold: above it a label is present.
    """

    smoothing: Share = 0.0
    balance: bool = False
    weights: tuple[Annotated[float, msgspec.Meta(ge=0)], ...] | None = None
    threshold: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5
    needs: ClassVar[tuple[tuple[str, ...], ...]] = (("label",), ("labels",))
    exact: ClassVar[bool] = False

    def goal(self, schema: Schema) -> str:
        return "f1" if _several(schema) else "accuracy"

    def fitted(self, schema: Schema, targets: Targets) -> Classify:
        if len(schema.labels) < 2:
            raise DataError(
                f"classification needs at least two classes, and there is only {', '.join(schema.labels) or 'none'}",
                "add a folder of images of another class",
            )
        if self.weights is not None and len(self.weights) != len(schema.labels):
            raise DataError(f"task.weights has {len(self.weights)} values for {len(schema.labels)} classes")
        if not self.balance or self.weights is not None:
            return self
        if targets.labels is not None:
            counts = targets.labels.sum(0)
        else:
            assert targets.label is not None
            counts = torch.bincount(targets.label, minlength=len(schema.labels)).float()
        inverse = counts.sum() / (len(counts) * counts.clamp_min(1))
        return with_fields(self, weights=tuple(round(each, 6) for each in inverse.tolist()))

    def assemble(self, network: Network, schema: Schema) -> nn.Module:
        return build_classifier(signed(network) if _several(schema) else network, schema.shape, len(schema.labels))

    def players(self, model: nn.Module) -> tuple[Player, ...]:
        assert isinstance(model, Classifier)
        parameter = next(model.parameters())
        weights = None if self.weights is None else torch.tensor(self.weights, device=parameter.device)

        def loss(batch: Batch) -> dict[str, Tensor]:
            (_, scores_NK), *others = model.graded(batch.inputs)
            found = {"cross_entropy": graded(scores_NK, batch)}
            if others:
                found["auxiliary"] = torch.stack([share * graded(each_NK, batch) for share, each_NK in others]).sum()
            return found

        def graded(scores_NK: Tensor, batch: Batch) -> Tensor:
            if batch.target.labels is not None:
                wanted_NK = batch.target.labels * (1 - self.smoothing) + self.smoothing / 2
                return F.binary_cross_entropy_with_logits(scores_NK, wanted_NK, pos_weight=weights)
            assert batch.target.label is not None
            return F.cross_entropy(scores_NK, batch.target.label, weights, label_smoothing=self.smoothing)

        def weight(batch: Batch) -> float | Tensor:
            label = batch.target.label
            if weights is None or label is None or label.ndim > 1:
                return len(batch)
            return weights[label].sum()  # what cross-entropy divides by

        return (replace(Player.of("classifier", model, loss), weight=weight),)

    def calibrate(self, model: nn.Module, batches: Iterable[Batch], held: Iterable[Batch]) -> None:
        return

    def decode(self, output: Tensor, schema: Schema) -> list[Classification] | list[Tagging]:
        values = (torch.sigmoid(output.float()) if _several(schema) else torch.softmax(output.float(), 1)).cpu().numpy()
        if _several(schema):
            return [Tagging(row, schema.labels, self.threshold) for row in values]
        return [Classification(row, schema.labels) for row in values]

    def meter(self, schema: Schema) -> LabelMeter | TagMeter:
        classes = len(schema.labels)
        return TagMeter(classes, self.threshold) if _several(schema) else LabelMeter(classes)

    def measure(self, meter: LabelMeter | TagMeter, output: Tensor, target: Targets) -> None:
        scores_NK = output.float()
        if isinstance(meter, TagMeter):
            assert target.labels is not None
            meter.update(torch.sigmoid(scores_NK).cpu(), target.labels.cpu())
        else:
            assert target.label is not None
            meter.update(torch.softmax(scores_NK, 1).cpu(), target.label.cpu())

    def errors(self, output: Tensor, target: Targets) -> Tensor:
        scores_NK = exact(output)
        if target.labels is not None:
            labels_NK = target.labels.to(scores_NK.dtype)
            return F.binary_cross_entropy_with_logits(scores_NK, labels_NK, reduction="none").mean(1)
        assert target.label is not None
        return F.cross_entropy(scores_NK, target.label, reduction="none")

    def fuse(self, outputs: Sequence[Tensor], weights: Tensor, how: How, schema: Schema) -> Tensor:
        scores_MNK = exact(torch.stack(tuple(outputs)))
        weights_M11 = weights.to(scores_MNK).view(-1, 1, 1)
        if how == "geometric":  # Πp^w: softmax and sigmoid of the mean score
            return (weights_M11 * scores_MNK).sum(0)
        if _several(schema):
            present, absent = F.logsigmoid(scores_MNK), F.logsigmoid(-scores_MNK)
            return _log_mean(present, weights_M11) - _log_mean(absent, weights_M11)
        return _log_mean(F.log_softmax(scores_MNK, -1), weights_M11)

    def draw(
        self, meter: LabelMeter | TagMeter, worst: Sequence[Case], some: Sequence[Case], schema: Schema
    ) -> dict[str, Figure]:
        from visus import viz

        pictures: dict[str, Figure] = {}
        if isinstance(meter, LabelMeter):
            pictures["confusion"] = viz.confusion(meter.confusion.numpy(), schema.labels)
        each = {name: column.tolist() for name, column in meter.per_class().items()}
        pictures["per_class"] = viz.per_class(
            each["precision"], each["recall"], each["f1"], each["count"], schema.labels
        )
        wrong = [case for case in worst if not _right(case, schema)]
        for name, title, cases in (
            ("worst", "The worst errors" if wrong else "All are right; these were the least sure", wrong or worst[:6]),
            ("samples", "What was predicted", some),
        ):
            shown = [case for case in cases if case.image is not None]
            if shown:
                pictures[name] = _sheet(shown, title, schema)
        if isinstance(meter, LabelMeter):
            confidence, accuracy, count = (column.tolist() for column in meter.calibration())
            error = meter.scores()["calibration_error"].value
            pictures["calibration"] = viz.calibration(confidence, accuracy, count, error)
        return pictures


def _top(probabilities: np.ndarray, labels: tuple[str, ...], k: int) -> list[tuple[str, float]]:
    require_count("top", k)
    order = np.argsort(-probabilities, kind="stable")[:k]
    return [(labels[index], float(probabilities[index])) for index in order]


def _several(schema: Schema) -> bool:
    return "labels" in schema.targets


def _log_mean(logs_MNK: Tensor, weights_M11: Tensor) -> Tensor:
    """log Σ w·exp(logs) over the first axis; with a gradient for weights of 0 too, which logsumexp hasn't."""
    most_1NK = logs_MNK.amax(0, keepdim=True)
    total_NK = (weights_M11 * (logs_MNK - most_1NK).exp()).sum(0)
    return total_NK.clamp_min(torch.finfo(total_NK.dtype).tiny).log() + most_1NK[0]


def _right(case: Case, schema: Schema) -> bool:
    said: Any = case.prediction
    if isinstance(said, Tagging):
        return set(said.present) == {schema.labels[index] for index in case.target.labels or ()}
    return bool(said.label == schema.labels[case.target.label or 0])


def _sheet(cases: Sequence[Case], title: str, schema: Schema) -> Figure:
    from visus import viz

    captions, colors = [], []
    for case in cases:
        right, said = _right(case, schema), case.prediction.text()
        if isinstance(case.prediction, Tagging):
            truth = ", ".join(schema.labels[index] for index in case.target.labels or ()) or "none"
        else:
            truth, said = schema.labels[case.target.label or 0], said.split(", ")[0]
        captions.append(said if right else f"{said}\ntruth: {truth}")
        colors.append(viz.RIGHT if right else viz.WRONG)
    return viz.sheet([case.image for case in cases if case.image is not None], captions, title, colors=colors)
