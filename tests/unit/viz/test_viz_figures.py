import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy.stats import binomtest
from sklearn.datasets import load_digits
from sklearn.metrics import mean_absolute_error, precision_recall_fscore_support, r2_score

from visus import viz
from visus.metrics import LabelMeter
from visus.viz import style

NAMES = [
    "cost in $ per $",
    "<script>alert('x')</script>",
    "cat 🐈",
    "two\nlines",
    "\udcff",
    "a very long class name, " * 9,
]


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def names(count: int) -> list[str]:
    return [f"{NAMES[row % len(NAMES)]} {row}" for row in range(count)]


def history(epochs: int) -> list[dict[str, float]]:
    return [
        {"epoch": epoch, "step": 10 * epoch, "train/loss": 2 / epoch, "val/loss": 2.5 / epoch,
         "val/accuracy": 1 - 1 / (epoch + 1), "rate": 0.1, "seconds": 3.0}
        for epoch in range(1, epochs + 1)
    ]  # fmt: skip


# curves


@pytest.mark.parametrize("epochs", [1, 2, 12, 300])
def test_learning_curves_show_the_history(look, epochs):
    figure = viz.learning_curves(history(epochs), best_epoch=epochs)
    look(figure)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Loss", "Accuracy", "Learning rate"]
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert np.allclose(lines["train"].get_ydata(), [2 / epoch for epoch in range(1, epochs + 1)])
    assert np.allclose(lines["val"].get_xdata(), range(1, epochs + 1))
    assert (lines["val"].get_marker() == "o") == (epochs <= 12)
    assert f"{2.5 / epochs:.4g} at the best epoch, {epochs}" in words(figure)
    assert not any("econds" in text or "tep" in text for text in words(figure))


def test_a_loss_that_falls_far_has_a_log_scale():
    rows = [{"epoch": epoch, "val/loss": 10.0**-epoch} for epoch in range(1, 6)]
    assert viz.learning_curves(rows, None).axes[0].get_yscale() == "log"
    assert viz.learning_curves(rows[:2], None).axes[0].get_yscale() == "linear"


@pytest.mark.parametrize(
    ("first", "last", "ticks", "note"),
    [
        (1e-2, 1e-5, {"10⁻⁵", "0.0001", "0.001", "0.01"}, "from 0.01 to 10⁻⁵"),  # a log scale
        (8e-6, 2e-5, {"10⁻⁵", "2 × 10⁻⁵"}, "from 8 × 10⁻⁶ to 2 × 10⁻⁵"),
        (0.02, 0.1, {"0.02", "0.1"}, "from 0.02 to 0.1"),
    ],
)
def test_small_rates_are_written_as_powers_of_ten(look, first, last, ticks, note):
    rows = [{"epoch": epoch, "rate": rate} for epoch, rate in enumerate(np.geomspace(first, last, 7), 1)]
    figure = viz.learning_curves(rows)
    look(figure)
    assert ticks <= {label.get_text() for label in figure.axes[0].get_yticklabels()}
    assert note in words(figure)
    assert not any("e-" in text for text in words(figure))


def test_missing_and_infinite_values_are_left_out(look):
    rows = history(6)
    rows[2]["val/loss"] = float("nan")
    rows[3]["val/loss"] = float("inf")
    del rows[4]["val/loss"]
    figure = viz.learning_curves(rows, 4)
    look(figure)
    line = next(line for line in figure.axes[0].lines if line.get_label() == "val")
    assert list(line.get_xdata()) == [1, 2, 6]


def test_no_history_and_many_metrics(look):
    look(viz.learning_curves([], None))
    look(viz.learning_curves([{"epoch": 1, "rate": float("nan"), "val/loss": float("nan")}], 1))
    many = [
        {"epoch": epoch, **{f"val/a_metric_of_a_long_name_{n}_$": epoch / 9 for n in range(11)}} for epoch in (1, 2)
    ]
    figure = viz.learning_curves(many, 2)
    look(figure)
    assert len(figure.axes) == 11


def test_rate_curve_cuts_the_explosion_off(look):
    rates = np.geomspace(1e-6, 10, 50)
    losses = np.concatenate([np.linspace(2.3, 1.0, 40), np.geomspace(1.0, 1e6, 10)])
    figure = viz.rate_curve(rates, losses + 0.01, losses, 3e-3)
    look(figure)
    assert figure.axes[0].get_xscale() == "log"
    low, high = figure.axes[0].get_ylim()
    assert low < 1.0
    assert 2.3 < high < 10
    assert "suggested: 0.003" in words(figure)
    look(viz.rate_curve(rates, np.full(50, np.nan), np.full(50, np.nan), None))
    look(viz.rate_curve([0.1], [2.0], [2.0], 0.1))


# classification


