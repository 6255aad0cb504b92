import numpy as np
import pytest
from matplotlib.text import Annotation

from visus import viz
from visus.errors import NotFound
from visus.models import CATALOG, ENTRIES, HUMAN_ERROR, Card
from visus.models.cards import Figures, Published
from visus.models.mlp import MLP


def card(family: str, macs: float, parameters: float, error: float | None, data: str = "ImageNet") -> Card:
    return Card(
        family=family,
        spec=MLP(),
        input=(3, 224, 224),
        figures=Figures(parameters=int(parameters), multiply_adds=int(macs)),
        published=Published(data=data, source="the paper, table 1", top1_error=error),
    )


def many(count: int, families: int) -> dict[str, Card]:
    """Networks that crowd as real ones do: more accurate the dearer they are, with exceptions."""
    noise = np.random.default_rng(0)
    cards = {}
    for index in range(count):
        macs = 10 ** noise.uniform(7.5, 11)
        error = 75 - 5.5 * np.log(macs / 1e7) + noise.normal(0, 3)
        cards[f"network_{index}_of_a_family"] = card(
            f"family_{index % families}", macs, macs / 10 ** noise.uniform(1, 3), float(np.clip(error, 9, 60))
        )
    return cards


def named(figure) -> list[str]:
    return [
        text.get_text() for text in figure.axes[0].texts if isinstance(text, Annotation) and text.arrow_patch is None
    ]


def test_errors_by_year_can_be_read(look):
    look(viz.errors_by_year(ENTRIES, HUMAN_ERROR))
    look(viz.errors_by_year(ENTRIES[:1]))


def test_numbers_keep_clear_of_the_line_of_a_person(look):
    """Those of bars below the line stand inside of them, all others above."""
    figure = viz.errors_by_year(ENTRIES, HUMAN_ERROR)
    look(figure)
    axes = figure.axes[0]
    line = axes.transData.transform((0, HUMAN_ERROR))[1]
    texts = {text.get_text(): text.get_window_extent() for text in axes.texts}
    for entry in ENTRIES:
        box, top = texts[f"{entry.error:.1f}"], axes.transData.transform((0, entry.error))[1]
        assert (box.y1 < top) == (entry.error < HUMAN_ERROR)
        assert box.y1 < line - 2 or box.y0 > line + 2


@pytest.mark.parametrize("against", ["multiply-adds", "parameters"])
@pytest.mark.parametrize(("count", "families"), [(2, 1), (12, 4), (150, 40)])
def test_names_do_not_touch_however_many_there_are(look, count, families, against):
    figure = viz.accuracy_against_cost(many(count, families), against)
    look(figure)
    assert len(named(figure)) > min(families, 12)  # and the note under the title


def test_the_catalog(look):
    look(viz.accuracy_against_cost(CATALOG))


def test_points_are_the_published_figures():
    cards = {
        "small": card("one", 1e8, 4e6, 30.0),
        "large": card("one", 1e9, 2e7, 20.0),
        "other": card("two", 2e9, 1e7, 25.0),
        "elsewhere": card("two", 2e8, 1e7, 5.0, "CIFAR-10"),
        "unmeasured": card("two", 2e8, 1e7, None),
    }
    figure = viz.accuracy_against_cost(cards)
    dots = [tuple(map(float, dot)) for marks in figure.axes[0].collections for dot in marks.get_offsets()]
    assert sorted(dots) == [(1e8, 70.0), (1e9, 80.0), (2e9, 75.0)]
    assert sorted(named(figure)[1:]) == ["large", "other", "small"]  # the first is the note under the title
    shown = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert shown[:2] == ["one", "two"]
    assert figure.axes[0].get_xlabel() == "multiply-adds\nSources: papers"
    by_size = viz.accuracy_against_cost(cards, "parameters").axes[0]
    assert sorted(float(x) for marks in by_size.collections for x, _ in marks.get_offsets()) == [4e6, 1e7, 2e7]
    other = viz.accuracy_against_cost(cards, data="CIFAR-10").axes[0]
    assert [tuple(map(float, dot)) for marks in other.collections for dot in marks.get_offsets()] == [(2e8, 95.0)]


def test_the_dashed_line_passes_those_that_nothing_beats_for_less():
    cards = {
        "a": card("f", 1e8, 1e6, 40), "b": card("f", 1e9, 1e6, 30), "beaten": card("g", 2e9, 1e6, 35),
        "as cheap": card("g", 1e9, 1e6, 31), "c": card("g", 1e10, 1e6, 20),
    }  # fmt: skip
    lines = viz.accuracy_against_cost(cards).axes[0].lines
    (line,) = [each for each in lines if each.is_dashed()]
    assert list(line.get_xdata()) == [1e8, 1e9, 1e10]
    assert list(line.get_ydata()) == [60, 70, 80]


def test_areas_grow_with_the_other_cost():
    cards = {str(index): card("f", 1e9 + index, 10**index, 30 - index) for index in range(5, 9)}
    (marks,) = viz.accuracy_against_cost(cards).axes[0].collections
    areas = marks.get_sizes()
    assert areas[2] / areas[3] == pytest.approx(0.1)
    assert areas[0] == areas[1] == 18  # a hundredth would be too small to be seen
    shown = [text.get_text() for text in viz.accuracy_against_cost(cards).legends[1].get_texts()]
    assert shown == ["10 M parameters", "100 M parameters"]  # and no size that is drawn as a dot


def test_each_family_looks_different():
    for families in (3, 22, 40):
        figure = viz.accuracy_against_cost(many(80, families))
        looks = [
            (tuple(marks.get_facecolor()[0]), marks.get_paths()[0].vertices.tobytes())
            for marks in figure.axes[0].collections
            if len(marks.get_offsets())
        ]
        assert len({color for color, _ in looks}) == len(looks) == families


def test_other_networks_stand_behind_in_grey(look):
    cards = {"a": card("f", 1e9, 1e6, 30), "near": card("g", 2e9, 2e6, 28), "far": card("g", 1e12, 1e6, 90)}
    figure = viz.accuracy_against_cost({"a": cards["a"]}, among=cards)
    look(figure)
    axes = figure.axes[0]
    grey, own = axes.collections
    assert [tuple(dot) for dot in grey.get_offsets()] == [(2e9, 72), (1e12, 10)]
    assert [tuple(dot) for dot in own.get_offsets()] == [(1e9, 70)]
    (low, high), (least, most) = axes.get_xlim(), axes.get_ylim()
    assert low < 1e9 / 10**0.5  # a decade with the one in its middle, and a little more
    assert 1e9 * 10**0.5 < high < 1e10
    assert (least, most) == pytest.approx((65 - 0.9, 75 + 0.9))  # ten points, and a little more
    assert "grey: other networks" in named(figure)[0]
    assert named(figure)[1:] == ["a"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["f"]


def test_without_any_figures_it_says_what_there_is():
    with pytest.raises(NotFound, match="of 1 network none") as raised:
        viz.accuracy_against_cost({"x": card("f", 1e9, 1e6, 5.0, "MNIST")})
    assert "MNIST" in raised.value.remedy
