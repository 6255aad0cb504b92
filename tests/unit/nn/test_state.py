"""A network that is built to be filled, and what is said when it can't be."""

import pytest
import torch

from tests.contract.facts import FACTS
from visus.errors import WeightsError
from visus.models import TINY, build_classifier
from visus.nn import WithoutRandomStart, load_state

tiny = pytest.mark.parametrize("family", sorted(TINY))


@tiny
def test_what_is_filled_is_the_same_however_it_was_built(family):
    shape = FACTS[family].sizes[0]
    torch.manual_seed(0)
    usual = build_classifier(TINY[family], shape, 5).eval()
    with WithoutRandomStart():
        quick = build_classifier(TINY[family], shape, 5).eval()
    load_state(quick, usual.state_dict(), "the usual one")
    x = torch.randn(2, *shape)
    with torch.inference_mode():
        assert torch.equal(quick(x), usual(x))


@tiny
def test_nothing_is_drawn(family):
    shape = FACTS[family].sizes[0]
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with WithoutRandomStart():
        build_classifier(TINY[family], shape, 5)
    assert torch.equal(torch.get_rng_state(), before)
    build_classifier(TINY[family], shape, 5)
    assert not torch.equal(torch.get_rng_state(), before)  # afterwards all is as ever


def test_many_differences_are_counted():
    torch.manual_seed(0)
    model = build_classifier(TINY["resnet"], (3, 16, 16), 5)
    wanted = len(model.state_dict())
    with pytest.raises(WeightsError) as raised:
        load_state(model, {}, "an empty file")
    assert raised.value.problem.count("not in an empty file") == 8
    assert f"… and {wanted - 8} more" in raised.value.problem