def test_a_small_confusion_matrix_shows_each_count(look):
    figure = viz.confusion(np.array([[1180, 43], [67, 2011]]), ["cat", "dog"])
    look(figure)
    found = words(figure)
    assert {"1,180", "43", "67", "2,011", "96 %", "97 %", "cat", "dog"} <= set(found)  # 1180/1223, 2011/2078


def test_shades_of_a_small_confusion_matrix_are_shares_of_its_rows():
    """An error of 7 % is pale, whatever the largest error is; what is right is darker."""
    hits, errors = viz.confusion(np.array([[93, 7], [0, 50]]), ["ants", "bees"]).axes[0].images
    assert (hits.norm.vmin, hits.norm.vmax) == (errors.norm.vmin, errors.norm.vmax) == (0, 1)
    nan = np.nan
    np.testing.assert_allclose(np.ma.filled(hits.get_array(), nan), [[0.93, nan], [nan, 1.0]])
    np.testing.assert_allclose(np.ma.filled(errors.get_array(), nan), [[nan, 0.07], [nan, nan]])
    light = {share: np.array(style.ERRORS(share)[:3]).mean() for share in (0.0, 0.07, 0.5, 1.0)}
    assert light[0.07] > 0.9 * light[0.0]
    assert light[0.07] > light[0.5] > light[1.0]
    assert np.array(style.HITS(0.93)[:3]).mean() < light[0.07]


@pytest.mark.parametrize("classes", [1, 2, 6, 10, 20])
def test_confusion_of_few_classes_with_odd_names(look, classes):
    matrix = np.random.default_rng(0).integers(0, 2000, (classes, classes))
    matrix[0] = 0
    look(viz.confusion(matrix, names(classes)))


@pytest.mark.parametrize("classes", [21, 40, 41, 100])
def test_confusion_of_many_classes_lists_the_worst_pairs(look, classes):
    matrix = np.eye(classes, dtype=int) * 3
    matrix[4, 2] = 7
    matrix[5, 6] = 1
    figure = viz.confusion(matrix, [f"n{row}" for row in range(classes)])
    look(figure)
    pairs = [text for text in words(figure) if "→" in text and ":" in text and "true" not in text]
    assert pairs == ["n4 → n2: 7 (70 %)", "n5 → n6: 1 (25 %)"]
    look(viz.confusion(matrix, names(classes)))


def test_one_error_among_a_thousand_classes_is_seen(look):
    matrix = np.eye(1000, dtype=int) * 50
    matrix[900, 100] = 25
    pixels = look(viz.confusion(matrix, names(1000)))
    # Orange or brown: much more red than blue. Without the error only the key and the diagonal are coloured.
    left = pixels[:, : int(pixels.shape[1] * 0.6)].astype(int)
    assert ((left[..., 0] - left[..., 2]) > 80).sum() >= 4
    matrix[900, 100] = 0
    left = look(viz.confusion(matrix, names(1000)))[:, : int(pixels.shape[1] * 0.6)].astype(int)
    assert ((left[..., 0] - left[..., 2]) > 80).sum() == 0


def test_a_class_without_samples_and_no_errors(look):
    look(viz.confusion(np.zeros((3, 3), int), ["a", "b", "c"]))
    assert "nothing is confused" in words(viz.confusion(np.eye(30, dtype=int), names(30)))
    with pytest.raises(ValueError, match="2×2"):
        viz.confusion(np.zeros((3, 3), int), ["a", "b"])


@pytest.mark.parametrize("classes", [1, 2, 10, 40, 41, 200])
def test_per_class_sorts_by_f1(look, classes):
    rng = np.random.default_rng(1)
    true = rng.integers(0, classes, 60 * classes)
    guess = np.where(rng.random(len(true)) < rng.random(classes)[true], true, rng.integers(0, classes, len(true)))
    scores = precision_recall_fscore_support(true, guess, labels=range(classes), zero_division=0)
    figure = viz.per_class(*scores, [f"n{row}" for row in range(classes)])
    look(figure)
    shown = [label.get_text() for axes in figure.axes for label in axes.get_yticklabels()]
    order = [f"n{row}" for row in np.argsort(-scores[2], kind="stable")]
    assert shown == (order if classes <= 40 else order[:20] + order[-20:])
    look(viz.per_class(*scores, names(classes)))


def test_per_class_with_undefined_scores(look):
    nan = float("nan")
    look(viz.per_class([nan, 0.5], [nan, 1.0], [nan, 0.7], [0, 1_000_000], ["never seen", "seen"]))
    look(viz.per_class([nan], [nan], [nan], [0], ["never seen"]))


