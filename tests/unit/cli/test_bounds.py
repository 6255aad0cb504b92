"""Ranges as they are typed."""

import pytest

from visus.cli.bounds import bounds
from visus.errors import SpecError


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, None),
        ("2015", (2015, 2015)),
        ("2012..2015", (2012, 2015)),
        ("..10M", (None, 10_000_000)),
        ("1.5G..", (1_500_000_000, None)),
        ("60k..61.706k", (60_000, 61_706)),
        ("0.5M..2M", (500_000, 2_000_000)),
        (" 3 .. 4 ", (3, 4)),
        ("7..7", (7, 7)),
    ],
)
def test_what_is_understood(text, found):
    assert bounds("--parameters", text) == found


@pytest.mark.parametrize(
    "text", ["", "..", "ten", "10m..", "1-5", "1...5", "1..2..3", "-3..", "25%", "1e6", "10 M", "nan"]
)
def test_what_is_not_understood_is_answered_with_an_example(text):
    with pytest.raises(SpecError, match=r"--year .*isn't a range") as raised:
        bounds("--year", text)
    assert "--year 2015, 2012..2015 or 2016.." in raised.value.remedy


def test_a_range_that_holds_nothing_is_answered_with_the_other_way_round():
    with pytest.raises(SpecError, match="nothing lies between") as raised:
        bounds("--year", "2015..2012")
    assert raised.value.remedy == "--year 2012..2015"
