"""Graphs of ONNX files: what is computed of stored numbers beside onnx's reference, and graphs that are damaged."""

import random
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from visus.errors import WeightsError
from visus.models import TINY, build_classifier
from visus.weights.formats import read_weights
from visus.weights.graphs import Unlike, fit
from visus.weights.graphs.constants import computed
from visus.weights.graphs.layers import Drawing, Layer, matched

OPERATORS = ["Conv", "Gemm", "MatMul", "Add", "Concat", "Pad", "Reshape", "Mul", "Sum", "Slice", "BatchNormalization"]
GRAPHS = Path(__file__).parents[2] / "graphs"


def ints(*values):
    return np.array(values, np.int64)


OPERATIONS = {
    "transposed": ("Transpose", {"perm": [2, 0, 1]}, [np.arange(24, dtype=np.float32).reshape(2, 3, 4)]),
    "turned over": ("Transpose", {}, [np.arange(6, dtype=np.float32).reshape(2, 3)]),
    "reshaped": ("Reshape", {}, [np.arange(6, dtype=np.float32).reshape(2, 3), ints(3, -1)]),
    "a side kept": ("Reshape", {}, [np.arange(6, dtype=np.float32).reshape(2, 3), ints(0, 3, 1)]),
    "joined": ("Concat", {"axis": 0}, [ints(1, 2), ints(3), ints(4, 5)]),
    "joined at the end": ("Concat", {"axis": -1}, [np.ones((2, 1), np.float32), np.zeros((2, 2), np.float32)]),
    "cut": ("Slice", {}, [np.arange(12, dtype=np.float32).reshape(3, 4), ints(1), ints(2), ints(1)]),
    "cut on all sides": ("Slice", {}, [np.arange(12, dtype=np.float32).reshape(3, 4), ints(0, 1), ints(2, 9)]),
    "backwards": ("Slice", {}, [ints(1, 2, 3, 4), ints(-1), ints(-(2**63 - 1)), ints(0), ints(-1)]),
    "by two": ("Slice", {}, [ints(1, 2, 3, 4, 5), ints(0), ints(2**31), ints(0), ints(2)]),
    "repeated": ("ConstantOfShape", {"value": helper.make_tensor("", TensorProto.INT64, [1], [7])}, [ints(2, 3)]),
    "zeros": ("ConstantOfShape", {}, [ints(4)]),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_is_computed_of_stored_numbers(name, tmp_path):
    operator, settings, values = OPERATIONS[name]
    inputs = [f"in{place}" for place in range(len(values))]
    node = helper.make_node(operator, inputs, ["out"], **settings)
    stored = [numpy_helper.from_array(value, key) for key, value in zip(inputs, values, strict=True)]
    output = helper.make_empty_tensor_value_info("out")
    model = helper.make_model(helper.make_graph([node], "graph", [], [output], stored))
    (wanted,) = ReferenceEvaluator(model).run(None, {})
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    found = read_weights(tmp_path / "a.onnx")
    result = computed(found.nodes[0], [found.tensors[key] for key in inputs], found.tensors.get("out"))
    assert result is not None
    np.testing.assert_array_equal(result.numpy(), wanted)


def test_nodes_are_as_onnx_reads_them(tmp_path):
    graph = onnx.ModelProto.FromString((GRAPHS / "resnet50_keras-keras.onnx").read_bytes()).graph
    del graph.initializer[:]
    graph.initializer.append(helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]))
    (tmp_path / "a.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    found = read_weights(tmp_path / "a.onnx").nodes
    assert len(found) == len(graph.node) > 900
    for mine, given in zip(found, graph.node, strict=True):
        assert (mine.operator, mine.inputs, mine.outputs) == (given.op_type, tuple(given.input), tuple(given.output))
        for each in given.attribute:
            value = helper.get_attribute_value(each)
            if isinstance(value, TensorProto):
                assert each.name in mine.tensors
            else:
                value = value.decode() if isinstance(value, bytes) else value
                assert mine.settings[each.name] == (tuple(value) if isinstance(value, list) else value)


def test_numbers_below_nought_and_operators_of_others(tmp_path):
    node = helper.make_node("Own", ["x"], ["y"], domain="org.example", axis=-2, values=[-1, 3], share=-0.5, mode="a")
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    model = helper.make_model(helper.make_graph([node], "", [], [], [one]))
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    (found,) = read_weights(tmp_path / "a.onnx").nodes
    assert found.operator == "org.example.Own"
    assert found.settings == {"axis": -2, "values": (-1, 3), "share": -0.5, "mode": "a"}
    assert (found.integers("values", ()), found.number("axis", 0), found.number("none", 2)) == ((-1, 3), -2, 2)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A tiny network with blocks, shortcuts and normalisations, as PyTorch exports it."""
    path = tmp_path_factory.mktemp("exported") / "a.onnx"
    model = build_classifier(TINY["resnet"], (3, 32, 32), 5).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(model, (torch.zeros(1, 3, 32, 32),), path, dynamo=False)
    return onnx.load(path)


def damage(graph, chance):
    """One thing in a graph is wrong."""
    node = chance.choice(graph.node)
    names = [name for each in graph.node for name in (*each.input, *each.output)] + ["", "nowhere"]
    what = chance.randrange(6)
    if what == 0:
        graph.node.remove(node)
    elif what == 1 and node.input:
        node.input[chance.randrange(len(node.input))] = chance.choice(names)
    elif what == 2 and node.input:
        del node.input[chance.randrange(len(node.input)) :]
    elif what == 3:
        node.op_type = chance.choice(OPERATORS)
    elif what == 4:
        for each in node.attribute:
            each.ints[:] = [chance.randrange(-3, 4) for _ in range(chance.randrange(9))]
            each.i = chance.randrange(-3, 4)
    else:
        tensor = chance.choice(graph.initializer)
        side = chance.randrange(1, 4)
        tensor.CopyFrom(numpy_helper.from_array(np.zeros([side] * chance.randrange(5), np.float32), tensor.name))


def test_damaged_graphs_are_refused_or_read(exported, tmp_path):
    refused = 0
    for seed in range(300):
        model = onnx.ModelProto()
        model.CopyFrom(exported)
        chance = random.Random(seed)
        for _ in range(chance.randrange(1, 4)):
            damage(model.graph, chance)
        (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
        try:
            found = fit(read_weights(tmp_path / "a.onnx"), [TINY["resnet"]], (3, 32, 32))
        except (Unlike, WeightsError):
            refused += 1
        else:
            state = build_classifier(found.spec, found.input, found.classes).state_dict()
            assert {name: tensor.shape for name, tensor in found.tensors.items()} == {
                name: tensor.shape for name, tensor in state.items()
            }
    assert 200 < refused < 300


def test_concatenations_cannot_grow_without_end():
    drawing = Drawing()
    drawing.begin("a")
    drawing.add(Layer("norm", (1,), (0,), "b"), "b")
    drawing.concatenate([0, 1], "c0")
    drawing.concatenate([1, 0], "d0")

    def grow():
        for place in range(40):
            sources = [drawing.source[f"{each}{place}"] for each in "cd"]
            drawing.concatenate(sources, f"c{place + 1}")
            drawing.concatenate(sources[::-1], f"d{place + 1}")

    with pytest.raises(Unlike, match="more than 4,096 maps"):
        grow()


def test_branches_of_one_shape_are_told_apart_by_where_they_lead():
    """Two 1×1 layers of one map: one leads to the sum at once, the other through a further layer."""

    def drawn(order):
        drawing = Drawing()
        drawing.begin("x")
        for name in order:
            drawing.add(Layer("weights", (4, 4, 1, 1, 1), (0,), name), name)
        drawing.add(Layer("weights", (4, 4, 1, 1, 1), (drawing.source["long"],), "longer"), "longer")
        drawing.follow(["short", "longer"], ["y"])
        return drawing.graph()

    pairs = matched(drawn(["short", "long"]), drawn(["long", "short"]))
    assert [(mine.name, given.name) for mine, given in pairs if mine.kind == "weights"] == [
        ("short", "short"), ("long", "long"), ("longer", "longer"),
    ]  # fmt: skip
