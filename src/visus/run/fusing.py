"""Making one predictor of several: weights, what it gives beside its members, and its bundle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor

from visus.data.dataset import Data, Dataset
from visus.data.image import Picture
from visus.data.loader import prepare
from visus.data.open import open_dataset
from visus.data.samples import Joined, Samples
from visus.data.splits import divide
from visus.data.types import Targets
from visus.data.views import Views, named_views
from visus.errors import DataError, RunError, SpecError
from visus.metrics import Score
from visus.prediction import Fusion, FusionManifest, NetworkPredictor, Predictor, Viewed, fit_weights, load, save
from visus.run.device import device_of
from visus.run.evaluation import batches, labelled
from visus.run.recipe import Recipe, compose
from visus.run.watch import Silent, Watch
from visus.spec import tree
from visus.tasks import How
from visus.text import counted

GOLDENS = 4
WHOLE = "fusion"  # the name under which the scores of all together stand


@dataclass(frozen=True)
class Fused:
    """A new fusion.

    folder: its bundle; None: it wasn't written. scores: of each split, by name: each member as it is, each through its
    views where it has some, and "fusion".
    """

    predictor: Fusion
    folder: Path | None
    scores: dict[str, dict[str, dict[str, Score]]] = field(repr=False)

    @property
    def weights(self) -> tuple[float, ...]:
        """Of the members, in order."""
        return self.predictor.weights


@dataclass(frozen=True)
class _Given:
    """The data that a fusion is fitted to and measured on. recipe: None where they were named for it alone."""

    name: str
    splits: Mapping[str, Samples]
    bad: float
    recipe: dict[str, Any] | None = None
    fingerprint: str | None = None


@dataclass(frozen=True)
class _Said:
    """What was said of a split: the outputs of each who was asked. values: the first few samples, as they were read."""

    outputs: dict[str, Tensor]
    target: Targets
    values: list[np.ndarray]

    def of(self, fusion: Fusion) -> list[Tensor]:
        """The outputs of its members."""
        members = zip(fusion.manifest.members, fusion.members, strict=True)
        return [self.outputs[_title(member.name, predictor)] for member, predictor in members]


def fuse(
    members: Sequence[str | Path | Predictor],
    out: str | Path | None = None,
    *,
    fit: bool = False,
    weights: Sequence[float] | None = None,
    views: Views | str | None = None,
    how: How = "arithmetic",
    data: str | Path | None = None,
    settings: Iterable[str] = (),
    batch: int = 256,
    device: str = "auto",
    watch: Watch | None = None,
) -> Fused:
    """Make one predictor of several: the weighted mean of what they say.

    members: runs, bundles or predictors, of the same task and labels. out: the folder of the bundle, which holds its
    members' too. fit: the weights are those with the least log loss (of regression: squared error) on the validation
    samples; else they are in proportion to `weights`, or all alike. views: through which each network looks at an
    image, or their name. how: the mean of probabilities, or their geometric mean.
    data: other data than those of the first member's run; all of them are used for the fit. settings: of that run to
    change, such as data.source=PATH. Raises DataError when the members were trained on different data and none are
    named, and SpecError when they don't answer the same question.
    """
    watch = watch or Silent()
    folder = None if out is None else _free(Path(out))
    if fit and weights is not None:
        raise SpecError("the weights are either given or fitted", "leave out --fit or --weights")
    plain = [each if isinstance(each, Predictor) else load(each, device_of(device)) for each in members]
    names = _names(members, plain)
    for name, twin in _twins(names, members, plain):
        watch.say(f"note: {name} is the same model as {twin}: together they say what one says")
    seen = _through(plain, views, how)
    fusion = Fusion.of(seen, names, weights, how)  # what can't be fused is refused before data are read
    recipe = compose(plain[0].manifest.recipe or {}, settings)
    given = _own(plain, names, recipe) if data is None else _other(plain, names, str(data), recipe, watch)
    held = next((split for split in ("val", "all") if split in given.splits), None)
    if fit and held is None:
        raise DataError(
            f"{given.name}: there are no validation samples to fit weights on",
            "name some with --data, or give --weights",
        )
    asked = {_title(name, each): each for some in (plain, seen) for name, each in zip(names, some, strict=True)}
    panel = Fusion.of(list(asked.values()), list(asked), how=how)
    said = {split: _ask(panel, samples, split, given.bad, batch, watch) for split, samples in given.splits.items()}
    if fit and held is not None:
        found = fit_weights(fusion.task, fusion.schema, said[held].of(fusion), said[held].target, how)
        fusion = Fusion.of(seen, names, found, how)
    scores = {split: _scores(fusion, each) for split, each in said.items()}
    fusion = Fusion(_described(fusion, given, scores, held if fit else None), seen)
    for split, each in scores.items():
        _tell(fusion, given.name, split, each, fit and split == held, watch)
    if folder is not None:
        own = [golden.value() for golden in plain[0].manifest.goldens]
        save(folder, fusion, next((each.values for each in said.values()), own))
        watch.say(f"fusion: {folder}")
    return Fused(fusion, folder, scores)


def _free(folder: Path) -> Path:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder}: exists, and isn't an empty folder", "name another --out")
    return folder


def _names(members: Sequence[str | Path | Predictor], loaded: Sequence[Predictor]) -> list[str]:
    """A name for each, no two alike: of its folder, or of what it is."""
    found = [WHOLE]
    for member, predictor in zip(members, loaded, strict=True):
        if not isinstance(member, Predictor):
            own = Path(member).resolve().name
        else:
            own = predictor.manifest.model if isinstance(predictor, (NetworkPredictor, Viewed)) else WHOLE
        name, number = own, 1
        while name in found:
            number += 1
            name = f"{own} ({number})"
        found.append(name)
    return found[1:]


def _twins(
    names: Sequence[str], members: Sequence[str | Path | Predictor], loaded: Sequence[Predictor]
) -> Iterator[tuple[str, str]]:
    """Members that were named before, under another name: by the weights that they have, or the folder."""
    known: dict[object, str] = {}
    for name, member, predictor in zip(names, members, loaded, strict=True):
        own = getattr(predictor.manifest, "weights", "")
        key = own or (id(member) if isinstance(member, Predictor) else Path(member).resolve())
        if key in known:
            yield name, known[key]
        known.setdefault(key, name)


def _through(plain: Sequence[Predictor], views: Views | str | None, how: How) -> list[Predictor]:
    """The networks through views; fusions as they are, since they have their own."""
    if views is None:
        return list(plain)
    looks = named_views(views) if isinstance(views, str) else views
    return [Viewed(each, looks, how) if isinstance(each, NetworkPredictor) else each for each in plain]


def _title(name: str, predictor: Predictor) -> str:
    return f"{name}, {predictor.looks} views" if isinstance(predictor, Viewed) else name


def _own(members: Sequence[Predictor], names: Sequence[str], recipe: Recipe) -> _Given:
    """The validation and test samples of the data that all members were trained on; none where nothing is known of it.

    Raises DataError when they differ, and when the data have changed.
    """
    fingerprint = members[0].manifest.fingerprint
    for name, member in zip(names, members, strict=True):
        if member.manifest.fingerprint != fingerprint:
            raise DataError(
                f"{name} was trained on other data than {names[0]}, or on another division of it",
                "train them with one data.seed, or name labelled data that none was trained on with --data",
            )
    if fingerprint is None:
        return _Given("the members", {}, recipe.data.bad)
    dataset = divide(open_dataset(recipe.data), recipe.data, recipe.seed)
    if dataset.fingerprint() != fingerprint:
        raise DataError(
            f"{dataset.name}: the data have changed since the members were trained",
            "put them back, say where they are with --set data.source=PATH, or name others with --data",
        )
    splits = {split: dataset.splits[split] for split in ("val", "test") if split in dataset.splits}
    plain = {"data": tree(recipe.data), "seed": recipe.seed}
    return _Given(dataset.name, splits, recipe.data.bad, plain, fingerprint)


def _other(members: Sequence[Predictor], names: Sequence[str], source: str, recipe: Recipe, watch: Watch) -> _Given:
    """All samples of other data; says which members were trained on some of them."""
    dataset = open_dataset(Data(source=source, dir=recipe.data.dir, target=recipe.data.target))
    for name, member in zip(names, members, strict=True):
        if _learnt(member, dataset):
            watch.say(f"warning: {name} was trained on these data: its figures and its weight are too good")
    samples = labelled(Joined(tuple(dataset.splits.values())), dataset.schema, members[0].schema)
    return _Given(dataset.name, {"all": samples}, recipe.data.bad)


def _learnt(member: Predictor, dataset: Dataset) -> bool:
    """Whether a member was trained on these data, as its recipe divides them."""
    if member.manifest.recipe is None or not {"train", "all"} & dataset.splits.keys():
        return False
    recipe = compose(member.manifest.recipe)
    return divide(dataset, recipe.data, recipe.seed).fingerprint() == member.manifest.fingerprint


def _ask(panel: Fusion, samples: Samples, split: str, bad: float, batch: int, watch: Watch) -> _Said:
    watch.say(f"asking {counted(len(panel.members), 'predictor')} about {counted(len(samples), 'sample')} of {split}")
    with watch.work(f"reading {split}") as bar:
        prepared = prepare(samples, panel.schema, panel, bad=bad, progress=bar)
    parts: list[list[Tensor]] = []
    rows: list[int] = []
    with watch.work(f"predicting {split}") as bar:
        for some in batches(panel, prepared, batch):
            parts.append([output.cpu() for output in panel.each(some.inputs)])
            rows += some.rows.tolist()
            bar(len(rows), len(samples))
    if prepared.skipped:
        count, first = counted(len(prepared.skipped), "file"), prepared.skipped[0].name
        watch.say(f"note: {count} of {split} can't be read, {first} the first")
    outputs = [torch.cat(each) for each in zip(*parts, strict=True)]
    read = [samples.read(row) for row in rows[:GOLDENS]]
    return _Said(
        dict(zip((member.name for member in panel.manifest.members), outputs, strict=True)),
        Targets.collate([samples.target(row) for row in rows], panel.schema),
        [value.pixels if isinstance(value, Picture) else value for value in read],
    )


def _scores(fusion: Fusion, said: _Said) -> dict[str, dict[str, Score]]:
    weights = torch.tensor(fusion.weights)
    fused = fusion.task.fuse(said.of(fusion), weights, fusion.manifest.how, fusion.schema)
    scores = {}
    for name, output in {**said.outputs, WHOLE: fused}.items():
        meter: Any = fusion.task.meter(fusion.schema)
        fusion.task.measure(meter, output, said.target)
        scores[name] = meter.scores()
    return scores


def _described(
    fusion: Fusion, given: _Given, scores: Mapping[str, Mapping[str, dict[str, Score]]], fitted: str | None
) -> FusionManifest:
    """What the fusion is, with the data that it belongs to. fitted: the split that the weights were fitted on."""
    split = "test" if "test" in scores else next(iter(scores), None)
    return replace(
        fusion.manifest,
        recipe=given.recipe,
        fingerprint=given.fingerprint,
        split=split,
        scores={} if split is None else scores[split][WHOLE],
        fitted=None if fitted is None else f"{given.name}, {fitted}",
    )


def _tell(
    fusion: Fusion, data: str, split: str, scores: Mapping[str, Mapping[str, Score]], fitted: bool, watch: Watch
) -> None:
    titles = (_title(member.name, each) for member, each in zip(fusion.manifest.members, fusion.members, strict=True))
    weights = dict(zip(titles, fusion.weights, strict=True))
    goal = fusion.task.goal(fusion.schema)
    facts = {name: {key: tree(score) for key, score in each.items()} for name, each in scores.items()}
    watch.event("fusion", {"data": data, "split": split, "fitted": fitted, "weights": weights, "scores": facts})
    rows = [
        (
            name,
            f"{weights[name]:.3f}" if name in weights else "",
            each[goal].text,
            each[goal].interval,
            each["loss"].text,
            str(each[goal].n),
        )
        for name, each in scores.items()
    ]
    chose = [what for what, done in (("epochs", split == "val"), ("weights", fitted)) if done]
    title = f"{data}, {split}" + (f": these samples chose the {' and the '.join(chose)}" if chose else "")
    watch.table(title, ("", "weight", goal.replace("_", " "), "95 % interval", "loss", "n"), rows)