def test_calibration_draws_wilson_intervals(look):
    figure = viz.calibration([0.0, 0.75, 0.95], [float("nan"), 0.8, 1.0], [0, 10, 40], 0.052)
    look(figure)
    assert "expected calibration error 5.2 %" in words(figure)
    (lines,) = figure.axes[0].collections
    drawn = [tuple(segment[:, 1]) for segment in lines.get_segments()]
    peers = [binomtest(right, count).proportion_ci(method="wilson") for right, count in ((8, 10), (40, 40))]
    assert np.allclose(drawn, [(each.low, each.high) for each in peers], atol=1e-6)
    look(viz.calibration([0.5], [1.0], [1], None))


def test_calibration_counts_stand_under_the_confidences_that_they_are_of():
    """Two classes, so no confidence is below a half: a sample at 0.55, three at 0.9 of which two are right."""
    meter = LabelMeter(2)
    meter.update(torch.tensor([[0.55, 0.45], [0.9, 0.1], [0.9, 0.1], [0.1, 0.9]]), torch.tensor([0, 0, 0, 0]))
    upper, lower = viz.calibration(*(column.tolist() for column in meter.calibration())).axes
    bars = [bar for bar in lower.patches if bar.get_height()]
    assert [bar.get_height() for bar in bars] == [1, 3]
    assert [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars] == [
        (pytest.approx(8 / 15), pytest.approx(9 / 15)),  # 0.55
        (pytest.approx(13 / 15), pytest.approx(14 / 15)),  # 0.9
    ]
    points = upper.lines[-1]
    assert list(points.get_xdata()) == pytest.approx([0.55, 0.9])
    assert list(points.get_ydata()) == pytest.approx([1, 2 / 3])


def test_calibration_without_a_sample(look):
    look(viz.calibration([0.0] * 15, [0.0] * 15, [0] * 15, 0.0))


# regression


@pytest.mark.parametrize("count", [1, 2, 300, 6000])
def test_scatter_and_residuals(look, count):
    rng = np.random.default_rng(2)
    true = rng.normal(size=count) * 30 + 5
    guess = true + rng.normal(size=count)
    figure = viz.scatter(guess, true, "price in $ <b>", "k$")
    look(figure)
    note = next(text for text in words(figure) if "mean absolute error" in text)
    assert f"mean absolute error {mean_absolute_error(true, guess):.3g}" in note
    assert f"n = {count:,}" in note
    assert (f"R² {r2_score(true, guess):.3f}" in note) if count > 1 else "R²" not in note
    assert bool(figure.axes[0].collections) == (count > 5000)
    look(viz.residuals(guess, true, "price in $ <b>"))


def test_odd_values_of_a_regression(look):
    for true in ([], [3.0, 3.0], [float("nan"), 1.0], [1e6, 1e6 + 1]):
        look(viz.scatter(true, true, "age"))
        look(viz.residuals(true, true, "age", "years"))
    with pytest.raises(ValueError, match="2 predicted and 3 true"):
        viz.scatter([1, 2], [1, 2, 3], "age")


# sheets


def test_a_sheet_shows_grey_as_grey_and_sharp_pixels_in_a_frame(look):
    checks = np.array([[[0], [255]], [[255], [0]]], dtype=np.uint8)
    pixels = look(viz.sheet([np.full((28, 28), 128, np.uint8), checks], ["a", "b"], colors=[style.WRONG, None]))
    across = 2 * style_cell() + 16
    left = (pixels.shape[1] - across) // 2
    inside = pixels[24:150, left + 10 : left + 140]
    assert (inside == 128).all()
    second = pixels[24:150, left + 166 + 10 : left + 166 + 140]
    assert set(np.unique(second)) <= {0, 255}
    assert 0.45 < (second == 0).mean() < 0.55
    frame = np.round(np.array(to_rgb(style.WRONG)) * 255).astype(int)
    assert (np.abs(pixels.astype(int) - frame).max(axis=2) <= 1).sum() > 4 * 140


def style_cell() -> int:
    return 150  # a cell is an inch and a half


def test_a_wide_image_keeps_its_proportions(look):
    pixels = look(viz.sheet([np.zeros((50, 200, 3), np.uint8)], [""])).astype(int).sum(axis=2)
    rows, columns = np.nonzero(pixels == 0)
    assert (np.ptp(columns) + 1) / (np.ptp(rows) + 1) == pytest.approx(4, rel=0.06)


@pytest.mark.parametrize("count", [0, 1, 7, 64])
def test_sheets_of_digits_with_odd_captions(look, count):
    digits = [(image * 15).astype(np.uint8) for image in load_digits().images[:count]]
    captions = [f"{NAMES[row % 6]}\n{row / 64:.0%} sure\nthird\nfourth" for row in range(count)]
    figure = viz.sheet(digits, captions, "Worst errors for $5 and $6", 8)
    look(figure)
    assert "fourth" not in words(figure)


def test_a_sheet_refuses_what_does_not_match():
    image = np.zeros((4, 4), np.uint8)
    with pytest.raises(ValueError, match="1 images have 2 captions"):
        viz.sheet([image], ["a", "b"])
    with pytest.raises(ValueError, match="uint8"):
        viz.sheet([image.astype(float)], ["a"])


