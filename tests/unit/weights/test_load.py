"""From a file's tensors to a network's: what fits, what is left out, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace as changed
from torch import Tensor

from visus.data.imagenet import imagenet_labels
from visus.errors import WeightsError
from visus.models import Cut, build_classifier, find
from visus.models.googlenet import GoogLeNet
from visus.models.parts import BatchNorm
from visus.models.resnet import ResNet, SmallStem
from visus.models.vgg import VGG
from visus.weights import load
from visus.weights.load import Weights, class_dependent, cut_down, load_weights, put
from visus.weights.peers import PEERS
from visus.weights.recognize import fits
from visus.weights.releases import RELEASES
from visus.weights.translate import entries

NETWORK = ResNet(depths=(1, 1), widths=(4, 8), stem=SmallStem(channels=4))
SHAPE = (3, 16, 16)


class Kept:
    """What `read_weights` gives, as far as these functions look at it: names and tensors."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors, self.format, self.nodes = tensors, "torch-zip", ()


def weights(classes: int = 5, labels: tuple[str, ...] = ()) -> Weights:
    torch.manual_seed(0)
    state = build_classifier(NETWORK, SHAPE, classes).state_dict()
    return Weights(NETWORK, SHAPE, classes, dict(state), "mine.pt", labels=labels)


def of_peer(key: str, classes: int = 1000) -> Kept:
    """A file of another library's network: all names and shapes, and no numbers."""
    peer = replace(PEERS[key], classes=classes)
    shaped = {entry.theirs: torch.empty(entry.shape, device="meta") for entry in entries(peer, classes)}
    return Kept(shaped)


def test_all_is_copied():
    torch.manual_seed(1)
    model = build_classifier(NETWORK, SHAPE, 5)
    given = weights()
    assert put(model, given, new_head=False) == []
    assert all(torch.equal(value, given.tensors[name]) for name, value in model.state_dict().items())


def test_37_another_number_of_classes_is_refused_with_names_and_shapes():
    model = build_classifier(NETWORK, SHAPE, 7)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(WeightsError) as raised:
        put(model, weights(5), new_head=False)
    assert "head.2.weight: 5×8 in mine.pt, 7×8 in the network" in raised.value.problem
    assert "head.2.bias: 5 in mine.pt, 7 in the network" in raised.value.problem
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())  # nothing half done


def test_37_a_new_head_is_asked_for():
    torch.manual_seed(1)
    model, given = build_classifier(NETWORK, SHAPE, 7), weights(5)
    drawn = model.head[2].weight.detach().clone()
    assert put(model, given, new_head=True) == ["head.2.weight", "head.2.bias"]
    assert torch.equal(model.head[2].weight, drawn)
    backbone = {n: v for n, v in model.state_dict().items() if n.startswith("backbone")}
    assert all(torch.equal(value, given.tensors[name]) for name, value in backbone.items())


def test_a_new_head_is_new_where_the_classes_are_as_many_too():
    torch.manual_seed(1)
    model = build_classifier(NETWORK, SHAPE, 5)
    drawn = model.head[2].weight.detach().clone()
    assert put(model, weights(5), new_head=True) == ["head.2.weight", "head.2.bias"]
    assert torch.equal(model.head[2].weight, drawn)


def test_37_another_backbone_is_refused_with_a_new_head_too():
    wider = build_classifier(ResNet(depths=(1, 1), widths=(4, 12), stem=SmallStem(channels=4)), SHAPE, 5)
    with pytest.raises(WeightsError, match=r"backbone\.stages\.2.* 8×4×3×3 in mine.pt, 12×4×3×3 in the network"):
        put(wider, weights(), new_head=True)


def test_hidden_layers_of_a_head_are_kept():
    """VGG's last layer alone depends on the classes; the two before it know as much as the convolutions."""
    spec = VGG(kernels=((3,), (3,)), widths=(4, 8), grid=2, hidden=(16, 16))
    assert class_dependent(spec, (3, 8, 8)) == ["head.8.weight", "head.8.bias"]
    torch.manual_seed(0)
    state = build_classifier(spec, (3, 8, 8), 5).state_dict()
    model = build_classifier(spec, (3, 8, 8), 3)
    left = put(model, Weights(spec, (3, 8, 8), 5, dict(state), "vgg.pt"), new_head=True)
    assert left == ["head.8.weight", "head.8.bias"]
    assert torch.equal(model.head[2].weight, state["head.2.weight"])


def test_auxiliary_heads_depend_on_the_classes_too():
    spec = find("googlenet").spec
    assert isinstance(spec, GoogLeNet)
    found = class_dependent(spec, (3, 224, 224))
    assert {name.split(".")[0] for name in found} == {"head", "auxiliary"}
    assert len([name for name in found if name.endswith("weight")]) == 3  # "two classifiers" and the main one


