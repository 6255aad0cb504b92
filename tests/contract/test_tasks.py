"""What every task holds to: assembled, it learns a batch, says what it sees, is measured and drawn."""

import tomllib
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.text import Text

from visus.data.preprocess import Placement
from visus.data.types import VOID, Batch, Boxes, Schema, Target, Targets
from visus.errors import DataError
from visus.metrics import Score
from visus.models import TINY
from visus.models.mlp import MLP
from visus.models.parts import BatchNorm
from visus.models.resnet import ResNet, SmallStem
from visus.spec import decode, dumps
from visus.tasks import (
    RCNN,
    AnyTask,
    Case,
    Classification,
    Classify,
    Detect,
    Detection,
    FastRCNN,
    Localisation,
    Localise,
    Regress,
    Regression,
    Segment,
    Segmentation,
    Tagging,
    YoloV1,
)  # fmt: skip
from visus.training import AdamW, fit, ready

COUNT, LABELS = 24, ("cat", "dog", "emu")
NET = ResNet(depths=(1, 1), widths=(8, 16), stem=SmallStem(channels=8))
DEEP = ResNet(depths=(1, 1, 1), widths=(8, 16, 32), stem=SmallStem(channels=8))
SIDE = 32  # of images with objects


@dataclass(frozen=True)
class Setting:
    """A task on some data. rate, steps: with which it learns a batch."""

    task: AnyTask
    schema: Schema
    kind: type
    pictures: set[str]
    rate: float = 0.03
    steps: int = 60

    @property
    def network(self) -> ResNet | MLP:
        if "boxes" in self.schema.targets:
            return DEEP
        return NET if self.schema.inputs == "image" else MLP(hidden=(32,))

    def batch(self) -> Batch:
        if "boxes" in self.schema.targets:
            return objects()
        generator = torch.Generator().manual_seed(0)
        inputs = torch.randn(COUNT, *self.schema.shape, generator=generator)
        if "label" in self.schema.targets:
            target = Targets(label=torch.arange(COUNT) % len(LABELS))
        elif "labels" in self.schema.targets:
            target = Targets(labels=(torch.rand(COUNT, 3, generator=generator) < 0.4).float())
        elif "mask" in self.schema.targets:
            mask = (inputs[:, 0] > 0).byte() + (inputs[:, 1] > 1).byte()
            mask[:, :2, :3] = VOID
            target = Targets(mask=mask)
        else:
            values = torch.randn(COUNT, len(self.schema.values), generator=generator) * torch.tensor([50.0, 0.1])
            target = Targets(values=values + torch.tensor([1000.0, 3.0]))
        return Batch(inputs, target, torch.arange(COUNT))

    def targets(self) -> list[Target]:
        found = self.batch().target
        if found.boxes is not None:
            return [Target(boxes=each) for each in found.boxes]
        if found.label is not None:
            return [Target(label=int(each)) for each in found.label]
        if found.labels is not None:
            return [Target(labels=tuple(row.nonzero().flatten().tolist())) for row in found.labels]
        if found.mask is not None:
            return [Target(mask=row.numpy()) for row in found.mask]
        return [Target(values=tuple(row.tolist())) for row in found.values]

    def fitted(self) -> AnyTask:
        return self.task.fitted(self.schema, self.batch().target)


