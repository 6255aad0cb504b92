"""The settings of a run, as one tree: the Python API, the file and `--set` are the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec

from visus.adaptation import Plan
from visus.data.augment import Augment
from visus.data.dataset import Data
from visus.data.preprocess import Side
from visus.models import CATALOG, Network
from visus.spec import Spec, assign, decode, merge, parse_assignment, tree
from visus.tasks import AnyTask
from visus.training import AdamW, OneCycle, Optimizer, Schedule

Positive = Annotated[int, msgspec.Meta(ge=1)]

# What a task is usually trained with, where it isn't what classification is. Objects: few images a step, since each
# holds many, and long, since data sets are small.
_OBJECTS = {
    "budget": {"epochs": 50, "batch": 8, "clip": 10.0, "ema": 0.998},
}
USUAL: dict[str, dict[str, Any]] = {"detect": _OBJECTS}


class Preprocessing(Spec, frozen=True):
    """How inputs are prepared; what is None is found from the data and the network, and then written down.

    The fields are those of `ImagePreprocess`; vectors only have mean and std.
    """

    size: tuple[Side, Side] | None = None
    channels: Literal[1, 3] | None = None
    fit: Literal["crop", "stretch", "pad", "center", "tile"] | None = None
    margin: Annotated[int, msgspec.Meta(ge=0)] | None = None
    crop: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    interpolation: Literal["bilinear", "bicubic", "nearest"] | None = None
    fill: Annotated[int, msgspec.Meta(ge=0, le=255)] | None = None
    order: Literal["rgb", "bgr"] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[Annotated[float, msgspec.Meta(gt=0)], ...] | None = None


class Model(Spec, frozen=True):
    """Which network. name: in the catalog. spec: its settings; None for the catalog's.

    weights: what it starts from: "imagenet", a source such as "torchvision:resnet50.v2", a file, a run; None: random.
    """

    name: str = "resnet18"
    spec: Network | None = None
    weights: str | None = None


class Budget(Spec, frozen=True):
    """How long and in what portions.

    epochs: passes over the training samples. batch: samples a step; "auto": as many as fit and are faster for it, found
    by trying. accumulate: batches a step of the optimiser.
    patience: stop when the validation score hasn't risen for more than this many epochs; None: never.
    clip: the greatest norm of the gradient. ema: the decay of an exponential moving average of the weights, which is
    then what is evaluated and kept (0.99–0.9999); at first it is lower, so that the start is forgotten.
    """

    epochs: Positive = 10
    batch: Positive | Literal["auto"] = 64
    accumulate: Positive = 1
    patience: Annotated[int, msgspec.Meta(ge=0)] | None = None
    clip: Annotated[float, msgspec.Meta(gt=0)] | None = None
    ema: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None


class Runtime(Spec, frozen=True):
    """On what, and how exactly.

    device: "auto" takes CUDA, then Apple's, then the processor. precision: of the network's arithmetic;
    "auto": float32, or bfloat16 where a run is long, the task bears it and this machine is clearly faster with it,
    found by measuring. compile: whether torch compiles the steps; "auto": where a run takes hours and they pay back.
    threads: of the processor; None for all, or for an equal part of them where several ranks are on a machine.
    parallel: how several ranks train one network: "ddp", each holds all of it, or "fsdp", each holds a part.
    channels_last: how images lie in memory.
    keep_memory: what a step frees stays with the process for the next one, where glibc allows it: steps are faster, and
    the process holds its largest size to its end.
    workers: processes that read and decode images; None: chosen (see `Data`, in the documentation); 0: none, threads.
    cache: gigabytes of disk that decoded images of large sets may take in the cache folder, those of all sets together;
    0 keeps none.
    deterministic: refuse algorithms that don't repeat exactly.
    """

    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    threads: Positive | None = None
    parallel: Literal["ddp", "fsdp"] = "ddp"
    channels_last: bool = True
    keep_memory: bool = True
    workers: Annotated[int, msgspec.Meta(ge=0, le=1024)] | None = None
    cache: Annotated[float, msgspec.Meta(ge=0)] = 50.0
    deterministic: bool = False


class Expect(Spec, frozen=True):
    """What a fresh run of a recipe gave. value ± tolerance of the score `metric` on the test split, in `seconds`."""

    metric: str
    value: float
    tolerance: float
    seconds: float
    machine: str
    seed: int = 0


class Recipe(Spec, frozen=True):
    """All settings of a run. Those left as None are filled in from the data and the network, and then written down."""

    data: Data = Data()
    preprocess: Preprocessing = Preprocessing()
    augment: Augment | None = None
    task: AnyTask | None = None
    model: Model = Model()
    transfer: Plan | None = None
    optim: Optimizer = AdamW()
    schedule: Schedule = OneCycle()
    budget: Budget = Budget()
    runtime: Runtime = Runtime()
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0
    about: str = ""
    expect: Expect | None = None


def _task_named(base: Mapping[str, Any], changes: Iterable[tuple[tuple[str, ...], Any]]) -> str:
    """The kind of the task, empty where none is named."""
    task = {"task": base.get("task") or {}}
    for path, value in changes:
        if path[0] == "task":
            task = assign(task, path, value)
    named = task["task"].get("kind") if isinstance(task["task"], dict) else None
    return named if isinstance(named, str) else ""


def compose(base: dict[str, Any], assignments: Iterable[str] = (), where: str = "") -> Recipe:
    """A recipe from a tree and `a.b=c` assignments, the later over the earlier and all over the task's defaults."""
    changes = [parse_assignment(text) for text in assignments]
    base = merge(merge(tree(Recipe()), USUAL.get(_task_named(base, changes), {})), base)
    for path, value in changes:
        if path == ("model", "name") and value != base["model"].get("name"):
            base = {**base, "model": {}}  # another network's settings don't fit this one
        base = assign(base, path, value)
    name = base["model"].get("name") if isinstance(base["model"], dict) else None
    if name in CATALOG:
        base = merge({"model": {"spec": tree(CATALOG[name].spec)}}, base)
    return decode(base, Recipe, where)


def overrides(**settings: Any) -> dict[str, Any]:
    """A tree from dotted names joined by "__"; those that are None are left out.

    >>> overrides(model__name="lenet5", budget__epochs=None, seed=3)
    {'model': {'name': 'lenet5'}, 'seed': 3}
    """
    plain: dict[str, Any] = {}
    for name, value in settings.items():
        if value is not None:
            plain = merge(plain, assign({}, tuple(name.split("__")), value))
    return plain
