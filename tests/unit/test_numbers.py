"""Numbers as a person reads them."""

from hypothesis import given
from hypothesis import strategies as st

from visus.text import compact

UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@given(st.integers(1, 10**15 - 10**12))
def test_three_digits_are_right(number):
    digits, _, unit = compact(number).partition(" ")
    assert len(digits.replace(".", "")) <= 3
    assert abs(float(digits) * UNITS[unit] - number) <= 0.00501 * number
