"""Weights of ONNX files by the places of their layers: graphs of torchvision, timm and Keras, and of our own.

tests/graphs holds graphs without their weights, and the scores that ONNX Runtime gives when a formula fills them
(tests/graphs/make.py; the versions are in each).
"""

import json
from pathlib import Path

import onnx
import pytest
import torch
from msgspec.structs import replace
from torch import nn

from tests.contract.facts import FACTS
from tests.helpers import used
from visus.errors import WeightsError
from visus.models import FAMILIES, TINY, build_classifier
from visus.models.cards import WithAuxiliary
from visus.nn import Classifier, WithoutRandomStart
from visus.weights.formats import read_weights
from visus.weights.graphs import Unlike, fit
from visus.weights.load import load_weights
from visus.weights.peer import filled, question
from visus.weights.releases import RELEASES

FOLDER = Path(__file__).parents[1] / "graphs"
GRAPHS = sorted(path.stem for path in FOLDER.glob("*.onnx"))
UNLIKE = {  # families with layers that only they have
    "lenet5": "it has weights in Sub",
}
NOT_EXPORTED = ("alexnet", "zfnet")  # the exporter refuses adaptive pooling after local response normalisation


def answering(network, shape, classes, tensors):
    with WithoutRandomStart():
        model = build_classifier(network, shape, classes)
    model.load_state_dict(tensors)
    return model.eval()


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_of_other_libraries(name, tmp_path):
    facts = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    graph = (FOLDER / f"{name}.onnx").read_bytes()
    (tmp_path / "model.onnx").write_bytes(graph)
    with (tmp_path / "weights").open("wb") as file:
        for tensor in onnx.ModelProto.FromString(graph).graph.initializer:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                file.write(filled(tensor.name, tuple(tensor.dims)).tobytes())
    found = load_weights(str(tmp_path / "model.onnx"), facts["network"])
    model = answering(found.network, found.input, found.classes, found.tensors)
    with torch.inference_mode():
        scores = model(torch.from_numpy(question(tuple(facts["input"])))).reshape(-1)
    wanted = torch.tensor(facts["scores"])
    assert float((scores - wanted).abs().max() / wanted.abs().max()) < 1e-4


def exported(path: Path, model: nn.Module, shape: tuple[int, ...]) -> Path:
    with torch.no_grad():
        torch.onnx.export(model.eval(), (torch.zeros(1, *shape),), path, dynamo=False)
    return path


def shaken(network, shape, classes) -> Classifier:
    """A network whose normalisations have seen images, or so it looks."""
    torch.manual_seed(0)
    model = build_classifier(network, shape, classes)
    used(model)
    return model


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore:Constant folding:UserWarning")
@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in NOT_EXPORTED])
def test_every_family_there_and_back(family, tmp_path):
    """As the exporter of PyTorch writes it by default: normalisations folded, most names lost."""
    spec, shape = TINY[family], FACTS[family].sizes[0]
    model = shaken(spec, shape, 5)
    stored = read_weights(exported(tmp_path / "a.onnx", model, shape))
    if family in UNLIKE:
        with pytest.raises(Unlike, match=UNLIKE[family]):
            fit(stored, [spec], shape)
        return
    if isinstance(spec, WithAuxiliary):
        spec = replace(spec, auxiliary=None)  # they aren't in the graph
    found = fit(stored, [spec], shape)
    x = torch.from_numpy(question(shape, 2))
    with torch.inference_mode():
        wanted, scores = model(x), answering(spec, shape, found.classes, found.tensors)(x)
    assert float((scores - wanted).abs().max() / wanted.abs().max()) < 1e-5


@pytest.fixture(scope="module")
def resnet18(tmp_path_factory):
    """The graph of torchvision's ResNet-18, and where it lies."""
    folder = tmp_path_factory.mktemp("resnet18")
    graph = onnx.ModelProto.FromString((FOLDER / "resnet18-torchscript.onnx").read_bytes())
    for tensor in graph.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            values = filled(tensor.name, tuple(tensor.dims))
            tensor.ClearField("external_data")
            tensor.data_location = onnx.TensorProto.DEFAULT
            tensor.raw_data = values.tobytes()
    return graph, folder / "model.onnx"


