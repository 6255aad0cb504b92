"""The verbs that learn and apply: train, evaluate, predict, fuse, resume, extend, reproduce."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from visus.cli.show import folder, line, printed, watcher

if TYPE_CHECKING:
    from visus.run.predicting import Predicted
    from visus.run.watch import Watch

Settings = Annotated[tuple[str, ...], Parameter(name="--set", negative="", consume_multiple=False)]
Json = Annotated[bool, Parameter(name="--json", negative="")]


def train(
    source: str | None = None,
    *,
    model: str | None = None,
    weights: str | None = None,
    recipe: str | None = None,
    task: str | None = None,
    epochs: int | None = None,
    batch: int | Literal["auto"] | None = None,
    lr: float | None = None,
    size: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    data_dir: str | None = None,
    run: str | None = None,
    lr_find: Annotated[bool, Parameter(negative="")] = False,
    settings: Settings = (),
    json: Json = False,
) -> None:
    """Train a network, evaluate it, and leave a run folder with the model, its figures and pictures.

    Parameters
    ----------
    source
        A named data set (visus data list) or the path of one: class folders, an archive, IDX files, a table.
    model
        A network of the catalog (visus models).
    weights
        What the network starts from: imagenet, a source (visus weights list), a file, or a run folder.
    recipe
        Settings to start from: a recipe's name (visus recipes), a TOML file, or a run folder.
    task
        classify, regress, localise, detect, segment or restore; by default what the data are for.
    epochs
        Passes over the training samples.
    batch
        Samples a step; auto: as many as fit in memory and are faster for it, found by trying.
    lr
        The highest learning rate.
    size
        The side of the network's input, in pixels.
    seed
        Fixes everything that is random.
    device
        auto, cpu, cuda, cuda:1, mps.
    data_dir
        Where named data sets are looked for first.
    run
        The folder to make; by default a new one in runs/.
    lr_find
        Find the learning rate first, draw the curve, and train with it.
    settings
        Any setting, as name.name=value; may be given often.
    json
        Lines of JSON instead of words.
    """
    from visus.run import api

    extra = [*settings, *([] if data_dir is None else [f"data.dir={data_dir!r}"])]
    if source is None and recipe is None:
        from visus.errors import SpecError

        raise SpecError("visus train needs data or a recipe", "visus train digits --model lenet5, or --recipe NAME")
    api.train(
        source, model=model, weights=weights, recipe=recipe, task=task, epochs=epochs, batch=batch, lr=lr,
        size=None if size is None else (size, size), seed=seed, device=device, settings=extra, run=run,
        find_rate=lr_find, watch=watcher(json),
    )  # fmt: skip


def evaluate(
    run: str,
    source: str | None = None,
    *,
    split: str | None = None,
    batch: int = 256,
    device: str = "auto",
    out: Path | None = None,
    settings: Settings = (),
    json: Json = False,
) -> None:
    """Measure a trained model on data that it wasn't trained on.

    Parameters
    ----------
    run
        A run folder or bundle.
    source
        Other data; by default the run's own test split.
    split
        Which split of the data.
    batch
        Samples at a time.
    device
        auto, cpu, cuda, mps.
    out
        A folder for the pictures.
    settings
        Settings of the run to change, such as data.source=PATH where the data have moved.
    json
        A line of JSON instead of a table.
    """
    if out is not None:
        folder(out)
    from visus.run import api
    from visus.run.evaluation import rows_of
    from visus.spec import tree

    watch = watcher(json)
    found = api.evaluate(run, source, split=split, batch=batch, device=device, settings=settings, watch=watch)
    scores = {name: tree(score) for name, score in found.scores.items()}
    degraded = found.evaluation.degraded
    watch.event("scores", {"data": found.data, "split": found.split, "degraded": degraded, "scores": scores})
    watch.table(
        ", ".join(filter(None, (found.data, found.split, degraded))),
        ("", "value", "95 % interval", "n"),
        rows_of(found.scores),
    )
    if out is not None:
        for path in found.draw(out):
            watch.say(str(path))


def predict(
    sources: Annotated[list[str], Parameter(negative="")],
    /,
    *,
    model: str | None = None,
    weights: str | None = None,
    batch: int = 64,
    device: str = "auto",
    out: Path | None = None,
    to: Path | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Say what a trained model sees in image files, in folders or shards of them, or in the rows of a CSV table.

    visus predict RUN FILE…, or visus predict --model NAME --weights SOURCE FILE…

    With --to the predictions go to a file: what was interrupted goes on with the same command, and under torchrun the
    work is shared by its processes.

    Parameters
    ----------
    sources
        A run folder or bundle, unless --model is given, and then files, folders, shards and archives.
    model
        A network of the catalog, in place of a run.
    weights
        Its weights: imagenet, as by default, a source (visus weights list), or a file.
    batch
        Images at a time.
    device
        auto, cpu, cuda, mps.
    out
        A folder for a picture of each prediction.
    to
        A .jsonl, .csv or .parquet file for the predictions; what can't be read is listed beside it. For restored images
        an image file, or a folder.
    overwrite
        Replace what is in that file, where another model or other inputs were asked for.
    json
        Lines of JSON instead of words.
    """
    from visus.errors import SpecError, UnreadableImage

    failed, files = 0, sources if model else sources[1:]
    if not files:
        raise SpecError("nothing to look at is named", "visus predict RUN FILE…, or --model NAME FILE…")
    if model is None and weights is not None:
        raise SpecError(f"--weights {weights}: a run has its own", "leave it out, or name a network: --model NAME")
    if out is not None and to is not None:
        raise SpecError(f"--out {out} and --to {to}: pictures and a file are two jobs", "leave one of them out")
    if overwrite and to is None:
        raise SpecError("--overwrite: there is no file to replace", "name it with --to")
    if out is not None:
        folder(out)
    from visus.run import api

    predictor = sources[0] if model is None else api.pretrained(model, weights or "imagenet", device=device)
    if to is not None:
        _predict_to(api.predict_to(
            predictor, files, to, batch=batch, device=device, overwrite=overwrite, watch=watcher(json)
        ), watcher(json))  # fmt: skip
        return 0
    for number, (name, prediction) in enumerate(api.predict(predictor, files, batch=batch, device=device)):
        if isinstance(prediction, UnreadableImage):
            failed += 1
            line({"file": name, "error": prediction.cause}) if json else printed(
                f"{name}  can't be read: {prediction.cause}"
            )
            continue
        line({"file": name, **prediction.row()}) if json else printed(f"{name}  {prediction.text()}")
        if out is not None:
            from visus import viz

            viz.save(prediction.plot(Path(name).name), out / f"{number:05d}-{Path(name).stem[:80]}.png")
    if failed:
        from visus.errors import DataError

        raise DataError(f"{failed} of the files can't be read", "the lines above say why")
    return 0


