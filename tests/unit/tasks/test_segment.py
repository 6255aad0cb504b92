"""The class of every pixel: losses by their formulas, predictions at the image's size."""

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import Image
from torch import nn
from torch.nn import functional as F

from visus.data.preprocess import ImagePreprocess, Placement
from visus.data.types import VOID, Batch, Schema, Targets
from visus.errors import DataError, RunError, SpecError
from visus.models.decoders import ValidUNetDecoder
from visus.models.unet import UNet
from visus.ops.objects import border_weights, objects
from visus.tasks import Segment, Segmentation
from visus.tasks.masks import at_size
from visus.tasks.segment import Border

NAMES = ("ground", "cat", "dog")
SCHEMA = Schema(shape=(3, 16, 16), targets=("mask",), masks=NAMES)


class Said(nn.Module):
    """A network that says what it is given as scores."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


def batch(seed: int = 0, void: float = 0.2) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(4, 3, 8, 10, generator=generator)
    mask = torch.randint(0, 3, (4, 8, 10), generator=generator, dtype=torch.uint8)
    mask[torch.rand(mask.shape, generator=generator) < void] = VOID
    return Batch(scores, Targets(mask=mask), torch.arange(4))


def losses(task: Segment, given: Batch) -> dict[str, float]:
    (player,) = task.players(Said())
    return {name: value.item() for name, value in player.loss(given).items()}


def truth(given: Batch) -> torch.Tensor:
    assert given.target.mask is not None
    return given.target.mask.long()


def test_cross_entropy_is_pytorchs_and_void_counts_nowhere():
    given, weights = batch(), (1.0, 3.0, 0.5)
    plain = F.cross_entropy(given.inputs, truth(given), ignore_index=VOID)
    assert losses(Segment(), given) == pytest.approx({"cross_entropy": plain.item()}, rel=1e-5)
    weighed = F.cross_entropy(given.inputs, truth(given), torch.tensor(weights), ignore_index=VOID)
    assert losses(Segment(weights=weights, cross_entropy=2.0), given) == pytest.approx(
        {"cross_entropy": 2 * weighed.item()}, rel=1e-5
    )


def test_focal_loss_by_its_formula():
    # Lin et al. 2017 (arXiv:1708.02002), equation 4: −(1 − p)^γ·log p
    given = batch()
    p = given.inputs.softmax(1).double()
    each = [
        -((1 - p[n, label, y, x]) ** 2) * p[n, label, y, x].log()
        for (n, y, x), label in np.ndenumerate(truth(given).numpy())
        if label != VOID
    ]
    task = Segment(cross_entropy=0.0, focal=1.0)
    assert losses(task, given) == pytest.approx({"focal": torch.stack(each).mean().item()}, rel=1e-5)
    without = Segment(cross_entropy=0.0, focal=1.0, gamma=0.0)
    assert losses(without, given)["focal"] == pytest.approx(losses(Segment(), given)["cross_entropy"], rel=1e-5)


def test_dice_of_certain_answers_is_one_minus_the_f1_of_classes():
    from sklearn.metrics import f1_score

    given = batch()
    said = given.inputs.argmax(1)
    certain = Batch(100 * F.one_hot(said, 3).movedim(-1, 1).float(), given.target, given.rows)
    known = truth(given) != VOID
    wanted = 1 - f1_score(truth(given)[known], said[known], average="macro")
    found = losses(Segment(cross_entropy=0.0, dice=1.0), certain)
    assert found == pytest.approx({"dice": wanted}, abs=1e-5)


def test_classes_that_a_batch_hasnt_are_in_no_dice():
    given = batch()
    mask = truth(given).masked_fill(truth(given) == 2, VOID).to(torch.uint8)
    fewer = Batch(given.inputs, Targets(mask=mask), given.rows)
    p, t = given.inputs.softmax(1), [mask == label for label in range(3)]
    known = mask != VOID
    each = [2 * p[:, k][t[k]].sum() / (p[:, k][known].sum() + t[k].sum()) for k in (0, 1)]
    found = losses(Segment(cross_entropy=0.0, dice=1.0), fewer)["dice"]
    assert found == pytest.approx(1 - (sum(each) / 2).item(), rel=1e-4)


def test_parts_of_the_loss_add_up():
    found = losses(Segment(cross_entropy=1.0, dice=0.5, focal=2.0), batch())
    assert set(found) == {"cross_entropy", "dice", "focal"}
    assert found["dice"] == pytest.approx(0.5 * losses(Segment(cross_entropy=0, dice=1.0), batch())["dice"], rel=1e-6)


@pytest.mark.parametrize("boundary", [None, 1])
def test_borders_weigh_as_the_paper_says(boundary):
    given = batch(void=0.05)
    task = Segment(border=Border(strength=10.0, sigma=5.0), boundary=boundary, weights=(1.0, 2.0, 3.0))
    total = loss = 0.0
    logs = given.inputs.log_softmax(1)
    for n, mask in enumerate(given.target.mask.numpy()):
        extra = border_weights(objects(mask, (mask != (boundary or 0)) & (mask != VOID)), 10.0, 5.0)
        for (y, x), label in np.ndenumerate(mask):
            if label != VOID:
                weight = (1.0, 2.0, 3.0)[label] + extra[y, x]  # equation 2: w_c + w0·exp(−(d1 + d2)²/2σ²)
                total, loss = total + weight, loss - weight * logs[n, label, y, x].item()
    assert losses(task, given)["cross_entropy"] == pytest.approx(loss / total, rel=1e-4)


def test_a_batch_without_known_pixels_teaches_nothing():
    given = batch(void=1.0)
    task = Segment(dice=1.0, focal=1.0)
    assert losses(task, given)["cross_entropy"] == 0
    assert np.isfinite(list(losses(task, given).values())).all()
    assert task.errors(given.inputs, given.target).tolist() == [0, 0, 0, 0]


def test_of_smaller_answers_the_middle_is_learnt_and_measured():
    schema = Schema(shape=(1, 44, 44), targets=("mask",), masks=("a", "b"))
    task = Segment(decoder=ValidUNetDecoder())
    model = task.assemble(UNet(widths=(4, 8), dropout=0.0), schema).eval()
    x, mask = torch.randn(2, 1, 44, 44), torch.randint(0, 2, (2, 44, 44), dtype=torch.uint8)
    output = model(x)
    assert output.shape == (2, 2, 28, 28)
    inner = mask[:, 8:36, 8:36]
    (player,) = task.players(model)
    found = player.loss(Batch(x, Targets(mask=mask), torch.arange(2)))["cross_entropy"]
    assert found.item() == pytest.approx(F.cross_entropy(output, inner.long()).item(), rel=1e-5)
    meter = task.meter(schema)
    task.measure(meter, output, Targets(mask=mask))
    assert meter.confusion.sum() == inner.numel()
    assert meter.confusion[1].sum() == int((inner == 1).sum())


def test_balance_is_scikit_learns():
    # class_weight="balanced": n / (K · n_k)
    mask = torch.tensor([0] * 6 + [1] * 3 + [2] * 1 + [VOID] * 6, dtype=torch.uint8).view(1, 4, 4)
    task = Segment(balance=True).fitted(SCHEMA, Targets(mask=mask))
    assert task.weights == pytest.approx((10 / 18, 10 / 9, 10 / 3), abs=1e-6)


@pytest.mark.parametrize(
    ("task", "schema", "problem"),
    [
        (Segment(), Schema(targets=("mask",), masks=("one",)), "at least two classes"),
        (Segment(), Schema(targets=("mask",), masks=("one", "two")), "pixels of class 2, and 2 have names"),
        (Segment(weights=(1.0,)), SCHEMA, "1 values for 3 classes"),
        (Segment(cross_entropy=0.0), SCHEMA, "nothing would be learnt"),
        (Segment(boundary="dogs"), SCHEMA, "there is no such class"),
    ],
)
def test_what_cant_be_is_refused(task, schema, problem):
    with pytest.raises((DataError, SpecError), match=problem):
        task.fitted(schema, Targets(mask=torch.tensor([[[0, 1], [2, VOID]]], dtype=torch.uint8)))


def test_a_boundary_is_named_and_measured():
    mask = torch.tensor([[[0, 1], [2, VOID]]], dtype=torch.uint8)
    task = Segment(boundary="dog").fitted(SCHEMA, Targets(mask=mask))
    assert task.boundary == 2
    assert task.fitted(SCHEMA, Targets(mask=mask)) == task
    meter = task.meter(SCHEMA)
    task.measure(meter, batch().inputs, batch().target)
    assert "rand_f" in meter.scores()


# predictions


def said(scores: torch.Tensor) -> Segmentation:
    return Segment().decode(scores[None], SCHEMA)[0]


def test_scores_are_interpolated_and_not_labels():
    scores = torch.zeros(3, 1, 2)
    scores[0, 0, 0], scores[1, 0, 1], scores[2] = 1.0, 4.0, 0.9
    # in between, class 1 passes class 0 at 1/5 of the way, and class 2 never is the highest there
    found = said(scores).on(np.zeros((100, 200, 3), np.uint8), Placement(0.01, 0.01, 0, 0, 1, 2))
    row = found.mask[50]
    wanted = F.interpolate(scores[None], (100, 200), mode="bilinear")[0].argmax(0).numpy()
    assert (found.mask == wanted).mean() > 0.999  # a rounding apart
    assert 0.2 < (row == 0).mean() < 0.4
    assert set(np.unique(found.mask)) <= {0, 1, 2}


@pytest.mark.parametrize("size", [(40, 60), (7, 5), (30, 90)])
@pytest.mark.parametrize("fit", ["stretch", "pad", "crop", "center"])
def test_the_mask_lies_where_the_image_was(fit, size):
    """A picture of two halves is placed as a network sees it; its own pixels, taken for scores, come back in place."""
    height, width = size
    image = np.zeros((height, width, 1), np.uint8)
    image[:, width // 2 :] = 255
    preprocess = ImagePreprocess(size=(32, 32), channels=1, fit=fit)
    seen = preprocess.place(image).float() / 255
    scores = torch.cat([1 - seen, seen])
    mask = at_size(scores, height, width, preprocess.placement(height, width))
    truth_ = image[..., 0] // 255
    known = mask != VOID
    assert mask.shape == size
    assert (mask == truth_)[known].mean() > 0.9
    assert known.all() or fit in ("crop", "center")
    if fit == "center" and size == (40, 60):
        assert known.sum() == 32 * 32  # of the rest nothing was seen
    if fit == "crop" and size == (30, 90):
        assert known.mean() == pytest.approx(1 / 3, abs=0.02)


def test_answers_for_the_middle_leave_the_edge_unknown():
    scores = torch.randn(3, 10, 10)
    mask = at_size(scores, 16, 16, Placement(1, 1, 0, 0, 16, 16))
    assert (mask[3:13, 3:13] == scores.argmax(0).numpy()).all()
    assert (mask != VOID).sum() == 100


def test_large_images_are_resized_in_bands(monkeypatch):
    scores, placement = torch.randn(3, 9, 11), Placement(0.1, 0.1, 0, 0, 9, 11)
    whole = at_size(scores, 90, 110, placement)
    monkeypatch.setattr("visus.tasks.masks.BAND", 3 * 110 * 7)
    assert (at_size(scores, 90, 110, placement) == whole).all()


def prediction() -> Segmentation:
    mask = np.array([[0, 0, 1], [0, 2, 1], [0, 0, VOID]], np.uint8)
    return Segmentation(mask, NAMES, np.full((3, 3, 3), 200, np.uint8))


def test_shares_rows_and_words():
    found = prediction()
    assert found.row() == {"size": [3, 3], "shares": {"ground": 5 / 9, "cat": 2 / 9, "dog": 1 / 9}}
    assert found.text() == "ground 55.6%, cat 22.2%, dog 11.1%"
    assert repr(found) == f"Segmentation({found.text()})"


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools 2.0.11
def test_run_lengths_are_cocos():
    coco = pytest.importorskip("pycocotools.mask")
    found = prediction()
    for each in found.to_coco(7):
        rle = coco.frPyObjects(each["segmentation"], 3, 3)
        assert (coco.decode(rle) == (found.mask == each["category_id"] - 1)).all()
        assert each["image_id"] == 7
    assert [each["category_id"] for each in found.to_coco(1, (90, 18, 3))] == [90, 18, 3]


def test_a_png_keeps_numbers_and_vocs_colours(tmp_path):
    path = prediction().to_png(tmp_path / "mask.png")
    with Image.open(path) as png:
        assert png.mode == "P"
        assert (np.asarray(png) == prediction().mask).all()
        # the colours of PASCAL VOC's SegmentationClass: black, (128, 0, 0), (0, 128, 0), and for void (224, 224, 192)
        colours = np.asarray(png.convert("RGB"))
    assert colours[0, 0].tolist() == [0, 0, 0]
    assert colours[0, 2].tolist() == [128, 0, 0]
    assert colours[1, 1].tolist() == [0, 128, 0]
    assert colours[2, 2].tolist() == [224, 224, 192]
    with pytest.raises(RunError, match="can't be written"):
        prediction().to_png(tmp_path / "none" / "mask.png")


def test_it_draws_the_classes_over_the_image():
    drawn = prediction().drawn()
    assert drawn[0, 0].tolist() == [200, 200, 200]  # the first class leaves the image as it is
    assert drawn[0, 2].tolist() == [round(0.55 * 128 + 0.45 * 200), 90, 90]
    figure = prediction().plot("cat.jpg")
    names = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert names == ["cat", "dog"]
    plt.close("all")
