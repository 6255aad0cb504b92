"""Certificates for many networks, with real photographs where they are given."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from visus.errors import NotFound
from visus.run.inputs import image_files
from visus.run.watch import Silent, Watch
from visus.weights.certify import Certificate, certify, page, write_certificate
from visus.weights.peers import PEERS, Peer
from visus.weights.releases import RELEASES


def certify_all(
    pattern: str,
    *,
    python: str | Path = sys.executable,
    file: Path | None = None,
    images: Path | None = None,
    out: Path | None = None,
    goldens: Path | None = None,
    watch: Watch | None = None,
) -> Iterator[Certificate]:
    """Certificates of the peers whose LIBRARY:NAME matches a shell pattern, one after the other.

    images: a folder of photographs, preprocessed as the makers of the peer's first release do. out: a folder that gets
    LIBRARY/NAME.json and LIBRARY/NAME.md for each. goldens: a folder that gets LIBRARY/NAME.json, from which a test
    proves the import without that library. Raises NotFound, WeightsError.
    """
    peers = [peer for key, peer in PEERS.items() if fnmatchcase(key, pattern.lower())]
    if not peers:
        library, _, name = pattern.lower().rpartition(":")
        keys = {peer.name: key for key, peer in PEERS.items() if library in ("", peer.library)}
        close = get_close_matches(name, keys, n=1, cutoff=0.65)
        raise NotFound(
            f"no network of another library matches {pattern!r}",
            f"did you mean {keys[close[0]]}?" if close else "visus weights list names them, as LIBRARY:NAME.TAG",
        )
    for peer in peers:
        with (watch or Silent()).work(f"certifying {peer.key}"):
            given = None if images is None else _photographs(peer, images)
            golden = goldens and goldens / peer.library / f"{peer.name}.json"
            certificate = certify(peer, python=python, file=file, images=given, golden=golden)
        if out is not None:
            write_certificate(certificate, out / peer.library / f"{peer.name}.json")
            (out / peer.library / f"{peer.name}.md").write_text(page(certificate), encoding="utf-8")
        yield certificate


def _photographs(peer: Peer, folder: Path) -> np.ndarray:
    """N×C×H×W float32, as the makers of the weights prepare them."""
    if peer.key not in RELEASES:
        raise NotFound(f"nothing is known of how {peer.key} is fed", "leave --images out")
    return RELEASES[peer.key][0].preprocess(list(image_files(folder))).numpy()
