"""R-CNN (arXiv:1311.2524): what is fitted when the network has learnt."""

import numpy as np
import pytest
import torch

from visus.data.types import Batch, Boxes, Schema, Targets
from visus.models.resnet import ResNet, SmallStem
from visus.tasks import RCNN

SIDE = 40
SCHEMA = Schema(shape=(3, SIDE, SIDE), targets=("boxes",), labels=("red", "green"))
NET = ResNet(depths=(1, 1), widths=(4, 8), stem=SmallStem(channels=4))


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
    task.calibrate(model, [given], [])
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
