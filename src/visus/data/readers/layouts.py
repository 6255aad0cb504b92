"""Which layout a tree of images is in."""

from __future__ import annotations

from visus.data.dataset import Data, Dataset
from visus.data.image import EXTENSIONS
from visus.data.readers.base import Layout
from visus.data.readers.classes import CLASSES
from visus.data.readers.coco import COCO
from visus.data.readers.listing import Listing, endings
from visus.data.readers.paired import DEGRADED_PAIRS, MASKED
from visus.data.readers.voc import VOC
from visus.data.readers.yolo import YOLO
from visus.errors import DataError

# Any tree with images in folders can be class folders: they come last, and only where it is nothing else.
LAYOUTS: tuple[Layout, ...] = (COCO, VOC, YOLO, MASKED, DEGRADED_PAIRS, CLASSES)


def arranged(root: str, title: str, listing: Listing, data: Data) -> Dataset:
    """The data set that a listing holds, as `Layout.arrange` says; the listing is sorted.

    Raises DataError where it could be read in several ways, and neither data.layout nor data.target says which.
    """
    listing.sort()
    if not listing.files:
        ignored = listing.ignored()
        found = f", only {ignored.total():,} other files ({endings(ignored)})" if ignored else ""
        raise DataError(f"{root}: holds no image{found}", f"images end in {', '.join(sorted(EXTENSIONS))}")
    if data.layout is not None:
        layout = next(each for each in LAYOUTS if each.name == data.layout)
        if not layout.recognises(listing):
            raise DataError(f"{root}: isn't {layout.layout}", "leave data.layout out, or name another")
        _require_target(root, (layout,), data)
        return layout.arrange(root, title, listing, data)
    known = [each for each in LAYOUTS[:-1] if each.recognises(listing)] or [CLASSES]
    if data.columns == ("label",):
        known = [CLASSES]
    fitting = _require_target(root, tuple(known), data)
    if len(fitting) > 1:
        ways = " or as ".join(f"{each.name} ({each.layout}; {', '.join(each.targets)})" for each in fitting)
        choice = " or ".join(f"--set data.layout={each.name}" for each in fitting)
        raise DataError(f"{root}: can be read as {ways}", f"choose: {choice}")
    return fitting[0].arrange(root, title, listing, data)


def _require_target(root: str, layouts: tuple[Layout, ...], data: Data) -> list[Layout]:
    """The layouts that hold what data.target asks for. Raises DataError where none does."""
    wanted = set(data.columns or ())
    fitting = [each for each in layouts if wanted <= set(each.targets)]
    if not fitting:
        there = dict.fromkeys(target for each in layouts for target in each.targets)
        raise DataError(
            f"{root}: is read as {' or '.join(each.layout for each in layouts)}, and that holds no "
            f"{' and '.join(sorted(wanted))}",
            f"data.target can be {', '.join(there)} here",
        )
    return fitting
