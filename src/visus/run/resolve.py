"""Filling in what a recipe leaves open, from the data and the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from msgspec.structs import asdict, replace

from visus.adaptation import Scratch, network_of
from visus.data.augment import Augment
from visus.data.dataset import Dataset, threaded
from visus.data.image import Picture
from visus.data.patches import Patch
from visus.data.preprocess import MARGIN, ImagePreprocess, Preprocess, VectorPreprocess
from visus.data.samples import Samples
from visus.data.types import Schema, Targets
from visus.errors import DataError, SpecError, UnreadableImage
from visus.models import Card, Cut, Network, find
from visus.ops.resize import resize
from visus.prediction import NetworkManifest
from visus.run.pretrained import find_weights
from visus.run.recipe import Preprocessing, Recipe
from visus.spec import decode, tree
from visus.tasks import AnyTask, Classify, GivesBack, Regress, Restore, Segment, in_windows
from visus.weights.load import Weights

NAMED = {"label", "labels", "boxes"}  # fields of targets that tell classes
SAID = {"label": "a label", "mask": "a mask"}  # of the fields of targets, where the plain name isn't as one says it
WINDOW, NARROW = 256, 8  # pixels: a side of the windows of restoration, and the margin of those of small images
PATCH = 64  # pixels a side, that restoration learns from at a time
SMALL = 64  # pixels: images up to this side keep their size where the network takes any
LONGER, STEP = 320, 32  # pixels: the longer side of images in which objects are looked for; what both are multiples of
LOOKED_AT = 512  # training samples from which mean, std and the classes' pixels are found
TASKS: tuple[AnyTask, ...] = (Classify(), Regress(), Segment(), Restore())


@dataclass(frozen=True)
class Plan:
    """A run with nothing left open. schema: of the data, with the targets that the task uses.

    weights: what the network starts from.
    """

    recipe: Recipe
    dataset: Dataset
    schema: Schema
    task: AnyTask
    network: Network
    preprocess: Preprocess
    augment: Augment
    weights: Weights | None = None

    def manifest(self, fingerprint: str) -> NetworkManifest:
        """What the model that is trained is. fingerprint: of the data."""
        return NetworkManifest(
            task=self.task,
            model=self.recipe.model.name,
            network=self.network,
            schema=self.schema,
            preprocess=self.preprocess,
            fingerprint=fingerprint,
            recipe=tree(self.recipe),
        )


def resolve(recipe: Recipe, dataset: Dataset, say: Callable[[str], None]) -> Plan:
    """Choose what isn't given, and say so. Raises DataError and ModelError where data, task and network don't meet."""
    task = recipe.task or _task_for(dataset.schema)
    targets = _targets_for(task, dataset.schema)
    schema = replace(dataset.schema, targets=targets, labels=dataset.schema.labels if NAMED & set(targets) else ())
    card = find(recipe.model.name)
    train = dataset.splits["train"]
    network, weights = recipe.model.spec or card.spec, None
    if recipe.model.weights is not None and not isinstance(recipe.transfer, Scratch):
        weights = find_weights(recipe.model.weights, recipe.model.name, size=recipe.preprocess.size)
        network = _as_read(network, card.spec, weights.network)
    given = recipe.preprocess
    if in_windows(task):
        given = _in_windows(given, schema)
    elif "boxes" in schema.targets:
        given = _with_all_objects(given, schema, card)
    preprocess = preprocess_of(given, schema, card, train, weights)
    if preprocess.whole and not set(schema.targets) <= {"mask", "image"}:
        raise SpecError(
            f"preprocess.fit = tile is for answers to every pixel, and the task uses {' and '.join(schema.targets)}",
            "--set preprocess.fit=crop",
        )
    task = task.fitted(schema, _targets(train, schema))
    if isinstance(task, GivesBack):
        task = task.scaled(preprocess)
    network = network_of(recipe.transfer, network)
    with torch.device("meta"):
        task.assemble(
            network, preprocess.seen(schema)
        )  # so that what can't be built is refused before anything is read
    augment = _augment(recipe.augment, preprocess, schema, task)
    filled = {name: value for name, value in asdict(preprocess).items() if name in Preprocessing.__struct_fields__}
    resolved = replace(
        recipe,
        task=task,
        model=replace(recipe.model, spec=network),
        preprocess=Preprocessing(**filled),
        augment=augment,
    )
    if recipe.task is None:
        there = " and ".join(SAID.get(each, each) for each in schema.targets)
        say(f"task: {type(task).__name__.lower()}, since each sample has {there}")
    return Plan(resolved, dataset, schema, task, network, preprocess, augment, weights)


def _in_windows(given: Preprocessing, schema: Schema) -> Preprocessing:
    """Images as they are, for a task that gives images. Raises SpecError where they would be resized or cut."""
    if given.fit not in (None, "tile"):
        raise SpecError(
            f"preprocess.fit is {given.fit!r}, and images are to be restored as they are", "leave it out: it is 'tile'"
        )
    small = len(schema.shape) == 3 and 0 < max(schema.shape[1:]) <= SMALL
    margin = (NARROW if small else MARGIN) if given.margin is None else given.margin
    core = schema.shape[1:] if small else (WINDOW - 2 * margin,) * 2
    size = (max(1, core[0]) + 2 * margin, max(1, core[1]) + 2 * margin)
    return replace(given, fit="tile", margin=margin, size=given.size or size)


def _with_all_objects(given: Preprocessing, schema: Schema, card: Card) -> Preprocessing:
    """Images of which nothing is cut off, larger than those that tell one thing where the network takes them."""
    if len(schema.shape) != 3:
        return given
    height, width = schema.shape[1:]
    if given.size is not None or card.fixed or 0 < max(height, width) <= SMALL:
        return replace(given, fit=given.fit or "pad")
    longer = max(LONGER, *card.input[1:])
    size = (longer, longer)
    if height and width:  # of the data's own proportions, and not enlarged
        scale = min(1.0, longer / max(height, width))
        size = (ceil(height * scale / STEP) * STEP, ceil(width * scale / STEP) * STEP)
    return replace(given, fit=given.fit or "pad", size=size)


def _as_read(asked: Network, usual: Network, read: Network) -> Network:
    """The network as the makers of weights read it, with what the recipe changes of the catalog's spec."""
    if isinstance(asked, Cut):
        return asked  # as a run's own recipe has it
    changed = {key: value for key, value in tree(asked).items() if value != tree(usual).get(key)}
    if asked == read or not changed or type(asked) is not type(read):
        return read
    return decode({**tree(read), **changed}, type(read))


