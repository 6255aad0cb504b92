"""Keras' three layouts. Keras made keras.zip (make_keras.py): a model in each, and what Keras calls its weights."""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from tests.unit.weights.made import refused, written, zipped
from visus.weights.formats import Stored, read_weights

MADE = Path(__file__).with_name("keras.zip")
FORMATS = {"network.h5": "keras-h5", "network.weights.h5": "keras-weights", "network.keras": "keras"}


def packed(name: str) -> bytes:
    with zipfile.ZipFile(MADE) as archive:
        return archive.read(name)


def expected() -> Mapping[str, np.ndarray]:
    return dict(np.load(io.BytesIO(packed("expected.npz"))))


def unpacked(folder: Path, name: str) -> Path:
    return written(folder / "weights.bin", packed(name))


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_names_and_values_from_every_layout(tmp_path, name):
    stored = read_weights(unpacked(tmp_path, name))
    wanted = dict(expected())
    if name == "network.weights.h5":
        # it doesn't say of which class a layer in a wrapper is that was given a name: the weights keep their numbers
        for layer in ("time_distributed/shared", "spectral_normalization/kept"):
            for number, weight in enumerate(("kernel", "bias")):
                wanted[f"{layer}/{number}"] = wanted.pop(f"{layer}/{weight}")
    assert stored.format == FORMATS[name]
    assert set(stored.tensors) == set(wanted)
    for key, value in wanted.items():
        assert stored.tensors[key].shape == value.shape
        assert (stored.tensors[key].float().numpy() == value).all(), key
    assert {key for key, each in stored.tensors.items() if each.dtype == torch.bfloat16} == {"half/kernel", "half/bias"}
    assert stored.tensors["scale_pixels/count"].dtype == torch.int32


def test_the_notes_say_what_was_left_out_and_guessed(tmp_path):
    assert read_weights(unpacked(tmp_path, "network.h5")).notes == {"left_out": ["optimizer_weights"]}
    assert read_weights(unpacked(tmp_path, "network.keras")).notes == {
        "left_out": ["optimizer"], "numbered": ["block_layer_scale"],
    }  # fmt: skip
    notes = read_weights(unpacked(tmp_path, "network.weights.h5")).notes
    assert notes["guessed"] == ["nested/inner/bn_in"]
    assert set(notes["numbered"]) == {"block_layer_scale", "time_distributed/shared", "spectral_normalization/kept"}


