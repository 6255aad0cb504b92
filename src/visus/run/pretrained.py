"""Networks with weights in them: random ones, or published ones ready to predict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from msgspec.structs import replace

from visus.data.preprocess import ImagePreprocess
from visus.data.types import Schema
from visus.errors import SpecError, WeightsError, require_count, require_known
from visus.models import build_classifier, find
from visus.nn import Classifier, Pyramid, WithoutRandomStart
from visus.prediction import NetworkManifest, NetworkPredictor, load
from visus.prediction.bundle import is_bundle
from visus.tasks import Classify
from visus.weights.load import Weights, load_weights, put

Progress = Callable[[int, int], None]


def create_model(
    name: str,
    *,
    classes: int | None = None,
    channels: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    weights: str | Path | None = None,
    head: Literal["same", "new"] = "same",
) -> Classifier:
    """A network of the catalog: N×channels×H×W → N×classes scores.

    classes, channels, image_size: the weights', or the card's, where they aren't given. weights: "imagenet", a source
    such as "torchvision:resnet50.v2", the path of a file, or of a run; random where it isn't given. head: "same" takes
    all of the weights, and refuses another number of classes; "new" leaves the last layer random, whatever its size.
    Raises NotFound; SpecError for a count or size that none can have; ModelError where the network can't take that
    size; WeightsError where the weights don't fit, naming the tensors that differ.

    >>> sum(p.numel() for p in create_model("lenet5_full", classes=10).parameters())
    61706
    """
    card = find(name)
    require_known("head", head, ("same", "new"))
    size = _sides(image_size)
    if weights is None:
        network, (depth, *sides), outputs = card.spec, card.input, card.outputs
        shape = (depth if channels is None else channels, *(sides if size is None else size))
        return build_classifier(network, shape, outputs if classes is None else classes)
    found = find_weights(_source(weights), name, size=size)
    if head == "same" and not any(each.startswith("head.") for each in found.tensors):
        raise WeightsError(f"{found.source}: they have no head that gives classes", 'head="new" adds one')
    shape = (found.input[0] if channels is None else channels, *found.input[1:])
    model = build_classifier(found.network, shape, found.classes if classes is None else classes)
    if head == "same" and classes not in (None, found.classes):
        raise WeightsError(
            f"{found.source}: they are of {found.classes} classes, and {classes} are asked for",
            'head="new" keeps all but the last layer, which starts anew',
        )
    put(model, found, new_head=head == "new")
    return model


def pretrained(
    name: str,
    weights: str | Path = "imagenet",
    *,
    preprocess: ImagePreprocess | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> NetworkPredictor:
    """A network with published weights, their preprocessing and the names of their classes: ready to predict.

    >>> predictor = pretrained("efficientnet_lite0")  # doctest: +SKIP
    >>> predictor("cat.jpg").top(5)  # doctest: +SKIP

    weights: see `create_model`. preprocess: how images are fed; by default as the makers of the weights do. Classes
    that nobody named are called by their number.
    Raises NotFound, DownloadError, SpecError for what is no preprocessing, and WeightsError, for a file too of which
    nobody said how it is fed.
    """
    from visus.run.device import device_of

    weights = _source(weights)
    if preprocess is not None and not isinstance(preprocess, ImagePreprocess):
        raise SpecError(
            f"preprocess can't be {preprocess!r}", "give a visus.data.preprocess.ImagePreprocess, or leave it out"
        )
    if is_bundle(weights):
        predictor = _of_network(weights, name, device_of(device))
        if preprocess is None:
            return predictor
        return NetworkPredictor(replace(predictor.manifest, preprocess=preprocess), predictor.model)
    found = find_weights(weights, name, progress=progress)
    preprocess = preprocess or found.preprocess
    if preprocess is None:
        raise WeightsError(
            f"{found.source}: the file doesn't say how the network is fed",
            "say whose weights they are, LIBRARY:NAME=FILE, name a run, or pretrained(…, preprocess=…) in Python",
        )
    with WithoutRandomStart():
        model = build_classifier(found.network, found.input, found.classes)
    put(model, found, new_head=False)
    schema = Schema(
        shape=(found.input[0], 0, 0), labels=found.labels or tuple(f"class {index}" for index in range(found.classes))
    )
    manifest = NetworkManifest(task=Classify(), schema=schema, model=name, network=found.network, preprocess=preprocess)
    return NetworkPredictor(manifest, model.to(device_of(device)).eval())


def _source(weights: object) -> str:
    """What weights are named by. Raises WeightsError for what isn't text or a path."""
    if not isinstance(weights, str | Path):
        raise WeightsError(f"weights can't be {weights!r}", "give imagenet, a source (visus weights list), or a path")
    return str(weights)


def _sides(size: object) -> tuple[int, int] | None:
    """Height and width of one side or two. Raises SpecError for what isn't a size."""
    if size is None:
        return None
    sides = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(sides) != 2:
        raise SpecError(f"image_size can't be {size!r}", "give one side, or height and width")
    for side in sides:
        require_count("image_size", side)
    return sides


def find_weights(
    text: str, name: str, *, size: tuple[int, int] | None = None, progress: Progress | None = None
) -> Weights:
    """Weights from anywhere, a run or bundle of our own among them, whatever its task; see `load_weights`."""
    if not is_bundle(text):
        return load_weights(text, name, size=size, progress=progress)
    predictor = _of_network(text, name, torch.device("cpu"))
    manifest, preprocess = predictor.manifest, predictor.manifest.preprocess
    if not isinstance(preprocess, ImagePreprocess):
        raise WeightsError(f"{text} is a model of vectors, and {name} takes images", "give weights of images")
    labels, tensors = manifest.schema.labels, predictor.model.state_dict()
    if not isinstance(predictor.model, Classifier):  # what other tasks put on a network is theirs alone
        where = next(name for name, each in predictor.model.named_modules() if isinstance(each, Pyramid)) + "."
        tensors = {
            "backbone." + name.removeprefix(where): each for name, each in tensors.items() if name.startswith(where)
        }
        labels = ()
    return Weights(
        network=manifest.network,
        input=(preprocess.channels, *(size or preprocess.size)),
        classes=len(labels) or len(manifest.schema.values),
        tensors=tensors,
        source=text,
        preprocess=preprocess,
        labels=labels,
    )


def _of_network(path: str, name: str, device: torch.device) -> NetworkPredictor:
    """The predictor of a run or bundle. Raises WeightsError for a fusion, and for another network than `name`."""
    found = load(path, device)
    if not isinstance(found, NetworkPredictor):
        raise WeightsError(f"{path} isn't one network", "name one of its members")
    if found.manifest.model != name:
        raise WeightsError(
            f"{path} is of {found.manifest.model}, and the network is {name}",
            f"--model {found.manifest.model}, or other weights",
        )
    return found
