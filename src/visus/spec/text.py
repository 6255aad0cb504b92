"""Specs as text: TOML files in and out, and `a.b=c` assignments."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from visus.errors import SpecError
from visus.spec.base import Spec, tree


def dumps(spec: Spec) -> str:
    """The spec as TOML, one that `decode(tomllib.loads(text), type(spec))` turns back into an equal spec."""
    return tomli_w.dumps(tree(spec))


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises SpecError when it is missing, can't be read, isn't UTF-8 or isn't TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError(f"{path}: there is no such file") from None
    except OSError as problem:
        raise SpecError(f"{path}: can't be read: {(problem.strerror or str(problem)).lower()}") from None
    except UnicodeDecodeError:
        raise SpecError(f"{path}: isn't UTF-8 text", "save it as UTF-8") from None
    except tomllib.TOMLDecodeError as problem:
        raise SpecError(f"{path}: isn't valid TOML: {problem}") from None


def parse_assignment(text: str) -> tuple[tuple[str, ...], Any]:
    """`a.b=c` as (path, value); the value is read as TOML, or taken as a string where it isn't TOML.

    >>> parse_assignment("optim.lr=0.01"), parse_assignment("model.name=lenet5")
    ((('optim', 'lr'), 0.01), (('model', 'name'), 'lenet5'))
    """
    path, equals, value = text.partition("=")
    names = tuple(name.strip() for name in path.split("."))
    if not equals or not all(names):
        raise SpecError(f"--set {text}: isn't of the form name.name=value", "for example --set optim.lr=0.01")
    try:
        found = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return names, value.strip()
    return names, found["value"] if len(found) == 1 else value.strip()


def assign(plain: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A copy of the tree with one value put in place. Another `kind` empties its table of the old kind's fields."""
    nested: Any = value
    for name in reversed(path):
        nested = {name: nested}
    return merge(plain, nested)


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Two trees as one; where both have a value, that of `over` holds.

    >>> merge({"optim": {"kind": "sgd", "momentum": 0.9}}, {"optim": {"kind": "adamw"}})
    {'optim': {'kind': 'adamw'}}
    """
    if "kind" in over and over["kind"] != under.get("kind", over["kind"]):
        return dict(over)
    merged = dict(under)
    for name, value in over.items():
        below = merged.get(name)
        merged[name] = merge(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return merged
