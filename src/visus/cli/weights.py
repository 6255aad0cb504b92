"""`visus weights`: list, fetch, check, certify."""

from __future__ import annotations

import sys
from pathlib import Path

import cyclopts

from visus.cli.learn import Json
from visus.cli.show import line, printed, watcher
from visus.text import counted

app = cyclopts.App(name="weights", help="Published weights: list them, fetch them, look into a file, prove them.")


@app.command(name="list")
def list_(pattern: str = "*", *, json: Json = False) -> None:
    """List the published weights that are known, by the names that --weights takes.

    Parameters
    ----------
    pattern
        A shell pattern for our names of networks, such as "resnet*".
    json
        Lines of JSON instead of a table.
    """
    from visus.errors import NotFound, nearest
    from visus.models import CATALOG, list_models
    from visus.weights.sources import releases_of

    found = [(name, peer, release) for name in list_models(pattern) for peer, release in releases_of(name)]
    if not found:
        raise NotFound(f"no weights are known for {pattern!r}", nearest(pattern.strip("*"), CATALOG))
    rows = []
    for name, peer, release in found:
        height, width = release.preprocess.size
        facts = {
            "network": name, "weights": f"{peer.key}.{release.tag}", "input": f"{height}×{width}",
            "top1_error": release.top1_error, "top5_error": release.top5_error,
        }  # fmt: skip
        if json:
            line({**facts, "url": release.url or None, "hub": release.hub or None, "package": release.package or None})
        errors = ["" if each is None else f"{each:.2f}" for each in (release.top1_error, release.top5_error)]
        rows.append([name, f"{peer.key}.{release.tag}", f"{height}×{width}", *errors])
    if not json:
        watcher(False).table("", ("network", "--weights", "input", "top-1 error %", "top-5"), rows)


@app.command
def fetch(name: str, *, model: str | None = None, json: Json = False) -> None:
    """Fetch weights into the cache, and say where they are.

    Parameters
    ----------
    name
        A source, such as torchvision:resnet50.v2 or hf:OWNER/NAME.
    model
        Our name of the network, where the source is "imagenet".
    json
        A line of JSON instead of words.
    """
    from visus.weights.sources import locate

    watch = watcher(json)
    with watch.work(f"fetching {name}") as bar:
        found = locate(name, model or "", bar)
    line({"weights": name, "file": str(found.file)}) if json else printed(str(found.file))


@app.command
def check(file: Path, *, tensors: bool = False, json: Json = False) -> None:
    """Say what is in a file of weights, having read it safely: format, tensors, and which network they may be of.

    Fails where a number in it is NaN or infinite.

    Parameters
    ----------
    file
        A file in any format that is read: PyTorch, safetensors, Keras, ONNX.
    tensors
        List every tensor.
    json
        Lines of JSON instead of words.
    """
    from visus.errors import WeightsError
    from visus.weights.formats import read_weights
    from visus.weights.recognize import fits, not_finite

    stored = read_weights(file)
    count = sum(tensor.numel() for tensor in stored.tensors.values())
    known, broken = fits(stored), not_finite(stored)
    facts = {
        "file": str(file),
        "format": stored.format,
        "tensors": len(stored.tensors),
        "numbers": count,
        "fits": known,
        "not_finite": broken,
    }
    if json:
        line({**facts, "notes": stored.notes})
    else:
        printed(f"{file}: {stored.format}, {counted(len(stored.tensors), 'tensor')}, {counted(count, 'number')}")
        for key, note in stored.notes.items():
            printed(f"  {key}: {note}")
        printed("  " + (f"fits {', '.join(known)}" if known else "is of no network that is known"))
    for name, tensor in stored.tensors.items() if tensors else ():
        shape, kind = "×".join(map(str, tensor.shape)) or "scalar", str(tensor.dtype).removeprefix("torch.")
        line({"name": name, "shape": list(tensor.shape), "type": kind}) if json else printed(
            f"  {name}  {shape}  {kind}"
        )
    if broken:
        shown = ", ".join(list(broken)[:4]) + (f", … ({len(broken)} tensors)" if len(broken) > 4 else "")
        raise WeightsError(
            f"{file}: {sum(broken.values()):,} of its numbers are NaN or infinite: {shown}", "fetch or train it anew"
        )


@app.command
def certify(
    name: str,
    *,
    python: Path = Path(sys.executable),
    file: Path | None = None,
    images: Path | None = None,
    out: Path | None = None,
    goldens: Path | None = None,
    json: Json = False,
) -> int:
    """Compare our network with the library's own, layer by layer, on the same weights and inputs.

    Parameters
    ----------
    name
        LIBRARY:NAME, such as torchvision:resnet50; a pattern such as "timm:*" certifies all that match.
    python
        The Python of an environment that has the library.
    file
        Real weights in the library's own format; without, every tensor is filled by a formula.
    images
        A folder of photographs, preprocessed as the weights' makers do; without, inputs are given by a formula.
    out
        A folder for the certificates, as JSON and as a page.
    goldens
        A folder for golden files: the library's names and answers, for tests that do without it. Not with --file or
        --images.
    json
        Lines of JSON instead of a table.
    """
    from visus.run.certificates import certify_all
    from visus.spec import tree

    watch, rows, failed = watcher(json), [], 0
    for certificate in certify_all(
        name, python=python, file=file, images=images, out=out, goldens=goldens, watch=watch
    ):
        failed += not certificate.holds
        if json:
            line({key: value for key, value in tree(certificate).items() if key != "layers"})
        worst = certificate.worst
        rows.append(
            [
                f"{certificate.library}:{certificate.theirs}", certificate.network, str(len(certificate.layers)),
                f"{worst.relative:.1e} {worst.ours}", f"{certificate.difference:.1e}", f"{certificate.relative:.1e}",
                certificate.same_top1,
            ]
        )  # fmt: skip
    if not json:
        columns = ("theirs", "ours", "layers", "worst layer, relative", "scores, absolute", "relative", "same top-1")
        watch.table("", columns, rows)
    if failed:
        from visus.errors import WeightsError

        raise WeightsError(
            f"{failed} of {len(rows)} differ by more than 1e-4 of the greatest score", "the table says where"
        )
    return 0
