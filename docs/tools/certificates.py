"""The page of certificates, from docs/certificates."""

from __future__ import annotations

from pathlib import Path

from visus.weights.certify import Certificate, read_certificate

FOLDER = Path(__file__).parents[1] / "certificates"


def certificates() -> str:
    """A table for each library: every network of it that is one of ours."""
    found = [read_certificate(path) for path in sorted(FOLDER.glob("*/*.json"))]
    parts = [
        "# Certificates\n",
        "Written from `docs/certificates` when this page was built; there each file has every layer. `visus weights "
        "certify` made them: the library's network and ours get the same weights, which a formula gives, and the same "
        "inputs. A layer's figure is the greatest difference of up to 4,096 values of its output, relative to the "
        "greatest of theirs; that of the scores is over all of them. Both compute in float32.\n",
        "How photographs come out isn't said here: that depends on published weights, which don't come with Visus.\n",
    ]
    for library in sorted({each.library for each in found}):
        rows = [each for each in found if each.library == library]
        versions = ", ".join(f"{name} {version}" for name, version in rows[0].versions.items())
        parts += [
            f"## {library}\n",
            f"{len(rows)} networks; {versions}.\n",
            "| theirs | ours | input | layers | worst layer | scores | same highest class |",
            "|---|---|---|--:|--:|--:|--:|",
            *map(_row, rows),
            "",
        ]
    return "\n".join(parts) + "\n"


def _row(each: Certificate) -> str:
    cells = (
        f"`{each.library}:{each.theirs}`", f"`{each.network}`", "×".join(map(str, each.input)), str(len(each.layers)),
        f"{each.worst.relative:.1e}", f"{each.relative:.1e}", each.same_top1,
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"
