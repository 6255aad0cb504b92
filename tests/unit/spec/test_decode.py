"""Settings from plain values: every mistake is named by its path, with a remedy."""

from typing import Annotated, Literal

import msgspec
import pytest

from visus.errors import SpecError
from visus.spec import Spec, Variant, decode, tree


class Round(Variant, frozen=True, tag="round"):
    radius: Annotated[float, msgspec.Meta(gt=0)] = 1.0


class Square(Variant, frozen=True, tag="square"):
    side: float
    colour: Literal["red", "green"] = "red"


class Inner(Spec, frozen=True):
    count: int = 0
    shape: Round | Square | None = None


class Drawing(Spec, frozen=True):
    inner: Inner = Inner()
    shapes: tuple[Round | Square, ...] = ()
    corner: tuple[int, float] | None = None
    inners: tuple[Inner, ...] = ()


@pytest.mark.parametrize(
    ("plain", "problem", "remedy"),
    [
        ({"inners": [{"count": 1}, {"cuont": 2}]}, "no setting inners.1.cuont", "did you mean count?"),
        ({"iner": {}}, "no setting iner", "did you mean inner or inners"),
        ({"inner": {"zzzz": 1}}, "no setting inner.zzzz", "known: count, shape"),
        ({"inner": {"count": "many"}}, "inner.count is 'many': expected a whole number", ""),
        ({"inner": 3}, "inner is 3: expected a table", ""),
        ({"corner": [1, "x"]}, "corner.1 is 'x': expected a number", ""),
        ({"corner": [1]}, "corner is [1]: expected a list of length 2", ""),
        ({"shapes": [{"kind": "round"}, {"kind": "sqare", "side": 1}]}, "shapes.1.kind can't be 'sqare'", "square"),
        ({"shapes": [{"kind": "round", "radius": -1}]}, "shapes.0.radius is -1", ""),
        ({"shapes": [{"kind": "square", "side": 1, "radius": 2}]}, "no setting shapes.0.radius", "colour, side"),
        ({"shapes": [{"side": 1}]}, "shapes.0 has no kind", "round, square"),
        ({"inner": {"shape": {"kind": "square"}}}, "inner.shape: object missing required field `side`", ""),
        ({"inner": {"shape": {"kind": "triangle"}}}, "inner.shape.kind can't be 'triangle'", "known: round, square"),
        ({"inner": {"shape": {"kind": 3}}}, "inner.shape.kind", ""),
        (
            {"inner": {"shape": {"kind": "square", "side": 1, "colour": "gren"}}},
            "inner.shape.colour can't be 'gren'",
            "did you mean green",
        ),
    ],
)
def test_a_mistake_is_named_by_its_path_with_a_remedy(plain, problem, remedy):
    with pytest.raises(SpecError) as raised:
        decode(plain, Drawing)
    assert problem in raised.value.problem
    assert remedy in raised.value.remedy


def test_the_source_of_the_values_stands_before_the_problem():
    with pytest.raises(SpecError, match=r"^my\.toml: there is no setting iner"):
        decode({"iner": 1}, Drawing, "my.toml")


def test_a_union_without_a_table_of_its_own_says_what_kinds_there_are():
    with pytest.raises(SpecError) as raised:
        decode({"side": 1}, Round | Square)
    assert "kind" in raised.value.problem
    assert "round, square" in raised.value.remedy
    assert "--set .kind" not in raised.value.remedy


def test_none_is_left_out_of_the_tree_and_comes_back():
    drawing = Drawing(inners=(Inner(count=2),))
    assert tree(drawing) == {"inner": {"count": 0}, "shapes": [], "inners": [{"count": 2}]}
    assert decode(tree(drawing), Drawing) == drawing


def test_a_spec_is_a_value():
    assert Inner(count=1) == Inner(count=1)
    with pytest.raises(AttributeError):
        Inner().count = 2  # type: ignore[misc]
