"""`visus data`: list, show, check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from visus.cli.show import line, printed, watcher

Json = Annotated[bool, Parameter(name="--json", negative="")]

app = cyclopts.App(name="data", help="Look at data sets: list those known by name, show one, check one.")


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
    printed("\nAny path of class folders, of an archive of them, of IDX files or of a table will do too.")


@app.command
def show(source: str, *, out: Path | None = None, data_dir: str | None = None, json: Json = False) -> None:
    """Show what a data set holds: kind, sizes, classes, and some samples.

    Parameters
    ----------
    source
        A name or a path.
    out
        A folder for pictures of samples and of the balance of classes.
    data_dir
        Where named data sets are looked for first.
    json
        A line of JSON instead of words.
    """
    from visus.run.datasets import show as found_in

    found_in(source, data_dir, out, watcher(json))


@app.command
def check(source: str, *, out: Path | None = None, data_dir: str | None = None, json: Json = False) -> None:
    """Find what is wrong with a data set: damaged files, duplicates, leaks between splits, imbalance.

    Every file is read. The exit status is 2 when there are errors.

    Parameters
    ----------
    source
        A name or a path.
    out
        The folder for findings.csv and suspects.png; by default check-NAME in runs/.
    data_dir
        Where named data sets are looked for first.
    json
        Lines of JSON instead of a table.
    """
    from visus.run.datasets import check as look_over

    look_over(source, data_dir, out, watcher(json))
