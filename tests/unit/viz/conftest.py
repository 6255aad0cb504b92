import io
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from visus import viz

Look = Callable[[Figure], np.ndarray]


@pytest.fixture
def look() -> Look:
    """Draws a figure, checks that no text is cut off or lies on another, and returns its pixels (H×W×3 uint8)."""

    def draw(figure: Figure) -> np.ndarray:
        data = viz.png(figure, dpi=100)
        image = Image.open(io.BytesIO(data), formats=["PNG"])
        assert image.size == tuple(np.floor(figure.get_size_inches() * 100 + 1e-6).astype(int))
        whole = figure.bbox
        hidden = {text for axes in figure.findobj(Axes) for text in unseen(axes)}
        texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
        texts = [text for text in texts if text not in hidden]
        places = [(text.get_text(), text.get_rotation(), text.get_window_extent()) for text in texts]
        for words, _, box in places:
            assert box.x0 >= whole.x0 - 1, f"{words!r} is cut off at the left"
            assert box.x1 <= whole.x1 + 1, f"{words!r} is cut off at the right"
            assert box.y0 >= whole.y0 - 1, f"{words!r} is cut off below"
            assert box.y1 <= whole.y1 + 1, f"{words!r} is cut off above"
        level = [(words, box) for words, turned, box in places if not turned]
        for (one, box), (other, beside) in combinations(level, 2):
            across = min(box.x1, beside.x1) - max(box.x0, beside.x0)
            down = min(box.y1, beside.y1) - max(box.y0, beside.y0)
            assert across <= 1.5 or down <= 1.5, f"{one!r} lies on {other!r}"
        return np.asarray(image.convert("RGB"))

    return draw


def unseen(axes: Axes) -> list[Text]:
    """The labels of ticks that matplotlib keeps, but doesn't draw: they lie outside of the view."""
    hidden = []
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        room = 1e-9 * (high - low)
        drawn = [
            tick
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            if axes.axison and low - room <= tick.get_loc() <= high + room
        ]
        hidden += [tick for tick in [*axis.majorTicks, *axis.minorTicks] if tick not in drawn]
    return [label for tick in hidden for label in (tick.label1, tick.label2)]
