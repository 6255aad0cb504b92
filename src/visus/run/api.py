"""The package's verbs, as functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from visus.data.dataset import Data, Dataset
from visus.data.loader import prepare
from visus.data.open import open_dataset
from visus.data.samples import Joined, Samples
from visus.data.splits import divide
from visus.errors import DataError, ModelError, UnreadableImage
from visus.metrics import Score
from visus.models import CATALOG, Network, find
from visus.prediction import NetworkManifest, NetworkPredictor, Predictor, load, read_manifest
from visus.run.device import device_of
from visus.run.evaluation import Evaluation, evaluate_predictor, labelled
from visus.run.fusing import Fused, fuse
from visus.run.inputs import answers, find_inputs
from visus.run.outcome import Run
from visus.run.predicting import Predicted, predict_to
from visus.run.pretrained import create_model, pretrained
from visus.run.reading import resources_of
from visus.run.recipe import Recipe, compose, overrides
from visus.run.recipe_files import read_recipe
from visus.run.training import resume, train_recipe
from visus.run.watch import Silent, Terminal, Watch
from visus.spec import merge

if TYPE_CHECKING:
    from visus.tasks import Prediction


def train(
    source: str | Path | None = None,
    *,
    model: str | None = None,
    weights: str | None = None,
    recipe: str | Recipe | None = None,
    task: str | None = None,
    epochs: int | None = None,
    batch: int | Literal["auto"] | None = None,
    lr: float | None = None,
    size: tuple[int, int] | None = None,
    seed: int | None = None,
    device: str | None = None,
    settings: Iterable[str] = (),
    run: str | Path | None = None,
    root: str | Path = "runs",
    find_rate: bool = False,
    watch: Watch | None = None,
) -> Run:
    """Train a network on images or vectors, evaluate it, draw what it does, and bundle it.

    source: a named data set or a path. weights: what the network starts from, with a new last layer where the classes
    are others: "imagenet", a source, a file or a run (see `create_model`). recipe: the settings to start from: a
    name, a file or a Recipe.
    size: height, width of the network's input. settings: `a.b=c` texts, over all else. run: the folder to make;
    by default a new one of the data set's name in `root`. find_rate: find the learning rate first.
    watch: who is told; by default the terminal. Raises VisusError.
    """
    asked = composed(
        source, model=model, weights=weights, recipe=recipe, task=task, epochs=epochs, batch=batch, lr=lr, size=size,
        seed=seed, device=device, settings=settings,
    )  # fmt: skip
    return train_recipe(
        asked, watch or Terminal(), run=None if run is None else str(run), root=Path(root), find_rate=find_rate
    )


def composed(
    source: str | Path | None = None,
    *,
    model: str | None = None,
    weights: str | None = None,
    recipe: str | Recipe | None = None,
    task: str | None = None,
    epochs: int | None = None,
    batch: int | Literal["auto"] | None = None,
    lr: float | None = None,
    size: tuple[int, int] | None = None,
    seed: int | None = None,
    device: str | None = None,
    settings: Iterable[str] = (),
) -> Recipe:
    """The recipe that `train` with the same arguments has. Raises SpecError and NotFound."""
    from visus.spec import tree

    base = tree(recipe) if isinstance(recipe, Recipe) else read_recipe(recipe) if recipe is not None else {}
    given = overrides(
        data__source=None if source is None else str(source), model__name=model, model__weights=weights,
        task__kind=task,
        budget__epochs=epochs, budget__batch=batch, optim__lr=lr, preprocess__size=size, seed=seed,
        runtime__device=device,
    )  # fmt: skip
    if model is not None and model != base.get("model", {}).get("name"):
        base = {**base, "model": {}}  # the settings of another network don't fit this one
    return compose(merge(base, given), settings, recipe if isinstance(recipe, str) else "")


def evaluate(
    run: str | Path | Predictor,
    source: str | Path | None = None,
    *,
    split: str | None = None,
    batch: int = 256,
    device: str = "auto",
    settings: Iterable[str] = (),
    watch: Watch | None = None,
) -> Measured:
    """Measure a trained model: on the split of the run's data that it wasn't trained on, or on other data.

    source: other data with the same kind of target; all of its splits are used unless one is named.
    Raises DataError when its classes aren't the model's.
    """
    watch = watch or Silent()
    predictor = run if isinstance(run, Predictor) else load(run, device_of(device))
    recipe = compose(predictor.manifest.recipe or {}, settings)
    if source is not None:
        dataset = open_dataset(Data(source=str(source), dir=recipe.data.dir, target=recipe.data.target))
        name = split or "all"
        samples = _split(dataset, split) if split is not None else Joined(tuple(dataset.splits.values()))
        samples = labelled(samples, dataset.schema, predictor.schema)
    elif predictor.manifest.recipe is None:
        raise DataError("no data belong to this model", "name some: visus evaluate MODEL DATA")
    else:
        dataset = divide(open_dataset(recipe.data), recipe.data, recipe.seed)
        name = split or next(each for each in ("test", "val", "train") if each in dataset.splits)
        samples = _split(dataset, name)
        if dataset.fingerprint() != predictor.manifest.fingerprint:
            watch.say("note: the data have changed since the model was trained")
    # a network by itself places images as its training did, which may have kept them
    placing = predictor.preprocess if isinstance(predictor, NetworkPredictor) else predictor
    resources = resources_of(recipe.runtime, {name: samples}, placing, watch)
    with watch.work(f"reading {name}") as bar:
        prepared = prepare(samples, predictor.schema, placing, bad=recipe.data.bad, progress=bar, resources=resources)
    with watch.work(f"evaluating {name}") as bar:
        found = evaluate_predictor(predictor, prepared, batch=batch, cases=True, bar=bar)
    return Measured(dataset.name, name, found.scores, found, predictor)


@dataclass(frozen=True)
class Measured:
    """What an evaluation found."""

    data: str
    split: str
    scores: dict[str, Score]
    evaluation: Evaluation
    predictor: Predictor

    def draw(self, folder: str | Path) -> list[Path]:
        """Write the pictures of the evaluation into a folder."""
        from visus import viz

        Path(folder).mkdir(parents=True, exist_ok=True)
        found = self.evaluation
        figures = self.predictor.task.draw(found.meter, found.worst, found.some, self.predictor.schema)
        return [viz.save(figure, Path(folder) / f"{name}.png") for name, figure in figures.items()]


def predict(
    run: str | Path | Predictor,
    sources: Sequence[str | Path],
    *,
    batch: int = 64,
    device: str = "auto",
) -> Iterator[tuple[str, Prediction | UnreadableImage]]:
    """What a model says of image files, of folders, shards or archives of them, or of the rows of CSV tables, in order.

    A file that can't be read yields its error in place of a prediction.
    """
    predictor = run if isinstance(run, Predictor) else load(run, device_of(device))
    inputs = find_inputs(sources, predictor.schema)
    yield from answers(predictor, inputs, range(len(inputs)), batch)


def described(
    model: str, classes: int | None, channels: int | None, size: int | None
) -> tuple[Network, tuple[int, ...], int]:
    """The network, input shape and number of outputs of a name in the catalog, or of a run or bundle."""
    if model not in CATALOG and Path(model).exists():
        manifest = read_manifest(model)
        if not isinstance(manifest, NetworkManifest):
            raise ModelError(
                f"{model}: is a fusion of several networks", f"name one of them: {Path(model) / 'members' / '1'}"
            )
        outputs = len(manifest.schema.labels) or len(manifest.schema.values) or len(manifest.schema.masks) or 1
        return manifest.network, manifest.preprocess.shape, outputs if classes is None else classes
    card = find(model)
    depth, *sides = card.input
    shape = (depth if channels is None else channels, *(sides if size is None else (size, size)))
    return card.spec, shape, card.outputs if classes is None else classes


def _split(dataset: Dataset, name: str) -> Samples:
    if name not in dataset.splits:
        raise DataError(f"{dataset.name} has no split named {name!r}", "it has " + ", ".join(dataset.splits))
    return dataset.splits[name]


__all__ = [
    "Fused",
    "Measured",
    "Predicted",
    "Run",
    "create_model",
    "evaluate",
    "fuse",
    "load",
    "predict",
    "predict_to",
    "pretrained",
    "resume",
    "train",
]
