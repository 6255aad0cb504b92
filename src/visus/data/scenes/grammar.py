"""What is said of a scene, and how it is read back.

    caption = [opening] body
    opening = "there is" | "there are" | "a picture of" | "an image of" | "you can see"
    body    = "nothing" | group {("and" | "with") group} | group relation group
    group   = number colour noun            two red squares, an orange 7, three blue 7s
    number  = "a" | "an" | "one" | "two" | "three" | "four"

Equal objects are one group, so the counts of a body are the scene's. Words are parted by single blanks and there is
no punctuation: `caption.split()` gives the tokens, each of which is in `VOCABULARY`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from visus.errors import DataError

Pair = tuple[str, str]
"""The colour and the kind of an object."""

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "white")
DIGITS = tuple("0123456789")
SHAPES = ("circle", "square", "triangle", "star", "cross", "heart")
KINDS = (*DIGITS, *SHAPES)
RELATIONS = ("above", "below", "left of", "right of")

_OPENINGS = ("", "there is", "a picture of", "an image of", "you can see")  # one for each caption of a scene
_NUMBERS = ("nothing", "one", "two", "three", "four")
_PLURALS = {kind: kind + ("es" if kind == "cross" else "s") for kind in KINDS}
_COUNTS = {word: count for count, word in enumerate(_NUMBERS) if count} | {"a": 1, "an": 1}
_SINGULARS = {plural: kind for kind, plural in _PLURALS.items()}

MOST = len(_NUMBERS) - 1  # objects that can be counted

VOCABULARY = tuple(
    sorted(
        {word for text in (*_OPENINGS, "there are", *_NUMBERS, "a an and with", *RELATIONS) for word in text.split()}
        | {*COLOURS, *KINDS, *_SINGULARS}
    )
)
"""Every word of every caption."""

_GROUP = rf"\b({'|'.join(_COUNTS)}) ({'|'.join(COLOURS)}) ({'|'.join((*KINDS, *_SINGULARS))})\b"
_CAPTION = re.compile(
    rf"(?:(?:{'|'.join((*_OPENINGS[1:], 'there are'))}) )?"
    rf"(?:nothing|{_GROUP}(?: (?:{'|'.join(('and', 'with', *RELATIONS))}) {_GROUP})*)"
)


def phrase(pair: Pair) -> str:
    """What one object is called.

    >>> phrase(("blue", "7"))
    'blue 7'
    """
    return " ".join(pair)


def captions(rng: np.random.Generator, pairs: Sequence[Pair], centres_M2: np.ndarray) -> tuple[str, ...]:
    """Five true captions, one of each opening; the rest of the wording is drawn.

    pairs: the M objects. centres_M2: the x and y of their middles, in any unit.

    >>> captions(np.random.default_rng(1), [("red", "cross")] * 2, np.zeros((2, 2)))[2]
    'a picture of two red crosses'
    """
    counts = Counter(pairs)
    groups = list(counts)
    relation = _relation([centres_M2[[pair == group for pair in pairs]] for group in groups])
    return tuple(_caption(rng, opening, groups, counts, relation) for opening in _OPENINGS)


def parse(caption: str) -> Counter[Pair]:
    """How many objects of each colour and kind a caption speaks of; "two red square" is read too.

    Raises DataError for any other text.

    >>> parse("there are two red squares and an orange 7")
    Counter({('red', 'square'): 2, ('orange', '7'): 1})
    """
    if not _CAPTION.fullmatch(caption):
        raise DataError(
            f"{caption!r} isn't of the scenes' grammar", "write it as in 'there are two red squares and an orange 7'"
        )
    counts: Counter[Pair] = Counter()
    for number, colour, noun in re.findall(_GROUP, caption):
        counts[colour, _SINGULARS.get(noun, noun)] += _COUNTS[number]
    return counts


def _relation(centres: Sequence[np.ndarray]) -> int | None:
    """Where the first of two groups lies, as an index of RELATIONS; None where that isn't clear.

    It is clear if every object's middle in the one is beyond every one's in the other, and the groups' middles lie at
    least twice as far apart that way as across it.
    """
    if len(centres) != 2:
        return None
    first, second = centres
    offset = second.mean(0) - first.mean(0)
    axis = int(abs(offset[1]) > abs(offset[0]))
    if abs(offset[axis]) < 2 * abs(offset[1 - axis]):
        return None
    ahead = first[:, axis].max() < second[:, axis].min()
    behind = second[:, axis].max() < first[:, axis].min()
    return None if not (ahead or behind) else 2 * (1 - axis) + int(behind)


def _caption(
    rng: np.random.Generator, opening: str, groups: Sequence[Pair], counts: Counter[Pair], relation: int | None
) -> str:
    if not groups:
        return f"{opening} nothing".strip()
    order, article = rng.permutation(len(groups)), rng.random() < 0.5
    links = ["and", "with"]
    if relation is not None:
        links.append(RELATIONS[relation ^ int(order[0])])  # said the other way round: opposites are neighbours
    link = links[rng.integers(len(links))]
    first, *rest = (_group(groups[place], counts[groups[place]], article) for place in order)
    if opening == "there is" and counts[groups[order[0]]] > 1:
        opening = "there are"
    return " ".join(filter(None, (opening, first, *((link, " and ".join(rest)) if rest else ()))))


def _group(pair: Pair, count: int, article: bool) -> str:
    colour, kind = pair
    if count > 1:
        return f"{_NUMBERS[count]} {colour} {_PLURALS[kind]}"
    number = ("an" if colour[0] in "aeiou" else "a") if article else "one"
    return f"{number} {colour} {kind}"
