"""Curves of several runs, and samples on a plane: what is drawn is what was given."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from visus import viz


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def history(values: list[float], pace: float) -> list[dict[str, float]]:
    return [{"epoch": n, "seconds": n * pace, "val/accuracy": value} for n, value in enumerate(values, 1)]


def test_compared_curves_show_each_run_twice(look):
    runs = {"linear": history([0.8, 0.92, 0.91], 0.2), "scratch": history([0.3, 0.4, 0.5, 0.55], 20)}
    figure = viz.compared_curves(runs, {"linear": 1, "scratch": 3}, "accuracy", "resnet8 on photos: accuracy")
    look(figure)
    left, right = figure.axes
    for axes, name in ((left, "epoch"), (right, "seconds")):
        curves = {str(line.get_label()).partition(":")[0]: line for line in axes.lines}
        for run, rows in runs.items():
            assert list(curves[run].get_xdata()) == [row[name] for row in rows]
            assert list(curves[run].get_ydata()) == [row["val/accuracy"] for row in rows]
        marked = [(*line.get_xdata(), *line.get_ydata()) for line in axes.lines if len(line.get_xdata()) == 1]
        assert marked == [(runs["linear"][1][name], 0.92), (runs["scratch"][3][name], 0.55)]
    assert right.get_xscale() == "log"
    assert "linear: 92.0 % after epoch 2, which was kept" in words(figure)
    assert "scratch: 55.0 % after epoch 4, which was kept" in words(figure)


def test_of_equal_scores_the_epoch_that_was_kept_is_marked(look):
    figure = viz.compared_curves({"full": history([0.5, 0.9, 0.9, 0.9], 7.0)}, {"full": 2}, "accuracy", "a title")
    look(figure)
    assert [list(axes.lines[1].get_xdata()) for axes in figure.axes] == [[3], [21.0]]


@pytest.mark.parametrize(
    ("pace", "epochs", "shown"),
    [
        (7.0, 12, ["5", "10", "20", "50", "100"]),  # 7 to 84 s
        (1.0, 3, ["1", "2"]),
        (0.01, 20, ["0.01", "0.02", "0.05", "0.1", "0.2"]),
        (2.0, 2000, ["1", "10", "100", "1,000"]),  # 2 to 4000 s
    ],
)
def test_seconds_are_written_one_way(look, pace, epochs, shown):
    figure = viz.compared_curves({"a": history([0.5] * epochs, pace)}, {"a": 0}, "accuracy", "a title")
    look(figure)
    axis = figure.axes[1].xaxis
    assert not any(tick.label1.get_text() for tick in axis.get_minor_ticks())
    low, high = figure.axes[1].get_xlim()
    labels = [tick.label1.get_text() for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    assert labels == [each for each in shown if low <= float(each.replace(",", "")) <= high]
    assert len(labels) >= 2


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_epochs_are_whole_numbers(look, epochs):
    figure = viz.compared_curves({"a": history([0.5] * epochs, 1.0)}, {"a": 0}, "accuracy", "a title")
    look(figure)
    low, high = figure.axes[0].get_xlim()
    ticks = [tick for tick in figure.axes[0].get_xticks() if low <= tick <= high]
    assert ticks
    assert all(tick == int(tick) for tick in ticks)


def test_a_score_that_is_no_share_is_no_percentage(look):
    rows = [{"epoch": n, "seconds": n, "val/r2": value} for n, value in enumerate([-3.0, 0.25], 1)]
    figure = viz.compared_curves({"full": rows}, {"full": 1}, "r2", "a regression")
    look(figure)
    assert not any("%" in text for text in words(figure))
    assert "full: 0.25 after epoch 2, which was kept" in words(figure)


@pytest.mark.parametrize("classes", [1, 3, 20, 30])
def test_a_map_has_every_sample_in_its_place(look, classes):
    random = np.random.default_rng(0)
    points = random.normal(size=(90, 2))
    labels = [row % (classes + 1) - 1 for row in range(90)]  # −1 among them
    names = [f"class {number}" for number in range(classes)]
    figure = viz.sample_map(points, labels, names, "What resnet8 sees", "t-SNE")
    look(figure)
    drawn = np.concatenate([np.asarray(marks.get_offsets()) for marks in figure.axes[0].collections])
    assert sorted(map(tuple, drawn.tolist())) == sorted(map(tuple, points.tolist()))
    groups = {marks.get_label(): len(marks.get_offsets()) for marks in figure.axes[0].collections}
    assert all(groups[name] == labels.count(number) for number, name in enumerate(names))
    legend = figure.axes[0].get_legend()
    assert (legend is not None) == (classes <= 20)


def test_classes_of_a_map_look_different():
    labels = list(range(30))
    figure = viz.sample_map(np.zeros((30, 2)), labels, [str(label) for label in labels], "thirty")
    looks = {
        (tuple(marks.get_facecolor()[0]), marks.get_paths()[0].vertices.tobytes())
        for marks in figure.axes[0].collections
    }
    assert len(looks) == 30


def test_a_map_without_labels(look):
    figure = viz.sample_map(np.random.default_rng(0).normal(size=(9, 2)), [-1] * 9, (), "unlabelled")
    look(figure)
    assert figure.axes[0].get_legend() is None