def _predict_to(found: Predicted, watch: Watch) -> None:
    """A table of what came of it, where this process was the last."""
    if found.predictions is None or found.unreadable is None:
        return
    rate = "–" if found.rate is None else f"{found.rate:.3g}"
    row = (str(found.path), f"{found.predictions:,}", f"{found.unreadable:,}", rate)
    watch.table("", ("", "predictions", "unreadable", "a second"), [row])
    if found.bad_files is not None:
        watch.say(f"unreadable: {found.bad_files}")
    facts = {"file": row[0], "predictions": found.predictions, "unreadable": found.unreadable, "rate": found.rate}
    watch.event("predictions", facts)


def fuse(
    members: Annotated[list[str], Parameter(negative="")],
    /,
    *,
    out: Path,
    fit: Annotated[bool, Parameter(negative="")] = False,
    weights: str | None = None,
    views: str | None = None,
    scales: str | None = None,
    how: Literal["arithmetic", "geometric"] = "arithmetic",
    data: str | None = None,
    batch: int = 256,
    device: str = "auto",
    settings: Settings = (),
    json: Json = False,
) -> None:
    """Make one predictor of several trained models, or of one that looks at each image several times.

    Its answer is the weighted mean of theirs. What each gives and what all of them give together is measured on the
    validation samples, which weights are fitted on, and once on the test samples.

    Parameters
    ----------
    members
        Run folders and bundles, of the same labels.
    out
        The folder for the fusion, which holds all that it needs; use it as a run.
    fit
        Find the weights that do best on the validation samples.
    weights
        A weight for each member, such as 2,1,1; by default all weigh alike.
    views
        How each network looks at an image: center, mirror, five, ten, vgg, googlenet.
    scales
        The sizes at which it does, as multiples of the usual one, such as 1,1.15.
    how
        The mean of the probabilities, or their geometric mean.
    data
        Labelled data to fit and measure on, all of it, in place of what the members were trained on.
    batch
        Samples at a time.
    device
        auto, cpu, cuda, mps.
    settings
        Settings of the first member's run to change, such as data.source=PATH where the data have moved.
    json
        Lines of JSON instead of tables.
    """
    from msgspec.structs import replace

    from visus.data.views import named_views
    from visus.run import api

    looks = None if views is None and scales is None else named_views(views or "center")
    if looks is not None and scales is not None:
        looks = replace(looks, scales=_numbers(scales, "--scales"))
    given = None if weights is None else _numbers(weights, "--weights")
    api.fuse(
        members, out, fit=fit, weights=given, views=looks, how=how, data=data, settings=settings, batch=batch,
        device=device, watch=watcher(json),
    )  # fmt: skip


