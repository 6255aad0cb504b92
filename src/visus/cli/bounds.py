"""Ranges and sizes as they are typed: 2012..2015, ..10M, 4.5, 1G.., 256MB."""

from __future__ import annotations

import re

from visus.errors import SpecError

_NUMBER = re.compile(r"(\d+(?:\.\d+)?)([kKMGT]?)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kKMGT]?)(i?)B?)")
_UNITS = {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def bounds(option: str, text: str | None) -> tuple[float | None, float | None] | None:
    """Least and most, both included, of what was given to an option; None for an open end, and where nothing was given.

    >>> bounds("--year", "2012..2015"), bounds("--parameters", "..2.5M"), bounds("--year", "1998")
    ((2012.0, 2015.0), (None, 2500000.0), (1998.0, 1998.0))
    """
    if text is None:
        return None
    first, dots, last = text.strip().partition("..")
    least = _number(option, text, first) if first else None
    most = _number(option, text, last) if last else None if dots else least
    if least is None and most is None:
        raise _unclear(option, text)
    if least is not None and most is not None and least > most:
        raise SpecError(f"{option} {text}: nothing lies between the two", f"{option} {last}..{first}")
    return least, most


def size_of(option: str, text: str) -> int:
    """Bytes of what was given to an option.

    >>> size_of("--size", "256MB"), size_of("--size", "1.5 GiB"), size_of("--size", "4096")
    (256000000, 1610612736, 4096)
    """
    found = _SIZE.fullmatch(text.strip())
    size = (
        0 if found is None else float(found[1]) * (1024 if found[3] else 1000) ** " KMGT".index(found[2].upper() or " ")
    )
    if size < 1:
        raise SpecError(f"{option} {text}: isn't a size", f"for example {option} 256MB, 64MiB or 1GB")
    return int(size)


def _number(option: str, text: str, given: str) -> float:
    found = _NUMBER.fullmatch(given.strip())
    if found is None:
        raise _unclear(option, text)
    return float(found[1]) * _UNITS[found[2]]


def _unclear(option: str, text: str) -> SpecError:
    examples = {
        "--year": "2015, 2012..2015 or 2016..",
        "--error": "..25, 20..25 or 25.. (percent)",
        "--multiply-adds": "..500M, 1G..4G or 10G..",
    }
    return SpecError(
        f"{option} {text}: isn't a range", f"for example {option} " + examples.get(option, "..10M, 20M..30M or 100M..")
    )
