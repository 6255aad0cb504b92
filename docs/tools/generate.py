"""Pages that are written from the code whenever the documentation is built."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect as kinds

from visus.cli.main import app
from visus.data.named import NAMED
from visus.data.open import READERS
from visus.data.preprocess import ImagePreprocess
from visus.run.recipe import Expect, Preprocessing, Recipe
from visus.spec import tree

sys.path.insert(0, str(Path(__file__).parent))
import augmented
import network_pages
from certificates import certificates
from figures import figures
from page_text import md, put, rows

UNSAID: dict[type, dict[str, str]] = {
    Recipe: {
        "seed": "Of everything that is random: the division of the data (unless it has a seed of its own), the first "
        "weights, the order of samples, the augmentation.",
        "about": "A line for `visus recipes`.",
    },
}
NAMES: dict[type, str] = {kinds.BoolType: "true or false", kinds.StrType: "text"}
FOUND = "found"  # what is shown for a default of None


def settings() -> str:
    """Every setting that `--set` takes: a table for each part of a recipe."""
    parts = [
        "# Every setting\n",
        "Written from the code when this page was built. Each setting is a name for `--set`, and a line of a recipe.",
        f'Where the default is "{FOUND}", the value is found from the data and the network, or there is none; the '
        "run's `recipe.toml` says what it came to.\n",
    ]
    own = [field for field in _struct(Recipe).fields if not _structs(field.type)]
    parts += ["## The recipe itself\n", *_table("", own, _meanings(Recipe))]
    for field in _struct(Recipe).fields:
        found = _structs(field.type)
        if not found or found[0].cls is Expect:
            continue
        parts.append(f"## {field.name}\n")
        if len(found) > 1:
            default = "" if field.default in (None, msgspec.NODEFAULT) else tree(field.default).get("kind", "")
            parts.append(_choice(field.name, found, default))
        for each in found:
            parts += list(_section(field.name, each, len(found) > 1, 2))
    return "\n".join(parts) + "\n"


def command_line() -> str:
    """What `visus --help` and `visus VERB --help` say."""
    text = app.generate_docs(output_format="markdown")
    text = re.sub(r"## Table of Contents\n.*?(?=\*\*Commands)", "", text, flags=re.DOTALL)
    text = re.sub(r"^# visus\n", "# Command line\n", text)
    text = re.sub(r"\(#visus-([a-z-]+)\)", r"(#visus-\1)", text)
    return text.replace(" *[default: ()]*", "").replace(" *[default: False]*", "")


def layouts() -> str:
    """The layouts of files that are recognised, and the sets that are known by name."""
    known = [(each.name, md(each.layout.partition(": ")[2] or each.layout)) for each in READERS]
    sets = [(f"`{name}`", md(each.description), md(each.source_and_licence)) for name, each in NAMED.items()]
    return "\n".join(
        [
            *rows(("layout", "what is recognised"), known),
            "",
            "And these by name:",
            "",
            *rows(("name", "what", "source, licence"), sets),
            "",
        ]
    )


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings,
    "cli.md": command_line,
    "layouts.inc": layouts,
    "figures.inc": figures,
    "certificates.md": certificates,
}


def write(folder: Path) -> None:
    """Write the pages whose text has changed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        put(folder / name, page())
    augmented.write(folder)
    network_pages.write(folder)


def _section(path: str, struct: kinds.StructType, tagged: bool, level: int) -> Iterator[str]:
    """A struct's docstring and table, then the structs inside it."""
    if tagged:
        level += 1
        yield f"{'#' * level} {path}{f'.kind = {struct.tag}' if struct.tag else ''}\n"
    meanings = _meanings(struct.cls)
    if meanings[""]:
        yield md(meanings[""]) + "\n"
    if struct.cls is Preprocessing:  # it refers to that one's fields
        meanings |= {name: text for name, text in _meanings(ImagePreprocess).items() if name}
    plain = [field for field in struct.fields if not _structs(field.type)]
    if plain:
        yield from _table(path, plain, meanings)
    for field in struct.fields:
        name = f"{path}.{field.name}"
        listed = _listed(field.type)
        if len(listed) > 1:
            yield f"Each table in `{name}` has a kind: " + ", ".join(f"`{each.tag}`" for each in listed) + ".\n"
        for each in listed:
            yield from _section(name, each, True, level)
        inside = _structs(field.type)
        if not inside:
            continue
        if len(inside) > 1:
            default = "" if field.default in (None, msgspec.NODEFAULT) else tree(field.default).get("kind", "")
            yield _choice(name, inside, default)
        for each in inside:
            yield from _section(name, each, True, level)