def objects() -> Batch:
    """A rectangle on each image, and on some a smaller one: the class is the channel in which it shines."""
    random = np.random.default_rng(0)
    inputs, boxes = torch.zeros(COUNT, 3, SIDE, SIDE), []
    for row in range(COUNT):
        sides = [random.integers(12, 17, 2), random.integers(6, 9, 2)][: 1 + row % 3 // 2]
        corners = [random.integers(0, SIDE // 2 - 8 * (number == 0), 2) + number * SIDE // 2 * np.array([0, 1])
                   for number in range(len(sides))]  # fmt: skip
        xyxy = np.array([[*corner, *(corner + side)] for corner, side in zip(corners, sides, strict=True)], np.float32)
        xyxy = xyxy.clip(0, SIDE)
        labels = random.integers(0, 3, len(xyxy))
        for (left, top, right, bottom), label in reversed(list(zip(xyxy.astype(int), labels, strict=True))):
            inputs[row, :, top:bottom, left:right] = 0
            inputs[row, label, top:bottom, left:right] = 2
        boxes.append(Boxes(xyxy, labels))
    return Batch(inputs, Targets(boxes=tuple(boxes)), torch.arange(COUNT))


IMAGE, VECTOR = {"inputs": "image", "shape": (3, 12, 12)}, {"inputs": "vector", "shape": (6,)}
ONE, SOME, MUCH, EVERYWHERE = (
    {"targets": ("label",), "labels": LABELS},
    {"targets": ("labels",), "labels": LABELS},
    {"targets": ("values",), "values": ("weight", "height")},
    {"targets": ("mask",), "masks": LABELS},
)
FOUND = Schema(inputs="image", shape=(3, SIDE, SIDE), targets=("boxes",), labels=LABELS)
OBJECTS, PLACE = {"precision_recall", "per_class", "worst", "samples"}, {"overlap", "worst", "samples"}
NUMBERS = {"scatter_1", "residuals_1", "scatter_2", "residuals_2"}
SETTINGS = {
    "classes of images": Setting(
        Classify(), Schema(**IMAGE, **ONE), Classification,
        {"confusion", "per_class", "calibration", "worst", "samples"},
    ),
    "classes of vectors": Setting(
        Classify(smoothing=0.1, balance=True), Schema(**VECTOR, **ONE), Classification,
        {"confusion", "per_class", "calibration"},
    ),
    "labels of images": Setting(
        Classify(balance=True), Schema(**IMAGE, **SOME), Tagging, {"per_class", "worst", "samples"}
    ),
    "labels of vectors": Setting(Classify(threshold=0.3), Schema(**VECTOR, **SOME), Tagging, {"per_class"}),
    "values of images": Setting(Regress(), Schema(**IMAGE, **MUCH), Regression, NUMBERS | {"worst", "samples"}),
    "values of vectors": Setting(Regress(loss="huber"), Schema(**VECTOR, **MUCH), Regression, NUMBERS),
    "an object": Setting(Localise(hidden=32), FOUND, Localisation, PLACE, rate=0.002),
    "an object by giou": Setting(
        Localise(loss="giou", box=2.0, hidden=32), FOUND, Localisation, PLACE, rate=0.002, steps=120
    ),
    "objects": Setting(Detect(strides=(4, 8), width=24, depth=1), FOUND, Detection, OBJECTS, rate=0.008),
    "objects, softly": Setting(Detect(strides=(4,), width=24, soft=True), FOUND, Detection, OBJECTS, rate=0.008),
    "objects of cells": Setting(
        YoloV1(channels=32, norm=BatchNorm(), hidden=0), FOUND, Detection, OBJECTS, rate=0.002
    ),
    "objects of cells that see all": Setting(
        YoloV1(channels=16, hidden=64, dropout=0.0), FOUND, Detection, OBJECTS, rate=0.002
    ),
    "objects of regions": Setting(
        FastRCNN(regions=40, samples=16, hidden=64, dropout=0.0, grid=4), FOUND, Detection, OBJECTS, rate=0.003
    ),
    "objects of windows": Setting(
        RCNN(regions=40, samples=8, window=16, head="softmax"), FOUND, Detection, OBJECTS, rate=0.01
    ),
    "classes of pixels": Setting(
        Segment(dice=1.0, balance=True, boundary="dog"), Schema(**IMAGE, **EVERYWHERE), Segmentation,
        {"confusion", "per_class", "worst", "samples"},
    ),
    "values by l1": Setting(Regress(loss="l1"), Schema(**VECTOR, **MUCH), Regression, NUMBERS),
}  # fmt: skip
each_setting = pytest.mark.parametrize("setting", SETTINGS.values(), ids=list(SETTINGS))


def trained(setting: Setting, steps: int = 0) -> tuple[torch.nn.Module, list[float]]:
    torch.manual_seed(0)
    model = setting.fitted().assemble(setting.network, setting.schema)
    players = setting.fitted().players(model)
    batch = setting.batch()
    losses = [sum(part.item() for part in players[0].loss(batch).values())]
    learners = ready(players, AdamW(lr=setting.rate, weight_decay=0.0))
    for step in fit(learners, iter(lambda: batch, None), steps=steps):
        losses.append(sum(part.item() for part in step.losses[players[0].name].values()))
    return model.eval(), losses


@each_setting
def test_it_has_a_finite_loss_and_learns_one_batch(setting):
    model, losses = trained(setting, steps=30)
    assert np.isfinite(losses).all()
    low = _entropy_of_smoothed(setting.task)
    assert losses[-1] - low < (losses[0] - low) / 2
    assert all(parameter.grad is not None for parameter in model.parameters())


def _entropy_of_smoothed(task: AnyTask) -> float:
    """The least loss that label smoothing ε leaves, for K classes alike in weight: the entropy of its targets."""
    if not isinstance(task, Classify) or not task.smoothing:
        return 0.0
    wanted = np.full(3, task.smoothing / 3)
    wanted[0] += 1 - task.smoothing
    return float(-(wanted * np.log(wanted)).sum())


@each_setting
def test_it_survives_toml_before_and_after_it_is_fitted(setting):
    for task in (setting.task, setting.fitted()):
        assert decode(tomllib.loads(dumps(task)), type(task)) == task


@each_setting
def test_fitting_a_fitted_task_changes_nothing(setting):
    assert setting.fitted().fitted(setting.schema, setting.batch().target) == setting.fitted()


@each_setting
def test_its_data_have_what_it_needs(setting):
    assert any(set(needed) <= set(setting.schema.targets) for needed in setting.task.needs)


@each_setting
def test_predictions_are_in_the_names_and_units_of_the_data(setting):
    model, _ = trained(setting)
    with torch.inference_mode():
        predictions = setting.fitted().decode(model(setting.batch().inputs), setting.schema)
    assert len(predictions) == COUNT
    for prediction in predictions:
        assert isinstance(prediction, setting.kind)
        assert prediction.text()
        assert isinstance(prediction.row(), dict)
        if isinstance(prediction, Regression):
            assert set(prediction.row()) == {"weight", "height"}
            assert 500 < prediction.row()["weight"] < 1500  # untrained: about the mean of the targets, 1000 and 3
            assert 1 < prediction.row()["height"] < 5
        elif isinstance(prediction, Detection):
            assert {each["label"] for each in prediction.row()["objects"]} <= set(LABELS)
            assert ((prediction.scores >= 0) & (prediction.scores <= 1)).all()
            assert (np.diff(prediction.scores) <= 0).all()
        elif isinstance(prediction, Localisation):
            assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-5)
            assert prediction.present == ("label" in prediction.row())
        elif isinstance(prediction, Segmentation):
            assert prediction.mask.shape == (12, 12)
            assert set(prediction.shares) <= set(LABELS)
            assert sum(prediction.shares.values()) == pytest.approx(1)
        else:
            assert [name for name, _ in prediction.top(2)] == [
                LABELS[i] for i in np.argsort(-prediction.probabilities)[:2]
            ]
            assert ((prediction.probabilities >= 0) & (prediction.probabilities <= 1)).all()
    image = np.zeros((20, 30, 3), np.uint8)
    placed = predictions[0].on(image, Placement(1, 1, 0, 0, 12, 12))
    assert isinstance(placed, setting.kind)
    assert isinstance(placed.plot(), Figure)
    assert "$cat.jpg" in [text.get_text().replace("\\", "") for text in placed.plot("$cat.jpg").findobj(Text)]
    plt.close("all")


def test_class_probabilities_sum_to_one_and_labels_stand_alone():
    output = torch.tensor([[2.0, 0.0, -1.0]])
    (one,) = Classify().decode(output, Schema(**IMAGE, **ONE))
    assert one.probabilities == pytest.approx(np.exp([2, 0, -1]) / np.exp([2, 0, -1]).sum(), rel=1e-6)
    assert (one.label, one.confidence) == ("cat", pytest.approx(one.probabilities.max()))
    (some,) = Classify(threshold=0.4).decode(output, Schema(**IMAGE, **SOME))
    assert some.probabilities == pytest.approx(1 / (1 + np.exp([-2.0, 0, 1])), rel=1e-6)
    assert some.present == ("cat", "dog")
    (none,) = Classify().decode(output - 9, Schema(**IMAGE, **SOME))
    assert none.present == ()
    assert none.text() == "none of the labels"


def measured(setting: Setting, steps: int):
    model, _ = trained(setting, steps)
    task, batch = setting.fitted(), setting.batch()
    meter = task.meter(setting.schema)
    with torch.inference_mode():
        output = model(batch.inputs)
        task.measure(meter, output, batch.target)
        errors = task.errors(output, batch.target)
        predictions = task.decode(output, setting.schema)
    return task, meter, errors, predictions


@each_setting
def test_scores_are_in_range_and_among_them_is_the_goal(setting):
    task, meter, errors, _ = measured(setting, 30)
    scores = meter.scores()
    assert task.goal(setting.schema) in scores
    assert errors.shape == (COUNT,)
    assert (errors >= 0).all()
    for name, score in scores.items():
        assert isinstance(score, Score)
        assert score.n == COUNT
        assert np.isfinite(score.value), name
        if name not in ("loss", "rmse", "mae", "r2", "distance"):
            assert 0 <= score.value <= 1, name
        if score.low is not None:
            assert score.low <= score.value <= score.high, name


@each_setting
def test_learning_improves_the_goal(setting):
    goal = setting.task.goal(setting.schema)
    before, after = (measured(setting, steps)[1].scores()[goal] for steps in (0, setting.steps))
    assert after.higher
    assert after.value > max(before.value, 0.7)


@each_setting
def test_errors_rank_the_cases_as_their_own_losses(setting):
    task, _, errors, _ = measured(setting, 3)
    model, _ = trained(setting, 3)
    for row in (0, COUNT - 1):
        alone = Batch(setting.batch().inputs[row : row + 1], setting.batch().target.pick(torch.tensor([row])),
                      torch.tensor([row]))  # fmt: skip
        with torch.inference_mode():
            found = task.errors(model(alone.inputs), alone.target)
        assert found.item() == pytest.approx(errors[row].item(), rel=1e-3, abs=1e-4)


@each_setting
def test_it_draws(setting):
    task, meter, errors, predictions = measured(setting, 3)
    image = np.full((12, 12, 3), 90, np.uint8) if setting.schema.inputs == "image" else None
    cases = [
        Case(f"{row}.png", image, prediction, target, error)
        for row, (prediction, target, error) in enumerate(
            zip(predictions, setting.targets(), errors.tolist(), strict=True)
        )
    ]
    drawn = task.draw(meter, cases[:3], cases[3:7], setting.schema)
    assert set(drawn) == setting.pictures
    assert all(isinstance(figure, Figure) for figure in drawn.values())
    plt.close("all")


def test_balanced_weights_are_n_over_k_times_the_counts():
    # scikit-learn's class_weight="balanced" (King and Zeng 2001): n / (K · n_k)
    label = torch.tensor([0] * 6 + [1] * 3 + [2] * 1)
    task = Classify(balance=True).fitted(Schema(**IMAGE, **ONE), Targets(label=label))
    assert task.weights == pytest.approx((10 / 18, 10 / 9, 10 / 3), abs=1e-6)
    assert Classify().fitted(Schema(**IMAGE, **ONE), Targets(label=label)).weights is None


def test_weights_weigh_in_the_loss():
    schema = Schema(**VECTOR, **ONE)
    label, x = torch.tensor([0, 1, 2, 2]), torch.randn(4, 6)
    task = Classify(weights=(1.0, 2.0, 4.0))
    model = task.assemble(TINY["mlp"], schema)
    (player,) = task.players(model)
    single = -torch.log_softmax(model(x), 1)[torch.arange(4), label]
    weight = torch.tensor([1.0, 2.0, 4.0, 4.0])
    wanted = (single * weight).sum() / weight.sum()
    found = player.loss(Batch(x, Targets(label=label), torch.arange(4)))
    assert found["cross_entropy"].item() == pytest.approx(wanted.item(), rel=1e-5)


def test_smoothing_by_its_formula():
    # Szegedy et al. 2015 (arXiv:1512.00567), §7: q'(k) = (1 − ε)·δ + ε/K
    schema, epsilon = Schema(**VECTOR, **ONE), 0.3
    task = Classify(smoothing=epsilon)
    model = task.assemble(TINY["mlp"], schema)
    x, label = torch.randn(5, 6), torch.tensor([0, 1, 2, 0, 1])
    wanted = torch.full((5, 3), epsilon / 3)
    wanted[torch.arange(5), label] += 1 - epsilon
    loss = -(wanted * torch.log_softmax(model(x), 1)).sum(1).mean()
    (player,) = task.players(model)
    found = player.loss(Batch(x, Targets(label=label), torch.arange(5)))
    assert found["cross_entropy"].item() == pytest.approx(loss.item(), rel=1e-5)


def test_regression_finds_the_mean_and_spread_of_its_targets():
    values = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    task = Regress().fitted(Schema(**VECTOR, **MUCH), Targets(values=values))
    assert task.mean == (2.0, 5.0)
    assert task.std == (1.0, 1.0)  # of a constant: 1


def test_targets_weigh_alike_whatever_their_units():
    schema = Schema(**VECTOR, **MUCH)
    task = Regress(mean=(0.0, 0.0), std=(1000.0, 0.001))
    model = task.assemble(TINY["mlp"], schema)
    (player,) = task.players(model)
    x = torch.randn(3, 6)
    off = model(x).detach() + torch.tensor([1000.0, 0.001])
    found = player.loss(Batch(x, Targets(values=off), torch.arange(3)))
    assert found["mse"].item() == pytest.approx(1.0, rel=1e-3)  # one standard deviation each


@pytest.mark.parametrize("labels", [(), ("only",)])
def test_one_class_is_refused(labels):
    schema = Schema(**IMAGE, targets=("label",), labels=labels)
    with pytest.raises(DataError, match="at least two classes"):
        Classify().fitted(schema, Targets(label=torch.zeros(3, dtype=torch.int64)))


def test_another_number_of_weights_than_classes_is_refused():
    with pytest.raises(DataError, match="2 values for 3 classes"):
        Classify(weights=(1.0, 2.0)).fitted(Schema(**IMAGE, **ONE), Targets(label=torch.arange(3)))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_refused(bad):
    with pytest.raises(DataError, match="NaN or infinite"):
        Regress().fitted(Schema(**VECTOR, **MUCH), Targets(values=torch.tensor([[1.0, bad]])))


@pytest.mark.parametrize("given", [{"mean": (1.0,), "std": (1.0,)}, {"mean": (1.0, 2.0), "std": (1.0,)}])
def test_another_number_of_means_than_values_is_refused(given):
    with pytest.raises(DataError, match="1 numbers for 2 values"):
        Regress(**given).fitted(Schema(**VECTOR, **MUCH), Targets(values=torch.zeros(3, 2)))
