"""The grey images that denoising is usually learnt from and reported on, read from the archive that they come in."""

from __future__ import annotations

from pathlib import Path

from visus.data.dataset import Dataset
from visus.data.image import printable
from visus.data.readers.listing import in_order
from visus.data.readers.members import Archive, Span
from visus.data.readers.tars import damage, members
from visus.data.samples import FileSamples
from visus.data.types import Schema, Target
from visus.errors import DataError

FILE = "greyscale-denoise.tar"
PARTS = {"train": ("train400", 400), "test": ("set12", 12)}  # of each split the folder and the number of images


def load(path: Path, source: str) -> Dataset:
    """400 images of 180×180 to learn from, and Set12. Raises DataError where the archive holds something else."""
    name = printable(path)
    found: dict[str, dict[str, Span]] = {folder: {} for folder, _ in PARTS.values()}
    with damage(name):
        archive = Archive.at(path)
        for member in members(name, path):
            if not member.is_folder and member.parts[0] in found:
                inside = "/".join(member.parts)
                found[member.parts[0]][inside] = Span(archive, inside, member.offset, member.size)
    splits = {}
    for split, (folder, count) in PARTS.items():
        files = [found[folder][each] for each in in_order(found[folder])]
        if len(files) != count:
            raise DataError(
                f"{name}: holds {len(files)} images in {folder}, and there should be {count}", "get it anew"
            )
        splits[split] = FileSamples(files, [Target()] * count)
    return Dataset(
        name="denoise", schema=Schema(shape=(1, 0, 0), targets=()), splits=splits, source=source,
        notes=(f"read from {path}",),
    )  # fmt: skip
