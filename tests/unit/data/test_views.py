"""What the looks at an image are, as their papers say it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from visus.data.preprocess import ImagePreprocess
from visus.data.views import NAMED, View, Views, named_views
from visus.errors import DataError, NotFound, SpecError
from visus.spec import decode

ALEXNET = ImagePreprocess(size=(224, 224), crop=224 / 256)


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def seen(preprocess: ImagePreprocess, pixels: np.ndarray, views: Views) -> torch.Tensor:
    """V×C×H×W."""
    return preprocess.place_views(torch.from_numpy(pixels)[None], views.each())[0]


@pytest.mark.parametrize(("height", "width"), [(256, 256), (300, 256), (256, 341), (256, 259)])
def test_ten_are_krizhevskys(height, width):
    """Krizhevsky et al. 2012, §4.1: the central 256×256 patch of an image whose shorter side is 256; of it "the four
    corner patches and the center patch", 224×224, "as well as their horizontal reflections"."""
    pixels = noise(height, width)
    top, left = round((height - 256) / 2), round((width - 256) / 2)
    middle = pixels[top : top + 256, left : left + 256]
    corners = [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]
    wanted = [middle[row : row + 224, column : column + 224] for row, column in corners]
    found = seen(ALEXNET, pixels, NAMED["ten"]).permute(0, 2, 3, 1).numpy()
    assert len(found) == 10
    assert all(any(np.array_equal(each, patch) for each in found) for patch in wanted)
    assert all(any(np.array_equal(each, patch[:, ::-1]) for each in found) for patch in wanted)


def test_144_are_szegedys():
    """Szegedy et al. 2014, §7: four scales (shorter side 256, 288, 320, 352), the left, centre and right square of
    each, of each square the four corners, the centre and the square itself resized to 224×224, and mirrored."""
    views = NAMED["googlenet"].each()
    assert len(views) == 4 * 3 * 6 * 2 == 144
    for view in views:
        if view.whole:
            continue
        side = round(256 * view.scale)
        assert side in (256, 288, 320, 352)
        where = ALEXNET.placement(480, 640, view)
        width = side * 640 // 480
        assert (where.scale_y * 480, where.scale_x * 640) == pytest.approx((side, width))
        square = {0.0: 0, 0.5: round((width - side) / 2), 1.0: width - side}[view.part]
        corners = {0.0: 0, 0.5: (side - 224) / 2, 1.0: side - 224}
        assert -where.left == pytest.approx(square + corners[view.x], abs=0.5)
        assert -where.top == corners[view.y]
    squares = {view.part: ALEXNET.placement(480, 640, view) for view in views if view.whole}
    width = 224 * 640 // 480
    assert [-squares[part].left for part in (0.0, 0.5, 1.0)] == [0, round((width - 224) / 2), width - 224]
    assert all((where.top, where.scale_y * 480) == (0, pytest.approx(224)) for where in squares.values())


def test_an_upright_image_has_a_top_and_a_bottom_part():
    tops = {-ALEXNET.placement(640, 480, View(part=part, y=0.0)).top for part in (0.0, 1.0)}
    assert tops == {0, 256 * 640 // 480 - 256}


def test_150_are_simonyans():
    """Simonyan and Zisserman 2014, §3.2 and §4.3: three scales, a 5×5 regular grid, two flips: 50 crops a scale."""
    views = NAMED["vgg"].each()
    assert len(views) == 3 * 50
    places = [ALEXNET.placement(400, 600, view) for view in views if view.scale == 1.0 and not view.mirror]
    assert sorted({-where.top for where in places}) == [0, 8, 16, 24, 32]  # 256 − 224 in four steps
    assert sorted({-where.left for where in places}) == [0, 40, 80, 120, 160]  # 384 − 224


sides = st.integers(8, 70)
views = st.builds(
    View,
    scale=st.floats(0.5, 3),
    part=st.none() | st.floats(0, 1),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
    whole=st.booleans(),
)
preprocesses = st.builds(
    ImagePreprocess,
    size=st.tuples(st.integers(8, 40), st.integers(8, 40)),
    channels=st.just(1),
    fit=st.sampled_from(("crop", "stretch", "pad", "center")),
    crop=st.floats(0.5, 1.0),
)


@given(preprocesses, sides, sides)
def test_the_ordinary_view_is_what_a_network_was_trained_on(preprocess, height, width):
    pixels = noise(height, width, 1)
    (found,) = seen(preprocess, pixels, Views())
    assert torch.equal(found, preprocess.place(pixels))


@given(preprocesses, sides, sides, views)
def test_a_mirrored_view_is_the_view_mirrored(preprocess, height, width, view):
    mirrored = View(view.scale, view.part, view.x, view.y, view.whole, mirror=True)
    found = preprocess.place_views(torch.from_numpy(noise(height, width, 1))[None], (view, mirrored))[0]
    assert torch.equal(found[0].flip(-1), found[1])


@given(preprocesses, sides, sides, views)
def test_a_view_is_where_its_placement_says(preprocess, height, width, view):
    """A bright rectangle is within the box that the placement gives it."""
    pixels = np.zeros((height, width, 1), np.uint8)
    pixels[height // 4 : height // 2 + 1, width // 4 : width // 2 + 1] = 255
    box = np.array([[width // 4, height // 4, width // 2 + 1, height // 2 + 1]], np.float32)
    found = preprocess.place_views(torch.from_numpy(pixels)[None], (view,))[0, 0, 0].numpy()
    assert found.shape == preprocess.size
    left, top, right, bottom = preprocess.placement(height, width, view).boxes(box)[0]
    rows, columns = np.nonzero(found > 127)
    if len(rows):
        assert left - 1 <= columns.min()
        assert columns.max() <= right
        assert top - 1 <= rows.min()
        assert rows.max() <= bottom


@given(preprocesses, sides, sides, st.floats(1, 3), st.floats(0, 1), st.floats(0, 1))
def test_a_window_reaches_over_an_edge_only_where_it_must(preprocess, height, width, scale, x, y):
    view = View(scale, x=x, y=y)
    where = preprocess.placement(height, width, view)
    rows, columns = round(where.scale_y * height), round(where.scale_x * width)
    for start, length, window in ((-where.top, rows, where.height), (-where.left, columns, where.width)):
        if length >= window:
            assert 0 <= start <= length - window
        else:
            assert abs(2 * start - (length - window)) <= 1  # in the middle


def test_names_and_settings():
    assert named_views("ten") == Views(crops="five", mirror=True)
    with pytest.raises(NotFound, match=r"'tenn'[\s\S]*did you mean ten"):
        named_views("tenn")
    with pytest.raises(SpecError, match=r"scales\.0 is 0"):
        decode({"scales": [0.0]}, Views)
    with pytest.raises(SpecError, match="crops can't be 'sixteen'"):
        decode({"crops": "sixteen"}, Views)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"crops": "tne"}, "crops can't be 'tne'"),
        ({"scales": (0,)}, "scales.0 is 0: expected a number above 0"),
        ({"scales": 1.15}, "scales is 1.15: expected a list"),
        ({"grid": 1}, "grid is 1: expected a whole number at least 2"),
    ],
)
def test_views_that_cannot_be_are_refused_when_they_are_made(given, says):
    with pytest.raises(SpecError) as raised:
        Views(**given)
    assert says in raised.value.problem


def test_the_command_line_tells_all_names():
    from visus.cli.learn import fuse

    assert ", ".join(NAMED) in fuse.__doc__


def test_vectors_have_no_views():
    with pytest.raises(DataError, match="the data are vectors"):
        ALEXNET.place_views(torch.zeros(2, 3), NAMED["ten"].each())
