"""Of one class each, and of several. torchmetrics takes seconds to import, so only what measures waits for it."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from visus.metrics.score import Score, wilson

# Several processes share an evaluation by gathering outputs, so that no meter has to add itself to others'.
OWN = {"sync_on_compute": False}
BINS = 15  # of confidence, for calibration: the usual number since Guo et al. 2017 (arXiv:1706.04599)


@final
class LabelMeter:
    """Figures of single-label classification, gathered batch by batch.

    confusion: K×K counts, true class by predicted class.
    """

    def __init__(self, classes: int) -> None:
        from torchmetrics.classification import MulticlassCalibrationError, MulticlassConfusionMatrix

        self.classes = classes
        self._confusion = MulticlassConfusionMatrix(classes, validate_args=False, **OWN)
        self._calibration = MulticlassCalibrationError(classes, n_bins=BINS, norm="l1", validate_args=False, **OWN)
        self._loss, self._top5, self._n = 0.0, 0, 0
        self._bins = torch.zeros(3, BINS, dtype=torch.float64)  # samples, sum of confidence, hits

    def update(self, probabilities_NK: Tensor, label_N: Tensor) -> None:
        """Take in a batch: probabilities that sum to 1, and the true classes."""
        self._confusion.update(probabilities_NK.argmax(1), label_N)
        self._calibration.update(probabilities_NK, label_N)
        true_N = probabilities_NK.gather(1, label_N[:, None])[:, 0]
        self._loss += -true_N.clamp_min(1e-12).log().double().sum().item()
        self._top5 += int((probabilities_NK.topk(min(5, self.classes)).indices == label_N[:, None]).any(1).sum())
        self._n += len(label_N)
        confidence_N, predicted_N = probabilities_NK.max(1)
        which_N = (confidence_N * BINS).ceil().long().sub(1).clamp(0, BINS - 1)
        hit_N = (predicted_N == label_N).double()
        for row, values in enumerate((torch.ones_like(hit_N), confidence_N.double(), hit_N)):
            self._bins[row].index_add_(0, which_N, values)

    @property
    def confusion(self) -> Tensor:
        """K×K int64."""
        matrix: Tensor = self._confusion.compute()
        return matrix

    def calibration(self) -> tuple[Tensor, Tensor, Tensor]:
        """For each of the equal bins of confidence: mean confidence, accuracy (both 0 where it is empty), samples."""
        number, confidence, hits = self._bins
        return confidence / number.clamp_min(1), hits / number.clamp_min(1), number.long()

    def per_class(self) -> dict[str, Tensor]:
        """precision, recall, f1 (0 where undefined) and count of true samples, K each."""
        matrix = self.confusion.double()
        hits, true, predicted = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
        precision, recall = hits / predicted.clamp_min(1), hits / true.clamp_min(1)
        f1 = 2 * hits / (true + predicted).clamp_min(1)
        return {"precision": precision, "recall": recall, "f1": f1, "count": true.long()}

    def scores(self) -> dict[str, Score]:
        """accuracy, balanced_accuracy (mean recall of the classes that occur), f1 (mean of those that occur or are
        predicted), top5_accuracy, loss (cross-entropy in nats), calibration_error (expected, 15 bins).
        """
        matrix, each = self.confusion, self.per_class()
        seen, said = each["count"] > 0, matrix.sum(0) > 0
        found = {
            "accuracy": wilson(int(matrix.diagonal().sum()), self._n),
            "balanced_accuracy": Score(value=each["recall"][seen].mean().item(), n=self._n, share=True),
            "f1": Score(value=each["f1"][seen | said].mean().item(), n=self._n),
        }
        if self.classes > 5:
            found["top5_accuracy"] = wilson(self._top5, self._n)
        found["loss"] = Score(value=self._loss / self._n, n=self._n, higher=False)
        found["calibration_error"] = Score(value=self._calibration.compute().item(), n=self._n, higher=False)
        return found


@final
class TagMeter:
    """Figures of multi-label classification, gathered batch by batch."""

    def __init__(self, classes: int, threshold: float) -> None:
        from torchmetrics.classification import MultilabelStatScores

        self.classes, self.threshold = classes, threshold
        self._counts = MultilabelStatScores(classes, threshold=threshold, average=None, validate_args=False, **OWN)
        self._pairs: list[tuple[Tensor, Tensor]] = []  # average precision needs the order of all
        self._exact, self._n, self._loss = 0, 0, 0.0

    def update(self, probabilities_NK: Tensor, labels_NK: Tensor) -> None:
        """Take in a batch: a probability for each label by itself, and 0 or 1."""
        self._counts.update(probabilities_NK, labels_NK.int())
        self._pairs.append((probabilities_NK, labels_NK))
        self._exact += int(((probabilities_NK > self.threshold) == labels_NK.bool()).all(1).sum())
        clipped = probabilities_NK.double().clamp(1e-12, 1 - 1e-12)
        self._loss += torch.nn.functional.binary_cross_entropy(clipped, labels_NK.double(), reduction="sum").item()
        self._n += len(labels_NK)

    def per_class(self) -> dict[str, Tensor]:
        """precision, recall, f1 (0 where undefined) and count of true samples, K each."""
        hits, wrong, _, _, true = self._counts.compute().double().T
        precision, recall = hits / (hits + wrong).clamp_min(1), hits / true.clamp_min(1)
        return {"precision": precision, "recall": recall, "f1": 2 * hits / (hits + wrong + true).clamp_min(1),
                "count": true.long()}  # fmt: skip

    def scores(self) -> dict[str, Score]:
        """f1 (macro), f1_micro, mean_average_precision (of the labels that occur), exact_match, loss (binary
        cross-entropy a label, nats).
        """
        each, counts = self.per_class(), self._counts.compute().double().sum(0)
        hits, wrong, _, _, true = counts.tolist()
        return {
            "f1": Score(value=each["f1"].mean().item(), n=self._n),
            "f1_micro": Score(value=2 * hits / max(hits + wrong + true, 1), n=self._n),
            "mean_average_precision": Score(value=self._average_precision(), n=self._n),
            "exact_match": wilson(self._exact, self._n),
            "loss": Score(value=self._loss / (self._n * self.classes), n=self._n, higher=False),
        }

    def _average_precision(self) -> float:
        from sklearn.metrics import average_precision_score

        probabilities_NK, labels_NK = (torch.cat(each).numpy() for each in zip(*self._pairs, strict=True))
        columns = zip(labels_NK.T, probabilities_NK.T, strict=True)
        found = [float(average_precision_score(true, given)) for true, given in columns if true.any()]
        return sum(found) / max(len(found), 1)
