"""A folder of images, in any of the layouts of trees."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from visus.data.dataset import Data, Dataset, title_of
from visus.data.image import printable
from visus.data.readers.base import Reader
from visus.data.readers.layouts import LAYOUTS, arranged
from visus.data.readers.listing import Listing, walk
from visus.errors import DataError

LOOKED_AT = 10_000  # folder entries, to recognise that there is something to read


def _recognises(root: Path) -> bool:
    listing = Listing()
    try:
        if not root.is_dir():
            return False
        return any(islice(walk(root, listing), LOOKED_AT)) or any(each.recognises(listing) for each in LAYOUTS)
    except DataError:
        return True  # a folder in it can't be listed, a file in it can't be read: reading says which
    except OSError:
        return False


def _read(root: Path, data: Data) -> Dataset:
    listing = Listing()
    for _ in walk(root, listing):
        pass
    return arranged(printable(root), printable(title_of(root)), listing, data)


FOLDERS = Reader(
    "folders",
    "folders: one for each class, or train/, val/ and test/ with a folder for each class; "
    + "; ".join(each.layout for each in LAYOUTS[:-1]),
    _recognises,
    _read,
)
