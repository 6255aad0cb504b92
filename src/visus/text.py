"""Numbers as a person reads them."""

from __future__ import annotations


def compact(number: float) -> str:
    """Three digits and a unit: k, M, G, T.

    >>> compact(25_557_032), compact(4_089_184_256), compact(60_000), compact(840)
    ('25.6 M', '4.09 G', '60.0 k', '840')
    >>> compact(999_999)
    '1.00 M'
    """
    scaled, units = float(number), ["", "k", "M", "G", "T"]
    while abs(scaled) >= 999.5 and len(units) > 1:
        scaled, units = scaled / 1000, units[1:]
    if not units[0] and scaled == int(scaled):
        return f"{scaled:.0f}"
    size = abs(scaled)
    decimals = 2 if size < 9.995 else 1 if size < 99.95 else 0
    return f"{scaled:.{decimals}f} {units[0]}".strip()
