"""Plans: their names, what they freeze, how fast the rest learns, and features that are computed once."""

import pytest
import torch
from torch import nn

from visus.adaptation import (
    Full,
    Linear,
    Partial,
    Scratch,
    Stage,
    features_of,
    groups,
    network_of,
    parse_plan,
    set_epoch,
    split,
)
from visus.data.loader import InMemory, Loader
from visus.data.preprocess import ImagePreprocess
from visus.data.samples import ArraySamples
from visus.data.types import Target, Targets
from visus.errors import ModelError, SpecError
from visus.models import TINY, Cut, build_classifier
from visus.models.resnet import ResNet, SmallStem
from visus.nn import Classifier, Pyramid
from visus.spec import decode, tree

NETWORK = ResNet(depths=(1, 1, 1), widths=(4, 4, 4), stem=SmallStem(channels=4))  # four stages with the stem


def model() -> Classifier:
    torch.manual_seed(0)
    return build_classifier(NETWORK, (3, 16, 16), 5)


def learns(module: nn.Module) -> bool:
    (found,) = {p.requires_grad for p in module.parameters()}
    return found


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("linear", Linear()),
        ("stage:0", Stage(stage=0)),
        ("partial:2", Partial(stages=2)),
        ("full", Full()),
        ("scratch", Scratch()),
    ],
)
def test_short_names(text, plan):
    assert parse_plan(text) == plan
    assert decode(tree(plan), type(plan)) == plan


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("linaer", "did you mean linear"),
        ("stage", "stage:1"),
        ("partial:x", "partial:1"),
        ("partial:0", "partial:1"),
        ("stage:-1", "stage:1"),
        ("full:2", "full"),
        ("", "known: "),
    ],
)
def test_a_mistyped_plan_is_answered_with_what_there_is(text, says):
    with pytest.raises(SpecError) as raised:
        parse_plan(text)
    assert says in raised.value.remedy


def test_partial_freezes_the_lower_stages_and_their_statistics():
    net = model()
    set_epoch(net, Partial(stages=1), 0)
    assert [learns(stage) for stage in net.backbone.stages] == [False, False, False, True]
    assert learns(net.head)
    before = {name: value.clone() for name, value in net.backbone.stages[1].state_dict().items()}
    net(torch.randn(8, 3, 16, 16))
    assert all(torch.equal(value, before[name]) for name, value in net.backbone.stages[1].state_dict().items())
    last = net.backbone.stages[3].state_dict()
    assert any(name.endswith("running_mean") and value.abs().sum() > 0 for name, value in last.items())


def test_more_stages_than_there_are_is_an_error():
    with pytest.raises(SpecError, match="has 4 stages"):
        set_epoch(model(), Partial(stages=5), 0)


def test_gradual_thawing_goes_from_the_top_down():
    """ULMFiT (arXiv:1801.06146, §3.3): first the last layer, then one more each time."""
    net, thawed = model(), []
    for epoch in range(10):
        set_epoch(net, Full(thaw=2), epoch)
        thawed.append(sum(learns(stage) for stage in net.backbone.stages))
        assert learns(net.head)
    assert thawed == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_lower_stages_learn_more_slowly():
    net = model()
    found = groups(net, Full(decay=0.5))
    assert [group.rate for group in found] == [0.0625, 0.125, 0.25, 0.5, 1.0]
    assert {id(p) for group in found for p in group.parameters} == {id(p) for p in net.parameters()}
    assert {id(p) for p in found[-1].parameters} == {id(p) for p in net.head.parameters()}
    assert [group.rate for group in groups(net, Partial(stages=2, decay=0.1))] == pytest.approx([0.01, 0.1, 1.0])
    (one,) = groups(net, Full())
    assert len(one.parameters) == len(list(net.parameters()))


def test_frozen_statistics_of_a_network_that_learns():
    net = model()
    set_epoch(net, Full(norm="frozen"), 0)
    before = {name: value.clone() for name, value in net.state_dict().items() if "running" in name}
    net(torch.randn(8, 3, 16, 16)).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items() if name in before)
    assert all(p.grad is not None for p in net.parameters())


def test_without_a_plan_all_learns():
    net = model()
    set_epoch(net, Partial(stages=1), 0)
    net.requires_grad_(True)
    set_epoch(net, None, 3)
    assert all(module.training for module in net.modules())


def test_a_plan_of_a_stage_trains_the_network_up_to_it():
    cut = network_of(Stage(stage=1), NETWORK)
    assert cut == Cut(network=NETWORK, stage=1)
    assert network_of(Stage(stage=1), cut) == cut  # as it stands in a run's recipe
    assert network_of(Stage(stage=0), cut) == Cut(network=NETWORK, stage=0)  # and with another stage
    assert network_of(Full(), NETWORK) == network_of(None, NETWORK) == NETWORK
    whole, first = model(), build_classifier(cut, (3, 16, 16), 5)
    first.backbone.load_state_dict({n: v for n, v in whole.backbone.state_dict().items() if int(n.split(".")[1]) <= 1})
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(first.eval().backbone(x), whole.eval().backbone.maps(x)[1])
    with pytest.raises(ModelError, match="no stage 4"):
        build_classifier(Cut(network=NETWORK, stage=4), (3, 16, 16), 5)


@pytest.mark.parametrize("family", sorted(set(TINY) - {"mlp"}))
def test_the_two_halves_are_the_whole(family):
    torch.manual_seed(0)
    shape = (1, 96, 96)  # some take no less than 75
    net = build_classifier(TINY[family], shape, 5).eval()
    fixed, rest = split(net)
    x = torch.randn(3, *shape)
    assert torch.allclose(rest.eval()(fixed(x)), net(x), atol=1e-6)
    assert not any(p.requires_grad for p in fixed.parameters())
    assert 0 < sum(p.numel() for p in rest.parameters()) < sum(p.numel() for p in net.parameters())
    with torch.no_grad():
        next(rest.parameters()).zero_()
    assert torch.allclose(rest(fixed(x)), net(x), atol=1e-6)  # they are the same parameters


def test_a_head_that_learns_nothing_is_refused():
    with pytest.raises(ModelError, match="no layer that learns"):
        split(Classifier(Pyramid([nn.Conv2d(3, 4, 1)], (4,), (1,)), nn.Flatten()))


def test_features_are_those_of_every_sample_in_order():
    pixels = torch.randint(0, 256, (7, 16, 16, 3), dtype=torch.uint8).numpy()
    preprocess = ImagePreprocess(size=(16, 16), mean=(0.5,) * 3, std=(0.5,) * 3)
    placed = preprocess.place_many(torch.from_numpy(pixels))
    label = torch.tensor([0, 1, 0, 1, 1, 0, 0])
    samples = ArraySamples("pixels", pixels, [Target(label=int(each)) for each in label])
    prepared = InMemory(samples, torch.arange(7), [], placed, Targets(label=label))
    fixed, _ = split(model())
    found = features_of(fixed, Loader(prepared, preprocess, 3, torch.device("cpu"), seed=1))
    batches = list(found.evaluate())
    assert [len(batch) for batch in batches] == [3, 3, 1]
    inputs = torch.cat([batch.inputs for batch in batches])
    with torch.inference_mode():
        assert torch.allclose(inputs, fixed(preprocess.normalize(placed)), atol=1e-5)
    assert torch.equal(torch.cat([batch.target.label for batch in batches]), label)
    first = next(found.train())
    assert torch.allclose(first.inputs, inputs[first.rows], atol=1e-6)
