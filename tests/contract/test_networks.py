"""What every network holds to: one suite for the catalog and for the tiny ones. A new network adds a row."""

import re
import subprocess
import sys
import tomllib

import pytest
import safetensors.torch
import torch
from torch import nn

from tests.contract.facts import COUNTS, FACTS
from visus.errors import ModelError, NotFound, SpecError
from visus.explanation import summarize
from visus.models import CATALOG, FAMILIES, TINY, Network, build_classifier, find, list_models
from visus.models.lenet import LeNet5
from visus.models.mlp import MLP
from visus.models.resnet import Bottleneck, LargeStem, ResNet, SmallStem, SqueezeExcite
from visus.nn import Gate, load_state
from visus.spec import decode, dumps

tiny = pytest.mark.parametrize("family", sorted(TINY))


def shapes(family: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return FACTS[family].sizes


def built(family: str, classes: int = 5, seed: int = 0, shape: tuple[int, ...] | None = None) -> nn.Module:
    torch.manual_seed(seed)
    return build_classifier(TINY[family], shape or shapes(family)[0], classes)


def inputs(family: str, count: int = 4) -> torch.Tensor:
    return torch.randn(count, *shapes(family)[0], generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_published_counts(name):
    counts, card = COUNTS[name], CATALOG[name]
    found = summarize(card.spec, counts.input, counts.classes)
    assert (found.parameters, found.multiply_adds) == (counts.parameters, counts.multiply_adds)
    assert counts.buffers is None or found.buffers == counts.buffers
    assert card.input == counts.input
    assert card.figures is not None
    assert (card.figures.parameters, card.figures.multiply_adds) == (counts.parameters, counts.multiply_adds)
    assert card.figures.classes == counts.classes


def test_every_card_with_figures_is_held_to_a_published_count():
    assert {name for name, card in CATALOG.items() if card.figures is not None} == set(COUNTS)


def test_every_family_has_a_card_a_paper_and_a_tiny_network():
    assert set(FAMILIES) == set(TINY) == set(FACTS) == {card.family for card in CATALOG.values()}


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_every_family_says_what_was_new_in_it_and_where_that_is_written(name):
    family = FAMILIES[name]
    assert family.title
    assert family.authors
    assert family.reference
    assert 1957 <= family.year <= 2026  # from the perceptron on
    assert re.search(rf"\b{family.year}\b|^arXiv:{family.year % 100:02}|^(NeurIPS|Nature|Proc)", family.reference)
    sentences = re.split(r"(?<=[a-z0-9)][.]) (?=[A-Z0-9])", family.idea)
    assert 1 <= len(sentences) <= 3
    assert all(each.endswith(".") for each in sentences)


@tiny
def test_a_tiny_network_is_tiny(family):
    shape = shapes(family)[0]
    assert summarize(TINY[family], shape, 5).parameters < 100_000
    assert summarize(TINY[family], shape, 5).multiply_adds > 0


@pytest.mark.parametrize("name", sorted(CATALOG))
def test_catalog_shapes_on_the_meta_device(name):
    card = CATALOG[name]
    with torch.device("meta"):
        model = build_classifier(card.spec, card.input, 7).eval()
        backbone, x = model.backbone, torch.empty(2, *card.input)
        maps = backbone.maps(x)
        assert [scores.shape for _, scores in model.graded(x)] == [(2, 7)] * (1 + len(model.auxiliary))
    assert tuple(each.shape[1] for each in maps) == backbone.channels
    if FACTS[card.family].ceil:
        for each, stride in zip(maps, backbone.strides, strict=True):
            assert tuple(each.shape[2:]) == (-(-card.input[1] // stride), -(-card.input[2] // stride))


@tiny
@pytest.mark.parametrize("which", [0, 1])
def test_output_and_map_shapes_at_two_sizes(family, which):
    shape = shapes(family)[which]
    model = built(family, shape=shape).eval()
    x = torch.randn(2, *shape)
    maps = model.backbone.maps(x)
    assert model(x).shape == (2, 5)
    assert torch.equal(model.backbone(x), model.backbone.outputs(x)[-1])
    assert len(maps) == len(model.backbone.stages) == len(model.backbone.channels)
    assert tuple(each.shape[1] for each in maps) == model.backbone.channels
    assert len(model.backbone.strides) in (0, len(maps))


@tiny
def test_strides_are_true(family):
    """In networks with padding a map has ⌈side/stride⌉ pixels a side; in LeNet and U-Net, which have none, two pixels
    of a map lie one stride apart: an input moved by the stride moves the map by one pixel."""
    model = built(family).eval()
    if FACTS[family].ceil:
        for side in (32, 45, 64, 7):
            if side < min(FACTS[family].least):
                continue
            maps = model.backbone.maps(torch.randn(1, 3, side, side + 3))
            for each, stride in zip(maps, model.backbone.strides, strict=True):
                assert tuple(each.shape[2:]) == (-(-side // stride), -(-(side + 3) // stride))
    elif family in ("lenet5", "unet"):
        channels, height, width = shapes(family)[0]
        x = torch.zeros(1, channels, height, width + 4)
        x[..., 10:20, 8:20] = torch.randn(10, 12)
        moving = built(family, shape=tuple(x.shape[1:])).eval().backbone
        for each, (stage, stride) in enumerate(zip(moving.stages[:2], moving.strides, strict=False)):
            here, there = moving.maps(x)[each], moving.maps(x.roll(stride, 3))[each]
            assert torch.allclose(here[..., :-1], there[..., 1:], atol=1e-6), stage
    elif family in ("mlp", "transformer"):
        assert model.backbone.strides == ()  # vectors; the rows of an image
    else:  # windows without padding, or pooling that rounds up: each network's own tests hold its sizes
        maps = model.backbone.maps(inputs(family))
        for each, stride in zip(maps, model.backbone.strides, strict=True):
            assert abs(each.shape[2] - shapes(family)[0][1] / stride) <= 4


@tiny
def test_every_parameter_gets_a_gradient(family):
    model = built(family).train()
    loss = sum(
        nn.functional.cross_entropy(scores, torch.arange(8) % 5) for _, scores in model.graded(inputs(family, 8))
    )
    loss.backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert missing == []


@tiny
def test_saved_is_loaded(family):
    one, other = built(family, seed=0), built(family, seed=1)
    one(inputs(family))  # so that statistics aren't those of the start
    one.eval(), other.eval()
    x = inputs(family)
    assert not torch.equal(one(x), other(x))
    load_state(other, safetensors.torch.load(safetensors.torch.save(one.state_dict())), "memory")
    assert torch.equal(one(x), other(x))


@tiny
def test_a_spec_survives_toml_and_builds_the_same_network(family):
    spec = decode(tomllib.loads(dumps(TINY[family])), type(TINY[family]))
    assert spec == TINY[family]
    torch.manual_seed(0)
    again = build_classifier(spec, shapes(family)[0], 5).eval()
    assert torch.equal(again(inputs(family)), built(family).eval()(inputs(family)))


@tiny
def test_a_sample_does_not_depend_on_its_batch_mates(family):
    model, x = built(family), inputs(family, 6)
    model(x)
    model.eval()
    with torch.inference_mode():
        together = model(x)
        alone = torch.cat([model(each[None]) for each in x])
    assert torch.allclose(together, alone, atol=1e-5)


@tiny
def test_evaluating_changes_nothing(family):
    model = built(family).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = inputs(family)
    first, second = model(x), model(x)
    assert torch.equal(first, second)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@tiny
def test_export(family):
    model, x = built(family).eval(), inputs(family, 3)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(model, (x,), dynamic_shapes=({0: batch},))
    for each in (x, inputs(family, 5)):
        assert torch.allclose(program.module()(each), model(each), atol=1e-5)


@tiny
@pytest.mark.parametrize("classes", [1, 2, 1001])
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_any_number_of_classes_and_channels(family, classes, channels):
    shape = (channels, *shapes(family)[0][1:])
    with torch.device("meta"):
        model = build_classifier(TINY[family], shape, classes).eval()
        assert model(torch.empty(2, *shape)).shape == (2, classes)


@tiny
def test_no_classes_are_refused(family):
    with pytest.raises(SpecError, match="classes can't be 0"):
        build_classifier(TINY[family], shapes(family)[0], 0)


@tiny
def test_the_least_image_works_and_one_smaller_is_refused_with_the_least_size(family):
    if family == "mlp":
        with torch.device("meta"):
            assert build_classifier(TINY[family], (1, 1, 1), 3)(torch.empty(2, 1, 1, 1)).shape == (2, 3)
        return
    height, width = FACTS[family].least
    model = build_classifier(TINY[family], (1, height, width), 3).eval()
    assert model(torch.randn(2, 1, height, width)).shape == (2, 3)
    if (height, width) != (1, 1):
        for shape in ((1, height - 1, 64), (1, 64, width - 1)):
            with pytest.raises(ModelError, match=f"{shape[1]}×{shape[2]}") as raised:
                build_classifier(TINY[family], shape, 3)
            assert f"{height}×{width}" in raised.value.remedy


@pytest.mark.parametrize("family", sorted(set(TINY) - {"mlp"}))
def test_networks_of_images_refuse_vectors(family):
    with pytest.raises(ModelError):
        build_classifier(TINY[family], (12,), 3)


@pytest.mark.parametrize(
    "spec",
    [
        MLP(hidden=()),
        ResNet(depths=(1, 1), widths=(4,)),
        ResNet(depths=(), widths=()),
        ResNet(depths=(1,), widths=(4,), block=Bottleneck(groups=3)),
        ResNet(depths=(1,), widths=(4,), block=Bottleneck(width=0.1)),
        ResNet(depths=(1,), widths=(4,), gate=SqueezeExcite(reduction=16)),
        ResNet(depths=(1, 1), widths=(8, 4), shortcut="pad"),
    ],
    ids=str,
)
def test_settings_that_make_no_network_are_refused(spec):
    with pytest.raises(ModelError):
        build_classifier(spec, (3, 32, 32), 3)


@pytest.mark.parametrize(
    "spec",
    [
        *(LeNet5(activation=name) for name in ("scaled-tanh", "tanh", "relu")),
        *(MLP(activation=name, dropout=0.5) for name in ("relu", "tanh", "logistic")),
        ResNet(depths=(1,), widths=(4,), stem=LargeStem(channels=4), shortcut="pad"),
        ResNet(depths=(1, 1), widths=(4, 4), stem=SmallStem(channels=6), gate=SqueezeExcite(reduction=2)),
    ],
    ids=str,
)
def test_other_settings_build_and_learn(spec: Network):
    torch.manual_seed(0)
    model = build_classifier(spec, (3, 32, 32), 4)
    model(torch.randn(4, 3, 32, 32)).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_squeeze_excite_adds_one_gate_a_block():
    with torch.device("meta"):
        model = build_classifier(CATALOG["seresnet50"].spec, (3, 224, 224), 1000)
    assert sum(isinstance(module, Gate) for module in model.modules()) == 3 + 4 + 6 + 3


def test_names_are_found_and_mistyped_ones_answered_with_the_nearest():
    assert find("resnet50") is CATALOG["resnet50"]
    assert list_models("resnext101*") == ["resnext101_32x4d", "resnext101_32x8d", "resnext101_64x4d"]
    with pytest.raises(NotFound, match="resnet50"):
        find("resnet-50")


def test_names_and_cards_are_read_without_torch():
    code = "import sys, visus.models; visus.models.list_models(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
