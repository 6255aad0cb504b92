import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure
from PIL import Image

from visus import viz
from visus.viz import style

NASTY = ["$x^2$ and $y_1$", "<script>alert(1)</script>", "cat 🐈\u200d⬛", "two\nlines", "\udcff\udc00",
         "", "a" * 300, "ひらがな" * 30,
         "\u202ebackwards", "\\$5", "\x00\x07", "100 % {x} \\frac", "é̂"]  # fmt: skip


@pytest.mark.parametrize("name", NASTY)
def test_a_label_is_one_short_line_without_mathematics(name):
    label = viz.label(name, 24)
    assert not is_math_text(label)
    assert style.columns(label.replace(r"\$", "$")) <= 24
    assert label.isprintable()
    assert "\n" not in label
    label.encode("utf-8")


def test_a_label_keeps_what_fits():
    assert viz.label("T-shirt/top") == "T-shirt/top"
    assert viz.label("naïve Ελλάδα Ж") == "naïve Ελλάδα Ж"
    assert viz.label("abcdef", 6) == "abcdef"
    assert viz.label("abcdefg", 6) == "abcde…"


@given(st.text(st.characters(), max_size=30))
@settings(max_examples=25, deadline=None)
def test_every_label_can_be_drawn(name):
    figure = style.figure(3, 1)
    style.panel(figure.subplots(), viz.label(name), viz.label(name))
    viz.png(figure, dpi=50)  # a letter that no font has would raise a warning, and that an error


def test_a_dollar_sign_is_drawn_as_one():
    def pixels(text: str, **how: bool) -> np.ndarray:
        canvas = FigureCanvasAgg(Figure((3, 1)))
        canvas.figure.text(0.1, 0.5, text, **how)
        canvas.draw()
        return np.array(canvas.buffer_rgba())

    assert np.array_equal(pixels(viz.label("$a_1$ is $5")), pixels("$a_1$ is $5", parse_math=False))


def test_a_saved_picture_is_whole(tmp_path: Path):
    path = tmp_path / "ünï $1.png"
    assert viz.save(style.figure(2, 1), path, dpi=100) == path
    with Image.open(path) as image:
        image.load()
        assert image.size == (200, 100)
        assert image.convert("RGB").getpixel((5, 5)) == (255, 255, 255)
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_save_leaves_the_old_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def full(handle: int) -> None:  # the data are written by then, and the disk turns out not to hold them
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        viz.save(style.figure(2, 1), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_threads_draw_the_same_at_once():
    def picture(_: int) -> bytes:
        return viz.png(viz.top(["cat", "dog"], [0.7, 0.3]), dpi=60)

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(picture, range(8)))) == 1


def test_neither_pyplot_nor_torch_is_imported():
    code = "import visus.viz, sys; sys.exit(bool({'matplotlib.pyplot', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
