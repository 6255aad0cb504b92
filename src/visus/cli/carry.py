"""The verbs that carry over what a network knows: transfer, features."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from visus.cli.learn import Json, Settings
from visus.cli.show import check_ending, printed, watcher, write


def transfer(
    source: str,
    *,
    model: str = "efficientnet_lite0",
    weights: str = "imagenet",
    plan: str | None = None,
    similar: bool | None = None,
    large: bool | None = None,
    scratch: bool = True,
    epochs: int | None = None,
    seed: int = 0,
    device: str = "auto",
    out: Path | None = None,
    settings: Settings = (),
    json: Json = False,
) -> None:
    """Take what a network has learnt to other images, beside training it from scratch, and draw the curves together.

    Parameters
    ----------
    source
        A named data set (visus data list) or the path of one.
    model
        A network of the catalog.
    weights
        imagenet, a source (visus weights list), a file, or a run folder.
    plan
        linear, stage:K, partial:K, full or scratch; by default that of the case: few or many images, like or unlike
        those that the weights know.
    similar
        Whether the images are like those; by default found from the data.
    large
        Whether they are many; by default 5,000 are.
    scratch
        Train the same network from random weights too.
    epochs
        Passes over the training samples; from scratch too, unless the plan learns on features.
    seed
        Fixes everything that is random.
    device
        auto, cpu, cuda, mps.
    out
        The folder to make, by default a new one in runs/. The same command goes on in one that was stopped.
    settings
        Any setting of both runs, as name.name=value; may be given often.
    json
        Lines of JSON instead of words.
    """
    from visus.adaptation import parse_plan
    from visus.models import find

    find(model)  # a mistyped name is answered before torch is loaded
    chosen = None if plan is None else parse_plan(plan)
    from visus.run.transferring import transfer as carry

    carry(
        source, model=model, weights=weights, plan=chosen, similar=similar, large=large, scratch=scratch, epochs=epochs,
        seed=seed, device=device, settings=settings, out=out, watch=watcher(json),
    )  # fmt: skip


def features(
    source: str,
    *,
    out: Path,
    model: str = "efficientnet_lite0",
    weights: str | None = None,
    stage: int | None = None,
    split: str | None = None,
    map_: Annotated[Path | None, Parameter(name="--map")] = None,
    method: Literal["pca", "tsne"] = "tsne",
    batch: int = 64,
    device: str = "auto",
    json: Json = False,
) -> None:
    """Write what a network sees in images, as numbers, and draw them on a plane.

    Parameters
    ----------
    source
        A named data set or the path of one.
    out
        The file: .npz, .csv or .parquet.
    model
        A network of the catalog, or a run folder.
    weights
        Of a network of the catalog: imagenet, as by default, a source (visus weights list), or a file.
    stage
        From 0, the stem: that stage's map, pooled; by default what the last layer takes.
    split
        Of the data; by default all of it.
    map_
        A PNG file of the samples on a plane.
    method
        pca or tsne: how they get there.
    batch
        Images at a time.
    device
        auto, cpu, cuda, mps.
    json
        Lines of JSON instead of words.
    """
    from visus import viz
    from visus.run.features import features as compute
    from visus.run.features import writable

    watch, out = watcher(json), writable(out)
    if map_ is not None:
        check_ending(map_, ".png")
    found = compute(source, model, weights=weights, stage=stage, split=split, batch=batch, device=device, watch=watch)
    written = found.save(out)
    facts = {"file": str(written), "samples": len(found.values), "features": found.values.shape[1]}
    watch.event("features", facts)
    if not json:
        printed(f"{written}: {len(found.values)} samples, {found.values.shape[1]} features each")
    if map_ is not None:
        points = found.placed(method)
        note = "t-SNE: neighbours stay together, distances mean little"
        if method == "pca":
            note = f"two principal components, with {100 * found.explained(points):.0f} % of the variance"
        what = f"What {model} sees" if stage is None else f"What {model} sees, stage {stage}"
        picture = viz.sample_map(points, found.labels.tolist(), found.classes, viz.label(what, 60), note)
        write(map_, ".png", viz.png(picture))
        watch.say(str(map_))