def _choice(path: str, found: list[kinds.StructType], default: str) -> str:
    names = ", ".join(f"`{each.tag}`" for each in found)
    return f"`{path}.kind` is one of {names}; by default " + (f"`{default}`." if default else "it is found.") + "\n"


def _table(path: str, fields: list[Any], meanings: dict[str, str]) -> list[str]:
    found = []
    for field in fields:
        name = f"{path}.{field.name}" if path else field.name
        default = "required" if field.required else _value(field.default)
        found.append((f"`{name}`", _type(field.type), default, md(meanings.get(field.name, ""))))
    return [*rows(("setting", "type", "default", "meaning"), found), ""]


def _meanings(cls: type) -> dict[str, str]:
    """From a docstring: field → what is said of it; "" → the rest."""
    known = "|".join(map(re.escape, cls.__struct_fields__)) or "$^"
    found: dict[str, str] = {"": ""} | UNSAID.get(cls, {})
    for paragraph in inspect.cleandoc(cls.__doc__ or "").split("\n\n"):
        text = " ".join(line.strip() for line in paragraph.splitlines())
        marks = list(re.finditer(rf"(?:^|(?<=[.;] ))((?:{known})(?:, (?:{known}))*): ", text))
        rest = text[: marks[0].start()].strip() if marks else text
        found[""] = f"{found['']}\n\n{rest}".strip()
        for index, mark in enumerate(marks):
            end = marks[index + 1].start() if index + 1 < len(marks) else len(text)
            for name in mark[1].split(", "):
                found[name] = text[mark.end() : end].strip().rstrip(";")
    return found


def _struct(cls: type) -> kinds.StructType:
    found = kinds.type_info(cls)
    assert isinstance(found, kinds.StructType)
    return found


def _structs(found: kinds.Type) -> list[kinds.StructType]:
    if isinstance(found, kinds.StructType):
        return [found]
    if isinstance(found, kinds.UnionType):
        return [each for each in found.types if isinstance(each, kinds.StructType)]
    return []


def _listed(found: kinds.Type) -> list[kinds.StructType]:
    """The structs that a list is of, or a list of lists."""
    if not isinstance(found, kinds.VarTupleType):
        return []
    return _structs(found.item_type) or _listed(found.item_type)


def _type(found: kinds.Type) -> str:
    match found:
        case kinds.IntType() | kinds.FloatType():
            name = "whole number" if isinstance(found, kinds.IntType) else "number"
            signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
            limits = [f"{sign} {limit}" for key, sign in signs.items() if (limit := getattr(found, key)) is not None]
            text = f"{name} {', '.join(limits)}".strip()
        case kinds.LiteralType():
            text = " or ".join(f"`{each}`" for each in found.values)
        case kinds.UnionType():
            text = " or ".join(_type(each) for each in found.types if not isinstance(each, kinds.NoneType))
        case kinds.TupleType():
            text = f"list of {len(found.item_types)}: {_type(found.item_types[0])}"
        case kinds.VarTupleType() if _structs(found.item_type):
            text = "list of: table"
        case kinds.VarTupleType():
            text = f"list of: {_type(found.item_type)}"
        case kinds.StructType():
            text = f"table of {', '.join(f'`{field.name}`' for field in found.fields)}"
        case _:
            text = NAMES[type(found)]
    return text


def _value(value: Any) -> str:
    if value is None:
        return FOUND
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple) and any(isinstance(each, tuple | msgspec.Struct) for each in value):
        return f"{len(value)} rows"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value}`" if value != "" else ""
