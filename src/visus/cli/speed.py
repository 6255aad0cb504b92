"""`visus bench`."""

from __future__ import annotations

from visus.cli.learn import Json, Settings
from visus.cli.show import watcher


def bench(
    source: str | None = None,
    *,
    model: str | None = None,
    recipe: str | None = None,
    batch: int | None = None,
    size: int | None = None,
    device: str | None = None,
    seconds: float = 5.0,
    data_dir: str | None = None,
    settings: Settings = (),
    json: Json = False,
) -> None:
    """Say how fast this machine trains a network, how long it waits for data, and how far that is from its peak.

    Takes what visus train takes, trains for some seconds in float32 and in bfloat16, and leaves nothing behind.

    Parameters
    ----------
    source
        A named data set (visus data list) or the path of one.
    model
        A network of the catalog (visus models).
    recipe
        Settings to start from: a recipe's name (visus recipes), a TOML file, or a run folder.
    batch
        Samples a step.
    size
        The side of the network's input, in pixels.
    device
        auto, cpu, cuda, cuda:1, mps.
    seconds
        For which each is timed.
    data_dir
        Where named data sets are looked for first.
    settings
        Any setting, as name.name=value; may be given often.
    json
        Lines of JSON instead of a table.
    """
    from visus.errors import SpecError
    from visus.run.bench import bench as measure

    if source is None and recipe is None:
        raise SpecError("visus bench needs data or a recipe", "visus bench digits --model lenet5, or --recipe NAME")
    extra = [*settings, *([] if data_dir is None else [f"data.dir={data_dir!r}"])]
    measure(
        source, model=model, recipe=recipe, batch=batch, size=None if size is None else (size, size), device=device,
        settings=extra, seconds=seconds, watch=watcher(json),
    )  # fmt: skip
