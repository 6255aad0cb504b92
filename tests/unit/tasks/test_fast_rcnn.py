"""Fast R-CNN beside its equations written out (arXiv:1504.08083)."""

import math

import numpy as np
import pytest
import torch
from msgspec.structs import replace

from visus.data.types import Batch, Boxes, Schema, Targets
from visus.errors import ModelError
from visus.models import build_classifier
from visus.models.resnet import ResNet, SmallStem
from visus.ops.sampling import Sampled
from visus.tasks import FastRCNN
from visus.weights.load import Weights, put

SCHEMA = Schema(shape=(3, 48, 64), targets=("boxes",), labels=("a", "b", "c"))
NET = ResNet(depths=(1, 1, 1), widths=(4, 8, 16), stem=SmallStem(channels=4))  # maps of stride 1, 1, 2 and 4
TASK = FastRCNN(regions=30, samples=8, hidden=16, grid=3)


def test_the_loss_is_equation_1():
    # L = log loss + λ[u ≥ 1] Σ smooth_L1(t_u − v), the mean over the regions; offsets in units of 0.1 and 0.2
    torch.manual_seed(0)
    scores, said = torch.randn(1, 4, 4), torch.randn(1, 4, 3, 4)
    taken = Sampled(
        torch.tensor([[[10.0, 10, 30, 30], [0, 0, 40, 20], [5, 5, 9, 9], [0, 0, 1, 1]]]),
        torch.tensor([[2, 0, 3, -1]]), torch.tensor([[1, 0, 0, 0]]),
    )  # fmt: skip
    true = torch.tensor([[[4.0, 5, 10, 9], [12.0, 9, 28, 33]]])
    found = replace(TASK, box=2.0)._loss(taken, true, scores, said)
    log_loss = box_loss = 0.0
    for region, (label, truth) in enumerate(((2, 1), (0, 0), (3, 0))):
        log_loss -= float(torch.log_softmax(scores[0, region], 0)[label])
        if label:
            left, top, right, bottom = taken.boxes[0, region].tolist()
            true_left, true_top, true_right, true_bottom = true[0, truth].tolist()
            wide, tall = right - left, bottom - top
            wanted = (
                ((true_left + true_right) / 2 - (left + right) / 2) / wide / 0.1,
                ((true_top + true_bottom) / 2 - (top + bottom) / 2) / tall / 0.1,
                math.log((true_right - true_left) / wide) / 0.2,
                math.log((true_bottom - true_top) / tall) / 0.2,
            )
            for one, other in zip(said[0, region, label - 1].tolist(), wanted, strict=True):
                apart = abs(one - other)
                box_loss += 0.5 * apart**2 if apart < 1 else apart - 0.5
    assert found["class"].item() == pytest.approx(log_loss / 3, rel=1e-5)
    assert found["box"].item() == pytest.approx(2 * box_loss / 3, rel=1e-5)


def rectangle() -> Batch:
    image = torch.zeros(1, 3, 48, 64)
    image[:, 1, 12:32, 20:50] = 2.0
    boxes = Boxes(np.array([[20, 12, 50, 32]], np.float32), np.array([1]))
    return Batch(image, Targets(boxes=(boxes,)), torch.arange(1))


def test_regions_are_moved_by_the_offsets_of_each_class():
    model = TASK.assemble(NET, SCHEMA).eval()
    with torch.no_grad():
        model.where.weight.zero_()
        model.where.bias.zero_()
        model.where.bias[4:8] = torch.tensor([1.0, 0.0, 5 * math.log(2), 0.0])  # class b: a tenth on, twice as wide
    scores, boxes = model(rectangle().inputs)
    assert (scores.shape, boxes.shape) == ((1, 30, 3), (1, 30, 3, 4))
    (at,) = (boxes[0, :, 0] == torch.tensor([20.0, 12, 50, 32])).all(-1).nonzero(as_tuple=True)
    assert len(at) == 1
    # the middle from 35 to 38, the width from 30 to 60: cut off at the image's right side
    assert boxes[0, at[0], 1].tolist() == pytest.approx([8, 12, 64, 32], abs=1e-4)
    assert (scores.sum(-1) < 1).all()  # the rest is background
    nothing = (boxes[0, :, 0] == 0).all(-1)  # where there is no region there is no score
    assert nothing.any()
    assert not scores[0, nothing].any()


def test_crowds_and_difficult_objects_are_learnt_from_neither_way():
    torch.manual_seed(0)
    (player,) = TASK.players(TASK.assemble(NET, SCHEMA).eval())
    batch = rectangle()
    void = replace_boxes(batch, difficult=np.array([True]))
    assert player.loss(batch)["box"] > 0
    assert player.loss(void)["box"] == 0


def replace_boxes(batch: Batch, difficult: np.ndarray) -> Batch:
    (boxes,) = batch.target.boxes
    return Batch(batch.inputs, Targets(boxes=(Boxes(boxes.xyxy, boxes.labels, difficult=difficult),)), batch.rows)


def test_the_map_is_the_coarsest_of_16_pixels_or_what_is_asked_for():
    strides = {None: 16, 16: 16, 32: 32, 4: 4}
    for asked, stride in strides.items():
        assert FastRCNN(stride=asked)._level((1, 2, 4, 8, 16, 16, 32)) == {16: 5, 32: 6, 4: 2}[stride]
    with pytest.raises(ModelError, match="no map of a stride of 7"):
        FastRCNN(stride=7)._level((1, 2, 4))


def test_weights_of_a_whole_network_fill_its_first_stages():
    whole = build_classifier(NET, (3, 48, 64), 5)
    weights = Weights(NET, (3, 48, 64), 5, whole.state_dict(), "made here")
    model = replace(TASK, stride=2).assemble(NET, SCHEMA)
    left = put(model, weights, new_head=True)
    assert left == ["hidden.*", "what.*", "where.*"]
    assert len(model.backbone.stages) < len(whole.backbone.stages)
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, whole.backbone.state_dict()[name])
