"""Graphs that other programs write, without their weights, and the scores of ONNX Runtime with weights of a formula.

Needs torchvision, timm, Keras (backend torch), onnx, onnxscript and onnxruntime, and nothing of Visus. From the root of
the project:

    KERAS_BACKEND=torch peers/bin/python tests/graphs/make.py tests/graphs src/visus/weights/peer.py
"""

import importlib.metadata
import json
import runpy
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper

LARGE = 8  # values from which a tensor of a graph is filled by the formula
EXPORTS = {  # ours, exporter: library, call, arguments
    ("resnet18", "torchscript"): ("torchvision", "resnet18", {}),
    ("resnet18", "dynamo"): ("torchvision", "resnet18", {}),
    ("resnext50_32x4d", "dynamo"): ("torchvision", "resnext50_32x4d", {}),
    ("googlenet_bn", "dynamo"): ("torchvision", "googlenet", {"init_weights": False, "transform_input": False}),
    ("inception_v3", "torchscript"): ("torchvision", "inception_v3", {"init_weights": False, "transform_input": False}),
    ("densenet121", "torchscript"): ("torchvision", "densenet121", {}),
    ("squeezenet1_1", "dynamo"): ("torchvision", "squeezenet1_1", {}),
    ("mobilenet_v3_small", "torchscript"): ("torchvision", "mobilenet_v3_small", {}),
    ("efficientnet_b0", "dynamo"): ("torchvision", "efficientnet_b0", {}),
    ("seresnet50", "torchscript"): ("timm", "seresnet50", {}),
    ("inception_resnet_v2", "torchscript"): ("timm", "inception_resnet_v2", {}),
    ("vit_tiny_patch16", "torchscript"): ("timm", "vit_tiny_patch16_224", {}),
    ("vit_tiny_patch16", "dynamo"): ("timm", "vit_tiny_patch16_224", {}),
    ("mobilenet_v2", "keras"): ("keras", "MobileNetV2", {}),
    ("resnet50_keras", "keras"): ("keras", "ResNet50", {}),
}


def main(folder: Path, formula: Path) -> None:
    program = runpy.run_path(str(formula))
    folder.mkdir(parents=True, exist_ok=True)
    for (name, exporter), (library, call, arguments) in EXPORTS.items():
        path = folder / f"{name}-{exporter}.onnx"
        if path.exists():
            continue
        size = 299 if "inception" in name else 224
        with tempfile.TemporaryDirectory() as work, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = Path(work) / "model.onnx"
            exported(made, exporter, library, call, arguments, size)
            model = onnx.load(made)
        strip(model)
        for tensor in model.graph.initializer:
            values = numpy_helper.to_array(tensor)
            if values.dtype == np.float32 and values.size >= LARGE:
                tensor.CopyFrom(numpy_helper.from_array(program["filled"](tensor.name, values.shape), tensor.name))
        session = onnxruntime.InferenceSession(model.SerializeToString())
        given = session.get_inputs()[0]
        x = program["question"]((3, size, size))
        x = x.transpose(0, 2, 3, 1) if given.shape[-1] == 3 else x
        scores = session.run(None, {given.name: x})[0].reshape(-1)
        parts = (library, "torch", "onnx", "onnxruntime")
        facts = {
            "network": name, "library": library, "call": call, "exporter": exporter, "input": [3, size, size],
            "versions": {part: importlib.metadata.version(part) for part in parts},
            "scores": [float(f"{value:.8g}") for value in scores],
        }  # fmt: skip
        outside(model)
        path.write_bytes(model.SerializeToString())
        path.with_suffix(".json").write_text(json.dumps(facts) + "\n", "utf-8")


def exported(path: Path, exporter: str, library: str, call: str, arguments: dict, size: int) -> None:
    """A library's network in evaluation, as its exporter writes it."""
    if library == "keras":
        import keras

        model = getattr(keras.applications, call)(weights=None, classifier_activation=None, **arguments)
        model(np.zeros((1, size, size, 3), np.float32))
        model.export(path, format="onnx", verbose=False)
        return
    if library == "torchvision":
        import torchvision

        model = torchvision.models.get_model(call, weights=None, **arguments)
    else:
        import timm

        model = timm.create_model(call, pretrained=False, **arguments)
    x = torch.zeros(1, 3, size, size)
    if exporter == "dynamo":
        torch.onnx.export(model.eval(), (x,), path, dynamo=True, external_data=False, verbose=False)
    else:
        torch.onnx.export(model.eval(), (x,), path, dynamo=False)


def strip(model: onnx.ModelProto) -> None:
    """Leave out what only tells where a graph comes from."""
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""


def outside(model: onnx.ModelProto) -> None:
    """Say of the tensors that the formula fills that they lie in another file, one after the other."""
    offset = 0
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size >= LARGE:
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, value in (("location", "weights"), ("offset", offset), ("length", values.nbytes)):
                tensor.external_data.add(key=key, value=str(value))
            offset += values.nbytes


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
