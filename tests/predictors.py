"""Small predictors for tests: untrained networks, so that nothing has to be learnt first."""

from __future__ import annotations

from typing import Any

import torch
from msgspec.structs import replace

from visus.data.preprocess import ImagePreprocess, Preprocess, VectorPreprocess
from visus.data.types import Schema
from visus.data.views import Views
from visus.models.mlp import MLP
from visus.models.resnet import ResNet, SmallStem
from visus.prediction import Fusion, NetworkManifest, NetworkPredictor, Viewed
from visus.tasks import Classify, Regress

LABELS = ("cat", "dog", "emu")
PHOTOS = Schema(shape=(3, 0, 0), labels=LABELS)
TAGS = Schema(shape=(3, 0, 0), targets=("labels",), labels=LABELS)
SIZES = Schema(shape=(3, 0, 0), targets=("values",), values=("weight", "height"))
ROWS = Schema(inputs="vector", shape=(4,), labels=LABELS, features=("a", "b", "c", "d"))
REGRESS = Regress(mean=(3.0, -1.0), std=(2.0, 0.5))
NET = ResNet(depths=(1,), widths=(8,), stem=SmallStem(channels=8))


def network(seed: int = 0, schema: Schema = PHOTOS, task: Any = None, **settings: Any) -> NetworkPredictor:
    """A network with random weights. settings: of its preprocessing."""
    task = task or (REGRESS if "values" in schema.targets else Classify())
    preprocess: Preprocess
    if schema.inputs == "vector":
        preprocess, spec = VectorPreprocess(mean=(0.0,) * 4, std=(1.0,) * 4), MLP(hidden=(8,))
    else:
        preprocess, spec = replace(ImagePreprocess(size=(10, 12), crop=0.8), **settings), NET
    manifest = NetworkManifest(task=task, schema=schema, model=f"net{seed}", network=spec, preprocess=preprocess)
    torch.manual_seed(seed)
    model = task.assemble(spec, preprocess.seen(schema))
    return NetworkPredictor(manifest, model.eval())


def fusion(*members: Any, **settings: Any) -> Fusion:
    return Fusion.of(members, [f"m{index}" for index in range(len(members))], **settings)


def each_kind() -> dict[str, NetworkPredictor | Viewed | Fusion]:
    """One of every kind of predictor."""
    grey = network(1, channels=1, size=(8, 8), fit="pad", mean=(0.1,), std=(0.3,))
    ten = Viewed(network(2), Views(crops="five", mirror=True))
    return {
        "a network": network(),
        "a network of vectors": network(schema=ROWS),
        "a regression": network(schema=SIZES),
        "ten views": ten,
        "a fusion": fusion(network(), grey, weights=(2, 1)),
        "a geometric fusion": fusion(network(), grey, how="geometric"),
        "a fusion with views": fusion(grey, ten),
        "a fusion of one": fusion(ten),
        "a fusion of fusions": fusion(fusion(network(), grey), ten, weights=(0.25, 0.75)),
        "a fusion of vectors": fusion(network(schema=ROWS), network(5, ROWS)),
        "a fusion of tags": fusion(network(schema=TAGS), network(6, TAGS), weights=(1, 3)),
        "a fusion of values": fusion(network(schema=SIZES), network(7, SIZES), weights=(1, 4)),
    }
