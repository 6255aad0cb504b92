"""Numbers as a person reads them."""

from __future__ import annotations

_SPOKEN = {"f1": "F1", "r2": "R²", "rmse": "RMSE", "mae": "MAE", "top5": "top-5"}
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def counted(number: int, what: str) -> str:
    """A number of things.

    >>> counted(1, "file"), counted(1234, "file")
    ('1 file', '1,234 files')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


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


def digits(number: float, places: int = 6) -> str:
    """A number with so many significant digits; very small and very large ones by a power of ten.

    >>> digits(0.0005), digits(1e-5), digits(2.5e-7), digits(1 / 3, 2)
    ('0.0005', '10⁻⁵', '2.5 × 10⁻⁷', '0.33')
    """
    factor, e, power = f"{number:.{places}g}".partition("e")
    if not e:
        return factor
    raised = "10" + str(int(power)).translate(_RAISED)
    return raised if factor == "1" else f"{factor} × {raised}"


def spoken(name: str) -> str:
    """The name of a figure as a person says it.

    >>> spoken("balanced_accuracy"), spoken("f1_micro"), spoken("mae/height")
    ('balanced accuracy', 'F1 micro', 'MAE, height')
    """
    words = name.replace("_", " ").replace("/", " / ").split()
    return " ".join(_SPOKEN.get(word, word) for word in words).replace(" / ", ", ")


def titled(text: str) -> str:
    """With a capital at the start, and the rest as it is.

    >>> titled("test F1")
    'Test F1'
    """
    return text[:1].upper() + text[1:]
