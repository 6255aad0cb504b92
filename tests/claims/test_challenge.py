"""SPEC §3: "ImageNet top-5 error by year, as a chart"."""

import pytest

from visus import viz
from visus.models import ENTRIES, FAMILIES, HUMAN_ERROR

# The specification's list, word for word: 2010 28.2, 2011 25.8, 2012 AlexNet 16.4, 2013 ZFNet 11.7, 2014 VGG 7.3 and
# GoogLeNet 6.7, 2015 ResNet 3.6, 2016 fusion 3.0, 2017 SENet 2.3, human about 5.1.
LISTED = [
    (2010, "", 28.2), (2011, "", 25.8), (2012, "AlexNet", 16.4), (2013, "ZFNet", 11.7), (2014, "VGG", 7.3),
    (2014, "GoogLeNet", 6.7), (2015, "ResNet", 3.6), (2016, "Fusion", 3.0), (2017, "SENet", 2.3),
]  # fmt: skip


def test_the_error_of_each_year():
    found = [(entry.year, entry.network if entry.families else "", round(entry.error, 1)) for entry in ENTRIES]
    assert found == LISTED
    assert HUMAN_ERROR == 5.1


@pytest.mark.parametrize(
    ("network", "error", "layers"),
    [
        ("GoogLeNet", 6.67, 22),  # arXiv:1409.4842, abstract and table 2
        ("ResNet", 3.57, 152),  # arXiv:1512.03385, abstract
        ("Fusion", 2.99, None),  # SPEC §3: fused 2.92 val, 2.99 test
        ("SENet", 2.251, 154),  # arXiv:1709.01507, abstract
    ],
)
def test_as_the_papers_print_it(network, error, layers):
    entry = next(each for each in ENTRIES if each.network == network)
    assert (entry.error, entry.layers) == (error, layers)


def test_the_entries_lead_to_families_of_the_catalog():
    assert {family for entry in ENTRIES for family in entry.families} <= set(FAMILIES)


def test_a_person_is_beaten_in_2015():
    """arXiv:1409.0575: a trained person has 5.1 and GoogLeNet in 2014 6.7; arXiv:1512.03385: ResNet has 3.57."""
    assert min(entry.year for entry in ENTRIES if entry.error < HUMAN_ERROR) == 2015


def test_the_chart_shows_them():
    drawn = viz.errors_by_year(ENTRIES, HUMAN_ERROR)
    axes = drawn.axes[0]
    assert [round(bar.get_height(), 1) for bar in axes.patches] == [error for _, _, error in LISTED]
    labels = [label.get_text().splitlines() for label in axes.get_xticklabels()]
    assert [int(year) for year, *_ in labels] == [year for year, _, _ in LISTED]
    assert [name for _, name, _ in labels[2:]] == [name for _, name, _ in LISTED[2:]]
    (line,) = axes.lines
    assert set(line.get_ydata()) == {5.1}
