"""`visus data`: list, show, check, shard, convert, cache."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import cyclopts

from visus.cli.learn import Json, Settings
from visus.cli.show import line, printed, watcher

app = cyclopts.App(
    name="data",
    help="Look at data sets: list those known by name, show one, check one, shard or convert one, see what is kept.",
)


@app.command(name="list")
def list_(*, json: Json = False) -> None:
    """List the data sets known by name, and the layouts of files that are recognised.

    Parameters
    ----------
    json
        Lines of JSON instead of a table.
    """
    from visus.data.named import NAMED

    if json:
        for name, named in NAMED.items():
            line(
                {
                    "name": name,
                    "title": named.title,
                    "description": named.description,
                    "source": named.source_and_licence,
                }
            )
        return
    rows = [(name, named.description, named.source_and_licence) for name, named in NAMED.items()]
    watcher(False).table("", ("name", "what", "source"), rows)
    printed("\nA path will do too: of class folders, VOC, COCO, YOLO, masks, pairs, archives, shards, IDX, a table.")


@app.command
def show(
    source: str, *, out: Path | None = None, data_dir: str | None = None, settings: Settings = (), json: Json = False
) -> None:
    """Show what a data set holds: kind, sizes, classes, and some samples.

    Parameters
    ----------
    source
        A name or a path.
    out
        A folder for pictures of samples and of the balance of classes.
    data_dir
        Where named data sets are looked for first.
    settings
        Settings of the data, such as data.target=mask.
    json
        A line of JSON instead of words.
    """
    from visus.run.datasets import show as found_in

    found_in(source, out, _extra(settings, data_dir), watcher(json))


@app.command
def check(
    source: str, *, out: Path | None = None, data_dir: str | None = None, settings: Settings = (), json: Json = False
) -> None:
    """Find what is wrong with a data set: damaged files, duplicates, leaks between splits, imbalance.

    Every file is read. The exit status is 2 when there are errors.

    Parameters
    ----------
    source
        A name or a path.
    out
        The folder for findings.csv and pictures of suspects; by default check-NAME in runs/.
    data_dir
        Where named data sets are looked for first.
    settings
        Settings of the data, such as data.target=mask.
    json
        Lines of JSON instead of a table.
    """
    from visus.run.datasets import check as look_over

    look_over(source, out, _extra(settings, data_dir), watcher(json))


@app.command
def shard(
    source: str,
    out: Path,
    *,
    size: str | None = None,
    count: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    data_dir: str | None = None,
    settings: Settings = (),
    json: Json = False,
) -> None:
    """Write a data set of images as shards, which are read from slow or distant disks in large pieces.

    The samples are mixed, and dealt to tars in WebDataset's layout, with a list of them beside. The folder is a data
    set then: visus train OUT. Where it was interrupted, the same command goes on.

    Parameters
    ----------
    source
        A name or a path.
    out
        A new or empty folder.
    size
        Of a shard, about, such as 256MB, which is the default.
    count
        Samples of a shard, in place of a size.
    seed
        Of the mixing.
    workers
        Shards written at a time; by default one a core.
    data_dir
        Where named data sets are looked for first.
    settings
        Settings of the data, such as data.bad=0.05.
    json
        Lines of JSON instead of a table.
    """
    from visus.cli.bounds import size_of
    from visus.data.sharding import SIZE
    from visus.errors import SpecError
    from visus.run.datasets import shard as write

    if size is not None and count is not None:
        raise SpecError(f"--size {size} and --count {count}: a shard has one measure", "leave one of them out")
    write(
        source, out, size=SIZE if size is None else size_of("--size", size), count=count, seed=seed, workers=workers,
        settings=_extra(settings, data_dir), watch=watcher(json),
    )  # fmt: skip


@app.command
def convert(
    source: str,
    out: Path,
    *,
    to: Literal["coco", "voc", "yolo"],
    link: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    data_dir: str | None = None,
    settings: Settings = (),
    json: Json = False,
) -> None:
    """Write a data set of images with boxes as COCO, Pascal VOC or YOLO.

    Images are copied as they are. What the format can't hold is said. The folder appears when it is whole.

    Parameters
    ----------
    source
        A name or a path.
    out
        A new or empty folder.
    to
        The format.
    link
        Hard-link image files instead of copying them.
    data_dir
        Where named data sets are looked for first.
    settings
        Settings of the data, such as data.layout=voc.
    json
        Lines of JSON instead of words.
    """
    from visus.run.datasets import convert as write

    write(source, out, to, link=link, settings=_extra(settings, data_dir), watch=watcher(json))


@app.command
def cache(*, clear: bool = False, json: Json = False) -> None:
    """List the decoded images that are kept of large sets, so that they needn't be decoded again.

    They lie in the folder that VISUS_CACHE names, or in the user's cache folder. `--set runtime.cache=GIGABYTES` bounds
    them in training; what was unused for longest makes room by itself.

    Parameters
    ----------
    clear
        Remove them, but for those in use.
    json
        Lines of JSON instead of a table.
    """
    from visus.run.datasets import kept

    kept(clear, watcher(json))


def _extra(settings: Settings, data_dir: str | None) -> list[str]:
    return [*settings, *([] if data_dir is None else [f"data.dir={data_dir!r}"])]
