"""The loss of YOLO's first version, beside its equation 3 written out cell by cell (arXiv:1506.02640)."""

import numpy as np
import pytest
import torch
from torch import nn

from visus.data.types import Batch, Boxes, Schema, Targets
from visus.models import CATALOG
from visus.models.parts import BatchNorm
from visus.models.resnet import ResNet, SmallStem
from visus.nn import Yolo
from visus.tasks import YoloV1

HEIGHT, WIDTH, CLASSES, BOXES = 32, 48, 3, 2
SCHEMA = Schema(shape=(3, HEIGHT, WIDTH), targets=("boxes",), labels=("a", "b", "c"))
NET = ResNet(depths=(1, 1, 1), widths=(4, 8, 8), stem=SmallStem(channels=4))  # maps of 8×12, so 4×6 cells


def overlap(one: list[float], other: list[float]) -> float:
    both = max(min(one[2], other[2]) - max(one[0], other[0]), 0) * max(min(one[3], other[3]) - max(one[1], other[1]), 0)
    return both / ((one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - both)


def by_hand(output: np.ndarray, images: list[list[tuple[list[float], int]]]) -> dict[str, float]:
    """output: N×S×T×(5B+C). images: objects, the largest last."""
    count, rows, columns, _ = output.shape
    tall, wide = HEIGHT / rows, WIDTH / columns
    found = {"place": 0.0, "object": 0.0, "nothing": 0.0, "class": 0.0}
    for image, objects in enumerate(images):
        owner = {}
        for box, label in objects:
            x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            owner[int(y / tall), int(x / wide)] = (box, label)
        for row in range(rows):
            for column in range(columns):
                cell = output[image, row, column]
                said = cell[: 5 * BOXES].reshape(BOXES, 5)
                if (row, column) not in owner:
                    found["nothing"] += 0.5 * float((said[:, 4] ** 2).sum())
                    continue
                box, label = owner[row, column]
                fits = []
                for x, y, root_w, root_h, _ in said.tolist():
                    middle_x, middle_y, w, h = (
                        (column + x) * wide,
                        (row + y) * tall,
                        root_w**2 * WIDTH,
                        root_h**2 * HEIGHT,
                    )
                    own = [middle_x - w / 2, middle_y - h / 2, middle_x + w / 2, middle_y + h / 2]
                    fits.append(overlap(own, box))
                best = int(np.argmax(fits))
                x, y, root_w, root_h, confidence = said[best].tolist()
                true_x, true_y = (box[0] + box[2]) / 2 / wide - column, (box[1] + box[3]) / 2 / tall - row
                found["place"] += 5 * ((x - true_x) ** 2 + (y - true_y) ** 2)
                found["place"] += 5 * (root_w - ((box[2] - box[0]) / WIDTH) ** 0.5) ** 2
                found["place"] += 5 * (root_h - ((box[3] - box[1]) / HEIGHT) ** 0.5) ** 2
                found["object"] += (confidence - fits[best]) ** 2
                found["nothing"] += 0.5 * sum(said[each, 4] ** 2 for each in range(BOXES) if each != best)
                wanted = np.eye(CLASSES)[label]
                found["class"] += float(((cell[5 * BOXES :] - wanted) ** 2).sum())
    return {name: value / count for name, value in found.items()}


def test_the_loss_is_equation_3():
    torch.manual_seed(0)
    task = YoloV1(boxes=BOXES, channels=8, hidden=16)
    model = task.assemble(NET, SCHEMA).eval()
    assert model.cells == (4, 6)
    images = [
        [([1.0, 2.0, 9.0, 20.0], 2), ([20.0, 3.0, 47.0, 30.0], 0)],
        [],
        [([30.0, 18.0, 34.0, 22.0], 1), ([25.0, 12.0, 39.0, 27.0], 2)],  # both in one cell: the larger is learnt
    ]
    boxes = tuple(
        Boxes(np.array([box for box, _ in each], np.float32).reshape(-1, 4), np.array([at for _, at in each], np.int64))
        for each in images
    )
    x = torch.randn(3, 3, HEIGHT, WIDTH)
    (player,) = task.players(model)
    with torch.no_grad():
        found = player.loss(Batch(x, Targets(boxes=boxes), torch.arange(3)))
        wanted = by_hand(model.cells_of(x).double().numpy(), images)
    assert {name: value.item() for name, value in found.items()} == pytest.approx(wanted, rel=1e-5)


def test_crowds_and_difficult_objects_are_left_out():
    torch.manual_seed(0)
    task = YoloV1(boxes=BOXES, channels=8, hidden=16)
    model = task.assemble(NET, SCHEMA).eval()
    xyxy = np.array([[1, 2, 9, 20], [20, 3, 47, 30], [10, 12, 20, 24]], np.float32)
    labels, no = np.array([2, 0, 1]), np.zeros(3, bool)
    silent = Boxes(xyxy, labels, crowd=no | (labels == 0), difficult=no | (labels == 1))
    x = torch.randn(1, 3, HEIGHT, WIDTH)
    (player,) = task.players(model)
    with torch.no_grad():
        found, wanted = (
            player.loss(Batch(x, Targets(boxes=(each,)), torch.arange(1)))
            for each in (silent, Boxes(xyxy[:1], labels[:1]))
        )
    assert found == wanted


def convolutions(c_in: int, *table: tuple[int, int]) -> int:
    """The parameters of convolutions with biases: the side of each window and the filters."""
    count = 0
    for side, c_out in table:
        count, c_in = count + side * side * c_in * c_out + c_out, c_out
    return count


def published(name: str, **more) -> Yolo:
    schema = Schema(shape=CATALOG[name].input, targets=("boxes",), labels=tuple(map(str, range(20))))
    with torch.device("meta"):
        model = YoloV1(**more).assemble(CATALOG[name].spec, schema).eval()
    assert isinstance(model, Yolo)
    return model


def layers(model: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    return [each for each in model.modules() if isinstance(each, kind)]


def test_with_its_network_it_is_figure_3_of_the_paper():
    # §2.1: 24 convolutions and 2 fully connected layers; §2.2: leaky rectifiers after all but the last
    table = [(7, 64), (3, 192), (1, 128), (3, 256), (1, 256), (3, 512), *[(1, 256), (3, 512)] * 4, (1, 512), (3, 1024)]
    table += [(1, 512), (3, 1024)] * 2 + [(3, 1024)] * 4
    dense = 7 * 7 * 1024 * 4096 + 4096 + 4096 * 7 * 7 * 30 + 7 * 7 * 30
    model = published("yolo_v1")
    assert sum(each.numel() for each in model.parameters()) == convolutions(3, *table) + dense == 271_703_550
    assert [(each.kernel_size[0], each.out_channels) for each in layers(model, nn.Conv2d)] == table
    assert len(layers(model, nn.Linear)) == 2
    assert [each.negative_slope for each in layers(model, nn.LeakyReLU)] == [0.1] * 25
    assert [each.p for each in layers(model, nn.Dropout)] == [0.5]
    assert not layers(model, nn.BatchNorm2d)
    x = torch.empty(1, 3, 448, 448, device="meta")
    assert [tuple(each.shape[1:]) for each in model.backbone.maps(x)] == [
        (64, 224, 224), (192, 112, 112), (512, 56, 56), (1024, 28, 28), (1024, 14, 14)
    ]  # fmt: skip
    assert model.cells_of(x).shape == (1, 7, 7, 30)  # S = 7, B = 2, and the 20 classes of PASCAL VOC
    scores, boxes = model(x)
    assert (scores.shape, boxes.shape) == ((1, 98, 20), (1, 98, 4))  # 98 boxes an image


def test_fast_yolo_is_the_authors_configuration():
    # github.com/pjreddie/darknet, cfg/yolo-tiny.cfg of 2015; the paper: 9 convolutions, and fewer filters in them
    table = [(3, filters) for filters in (16, 32, 64, 128, 256, 512, 1024, 1024, 1024)]
    dense = 7 * 7 * 1024 * 256 + 256 + 256 * 4096 + 4096 + 4096 * 1470 + 1470
    model = published("fast_yolo", strides=(1, 1), narrow=256)
    assert sum(each.numel() for each in model.parameters()) == convolutions(3, *table) + dense == 45_089_374
    assert [(each.kernel_size[0], each.out_channels) for each in layers(model, nn.Conv2d)] == table
    assert model.cells_of(torch.empty(1, 3, 448, 448, device="meta")).shape == (1, 7, 7, 30)


def test_a_normalisation_takes_the_place_of_biases():
    plain, normed = (published("fast_yolo", norm=norm) for norm in (None, BatchNorm()))
    assert len(layers(normed.convs, nn.BatchNorm2d)) == 4
    assert all(each.bias is None for each in layers(normed.convs, nn.Conv2d))
    more = sum(each.numel() for each in normed.parameters()) - sum(each.numel() for each in plain.parameters())
    assert more == 4 * 1024  # a factor and an offset for each channel in place of one bias