def _task_for(schema: Schema) -> AnyTask:
    for task in TASKS:
        if any(need and set(need) <= set(schema.targets) for need in task.needs):
            return task
    raise DataError(
        f"no task is known for data with {', '.join(schema.targets) or 'no targets'}", "name one with --task"
    )


def _targets_for(task: AnyTask, schema: Schema) -> tuple[str, ...]:
    for need in task.needs:
        if set(need) <= set(schema.targets):
            return need
    needed = " or ".join(" and ".join(need) for need in task.needs)
    raise DataError(
        f"the task needs {needed} for every sample, and these data have {', '.join(schema.targets) or 'no targets'}",
        "name another --task, or other data",
    )


def _targets(samples: Samples, schema: Schema) -> Targets:
    """The columns that a task fits itself to. Of those with pixels there are masks of some samples, small ones."""
    if "mask" in schema.targets:
        return Targets(mask=_masks(samples))
    light = tuple(name for name in schema.targets if name in ("label", "labels", "values", "captions"))
    rows = range(len(samples)) if light else ()  # a mask would be decoded for nothing
    return Targets.collate([samples.target(row) for row in rows], replace(schema, targets=light))


def _masks(train: Samples) -> torch.Tensor:
    """N×64×64 uint8: pixels of some masks, evenly spaced."""

    def few(row: int) -> torch.Tensor:
        mask = train.target(row).mask
        assert mask is not None
        return resize(torch.from_numpy(mask)[None, None], (SMALL, SMALL), "nearest")[0, 0]

    return torch.stack(threaded(few, _spread(train)))


def _spread(train: Samples) -> list[int]:
    """The rows of some samples, evenly spaced."""
    rows: list[int] = np.unique(np.linspace(0, len(train) - 1, min(LOOKED_AT, len(train))).round().astype(int)).tolist()
    return rows