def _numbers(text: str, option: str) -> tuple[float, ...]:
    """Of "1,1.15". Raises SpecError."""
    from visus.errors import SpecError

    try:
        return tuple(float(each) for each in text.split(","))
    except ValueError:
        example = {"--scales": "1,1.15", "--weights": "2,1,1"}[option]
        raise SpecError(f"{option} {text}: isn't a list of numbers", f"for example {option} {example}") from None


def resume(run: Path, *, json: Json = False) -> None:
    """Go on with a run that was stopped, exactly where it was.

    Parameters
    ----------
    run
        The run folder.
    json
        Lines of JSON instead of words.
    """
    from visus.run.training import resume as go_on

    go_on(run, watcher(json))


def extend(run: Path, *, epochs: int, json: Json = False) -> None:
    """Train a run for longer.

    Parameters
    ----------
    run
        The run folder.
    epochs
        How many in all. The schedule is stretched over them, so that the learning rate rises again.
    json
        Lines of JSON instead of words.
    """
    from visus.run.training import resume as go_on

    go_on(run, watcher(json), epochs=epochs)


def reproduce(
    run: Path,
    /,
    *,
    again: Annotated[Path | None, Parameter(name="--run")] = None,
    epochs: int | None = None,
    tolerance: float = 1e-3,
    settings: Settings = (),
    json: Json = False,
) -> None:
    """Train a run again from its own recipe, and compare epochs, weights and scores.

    The exit status is 1 where a number differs by more than the tolerance.

    Parameters
    ----------
    run
        The run folder.
    again
        The folder to make; by default RUN-again.
    epochs
        Only so many of the first ones; by default all that the run has.
    tolerance
        What a number may differ by, as a share of the greatest such number.
    settings
        Settings of the run to change, such as data.source=PATH where the data have moved; may be given often.
    json
        Lines of JSON instead of words.
    """
    from visus.run import reproducing

    found = reproducing.reproduce(
        run, run=again, epochs=epochs, tolerance=tolerance, settings=settings, watch=watcher(json)
    )
    if not found.holds:
        raise reproducing.NotReproduced(
            f"{run}: came out otherwise", f"compare {found.again / 'metrics.csv'} with its own"
        )
