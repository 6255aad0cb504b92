"""R-CNN: its windows, and what is fitted to the features of regions (arXiv:1311.2524)."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.svm import LinearSVC

from visus.data.types import Batch, Boxes, Schema, Targets
from visus.models.resnet import ResNet, SmallStem
from visus.tasks import RCNN
from visus.tasks.fitting import NORM, Machines, Moves

SIDE = 40
SCHEMA = Schema(shape=(3, SIDE, SIDE), targets=("boxes",), labels=("red", "green"))
NET = ResNet(depths=(1, 1), widths=(4, 8), stem=SmallStem(channels=4))
TASK = RCNN(regions=20, samples=8, window=16)


def test_a_window_shows_the_region_and_what_is_around_it():
    # 16 of 227 pixels on each side (appendix A): of 227, 195 are the region
    model = RCNN(window=227).assemble(NET, SCHEMA)
    y, x = torch.meshgrid(torch.arange(240.0) + 0.5, torch.arange(300.0) + 0.5, indexing="ij")
    region = torch.tensor([[[50.0, 40.0, 147.5, 118.0]]])  # 97.5 and 78 pixels: 2 and 2.5 pixels of the window each
    (window,) = model.windows(torch.stack((x, y, x + y))[None], region)
    assert window.shape == (3, 227, 227)
    steps = torch.arange(227) + 0.5 - 16
    torch.testing.assert_close(window[0, 100], 50 + steps / 2, rtol=0, atol=1e-2)
    torch.testing.assert_close(window[1, :, 100], 40 + steps / 2.5, rtol=0, atol=1e-2)


def test_beyond_the_image_a_window_is_as_the_mean():
    model = RCNN(window=40, context=0.25).assemble(NET, SCHEMA)
    (window,) = model.windows(torch.ones(1, 3, 20, 20), torch.tensor([[[0.0, 0.0, 20.0, 20.0]]]))
    assert (window[:, 10:30, 10:30] == 1).all()
    assert (window[:, :9] == 0).all()
    assert (window[:, :, 31:] == 0).all()


def batch(count: int = 6) -> Batch:
    """A square in each image, red or green."""
    random = np.random.default_rng(0)
    images, boxes = torch.zeros(count, 3, SIDE, SIDE), []
    for row in range(count):
        left, top = random.integers(2, 18, 2).tolist()
        images[row, row % 2, top : top + 16, left : left + 16] = 2.0
        boxes.append(Boxes(np.array([[left, top, left + 16, top + 16]], np.float32), np.array([row % 2])))
    images += 0.3 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    return Batch(images, Targets(boxes=tuple(boxes)), torch.arange(count))


def map50(task: RCNN, output: tuple[torch.Tensor, torch.Tensor], given: Batch) -> float:
    meter = task.meter(SCHEMA)
    task.measure(meter, output, given.target)
    return meter.scores()["map50"].value


@torch.no_grad()
@pytest.mark.parametrize("head", ["svm", "softmax"])
def test_what_is_fitted_tells_objects_from_the_rest(head):
    torch.manual_seed(0)
    task = RCNN(regions=20, samples=8, window=16, head=head, cost=1.0)
    model, given = task.assemble(NET, SCHEMA).eval(), batch()
    before = model(given.inputs)
    task.calibrate(model, [given])
    scores, boxes = model(given.inputs)
    assert bool(model.settled)
    assert not torch.equal(before[1], boxes)  # boxes are moved
    if head == "softmax":
        assert torch.equal(before[0], scores)  # and scores are the network's, which hasn't learnt anything
        return
    assert map50(task, before, given) < 0.1  # by chance
    assert map50(task, (scores, boxes), given) > 0.5  # of a network that has learnt nothing yet
    state = model.state_dict()
    again = task.assemble(NET, SCHEMA).eval()
    again.load_state_dict(state)  # all that was fitted is in the weights
    assert torch.equal(again(given.inputs)[0], scores)


def features(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(seed))


def test_machines_are_those_of_all_objects_and_all_regions_away_from_them():
    # one image after the other gives what scikit-learn gives of all at once: none is left out before the first fit
    machines = Machines(1, 0.01)
    objects, regions = features(6, 0) + 1, features(40, 1) - 1
    fits = torch.zeros(40, 1)
    fits[:4] = 0.5  # near an object: neither
    machines.add(objects, torch.zeros(6, dtype=torch.int64), regions, fits)
    weight, bias = machines.fitted()
    scale = NORM / objects.norm(dim=1).mean().item()
    plain = LinearSVC(C=0.01, dual=False, class_weight={1: 2.0}, intercept_scaling=10.0)
    plain.fit(scale * torch.cat((objects, regions[4:])).numpy(), np.repeat([1, 0], [6, 36]))
    assert weight.numpy() == pytest.approx(scale * plain.coef_, rel=1e-3)
    assert bias.numpy() == pytest.approx(plain.intercept_, rel=1e-3, abs=1e-4)


def test_a_class_without_objects_is_never_found():
    machines = Machines(2, 0.01)
    machines.add(features(3, 0) + 1, torch.zeros(3, dtype=torch.int64), features(9, 1), torch.zeros(9, 2))
    weight, bias = machines.fitted()
    assert not weight[1].any()
    assert bias[1] == -10


def test_moves_are_a_ridge_regression_of_each_class():
    moves, inputs, wanted = Moves(2, 10.0), features(30, 0), features(30, 1)[:, :4]
    labels = torch.arange(30) % 3 // 2  # a third are of class 1
    moves.add(inputs, wanted, labels)
    weight, bias = moves.fitted()
    scale = NORM / inputs.norm(dim=1).mean().item()
    for label in (0, 1):
        plain = Ridge(alpha=10.0).fit(scale * inputs[labels == label].numpy(), wanted[labels == label].numpy())
        assert weight[label].numpy() == pytest.approx(scale * plain.coef_, rel=1e-3, abs=1e-5)
        assert bias[label].numpy() == pytest.approx(plain.intercept_, rel=1e-3, abs=1e-5)