def refusal(graph, path, network="resnet18"):
    path.write_bytes(graph.SerializeToString())
    with pytest.raises(WeightsError) as caught:
        load_weights(str(path), network)
    return str(caught.value)


def changed(graph, change):
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    change(copy.graph)
    return copy


def first(graph, operator, place=0):
    return [each for each in graph.node if each.op_type == operator][place]


def test_a_graph_of_another_network_is_refused(resnet18):
    graph, path = resnet18
    assert "isn't the graph of resnet34: it has 4 of the 6 layers of 64×64×3×3" in refusal(graph, path, "resnet34")
    assert "isn't the graph of vgg16: it has" in refusal(graph, path, "vgg16")


def test_another_stride_or_padding_is_refused(resnet18):
    graph, path = resnet18

    def setting(name, values):
        def change(graph):
            (found,) = (each for each in first(graph, "Conv", 3).attribute if each.name == name)
            found.ints[:] = values

        return change

    assert "the padding of backbone.stages.1.1.branch.0.conv is (0, 0, 0, 0) in it and (1, 1, 1, 1)" in refusal(
        changed(graph, setting("pads", [0, 0, 0, 0])), path
    )
    assert "the stride of backbone.stages.1.1.branch.0.conv is (2, 2) in it and (1, 1)" in refusal(
        changed(graph, setting("strides", [2, 2])), path
    )


def test_what_a_graph_does_to_its_images_is_refused(resnet18):
    graph, path = resnet18

    def normalise(graph):
        name = graph.input[0].name
        first(graph, "Conv").input[0] = "normalised"
        graph.initializer.append(onnx.helper.make_tensor("mean", onnx.TensorProto.FLOAT, [1, 3, 1, 1], [0.4, 0.5, 0.6]))
        graph.node.insert(0, onnx.helper.make_node("Sub", [name, "mean"], ["normalised"]))

    assert "it prepares its images itself (Sub normalised)" in refusal(changed(graph, normalise), path)


def test_a_layer_in_another_place_is_refused(resnet18):
    """All shapes are there, and two layers have changed places: only the graph shows it."""
    graph, path = resnet18

    def cross(graph):
        last, before = first(graph, "Add", -1), first(graph, "Add", -2)
        last.input[0], last.input[1] = before.output[0], before.output[0]

    assert "isn't the graph of resnet18" in refusal(changed(graph, cross), path)


def test_quantised_and_computed_weights_are_refused(resnet18):
    graph, path = resnet18

    def quantise(graph):
        conv = first(graph, "Conv", 2)
        weight = conv.input[1]
        conv.input[1] = "again"
        graph.initializer.append(onnx.helper.make_tensor("scale", onnx.TensorProto.FLOAT, [], [0.1]))
        graph.node.insert(0, onnx.helper.make_node("DequantizeLinear", [weight, "scale"], ["again"]))

    def compute(graph):
        conv = first(graph, "Conv", 2)
        weight = conv.input[1]
        conv.input[1] = "again"
        graph.node.insert(0, onnx.helper.make_node("Tanh", [weight], ["again"]))

    assert "its weights are quantised (DequantizeLinear)" in refusal(changed(graph, quantise), path)
    assert "the weights of Conv" in refusal(changed(graph, compute), path)


def test_folded_weights_say_so_and_do_not_train_as_they_are(resnet18):
    graph, path = resnet18
    path.write_bytes(graph.SerializeToString())
    found = load_weights(str(path), "resnet18")
    assert found.folded
    assert found.source.endswith("an ONNX graph, with its normalisations folded")
    assert found.preprocess is None
    said = load_weights(f"torchvision:resnet18={path}", "resnet18")
    assert said.preprocess == RELEASES["torchvision:resnet18"][0].preprocess
    assert len(said.labels) == 1000
