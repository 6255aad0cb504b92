"""`list_models`: which networks, and in which order."""

import pytest

from visus.errors import NotFound, SpecError
from visus.models import CATALOG, FAMILIES, list_models


def test_everything_in_the_order_of_the_catalog():
    assert list_models() == list(CATALOG)
    assert list_models(descending=True) == list(CATALOG)[::-1]


@pytest.mark.parametrize(
    ("asked", "among", "absent"),
    [
        ({"year": 1998}, "lenet5", "mlp"),
        ({"year": (1998, 1998)}, "lenet5", "resnet50"),
        ({"year": (2015, None)}, "resnet50", "lenet5"),
        ({"year": (None, 1997)}, "mlp", "lenet5"),
        # He et al., arXiv:1512.03385, table 6: 0.27 M parameters; counted by hand in tests/claims/test_lineage.py
        ({"parameters": (269_722, 269_722)}, "resnet20", "resnet32"),
        ({"parameters": 60_000}, "lenet5", "lenet5_full"),
        ({"multiply_adds": (None, 325_680)}, "lenet5", "lenet5_full"),
        # torchvision's pages of weights: ResNet-50 V1 has an accuracy of 76.13 %, ResNet-18 of 69.758 %
        ({"error": (None, 25)}, "resnet50", "resnet18"),
        ({"error": (23.87, 23.87)}, "resnet50", "resnet34"),
        ({"error": (None, 8), "data": "CIFAR-10"}, "resnet32", "resnet20"),
        ({"data": "MNIST"}, "lenet5", "lenet5_full"),
        ({"family": "senet"}, "seresnet50", "resnet50"),
    ],
    ids=str,
)
def test_what_is_asked_for(asked, among, absent):
    found = list_models(**asked)
    assert among in found
    assert absent not in found
    assert found == [name for name in CATALOG if name in found]  # their order is the catalog's


def test_errors_on_other_data_are_not_compared():
    assert CATALOG["resnet110"].published.top1_error == 6.43  # of ten classes, CIFAR-10
    assert "resnet110" not in list_models(error=(None, 20))
    assert "resnet110" in list_models(error=(None, 20), data="CIFAR-10")
    order = list_models("resnet*", sort="error")
    assert order.index("resnet18") < order.index("resnet110")


def test_what_is_not_known_is_not_in_any_range():
    assert CATALOG["mlp"].published is None
    assert "mlp" not in list_models(error=(None, None))
    assert "mlp" in list_models(year=(None, None))


def test_every_bound_holds_at_once():
    found = list_models("*resn*", year=(2016, None), parameters=(None, 30e6), error=(None, 25))
    assert "resnext50_32x4d" in found
    for name in found:
        card = CATALOG[name]
        assert "resn" in name
        assert FAMILIES[card.family].year >= 2016
        assert card.figures.parameters <= 30e6
        assert card.published.data == "ImageNet"
        assert card.published.top1_error <= 25


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", ["year", "parameters", "multiply-adds", "error"])
def test_sorted_with_the_unknown_last(sort, descending):
    def figure(name: str) -> float | None:
        card = CATALOG[name]
        return {
            "year": FAMILIES[card.family].year,
            "parameters": card.figures and card.figures.parameters,
            "multiply-adds": card.figures and card.figures.multiply_adds,
            "error": card.error_on("ImageNet"),
        }[sort]

    found = list_models(sort=sort, descending=descending)
    assert sorted(found) == sorted(CATALOG)
    figures = [figure(name) for name in found]
    known = [each for each in figures if each is not None]
    assert known == sorted(known, reverse=descending)
    assert figures == known + [None] * (len(figures) - len(known))


def test_names_are_sorted_as_a_person_would():
    found = list_models("resnet*", sort="name")
    assert found.index("resnet8") < found.index("resnet18") < found.index("resnet101")
    assert list_models("resnet*", sort="name", descending=True) == found[::-1]


@pytest.mark.parametrize(
    ("asked", "kind", "says"),
    [
        ({"family": "resnt"}, NotFound, "did you mean resnet"),
        ({"data": "imagenet"}, NotFound, "did you mean ImageNet"),
        ({"sort": "size"}, SpecError, "sort can't be 'size'"),
        ({"year": (2016, 2012)}, SpecError, "nothing lies between"),
        ({"year": "2012..2015"}, SpecError, "(least, most)"),
    ],
)
def test_mistakes_are_answered(asked, kind, says):
    with pytest.raises(kind) as raised:
        list_models(**asked)
    assert says in str(raised.value)


def test_where_a_paper_is_found():
    assert FAMILIES["resnet"].link == "https://arxiv.org/abs/1512.03385"
    assert FAMILIES["lenet5"].link == "https://doi.org/10.1109/5.726791"