def test_cut_down_keeps_the_first_stages_and_no_head():
    given = weights(labels=("a", "b", "c", "d", "e"))
    cut = Cut(network=NETWORK, stage=1)
    found = cut_down(given, cut)
    assert {name.split(".")[2] for name in found.tensors} == {"0", "1"}
    assert found.labels == ()
    assert found.network == cut
    model = build_classifier(cut, SHAPE, 5)
    left = put(model, found, new_head=True)
    assert all(name.startswith("head.") for name in left)
    name = "backbone.stages.0.conv.weight"
    assert torch.equal(model.state_dict()[name], given.tensors[name])


# which network a file is of


def test_our_own_names_are_recognised():
    state = build_classifier(find("resnet8").spec, (3, 32, 32), 4).state_dict()
    assert load._recognized(Kept(dict(state)), "resnet8", "mine.pt") is None


def test_another_librarys_names_are_recognised():
    assert load._recognized(of_peer("timm:resnet18"), "resnet18", "x.pt").spec == PEERS["timm:resnet18"].spec


def test_two_readings_of_the_same_names_are_asked_about(monkeypatch):
    """timm has ports of TensorFlow's weights under the same names: only the paddings differ, which no file says."""
    one = PEERS["timm:resnet18"]
    other = replace(one, name="resnet18_tf", spec=changed(one.spec, norm=BatchNorm(eps=0.001)))
    monkeypatch.setattr(load, "PEERS", {one.key: one, other.key: other})
    with pytest.raises(WeightsError) as raised:
        load._recognized(of_peer("timm:resnet18"), "resnet18", "x.pt")
    assert "timm:resnet18 and timm:resnet18_tf" in raised.value.problem
    assert raised.value.remedy == "say which it is: --weights timm:resnet18=x.pt"


def test_a_file_that_fits_nothing_says_what_it_lacks():
    stored = of_peer("torchvision:resnet18")
    del stored.tensors["layer1.0.conv1.weight"]
    with pytest.raises(WeightsError) as raised:
        load._recognized(stored, "resnet18", "x.pt")
    assert "lacks layer1.0.conv1.weight" in raised.value.problem
    assert "LIBRARY:NAME=FILE" in raised.value.remedy


@pytest.mark.parametrize("start", [0, 94])
def test_keras_numbers_its_layers_from_anywhere(start):
    """Keras counts the layers of a process, not of a network: the second InceptionV3 begins with conv2d_94."""

    def moved(name: str) -> str:
        layer, _, rest = name.partition("/")
        for kind in ("batch_normalization", "conv2d"):
            if layer == kind or layer.startswith(f"{kind}_"):
                number = int(layer.removeprefix(kind).removeprefix("_") or 0) + start
                return f"{kind}_{number}/{rest}" if number else f"{kind}/{rest}"
        return name

    stored = Kept({moved(name): tensor for name, tensor in of_peer("keras:inceptionv3").tensors.items()})
    assert (f"conv2d_{start}/kernel" in stored.tensors) == (start > 0)
    peer = load._recognized(stored, "inception_v3", "x.h5")
    assert peer.key == "keras:inceptionv3"
    assert peer.key in fits(stored)


def test_the_classes_are_counted(tmp_path: Path):
    torch.manual_seed(0)
    peer = PEERS["torchvision:resnet18"]
    tensors = {e.theirs: torch.zeros(e.shape) for e in entries(peer, 3)}
    torch.save(tensors, tmp_path / "three.pt")
    found = load_weights(str(tmp_path / "three.pt"), "resnet18")
    assert (found.classes, found.labels, found.preprocess) == (3, (), None)
    assert found.tensors["head.2.weight"].shape == (3, 512)
    named = load_weights(f"torchvision:resnet18={tmp_path / 'three.pt'}", "resnet18")
    assert named.classes == 3
    with pytest.raises(WeightsError, match="is of resnet18, and the network is resnet34"):
        load_weights(f"torchvision:resnet18={tmp_path / 'three.pt'}", "resnet34")


def test_a_published_file_brings_its_preprocessing_and_labels(tmp_path: Path):
    peer = PEERS["torchvision:resnet18"]
    torch.save({e.theirs: torch.zeros(e.shape) for e in entries(peer, 1000)}, tmp_path / "all.pt")
    found = load_weights(str(tmp_path / "all.pt"), "resnet18")
    assert found.labels == imagenet_labels()
    assert found.preprocess == RELEASES[peer.key][0].preprocess


@pytest.mark.parametrize("channels", [1, 3])
def test_our_own_file_says_its_classes_and_channels(tmp_path: Path, channels):
    state = build_classifier(find("resnet8").spec, (channels, 32, 32), 4).state_dict()
    torch.save(state, tmp_path / "mine.pt")
    found = load_weights(str(tmp_path / "mine.pt"), "resnet8")
    assert (found.input, found.classes, found.preprocess, found.labels) == ((channels, 32, 32), 4, None, ())
