"""Engines: the same answers from all of them, and the choice that a bundle keeps."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import visus
from tests.contract.facts import FACTS
from tests.helpers import used
from tests.runs import quick_run
from visus.data.preprocess import ImagePreprocess
from visus.data.types import Schema
from visus.errors import BundleError, DataError, ModelError, SpecError
from visus.models import TINY, build_classifier
from visus.prediction import NetworkManifest, NetworkPredictor
from visus.prediction.engines import (
    KINDS,
    Choice,
    Chosen,
    EngineWarning,
    Kept,
    Kind,
    Unavailable,
    available,
    files,
    keep,
    load,
    machine,
    read_kept,
    write,
)
from visus.prediction.engines.folding import folded
from visus.prediction.engines.graph import example
from visus.run.optimizing import optimize
from visus.tasks import Classify

CPU = torch.device("cpu")
FAST = [kind for kind in KINDS if kind.engine != "compiled"]  # compiling takes a minute
LABELS = tuple("abcde")


def predictor_of(family: str) -> NetworkPredictor:
    """A tiny network whose normalisations have seen images, or so it looks."""
    torch.manual_seed(0)
    shape = FACTS[family].sizes[0]
    model = build_classifier(TINY[family], shape, len(LABELS)).eval()
    used(model)
    preprocess = ImagePreprocess(size=shape[1:], channels=shape[0], mean=(0.4,) * shape[0], std=(0.3,) * shape[0])
    manifest = NetworkManifest(
        task=Classify(), schema=Schema(shape=(shape[0], 0, 0), labels=LABELS), model=family, network=TINY[family],
        preprocess=preprocess,
    )  # fmt: skip
    return NetworkPredictor(manifest, model)


def difference(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> tuple[NetworkPredictor, Path]:
    """A predictor, and a folder with the files of all engines."""
    predictor, folder = predictor_of("resnet"), tmp_path_factory.mktemp("engines")
    for kind in FAST:
        write(kind, predictor, folder, example(predictor, 32))
    return predictor, folder


# What a type can tell apart: float32 sums in another order; bfloat16 has 8 bits of precision, 2⁻⁸ an operation and
# less in their sum; int8 has 8 bits for the range of a map.
CLOSE = {"float32": 1e-4, "bfloat16": 3e-2, "int8": 1e-1}


@pytest.mark.parametrize("kind", FAST, ids=str)
def test_every_engine_says_what_the_network_says(kind: Kind, resnet: tuple[NetworkPredictor, Path]) -> None:
    predictor, folder = resnet
    engine = load(kind, predictor, folder)
    for count in (1, 3, 7):
        x = example(predictor, count)
        assert difference(engine(x), predictor.network_outputs(x)) < CLOSE[kind.precision]


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_int8_bears_attention(name: Any, tmp_path: Path) -> None:
    # one range for all values of a map, as for convolutions, is off by a fifth of the greatest score here
    predictor, kind = predictor_of("vit"), Kind(engine=name, precision="int8")
    write(kind, predictor, tmp_path, example(predictor, 32))
    engine, x = load(kind, predictor, tmp_path), example(predictor, 8)
    assert difference(engine(x), predictor.network_outputs(x)) < CLOSE["int8"]


EXPORTED = ("lenet5", "alexnet", "googlenet", "resnet", "densenet", "mobilenet_v3", "efficientnet", "senet", "vit")


@pytest.mark.parametrize("family", EXPORTED)
def test_families_as_graphs(family: str, tmp_path: Path) -> None:
    predictor, kind = predictor_of(family), Kind(engine="onnxruntime")
    write(kind, predictor, tmp_path, example(predictor))
    engine, x = load(kind, predictor, tmp_path), example(predictor, 3)
    assert difference(engine(x), predictor.network_outputs(x)) < 1e-4


PREACTIVATED = ("preact_resnet", "densenet", "wide_resnet")  # some of their normalisations follow no layer


@pytest.mark.parametrize("family", sorted(set(TINY) - {"mlp"}))
def test_folding_changes_nothing(family: str) -> None:
    predictor = predictor_of(family)
    before = predictor.model
    after = folded(before, predictor.shape)
    x = predictor.preprocess.normalize(example(predictor, 3))
    with torch.inference_mode():
        assert difference(after(x), before(x)) < 1e-5
    norms = [sum(isinstance(each, nn.BatchNorm2d) for each in model.backbone.modules()) for model in (before, after)]
    assert norms[1] < norms[0] if family in PREACTIVATED else norms[1] == 0


def test_compiled_networks_take_other_numbers_of_inputs_uncompiled(resnet: tuple[NetworkPredictor, Path]) -> None:
    predictor, folder = resnet
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler
        engine = load(Kind(engine="compiled"), predictor, folder)
        for count in (2, 3):
            x = example(predictor, count)
            assert difference(engine(x), predictor.network_outputs(x)) < 1e-4


def test_what_cannot_be_used_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable, match="runs on the processor only"):
        available(Kind(engine="openvino"), torch.device("cuda"))
    monkeypatch.setattr("visus.prediction.engines.build.find_spec", lambda name: None)
    with pytest.raises(
        Unavailable, match=r"onnxscript and openvino and nncf not installed \(pip install 'visus\[deploy"
    ):
        available(Kind(engine="openvino", precision="int8"), CPU)
    available(Kind(engine="pytorch"), CPU)
    monkeypatch.setattr("visus.prediction.engines.build.shutil.which", lambda name: None)
    with pytest.raises(Unavailable, match="no C\\+\\+ compiler"):
        available(Kind(engine="compiled"), CPU)


def test_graphs_tell_what_they_are(resnet: tuple[NetworkPredictor, Path]) -> None:
    import onnx

    predictor, folder = resnet
    model = onnx.load(folder / files(Kind(engine="onnxruntime"))[0])
    assert {each.key: each.value for each in model.metadata_props}["labels"] == '["a", "b", "c", "d", "e"]'
    (given,) = model.graph.input
    assert given.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [each.dim_value for each in given.type.tensor_type.shape.dim][1:] == list(predictor.shape)


def test_quantising_asks_no_server(resnet: tuple[NetworkPredictor, Path], tmp_path: Path) -> None:
    """In a process of its own, in which every attempt to open a connection is noted."""
    _, folder = resnet
    program = f"""
