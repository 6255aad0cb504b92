"""Open a data set, whatever it is: by its name, or by the layout that its files have."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

from visus.data.dataset import Data, Dataset
from visus.data.image import EXTENSIONS, printable
from visus.data.named import NAMED
from visus.data.readers.archives import ARCHIVES
from visus.data.readers.base import Reader
from visus.data.readers.coco import COCO_FILE
from visus.data.readers.folders import FOLDERS
from visus.data.readers.idx import IDX
from visus.data.readers.shards import SHARDS
from visus.data.readers.tables import TABLES
from visus.data.readers.yolo import YOLO_FILE
from visus.errors import DataError, NotFound, SpecError, nearest
from visus.text import counted

# The first that recognises a path reads it. An .npz is a ZIP archive too, so tables come before archives; a shard is a
# tar too, so shards do; folders are last, since they alone have to look into all subfolders.
READERS: tuple[Reader, ...] = (IDX, TABLES, COCO_FILE, YOLO_FILE, SHARDS, ARCHIVES, FOLDERS)

LOOKED_AT = 10_000  # folder entries, to say what was seen


def open_dataset(data: Data | str | Path) -> Dataset:
    """The data set that a name, a path, or `data.source` names or points to.

    A bare name that is in `NAMED` is that set, even where a file or folder of that name lies here, which a note says;
    with a separator, as in ./digits or digits/, it is the path. Raises NotFound for what is neither, SpecError for what
    can't name anything, and DataError for files in no known layout.
    """
    if isinstance(data, str | Path):
        data = Data(source=str(data))
    elif not isinstance(data, Data):
        raise SpecError(f"a data set can't be {data!r}", "give a name, a path or a visus.data.dataset.Data")
    source = data.source
    if source in NAMED:
        found = NAMED[source].load(data)
        if not os.path.lexists(source):
            return found
        note = f"{source} is the set of that name; for the file or folder of that name here give ./{source}"
        return replace(found, notes=(*found.notes, note))
    path = Path(source).expanduser()
    try:
        there = bool(source) and path.exists()
    except OSError as problem:  # a name that no file can have, a folder that may not be entered
        raise NotFound(f"{printable(source)}: {(problem.strerror or str(problem)).lower()}") from None
    if not there:
        raise NotFound(f"there is no set, file or folder named {printable(source) or '(nothing)'}", _hint(source))
    reader = next((reader for reader in READERS if reader.recognises(path)), None)
    if reader is None:
        layouts = "".join(f"\n    {each.layout}" for each in READERS)
        raise DataError(f"{printable(source)} is in no layout that is known: {_seen(path)}", f"known are{layouts}")
    return reader.read(path, data)


def _hint(source: str) -> str:
    """For a path: where it was looked for. For a name: those that are alike."""
    if any(mark in source for mark in "/\\.~"):
        return f"it was looked for in {printable(Path.cwd())}"
    return nearest(source, NAMED)


def _seen(path: Path) -> str:
    """What lies at a path, in a few words: "3 images directly in the folder, 2 folders, 1 .txt file"."""
    if not path.is_dir():
        kind = f"a {path.suffix} file" if path.suffix else "a file without an extension"
        return f"{kind} of {path.stat().st_size:,} bytes" if path.is_file() else "neither a file nor a folder"
    images, folders, others = 0, 0, Counter[str]()
    try:
        for each in islice(path.iterdir(), LOOKED_AT):
            if each.is_dir():
                folders += 1
            elif each.suffix.lower() in EXTENSIONS:
                images += 1
            else:
                others[each.suffix.lower()] += 1
    except OSError as problem:
        return f"the folder can't be listed: {(problem.strerror or str(problem)).lower()}"
    parts = [f"{counted(images, 'image')} directly in the folder"] if images else []
    parts += [counted(folders, "folder") + " in which there are no images"] if folders else []
    parts += [counted(number, f"{printable(suffix) or 'other'} file") for suffix, number in others.most_common(4)]
    return ", ".join(parts) or "an empty folder"
