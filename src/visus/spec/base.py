"""`Spec`: a frozen value that describes something; `decode`: a tree of plain values into one, with clear errors."""

from __future__ import annotations

import re
import types
import typing
from typing import Any, TypeVar, dataclass_transform

import msgspec

from visus.errors import SpecError, nearest

S = TypeVar("S")
WORDS = {
    "int": "a whole number", "float": "a number", "str": "text", "bool": "true or false", "array": "a list",
    "object": "a table",
}  # fmt: skip


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class _Frozen(msgspec.StructMeta):
    """So that type checkers know that a Spec's fields can't be set and are given by name."""


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, metaclass=_Frozen):
    """A value that describes something. An optional field defaults to None, which TOML expresses by leaving it out."""


class Variant(Spec, frozen=True, kw_only=True, tag_field="kind"):
    """A Spec that is one of several kinds: `class SGD(Variant, tag="sgd")` is the table with `kind = "sgd"`."""


def tree(spec: Spec) -> dict[str, Any]:
    """The spec as plain dicts, lists and scalars, without the fields that are None.

    >>> class Point(Spec):
    ...     x: int = 0
    ...     name: str | None = None
    >>> tree(Point(x=3))
    {'x': 3}
    """
    plain: dict[str, Any] = _without_none(msgspec.to_builtins(spec))
    return plain


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    if isinstance(value, (list, tuple)):
        return [_without_none(each) for each in value]
    return value


def decode(plain: dict[str, Any], kind: type[S], where: str = "") -> S:
    """Build a spec from plain values.

    where: what the values came from (a file, the command line), for the error.
    Raises SpecError with the path of the setting, what was given, and for a typo the nearest name.

    >>> class Rate(Spec):
    ...     lr: float = 0.1
    >>> decode({"lrr": 1}, Rate)
    Traceback (most recent call last):
    visus.errors.SpecError: there is no setting lrr
      → did you mean lr?
    """
    try:
        return msgspec.convert(plain, kind)
    except msgspec.ValidationError as problem:
        raise _explain(str(problem), plain, kind, where) from None


def check(spec: Spec) -> None:
    """Hold the fields of a spec made in Python, where msgspec checks none, to their types. Raises SpecError."""
    name = type(spec).__name__.lower()
    for each in msgspec.structs.fields(type(spec)):
        given = getattr(spec, each.name)
        try:
            msgspec.convert(given, each.type)
        except msgspec.ValidationError:
            decode({each.name: given}, msgspec.defstruct(name, [(each.name, each.type)], frozen=True), name)


def _explain(problem: str, plain: dict[str, Any], kind: Any, where: str) -> SpecError:
    text, _, path = problem.partition(" - at `$")
    steps = re.findall(r"\.([^.\[\]`]+)|\[(\d+)\]", path.rstrip("`"))
    names = [name or int(index) for name, index in steps]
    dotted = ".".join(str(name) for name in names)
    prefix = f"{where}: " if where else ""
    if unknown := re.match(r"Object contains unknown field `(.+)`", text):
        found = _type_at(kind, plain, names)
        setting = f"{dotted}.{unknown[1]}" if dotted else unknown[1]
        known = getattr(found, "__struct_fields__", ())
        return SpecError(f"{prefix}there is no setting {setting}", nearest(unknown[1], known))
    if names and names[-1] == "kind" and text.startswith("Invalid value"):
        given = _value_at(plain, names)
        known = [each.__struct_config__.tag for each in _structs(_annotation_at(kind, plain, names[:-1]))]
        return SpecError(f"{prefix}{dotted} can't be {given!r}", nearest(str(given), map(str, known)))
    if text == "Object missing required field `kind`":
        known = [each.__struct_config__.tag for each in _structs(_annotation_at(kind, plain, names))]
        setting = f"{dotted}.kind" if dotted else "kind"
        return SpecError(
            f"{prefix}{dotted or 'the table'} has no kind", f"--set {setting}=…, one of " + ", ".join(map(str, known))
        )
    if "missing required field" in text:
        return SpecError(f"{prefix}{dotted or 'the settings'}: {text[0].lower()}{text[1:]}")
    given = _value_at(plain, names)
    if text.startswith("Invalid enum value"):
        options = [str(each) for each in _literals(_annotation_at(kind, plain, names))]
        return SpecError(f"{prefix}{dotted} can't be {given!r}", nearest(str(given), options))
    return SpecError(f"{prefix}{dotted} is {given!r}: {_plainly(text)}")


def _plainly(text: str) -> str:
    """msgspec's words for a value of the wrong kind or size, as a person says them.

    >>> _plainly("Expected `float | null` > 0.0"), _plainly("Expected `int`, got `str`")
    ('expected a number above 0', 'expected a whole number')
    """
    kinds, *_ = re.findall(r"`(.+?)`", text) or [""]
    words = [WORDS.get(each, each) for each in kinds.split(" | ") if each != "null"]
    text = text.partition(", got ")[0].replace(f"`{kinds}`", " or ".join(dict.fromkeys(words)))
    for sign, word in (("> ", "above "), (">= ", "at least "), ("< ", "below "), ("<= ", "at most ")):
        text = re.sub(rf" {sign}(-?[\d.]+?)(?:\.0)?$", rf" {word}\1", text)
    return f"{text[:1].lower()}{text[1:]}"


def _value_at(plain: Any, names: list[str | int]) -> Any:
    for name in names:
        try:
            plain = plain[name]
        except (KeyError, IndexError, TypeError):
            return None
    return plain


def _structs(annotation: Any) -> list[Any]:
    """The struct types inside an annotation such as `A | B | None` or `tuple[A, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return [annotation]
    return [each for argument in typing.get_args(annotation) for each in _structs(argument)]


def _literals(annotation: Any) -> list[Any]:
    if typing.get_origin(annotation) is typing.Literal:
        return list(typing.get_args(annotation))
    return [each for argument in typing.get_args(annotation) for each in _literals(argument)]


def _annotation_at(kind: Any, plain: Any, names: list[str | int]) -> Any:
    annotation: Any = kind
    for name in names:
        if isinstance(name, int):
            arguments = [each for each in typing.get_args(annotation) if each is not Ellipsis]
            if typing.get_origin(annotation) in (types.UnionType, typing.Union):
                arguments = [each for union in arguments for each in typing.get_args(union) if each is not Ellipsis]
            annotation = arguments[min(name, len(arguments) - 1)] if arguments else None
            plain = _value_at(plain, [name])
            continue
        struct = _struct_of(annotation, plain)
        if struct is None:
            return None
        annotation = typing.get_type_hints(struct).get(str(name))
        plain = _value_at(plain, [name])
    return annotation


def _struct_of(annotation: Any, plain: Any) -> Any:
    """Which struct of a union the plain table stands for, by its `kind`."""
    structs = _structs(annotation)
    tag = plain.get("kind") if isinstance(plain, dict) else None
    tagged = [each for each in structs if each.__struct_config__.tag == tag]
    return (tagged or structs or [None])[0]


def _type_at(kind: Any, plain: Any, names: list[str | int]) -> Any:
    return _struct_of(_annotation_at(kind, plain, names), _value_at(plain, names))
