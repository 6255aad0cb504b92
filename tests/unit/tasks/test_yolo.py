"""The loss of YOLO's first version, beside its equation 3 written out cell by cell (arXiv:1506.02640)."""

import numpy as np
import pytest
import torch

from visus.data.types import Batch, Boxes, Schema, Targets
from visus.models.resnet import ResNet, SmallStem
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


def test_the_published_output_is_7_by_7_by_30():
    # §2.2: S = 7, B = 2 and the 20 classes of PASCAL VOC, from 448 pixels, with a trunk of stride 32
    labels = tuple(map(str, range(20)))
    net = ResNet(depths=(1, 1, 1, 1, 1, 1), widths=(4, 4, 4, 4, 4, 4), stem=SmallStem(channels=4))
    schema = Schema(shape=(3, 448, 448), targets=("boxes",), labels=labels)
    with torch.device("meta"):
        model = YoloV1().assemble(net, schema).eval()
        assert model.cells_of(torch.empty(1, 3, 448, 448)).shape == (1, 7, 7, 30)
        scores, boxes = model(torch.empty(1, 3, 448, 448))
    assert (scores.shape, boxes.shape) == ((1, 98, 20), (1, 98, 4))  # 98 boxes an image
