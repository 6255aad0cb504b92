"""Predictions that are images, written as image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from visus.data.image import EXTENSIONS, printable
from visus.data.types import Skipped
from visus.errors import RunError, SpecError, UnreadableImage
from visus.prediction import Predictor
from visus.run.inputs import Inputs, answers
from visus.run.watch import Watch
from visus.tasks import Restoration


def is_place_of_pictures(to: Path) -> bool:
    """Whether a name is that of an image file, or of a folder."""
    return to.suffix.lower() in EXTENSIONS or not to.suffix


def write_pictures(
    predictor: Predictor, inputs: Inputs, to: Path, *, batch: int, overwrite: bool, watch: Watch
) -> tuple[int, list[Skipped]]:
    """What a model makes of images, as files: how many were written, and what couldn't be read.

    to: an image file, for one input, or a folder, where each is called as its input, and a PNG. overwrite: replace what
    is there. Raises SpecError for several inputs and one file, and RunError before a file is replaced without that; the
    inputs themselves are never replaced.
    """
    places, unreadable = _places(inputs, to), list(inputs.skipped)
    taken = next((each for each in places if each.exists() and (not overwrite or _is_input(each, inputs))), None)
    if taken is not None:
        own = _is_input(taken, inputs)
        raise RunError(
            f"{printable(taken)}: is {'an image to be restored' if own else 'there already'}",
            "name another place" + ("" if own else ", or replace it with --overwrite"),
        )
    with watch.work("restoring") as bar:
        for number, (name, said) in enumerate(answers(predictor, inputs, range(len(inputs)), batch)):
            if isinstance(said, UnreadableImage):
                unreadable.append(Skipped(name, said.cause))
            else:
                assert isinstance(said, Restoration)
                places[number].parent.mkdir(parents=True, exist_ok=True)
                said.save(places[number])
            bar(number + 1, len(inputs))
    return len(inputs) + len(inputs.skipped) - len(unreadable), unreadable


def _places(inputs: Inputs, to: Path) -> list[Path]:
    """Where each input's image goes; of equal names the later ones are numbered."""
    if to.suffix:
        if len(inputs) != 1:
            raise SpecError(f"{printable(to)}: is one image file, and there are {len(inputs)} inputs", "name a folder")
        return [to]
    used: set[str] = set()
    found: list[Path] = []
    for number in range(len(inputs)):
        stem = Path(inputs.name(number)).stem
        name = next(each for each in _names(stem, len(inputs)) if each not in used)
        used.add(name)
        found.append(to / f"{name}.png")
    return found


def _names(stem: str, most: int) -> Sequence[str]:
    return [stem, *(f"{stem}-{number}" for number in range(2, most + 1))]


def _is_input(path: Path, inputs: Inputs) -> bool:
    """Whether a file is one of the inputs."""
    return any(
        Path(inputs.name(number)).exists() and path.samefile(inputs.name(number)) for number in range(len(inputs))
    )
