"""Figures of classification beside scikit-learn's."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as peers

from visus.metrics import LabelMeter, TagMeter


def predictions(seed: int, n: int, classes: int, sharp: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities that are more often right than not, and true classes."""
    random = np.random.default_rng(seed)
    label = random.integers(0, classes, n)
    scores = random.normal(size=(n, classes)) * sharp
    scores[np.arange(n), label] += 1.5
    return torch.softmax(torch.tensor(scores, dtype=torch.float32), 1), torch.tensor(label)


def filled(probabilities: torch.Tensor, label: torch.Tensor, batch: int = 10**9) -> LabelMeter:
    meter = LabelMeter(probabilities.shape[1])
    for rows in torch.split(torch.arange(len(label)), batch):
        meter.update(probabilities[rows], label[rows])
    return meter


cases = pytest.mark.parametrize(("n", "classes"), [(1, 2), (3, 6), (40, 2), (200, 5), (300, 10), (30, 20)])


@cases
def test_single_label_scores_are_scikit_learns(n, classes):
    probabilities, label = predictions(n, n, classes)
    scores = {name: score.value for name, score in filled(probabilities, label).scores().items()}
    p, predicted, every = probabilities.double().numpy(), probabilities.argmax(1).numpy(), np.arange(classes)
    assert scores["accuracy"] == pytest.approx(peers.accuracy_score(label, predicted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes that are predicted and never true
        assert scores["balanced_accuracy"] == pytest.approx(peers.balanced_accuracy_score(label, predicted))
    assert scores["f1"] == pytest.approx(peers.f1_score(label, predicted, average="macro", zero_division=0))
    normal = p / p.sum(1, keepdims=True)
    assert scores["loss"] == pytest.approx(peers.log_loss(label, normal, labels=every), rel=1e-5)
    if classes > 5:
        top = peers.top_k_accuracy_score(label, normal, k=5, labels=every)
        assert scores["top5_accuracy"] == pytest.approx(top)
    else:
        assert "top5_accuracy" not in scores


@cases
def test_per_class_figures_and_confusion_are_scikit_learns(n, classes):
    probabilities, label = predictions(n + 1, n, classes)
    meter, every = filled(probabilities, label), np.arange(classes)
    predicted = probabilities.argmax(1)
    assert np.array_equal(meter.confusion, peers.confusion_matrix(label, predicted, labels=every))
    wanted = peers.precision_recall_fscore_support(label, predicted, labels=every, zero_division=0)
    found = meter.per_class()
    for name, column in zip(("precision", "recall", "f1", "count"), wanted, strict=True):
        assert np.allclose(found[name], column), name


@given(st.integers(0, 999), st.integers(1, 60), st.integers(2, 7), st.integers(1, 20))
def test_batch_by_batch_is_all_at_once(seed, n, classes, batch):
    probabilities, label = predictions(seed, n, classes)
    one, other = filled(probabilities, label).scores(), filled(probabilities, label, batch).scores()
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].value == pytest.approx(other[name].value, abs=1e-6)
        assert one[name].n == other[name].n == n


@given(st.integers(0, 999), st.integers(1, 80))
def test_calibration_error_by_its_definition(seed, n):
    # Guo et al. 2017 (arXiv:1706.04599), equation 3: Σ_m |B_m|/n · |acc(B_m) − conf(B_m)|, B_m = ((m−1)/M, m/M], M = 15
    probabilities, label = predictions(seed, n, 4)
    confidence, predicted = (each.numpy() for each in probabilities.max(1))
    hit = predicted == label.numpy()
    wanted = 0.0
    for m in range(1, 16):
        inside = (confidence > (m - 1) / 15) & (confidence <= m / 15)
        if inside.any():
            wanted += inside.mean() * abs(hit[inside].mean() - confidence[inside].mean())
    meter = filled(probabilities, label)
    assert meter.scores()["calibration_error"].value == pytest.approx(wanted, abs=1e-5)
    mean, accuracy, count = meter.calibration()
    assert len(mean) == len(accuracy) == len(count) == 15
    assert count.sum() == n
    assert ((count / n) * (mean - accuracy).abs()).sum().item() == pytest.approx(wanted, abs=1e-5)


def test_a_confidence_on_the_border_of_two_bins_is_the_lower_ones():
    # (8/15, 9/15] holds both 0.55 and 0.6, and is the ninth; the others are there, and empty
    mean, accuracy, count = filled(torch.tensor([[0.6, 0.4], [0.55, 0.45]]), torch.tensor([0, 1])).calibration()
    assert mean.tolist() == pytest.approx([0.0] * 8 + [0.575] + [0.0] * 6)
    assert accuracy.tolist() == [0.0] * 8 + [0.5] + [0.0] * 6
    assert count.tolist() == [0] * 8 + [2] + [0] * 6


def test_what_is_better_when_high_and_what_when_low():
    scores = filled(*predictions(0, 30, 6)).scores()
    assert {name for name, score in scores.items() if not score.higher} == {"loss", "calibration_error"}
    for name in ("accuracy", "top5_accuracy"):
        assert scores[name].low < scores[name].value < scores[name].high


def test_a_perfect_prediction():
    label = torch.arange(8) % 4
    scores = filled(torch.eye(4)[label], label).scores()
    assert [scores[name].value for name in ("accuracy", "balanced_accuracy", "f1")] == [1, 1, 1]
    assert [scores[name].value for name in ("loss", "calibration_error")] == [0, 0]


def test_a_certain_and_wrong_prediction_has_a_finite_loss():
    scores = filled(torch.tensor([[1.0, 0.0]]), torch.tensor([1])).scores()
    assert 20 < scores["loss"].value < 1e3


def tags(seed: int, n: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    present = random.random((n, classes)) < 0.3
    present[:classes] |= np.eye(classes, dtype=bool)[:n]  # every label occurs
    scores = random.normal(size=(n, classes)) * 2 + present * 2 - 1
    return torch.sigmoid(torch.tensor(scores, dtype=torch.float32)), torch.tensor(present).float()


def tagged(probabilities: torch.Tensor, present: torch.Tensor, batch: int = 10**9, threshold: float = 0.5) -> TagMeter:
    meter = TagMeter(probabilities.shape[1], threshold)
    for rows in torch.split(torch.arange(len(present)), batch):
        meter.update(probabilities[rows], present[rows])
    return meter


@pytest.mark.parametrize("threshold", [0.5, 0.3])
@pytest.mark.parametrize(("n", "classes"), [(10, 2), (60, 5), (200, 3)])
def test_multi_label_scores_are_scikit_learns(n, classes, threshold):
    probabilities, present = tags(n, n, classes)
    meter = tagged(probabilities, present, threshold=threshold)
    scores = {name: score.value for name, score in meter.scores().items()}
    p, y = probabilities.double().numpy(), present.int().numpy()
    said = (p > threshold).astype(int)
    assert scores["f1"] == pytest.approx(peers.f1_score(y, said, average="macro", zero_division=0))
    assert scores["f1_micro"] == pytest.approx(peers.f1_score(y, said, average="micro", zero_division=0))
    assert scores["exact_match"] == pytest.approx(peers.accuracy_score(y, said))
    assert scores["mean_average_precision"] == pytest.approx(peers.average_precision_score(y, p, average="macro"))
    losses = [peers.log_loss(y[:, k], p[:, k], labels=[0, 1]) for k in range(classes)]
    assert scores["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    wanted = peers.precision_recall_fscore_support(y, said, average=None, zero_division=0)
    for name, column in zip(("precision", "recall", "f1", "count"), wanted, strict=True):
        assert np.allclose(meter.per_class()[name], column), name


@given(st.integers(0, 999), st.integers(4, 60), st.integers(1, 20))
def test_multi_label_batch_by_batch_is_all_at_once(seed, n, batch):
    probabilities, present = tags(seed, n, 4)
    one, other = tagged(probabilities, present).scores(), tagged(probabilities, present, batch).scores()
    for name in one:
        assert one[name].value == pytest.approx(other[name].value, abs=1e-9), name


def test_average_precision_tells_apart_probabilities_that_are_close():
    # a network that is sure of itself: all probabilities within a thousandth, in perfect order
    probabilities = torch.linspace(0.999, 0.9999, 20)[:, None].repeat(1, 2)
    present = torch.zeros(20, 2)
    present[15:] = 1
    assert tagged(probabilities, present).scores()["mean_average_precision"].value == 1.0


def test_a_label_that_never_occurs_has_no_average_precision():
    probabilities, present = tags(0, 30, 3)
    present[:, 1] = 0
    wanted = np.mean([peers.average_precision_score(present[:, k], probabilities[:, k]) for k in (0, 2)])
    assert tagged(probabilities, present).scores()["mean_average_precision"].value == pytest.approx(wanted)


def test_labels_that_never_occur_at_all():
    probabilities, present = tags(0, 10, 3)
    assert tagged(probabilities, torch.zeros_like(present)).scores()["mean_average_precision"].value == 0.0