def described(config: Any, **more: bytes) -> bytes:
    """A .keras file with another description."""
    text = config if isinstance(config, bytes) else json.dumps(config).encode()
    with zipfile.ZipFile(io.BytesIO(packed("network.keras"))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    return zipped({**members, "config.json": text, **more})


def layer(name: str, **more: Any) -> dict[str, Any]:
    return {"module": "keras.layers", "class_name": name, "config": {"name": "x"}, "registered_name": None, **more}


def model(*layers: Any) -> dict[str, Any]:
    return {
        **layer("Functional", module="keras.src.models.functional"),
        "config": {"name": "m", "layers": list(layers)},
    }


CODE = {"class_name": "__lambda__", "config": {"value": ["4wEAAAAAAAAA", None, None]}}
HOSTILE = {
    "Lambda": model(layer("Lambda", config={"function": CODE})),
    "Lambda of Keras 2": {"class_name": "Functional", "config": {"layers": [{"class_name": "Lambda", "config": {}}]}},
    "__lambda__": model(layer("Dense", config={"activation": CODE})),
    "TFSMLayer": model(layer("TFSMLayer")),
    "TorchModuleWrapper": model(model(layer("TorchModuleWrapper"))),
    "my_package>Layer": model(layer("Layer", registered_name="my_package>Layer")),
    "system": model(
        layer("Dense", config={"activation": {"module": "os", "class_name": "function", "config": "system"}})
    ),
    "Evil": model(layer("Evil", module="keras_evil.layers")),
    "run": model(layer("run", module="builtins")),
    "damaged": b'{"class_name":',
    "UTF": b"\xff",
    "damaged description": b"[" * 100_000,
    "at most": b'"' + b"x" * (9 << 20) + b'"',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_fault_41_descriptions_with_code(tmp_path, name):
    cause = "damaged" if name == "UTF" else name if "of Keras 2" not in name else "Lambda"
    if name == "system":
        cause = r"names function, which isn't of Keras \(os\)"
    problem = refused(written(tmp_path / "a.keras", described(HOSTILE[name])), cause)
    if name != "UTF" and "damaged" not in name:
        assert "save_weights" in problem.remedy


@pytest.mark.parametrize("attribute", ["model_config", "training_config"])
def test_fault_41_code_in_an_h5_file(tmp_path, attribute):
    path = unpacked(tmp_path, "network.h5")
    with h5py.File(path, "a") as file:
        file.attrs[attribute] = json.dumps(HOSTILE["Lambda of Keras 2"])
    refused(path, "Lambda")


def test_members_of_a_keras_file(tmp_path):
    refused(
        written(tmp_path / "a", zipped({"config.json": b"{}", "model.weights.npz": b""})), "without model.weights.h5"
    )
    refused(written(tmp_path / "b", described({}, **{"model.weights.h5": b"x" * 10})), "b: model.weights.h5: ")
    bomb = zipped({"config.json": b"{}", "model.weights.h5": bytes(32 << 20)}, zipfile.ZIP_DEFLATED)
    refused(written(tmp_path / "c", bomb), "a bomb")
    again = zipfile.ZipFile(io.BytesIO(packed("network.keras")))
    members = {name: again.read(name) for name in again.namelist()}
    assert len(read_weights(written(tmp_path / "d", zipped(members, zipfile.ZIP_DEFLATED))).tensors) == len(expected())


def test_a_description_that_does_not_fit_gives_numbers(tmp_path):
    """Batch normalization with both gamma and beta has four weights, and this one three."""
    config = json.loads(zipfile.ZipFile(io.BytesIO(packed("network.keras"))).read("config.json"))
    text = json.dumps(config).replace('"scale": false', '"scale": true')
    stored = read_weights(written(tmp_path / "a", described(text.encode())))
    assert {"nested/bn_in/0", "nested/bn_in/1", "nested/bn_in/2"} <= set(stored.tensors)
    assert "nested/inner/bn_in" in stored.notes["numbered"]


def old(path: Path, layers: Mapping[str, Mapping[str, Any]], top: str = "") -> Stored:
    """A file as earlier versions of Keras wrote it: bytes of fixed length for names, and no description."""
    with h5py.File(path, "w") as file:
        group = file.create_group(top) if top else file
        group.attrs["layer_names"] = [name.encode() for name in layers]
        for name, weights in layers.items():
            layer = group.create_group(name)
            layer.attrs["weight_names"] = [each.encode() for each in weights]
            for each, value in weights.items():
                layer[each] = np.float32(value)
    return read_weights(path)


def test_names_of_keras_1(tmp_path):
    """As in the published vgg16_weights_tf_dim_ordering_tf_kernels.h5 and resnet50_weights_…: W, b, running_std."""
    stored = old(tmp_path / "a", {
        "block1_conv1": {"block1_conv1_W_1:0": 1, "block1_conv1_b_1:0": 2},
        "block1_pool": {},
        "conv1": {"conv1_W:0": 3, "conv1_b:0": 4},
        "bn_conv1": {"bn_conv1_gamma:0": 5, "bn_conv1_beta:0": 6, "bn_conv1_running_mean:0": 7,
                     "bn_conv1_running_std:0": 8},
        "renamed": {"dense_3_W": 9, "dense_3_b": 10},
    })  # fmt: skip
    assert {name: value.item() for name, value in stored.tensors.items()} == {
        "block1_conv1/kernel": 1, "block1_conv1/bias": 2, "conv1/kernel": 3, "conv1/bias": 4, "bn_conv1/gamma": 5,
        "bn_conv1/beta": 6, "bn_conv1/moving_mean": 7, "bn_conv1/moving_variance": 8, "renamed/kernel": 9,
        "renamed/bias": 10,
    }  # fmt: skip


def test_names_of_keras_2(tmp_path):
    """ ":0" behind the names; a second graph in one session added "_1"; a kernel by depth had a name of its own."""
    stored = old(tmp_path / "a", {
        "Conv1": {"Conv1/kernel:0": 1},
        "bn_Conv1": {"bn_Conv1_1/gamma:0": 2, "bn_Conv1_1/moving_variance:0": 3},
        "depthwise": {"depthwise/depthwise_kernel:0": 4},
        "sepconv": {"sepconv/depthwise_kernel:0": 5, "sepconv/pointwise_kernel:0": 6},
        "mobilenetv2": {"Conv1/kernel:0": 7, "bn/gamma:0": 8},
        "block/conv": {"block/conv/kernel:0": 9},
    }, "model_weights")  # fmt: skip
    assert {name: value.item() for name, value in stored.tensors.items()} == {
        "Conv1/kernel": 1, "bn_Conv1/gamma": 2, "bn_Conv1/moving_variance": 3, "depthwise/kernel": 4,
        "sepconv/depthwise_kernel": 5, "sepconv/pointwise_kernel": 6, "mobilenetv2/Conv1/kernel": 7,
        "mobilenetv2/bn/gamma": 8, "block/conv/kernel": 9,
    }  # fmt: skip


def test_names_between_only_where_two_would_be_alike(tmp_path):
    names = ["left/dense/kernel", "right/dense/kernel", "deep/inner/conv/kernel"]
    stored = old(tmp_path / "a", {"both": dict(zip(names, range(3), strict=True))})
    assert set(stored.tensors) == {"both/left/dense/kernel", "both/right/dense/kernel", "both/conv/kernel"}


def test_long_lists_of_names_come_in_pieces(tmp_path):
    with h5py.File(tmp_path / "a", "w") as file:
        for number in range(2):
            file.attrs[f"layer_names{number}"] = [f"dense_{number}".encode()]
            layer = file.create_group(f"dense_{number}")
            layer.attrs["weight_names0"], layer.attrs["weight_names1"] = [b"kernel"], [b"bias"]
            layer["kernel"], layer["bias"] = 1.0, 2.0
    wanted = ["dense_0/kernel", "dense_0/bias", "dense_1/kernel", "dense_1/bias"]
    assert list(read_weights(tmp_path / "a").tensors) == wanted


def test_weights_of_the_model_itself(tmp_path):
    with h5py.File(tmp_path / "a", "w") as file:
        file.attrs["layer_names"] = [b"fc"]
        for name, weight in {"fc": "fc/kernel", "top_level_model_weights": "my_model/token"}.items():
            file.create_group(name).attrs["weight_names"] = [weight.encode()]
            file[f"{name}/{weight}"] = 1.0
    assert list(read_weights(tmp_path / "a").tensors) == ["fc/kernel", "my_model/token"]


def test_files_without_the_names_of_layers(tmp_path):
    """As earlier versions wrote them: a layer is called by its class, as Keras does with layers that nobody named."""
    with h5py.File(tmp_path / "a", "w") as file:
        for name, count in {"conv2d": 2, "batch_normalization": 4, "batch_normalization_1": 2, "custom": 1}.items():
            for number in range(count):
                file[f"_layer_checkpoint_dependencies/{name}/vars/{number}"] = np.float32(number)
        file["optimizer/vars/0"] = 1.0
        file["_layer_checkpoint_dependencies/dropout/seed_generator/vars/0"] = np.zeros(2, np.uint32)
    stored = read_weights(tmp_path / "a")
    assert sorted(stored.tensors) == [
        "batch_normalization/beta", "batch_normalization/gamma", "batch_normalization/moving_mean",
        "batch_normalization/moving_variance", "batch_normalization_1/moving_mean",
        "batch_normalization_1/moving_variance", "conv2d/bias", "conv2d/kernel", "custom/0",
    ]  # fmt: skip
    assert stored.notes == {"left_out": ["optimizer"], "numbered": ["custom"]}


def test_damaged_lists_of_names(tmp_path):
    def changed(name: str, **attributes: Any) -> Path:
        old(tmp_path / name, {"fc": {"fc/kernel:0": 1}})
        with h5py.File(tmp_path / name, "a") as file:
            for key, value in attributes.items():
                (file if key == "layer_names" else file["fc"]).attrs[key] = value
        return tmp_path / name

    refused(changed("a", layer_names=[b"other"]), "the layer other isn't there")
    refused(changed("b", weight_names=[b"fc/bias:0"]), "the weight fc/bias:0 isn't there")
    refused(changed("c", weight_names=[b"fc/kernel:0"] * 2), "two weights of one name")
    refused(changed("d", weight_names=[1, 2]), "isn't of texts")
    refused(changed("e", layer_names=[b"x" * 2000]), "a text of more than 1,024 bytes")
    refused(changed("f", weight_names=[b"../fc/kernel:0"]), "isn't there")
    refused(changed("g", weight_names=np.zeros(0)), "holds no weights")
    refused(changed("h", layer_names=[b"\xff"]), "isn't UTF-8")


def test_other_hdf5_files(tmp_path):
    with h5py.File(tmp_path / "a", "w") as file:
        file["images"] = np.zeros(3)
    refused(tmp_path / "a", "HDF5 file that Keras didn't write")