def test_boxes_are_drawn_on_a_copy():
    image = np.full((200, 300, 1), 90, np.uint8)
    drawn = viz.draw_boxes(image, np.array([[50, 60, 150, 160], [250, 150, 900, 900.0]]), [], ["#ff0000", "#00ff00"])
    assert drawn.shape == (200, 300, 3)
    assert drawn.dtype == np.uint8
    assert (image == 90).all()
    for x, y in ((50, 60), (149, 60), (50, 159), (149, 159)):
        assert tuple(drawn[y, x]) == (255, 0, 0)
    assert tuple(drawn[100, 100]) == tuple(drawn[100, 151]) == tuple(drawn[59, 100]) == (90, 90, 90)
    assert tuple(drawn[199, 299]) == (0, 255, 0)  # cut off at the image's edge


@pytest.mark.parametrize("shape", [(8, 8), (28, 28, 1), (480, 640, 3), (2000, 30, 3)])
def test_odd_boxes_and_texts(shape):
    image = np.zeros(shape, np.uint8)
    boxes = np.array([[0, 0, 5, 5], [-9, -9, -1, -1], [np.nan, 0, 1, 1], [5, 5, 2, 2], [0, 0, 1e9, 1e9], [1, 1, 2, 2]])
    assert viz.draw_boxes(image, boxes, NAMES).any()
    assert not viz.draw_boxes(image, boxes[1:4], NAMES[1:4]).any()
    assert viz.draw_boxes(image, np.zeros((0, 4))).shape == (*shape[:2], 3)
    with pytest.raises(ValueError, match="6 boxes have 1 texts"):
        viz.draw_boxes(image, boxes, ["one"])


# bars


def test_top_puts_the_likeliest_first(look):
    figure = viz.top(["cat", "dog", "$ sign"], [0.2, 0.7999, 0.0001], np.zeros((30, 50, 3), np.uint8))
    look(figure)
    bars = figure.axes[-1]
    assert [label.get_text() for label in bars.get_yticklabels()] == ["dog", "cat", r"\$ sign"]
    assert [bar.get_width() for bar in bars.patches] == [0.7999, 0.2, 0.0001]
    assert {"80.0 %", "20.0 %", "< 0.1 %"} <= set(words(figure))
    look(viz.top(NAMES, [0.5, 0.5, 0, 0, 0, float("nan")]))
    look(viz.top(["only"], [1.0], np.zeros((400, 20), np.uint8)))


@pytest.mark.parametrize(
    ("likeliest", "last"),
    [(0.004, 0.01), (0.03, 0.05), (0.323, 0.5), (0.5, 0.5), (0.51, 1.0), (1.0, 1.0), (1.0000001, 1.0)],
)
def test_the_scale_of_a_prediction_ends_at_a_round_number_above_the_likeliest(look, likeliest, last):
    figure = viz.top(["palace", "library", "castle"], [likeliest, likeliest / 2, 0.0], title="a photo.jpg")
    look(figure)
    (axes,) = figure.axes
    assert axes.get_title(loc="left") == "a photo.jpg"
    assert axes.get_xticks()[[0, -1]].tolist() == [0, pytest.approx(last)]
    assert axes.get_xlim()[0] == 0
    assert f"{100 * last:.0f} %" in [label.get_text() for label in axes.get_xticklabels()] or last < 0.05


@pytest.mark.parametrize("classes", [1, 2, 3, 5])
def test_the_bars_of_a_prediction_fill_their_panel(look, classes):
    """The middles of k bars stand at 1/2k, 3/2k, … of the height, from above."""
    figure = viz.top(names(classes), [0.1] * classes, np.zeros((30, 30, 3), np.uint8))
    look(figure)
    axes = figure.axes[-1]
    middles = axes.transAxes.inverted().transform(
        axes.transData.transform([(0, bar.get_y() + bar.get_height() / 2) for bar in axes.patches])
    )[:, 1]
    assert middles.tolist() == pytest.approx([1 - (2 * row + 1) / (2 * classes) for row in range(classes)])


@pytest.mark.parametrize("classes", [1, 2, 10, 40, 41, 1000])
@pytest.mark.parametrize("splits", [1, 3])
def test_counts(look, classes, splits):
    numbers = {split: np.arange(classes) * 7 for split in ["train", "_val $", "test"][:splits]}
    look(viz.counts(names(classes), numbers))


def test_counts_of_many_classes_name_the_ends():
    numbers = np.arange(100) + 1
    found = words(viz.counts([f"n{row}" for row in range(100)], {"train": numbers}))
    assert {"n99", "n92", "n0", "n7"} <= set(found)
    assert not {"n91", "n8"} & set(found)
