"""Weights that somebody published: where they are, how they are to be fed, how well they did."""

from __future__ import annotations

from dataclasses import dataclass

from visus.data.preprocess import ImagePreprocess

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)
UNIT = (1 / 255, 1 / 255, 1 / 255)  # a standard deviation of one grey level: pixels stay in 0…255


@dataclass(frozen=True, slots=True)
class Release:
    """Weights for a peer's network, trained on ImageNet's 1,000 classes.

    tag: unique for the network. file: its name. preprocess: what its makers feed it with. top1_error, top5_error: in
    percent, as its makers say. url: where it is fetched. digest: "sha256:…" or "md5:…" of the file, or only its first
    digits where no more was published, or "" where nothing was. hub: the Hugging Face repository that has it, in place
    of a url. package: the Python package on whose installation it comes.
    """

    tag: str
    file: str
    preprocess: ImagePreprocess
    top1_error: float | None = None
    top5_error: float | None = None
    url: str = ""
    digest: str = ""
    hub: str = ""
    package: str = ""
    licence: str = ""