import socket, sys
from pathlib import Path
from typing import Any
import torch
tried = []
socket.socket.connect = lambda self, address: tried.append(address)
socket.getaddrinfo = lambda *given, **named: tried.append(given)
from visus.prediction.engines.quantized import openvino_int8
openvino_int8(Path({str(folder / "float32.onnx")!r}), Path({str(tmp_path / "int8.xml")!r}),
    torch.zeros(4, 3, 32, 32, dtype=torch.uint8), attention=False)
import openvino, nncf
assert sys.modules["openvino_telemetry"] is None
assert not tried, tried
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "int8.bin").stat().st_size > 0


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose engines were chosen, among the quick ones."""
    folder = quick_run(tmp_path_factory.mktemp("runs") / "digits", epochs=3).folder
    found = optimize(folder, batches=(1, 16), precisions=("float32",), engines=("onnxruntime", "openvino"), seconds=0.1)
    assert found.left_out == {}
    return folder


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(run, tmp_path / "run"))


def place_of(run: Path) -> Path:
    (found,) = (run / "model" / "engines").iterdir()
    return found


def images(count: int = 5) -> list[np.ndarray]:
    return [np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8) for seed in range(count)]


def test_the_fastest_is_kept_and_answers(run: Path) -> None:
    kept = read_kept(place_of(run) / "engines.json")
    assert [choice.batch for choice in kept.choices] == [1, 16]
    for choice in kept.choices:
        rows = [row for row in kept.rows if row.batch == choice.batch and row.accepted]
        assert choice.kind == min(rows, key=lambda row: row.milliseconds).kind
    predictor, plain = visus.load(run), visus.load(run, optimized=False)
    assert isinstance(predictor, NetworkPredictor)
    assert isinstance(predictor.engine, Chosen)
    for found, wanted in zip(predictor(images()), plain(images()), strict=True):
        assert found.label == wanted.label
        assert found.top(3)[0][1] == pytest.approx(wanted.top(3)[0][1], abs=1e-4)
    assert set(predictor.engine.ready) == {1}


def test_a_choice_is_for_so_many_inputs_or_more(run: Path) -> None:
    predictor = visus.load(run)
    assert isinstance(predictor, NetworkPredictor)
    assert isinstance(predictor.engine, Chosen)
    assert [predictor.engine.choice(count).batch for count in (1, 15, 16, 64)] == [1, 1, 16, 16]
    predictor.engine.choices = predictor.engine.choices[1:]
    assert predictor.engine.choice(1).batch == 16


def test_other_machines_versions_and_weights_fall_back_and_say_so(copy: Path) -> None:
    place = place_of(copy)
    kept = json.loads((place / "engines.json").read_text())
    (place / "engines.json").write_text(json.dumps(kept | {"weights": "0" * 64}))
    with pytest.warns(EngineWarning, match="chosen for other weights; PyTorch answers"):
        found = visus.load(copy)
    assert isinstance(found, NetworkPredictor)
    assert found.engine is None
    place.rename(place.with_name("0123456789ab"))
    with pytest.warns(EngineWarning, match="chosen on another machine or with other versions"):
        found = visus.load(copy)
    assert found(images(1))


def test_damaged_tables_and_files_are_refused(copy: Path) -> None:
    place = place_of(copy)
    graph = place / "float32.onnx"
    other = predictor_of("resnet")
    graph.unlink()
    with pytest.raises(BundleError, match=r"float32\.onnx: can't be read"):
        visus.load(copy)(images(1))
    write(Kind(engine="onnxruntime"), other, place, example(other))
    with pytest.raises(BundleError, match="its checksum fails"):
        visus.load(copy)(images(1))
    graph.write_bytes(b"none")
    table = json.loads((place / "engines.json").read_text())
    table["files"]["float32.onnx"] = hashlib.sha256(b"none").hexdigest()
    (place / "engines.json").write_text(json.dumps(table))
    with pytest.raises(BundleError, match="can't be loaded"):
        visus.load(copy)(images(1))
    (place / "engines.json").write_text("{")
    with pytest.raises(BundleError, match="can't be read"):
        visus.load(copy)


def test_an_engine_that_answers_otherwise_is_refused(copy: Path) -> None:
    place = place_of(copy)
    kept = json.loads((place / "engines.json").read_text())
    kept["choices"][0]["answers"][0][0] += 1
    (place / "engines.json").write_text(json.dumps(kept))
    with pytest.raises(BundleError, match="answers otherwise than when it was measured"):
        visus.load(copy)(images(1))


def test_a_machine_keeps_its_last_choice_and_others_theirs(copy: Path) -> None:
    model = copy / "model"
    place = place_of(copy)
    kept = read_kept(place / "engines.json")
    other = keep(model, Kept({"processor": "another"}, kept.weights, kept.score, 1, (), ()), place)
    one = (Choice(1, Kind(engine="pytorch"), kept.choices[0].answers),)
    again = keep(model, Kept(machine(CPU), kept.weights, kept.score, kept.samples, one, kept.rows), place)
    assert sorted(each.name for each in (model / "engines").iterdir()) == sorted([other.name, again.name])
    assert [each.name for each in again.iterdir()] == ["engines.json"]  # PyTorch needs no file


def test_a_choice_is_found_where_a_crash_left_it_between_two_renames(copy: Path) -> None:
    place = place_of(copy)
    shutil.copytree(place, place.with_name(f".{place.name}.replacing"))
    place.rename(place.with_name(f".{place.name}.replaced"))
    predictor = visus.load(copy)
    assert isinstance(predictor, NetworkPredictor)
    assert isinstance(predictor.engine, Chosen)
    assert predictor(images(1))[0].label == visus.load(copy, optimized=False)(images(1))[0].label


def test_what_is_out_of_tolerance_is_not_chosen(copy: Path) -> None:
    with pytest.raises(SpecError, match=r"none of the engines is within the tolerance: onnxruntime float32 differs by"):
        optimize(copy, precisions=("float32",), engines=("onnxruntime",), tolerance=0.0, seconds=0.05)
    with pytest.raises(SpecError, match=r"pytorch bfloat16 loses .* points, more than -1"):
        optimize(copy, precisions=("bfloat16",), engines=("pytorch",), lose=-1.0, seconds=0.05)


def test_bad_requests_are_refused(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"there is no precision 'float16'"):
        optimize(copy, precisions=("float16",))
    with pytest.raises(SpecError, match=r"there is no engine 'onnx'"):
        optimize(copy, engines=("onnx",))
    with pytest.raises(SpecError, match="no engine computes so"):
        optimize(copy, engines=("pytorch",), precisions=("int8",))
    with pytest.raises(SpecError, match="1 input at a time or more"):
        optimize(copy, batches=(0,))
    visus.fuse([copy, copy], tmp_path / "both")
    with pytest.raises(ModelError, match="is a fusion of several networks"):
        optimize(tmp_path / "both")
    path = copy / "model" / "visus.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"recipe": None}))
    with pytest.raises(DataError, match="no data belong to this model"):
        optimize(copy)
