"""Specs as TOML, and assignments on the command line."""

import tomllib

import msgspec
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from visus.data.augment import Augment
from visus.data.preprocess import ImagePreprocess, VectorPreprocess
from visus.errors import SpecError
from visus.models import CATALOG, TINY
from visus.models.resnet import ResNet
from visus.run.recipe import Recipe
from visus.spec import Spec, Variant, assign, decode, dumps, merge, parse_assignment, read_toml
from visus.tasks import Classify, Regress
from visus.training import SGD, AdamW, Constant, Cosine, OneCycle, Plateau, Steps


def there_and_back(spec: Spec) -> Spec:
    return decode(tomllib.loads(dumps(spec)), type(spec))


@pytest.mark.parametrize("name", sorted(CATALOG))
def test_catalog_specs_survive_toml(name):
    assert there_and_back(CATALOG[name].spec) == CATALOG[name].spec
    assert there_and_back(CATALOG[name]) == CATALOG[name]


@pytest.mark.parametrize("family", sorted(TINY))
def test_tiny_specs_survive_toml(family):
    assert there_and_back(TINY[family]) == TINY[family]


KINDS = (
    Augment, ImagePreprocess, VectorPreprocess, Classify, Regress, ResNet,
    SGD, AdamW, Constant, Cosine, OneCycle, Plateau, Steps, Recipe,
)  # fmt: skip


def values_of(kind: type[Spec]) -> st.SearchStrategy[Spec]:
    """Any value that a spec may have, by the annotations of its fields."""
    fields = msgspec.inspect.type_info(kind).fields

    def made(**values: object) -> Spec:
        try:
            return kind(**values)
        except SpecError:  # what can't be together
            reject()

    return st.builds(made, **{field.name: _of(field.type) for field in fields})


def _of(info: msgspec.inspect.Type) -> st.SearchStrategy:  # noqa: PLR0911
    inspect = msgspec.inspect
    match info:
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            return st.integers(info.ge if info.ge is not None else -99, info.le if info.le is not None else 2**40)
        case inspect.FloatType():
            low, high = (info.ge if info.gt is None else info.gt), (info.le if info.lt is None else info.lt)
            return st.floats(
                low, high, exclude_min=info.gt is not None, exclude_max=info.lt is not None,
                allow_nan=False, allow_infinity=False,
            )  # fmt: skip
        case inspect.StrType():
            return st.text()
        case inspect.NoneType():
            return st.none()
        case inspect.LiteralType():
            return st.sampled_from(info.values)
        case inspect.TupleType():
            return st.tuples(*map(_of, info.item_types))
        case inspect.VarTupleType():
            return st.lists(_of(info.item_type), min_size=info.min_length or 0, max_size=4).map(tuple)
        case inspect.UnionType():
            return st.one_of(*map(_of, info.types))
        case inspect.StructType():
            return values_of(info.cls)
    raise NotImplementedError(info)


@given(st.sampled_from(KINDS).flatmap(values_of))
def test_any_spec_survives_toml(spec):
    assert there_and_back(spec) == spec


def kinds_below(kind: type[Spec]) -> list[type[Spec]]:
    return [each for below in kind.__subclasses__() for each in (below, *kinds_below(below))]


def test_what_may_be_none_is_none_by_default_so_that_toml_can_say_it():
    optional = [
        (kind.__name__, field.name, field.default)
        for kind in kinds_below(Spec)
        if kind.__module__.startswith("visus.") and kind is not Variant
        for field in msgspec.inspect.type_info(kind).fields
        if isinstance(field.type, msgspec.inspect.UnionType) and field.type.includes_none
    ]
    assert len(optional) > 10
    assert [each for each in optional if each[2] is not None] == []


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("optim.lr=0.01", ("optim", "lr"), 0.01),
        ("budget.epochs = 3", ("budget", "epochs"), 3),
        ("model.name=resnet18", ("model", "name"), "resnet18"),
        ("augment.flip=true", ("augment", "flip"), True),
        ("preprocess.size=[32, 32]", ("preprocess", "size"), [32, 32]),
        ('about="a = b"', ("about",), "a = b"),
        ("about=a=b", ("about",), "a=b"),
        ("about=two words", ("about",), "two words"),
        ("data.source=C:\\photos\\new", ("data", "source"), "C:\\photos\\new"),
        ("optim={kind='sgd', lr=1.0}", ("optim",), {"kind": "sgd", "lr": 1.0}),
        ("about=", ("about",), ""),
        ("about=1\nseed=2", ("about",), "1\nseed=2"),
    ],
)
def test_assignments(text, path, value):
    assert parse_assignment(text) == (path, value)


@pytest.mark.parametrize("text", ["optim.lr", "=3", "optim.=3", ".lr=3", "a..b=3", ""])
def test_what_is_no_assignment_is_refused(text):
    with pytest.raises(SpecError, match=r"name\.name=value"):
        parse_assignment(text)


def test_assigning_leaves_the_rest_and_the_original():
    plain = {"optim": {"kind": "sgd", "lr": 0.1, "momentum": 0.9}, "seed": 1}
    assert assign(plain, ("optim", "lr"), 0.5) == {"optim": {"kind": "sgd", "lr": 0.5, "momentum": 0.9}, "seed": 1}
    assert plain["optim"] == {"kind": "sgd", "lr": 0.1, "momentum": 0.9}


def test_another_kind_empties_the_table_of_the_old_kinds_fields():
    plain = {"optim": {"kind": "sgd", "momentum": 0.9}}
    assert assign(plain, ("optim", "kind"), "adamw") == {"optim": {"kind": "adamw"}}
    assert assign(plain, ("optim", "kind"), "sgd") == plain
    under = {"a": {"kind": "x", "b": {"kind": "p", "q": 1}}}
    assert merge(under, {"a": {"b": {"kind": "r"}}}) == {"a": {"kind": "x", "b": {"kind": "r"}}}


def test_assigning_creates_the_tables_on_the_way():
    assert assign({}, ("a", "b", "c"), 1) == {"a": {"b": {"c": 1}}}
    assert assign({"a": 3}, ("a", "b"), 1) == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"a = ", "isn't valid TOML"), (b"a = '\xff'", "isn't UTF-8"), (b"a = 1\na = 2", "isn't valid TOML")],
)
def test_a_broken_file_is_named(tmp_path, content, problem):
    path = tmp_path / "recipe.toml"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=problem) as raised:
        read_toml(path)
    assert str(path) in raised.value.problem


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(SpecError, match=r"nothing\.toml: there is no such file"):
        read_toml(tmp_path / "nothing.toml")
    with pytest.raises(SpecError, match="is a directory"):
        read_toml(tmp_path)


def test_a_file_is_read(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text('about = "über"\n[optim]\nlr = 0.5\n', encoding="utf-8")
    assert read_toml(path) == {"about": "über", "optim": {"lr": 0.5}}