def preprocess_of(
    given: Preprocessing, schema: Schema, card: Card, train: Samples, weights: Weights | None
) -> Preprocess:
    """How inputs are prepared: as given, else as the makers of the weights do, else found from data and network."""
    if weights is not None and weights.preprocess is not None and schema.inputs == "image":
        own = {name: value for name, value in asdict(given).items() if value is not None}
        return replace(weights.preprocess, **own)
    if schema.inputs == "vector":
        return _vector_preprocess(given, train)
    channels, height, width = schema.shape
    native = card.input[1:]
    size, fit, crop = given.size or native, given.fit, given.crop
    if height and width and given.size is None:
        if not card.fixed and max(height, width) <= SMALL:
            size = (height, width)
        elif fit is None and all(0.75 * n <= side <= n for side, n in zip((height, width), native, strict=True)):
            fit = "center"
    if crop is None:
        crop = card.crop if max(size) > SMALL and not (height and width) else 1.0
    image = ImagePreprocess(
        size=size,
        channels=given.channels or (1 if (weights.input[0] if weights else channels) == 1 else 3),
        fit=fit or "crop",
        crop=crop,
        margin=MARGIN if given.margin is None else given.margin,
        interpolation=given.interpolation or "bilinear",
        fill=given.fill or 0,
        order=given.order or "rgb",
    )
    if given.mean is None or given.std is None:
        mean, std = _statistics(train, image)
        return replace(image, mean=given.mean or mean, std=given.std or std)
    return replace(image, mean=given.mean, std=given.std)


def _statistics(train: Samples, preprocess: ImagePreprocess) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the training pixels, per channel, in 0…1."""
    rows = _spread(train)

    def sums(row: int) -> tuple[int, torch.Tensor, torch.Tensor]:
        try:
            found = train.read(row)
            assert isinstance(found, Picture)
            x_CP = preprocess.place(found.pixels).flatten(1).double() / 255
        except UnreadableImage:  # counted, and listed by name, when the split is read
            x_CP = torch.zeros(preprocess.channels, 0).double()
        return x_CP.shape[1], x_CP.sum(1), x_CP.square().sum(1)

    counts, totals, squares = zip(*threaded(sums, rows), strict=True)
    count = sum(counts)
    if count == 0:
        raise DataError("none of the training images can be read", "`visus data check` says why")
    mean = torch.stack(totals).sum(0) / count
    std = (torch.stack(squares).sum(0) / count - mean.square()).clamp_min(0).sqrt().clamp_min(1 / 255)
    return tuple(round(each, 4) for each in mean.tolist()), tuple(round(each, 4) for each in std.tolist())


def _vector_preprocess(given: Preprocessing, train: Samples) -> VectorPreprocess:
    if given.mean is not None and given.std is not None:
        return VectorPreprocess(mean=given.mean, std=given.std)
    values = np.stack([np.asarray(train.read(row)) for row in range(len(train))]).astype(np.float64)
    if not np.isfinite(values).all():
        raise DataError("a feature is NaN or infinite", "`visus data check` names the rows")
    std = values.std(0)
    return VectorPreprocess(
        mean=given.mean or tuple(values.mean(0).tolist()),
        std=given.std or tuple(np.where(std > 0, std, 1.0).tolist()),
    )


def _augment(given: Augment | None, preprocess: Preprocess, schema: Schema, task: AnyTask) -> Augment:
    """What is given; else for colour photographs mirrored ones are as likely, and grey scans may carry writing; and
    for restoration, patches."""
    if not isinstance(preprocess, ImagePreprocess):
        if given is not None and not given.idle():
            raise SpecError("augment changes images, and the data are vectors", "leave the augment settings out")
        return Augment()
    if in_windows(task):
        return _of_pixels(given, preprocess, schema)
    if given is None:
        return Augment(shift=0.0625) if preprocess.channels == 1 else Augment(flip=True, shift=0.125)
    if (given.saturation or given.hue) and preprocess.channels == 1:
        raise SpecError("augment.saturation and augment.hue change colours, and the images are grey", "set both to 0")
    if given.mosaic and not set(schema.targets) <= {"boxes", "mask"}:
        have = " and ".join(schema.targets)
        raise SpecError(f"augment.mosaic is for boxes and masks, and the task uses {have}", "set it to 0")
    if (given.mixup or given.cutmix) and schema.targets != ("label",):
        have = " and ".join(schema.targets)
        raise SpecError(
            f"augment.mixup and augment.cutmix blend class labels, and the task uses {have}", "set both to 0"
        )
    return given


def _of_pixels(given: Augment | None, preprocess: ImagePreprocess, schema: Schema) -> Augment:
    """What is given, or patches, turned in all ways. Raises SpecError for what would change one of a pair alone."""
    if given is None:
        return Augment(patch=Patch(size=min(PATCH, *preprocess.size), turn=True))
    plain = Augment(patch=given.patch, flip=given.flip, crop=given.crop, shift=given.shift, zoom=given.zoom,
                    rotate=given.rotate, elastic=given.elastic)  # fmt: skip
    if "image" in schema.targets and given != plain:
        raise SpecError(
            "augment changes colours or mixes images, and what is wanted would stay as it is",
            "leave all but patch, flip, crop, shift, zoom, rotate and elastic out",
        )
    return given
