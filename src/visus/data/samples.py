"""Random access to the samples of one split, whatever holds them."""

from __future__ import annotations

import hashlib
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol, final

import numpy as np

from visus.data.identity import Identity, identify
from visus.data.image import Picture, decode, measure, printable, read_bytes
from visus.data.types import Target
from visus.errors import UnreadableImage

MEASURED = 64  # files whose headers are read to learn the size of all


class Samples(ABC):
    """The samples of one split, by row number. Reading is safe from several threads at once."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, row: int) -> Picture | np.ndarray:
        """The picture, or the F float32 values of a vector. Raises UnreadableImage."""

    @abstractmethod
    def target(self, row: int) -> Target:
        """What is to be said of it, in pixels of the picture that `read` gives."""

    @abstractmethod
    def name(self, row: int) -> str:
        """What a person calls it: the file's path within the data set, or set[row]."""

    @abstractmethod
    def digest(self, row: int) -> bytes:
        """A hash of its content: equal for exact duplicates. Raises UnreadableImage."""

    @abstractmethod
    def block(self) -> np.ndarray | None:
        """All samples as one array, N×H×W×C uint8 or N×F float32, where they already are in memory; else None."""

    @abstractmethod
    def stored(self, row: int) -> Stored | None:
        """The encoded file that it is read from; None where it isn't one."""

    @abstractmethod
    def shards(self) -> np.ndarray | None:
        """N int64: the number of the shard that each sample lies in; None where they don't lie in shards."""

    @abstractmethod
    def origin(self, row: int) -> tuple[FileSamples, int] | None:
        """The files of which one is this sample, and which; None where it isn't decoded from a file."""


class Stored(Protocol):
    """A file somewhere: in a folder, in an archive. size: in bytes, when it was listed."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int: ...

    def read(self) -> bytes: ...

    def place(self) -> str:
        """Where it lies: other for any other file on this machine."""

    def identity(self) -> Identity | None:
        """Of the file as it is now; None where that isn't the file that was listed, or can't be told: then `read`
        says what is wrong, if anything is."""


@final
@dataclass(frozen=True, slots=True)
class OnDisk:
    """A file in a folder. size: in bytes when it was listed; a file that changed since is refused."""

    path: Path
    name: str
    size: int

    def read(self) -> bytes:
        data = read_bytes(self.path)
        if len(data) != self.size:
            raise UnreadableImage(
                printable(self.path), f"changed from {self.size:,} to {len(data):,} bytes since it was listed"
            )
        return data

    def place(self) -> str:
        return str(self.path.absolute())

    def identity(self) -> Identity | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        whole = stat.S_ISREG(status.st_mode) and status.st_size == self.size
        return identify(status) if whole else None


@final
class FileSamples(Samples):
    """Encoded image files with their targets."""

    def __init__(self, files: Sequence[Stored], targets: Sequence[Target]) -> None:
        self.files, self.targets = files, targets
        self.digests: dict[int, tuple[bytes, Identity | None]] = {}  # each costs a reading of the file

    def __len__(self) -> int:
        return len(self.files)

    def read(self, row: int) -> Picture:
        return decode(self.files[row].read(), printable(self.files[row].name))

    def target(self, row: int) -> Target:
        return self.targets[row]

    def name(self, row: int) -> str:
        return printable(self.files[row].name)

    def digest(self, row: int) -> bytes:
        if row not in self.digests:
            file = self.files[row]
            before = file.identity()
            digest = hashlib.blake2b(file.read(), digest_size=16).digest()
            known = before if before is not None and before.settled and file.identity() == before else None
            self.digests[row] = (digest, known)
        return self.digests[row][0]

    def block(self) -> None:
        return None

    def stored(self, row: int) -> Stored:
        return self.files[row]

    def shards(self) -> None:
        return None

    def origin(self, row: int) -> tuple[FileSamples, int]:
        return self, row

    @cached_property
    def places(self) -> tuple[str, str]:
        """A digest of where the files lie, other for any other list of files; and the folder that holds them all."""
        places = [file.place() for file in self.files]
        digest = hashlib.blake2b("\0".join(places).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
        some = {place.partition("\n")[0] for place in places[:: max(1, len(places) // MEASURED)]}
        return digest, printable(os.path.commonpath(some))


@final
class ArraySamples(Samples):
    """Samples in memory: N×H×W×C uint8 pictures or N×F float32 vectors."""

    def __init__(self, name: str, values: np.ndarray, targets: Sequence[Target]) -> None:
        self.title, self.values, self.targets = name, values, targets

    def __len__(self) -> int:
        return len(self.values)

    def read(self, row: int) -> Picture | np.ndarray:
        return Picture(self.values[row]) if self.values.ndim == 4 else self.values[row]

    def target(self, row: int) -> Target:
        return self.targets[row]

    def name(self, row: int) -> str:
        return f"{self.title}[{row}]"

    def digest(self, row: int) -> bytes:
        return hashlib.blake2b(self.values[row].tobytes(), digest_size=16).digest()

    def block(self) -> np.ndarray:
        return self.values

    def stored(self, row: int) -> None:
        return None

    def shards(self) -> None:
        return None

    def origin(self, row: int) -> None:
        return None


@final
class Rows(Samples):
    """Some rows of other samples, in the order given."""

    def __init__(self, samples: Samples, rows: Sequence[int]) -> None:
        self.samples, self.rows = samples, rows

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, row: int) -> Picture | np.ndarray:
        return self.samples.read(self.rows[row])

    def target(self, row: int) -> Target:
        return self.samples.target(self.rows[row])

    def name(self, row: int) -> str:
        return self.samples.name(self.rows[row])

    def digest(self, row: int) -> bytes:
        return self.samples.digest(self.rows[row])

    def block(self) -> np.ndarray | None:
        whole = self.samples.block()
        return None if whole is None else whole[np.asarray(self.rows, dtype=np.int64)]

    def stored(self, row: int) -> Stored | None:
        return self.samples.stored(self.rows[row])

    def shards(self) -> np.ndarray | None:
        whole = self.samples.shards()
        return None if whole is None else whole[np.asarray(self.rows, dtype=np.int64)]

    def origin(self, row: int) -> tuple[FileSamples, int] | None:
        return self.samples.origin(self.rows[row])


@final
class Joined(Samples):
    """Several samples one after the other."""

    def __init__(self, parts: Sequence[Samples]) -> None:
        self.parts = parts
        self.starts = np.cumsum([0, *(len(part) for part in parts)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def read(self, row: int) -> Picture | np.ndarray:
        part, local = self._find(row)
        return part.read(local)

    def target(self, row: int) -> Target:
        part, local = self._find(row)
        return part.target(local)

    def name(self, row: int) -> str:
        part, local = self._find(row)
        return part.name(local)

    def digest(self, row: int) -> bytes:
        part, local = self._find(row)
        return part.digest(local)

    def block(self) -> np.ndarray | None:
        blocks = [part.block() for part in self.parts]
        return None if any(each is None for each in blocks) else np.concatenate([b for b in blocks if b is not None])

    def stored(self, row: int) -> Stored | None:
        part, local = self._find(row)
        return part.stored(local)

    def shards(self) -> np.ndarray | None:
        found, first = [], 0
        for part in self.parts:
            if (numbers := part.shards()) is None:
                return None
            found.append(numbers + first)
            first += int(numbers.max(initial=-1)) + 1
        return np.concatenate(found)

    def origin(self, row: int) -> tuple[FileSamples, int] | None:
        part, local = self._find(row)
        return part.origin(local)

    def _find(self, row: int) -> tuple[Samples, int]:
        part = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.parts[part], row - int(self.starts[part])


@final
class Relabelled(Samples):
    """Samples whose class numbers are changed: class i becomes classes[i], of boxes too."""

    def __init__(self, samples: Samples, classes: Sequence[int]) -> None:
        self.samples, self.classes = samples, classes

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, row: int) -> Picture | np.ndarray:
        return self.samples.read(row)

    def target(self, row: int) -> Target:
        target = self.samples.target(row)
        label = None if target.label is None else self.classes[target.label]
        labels = None if target.labels is None else tuple(self.classes[each] for each in target.labels)
        boxes = target.boxes
        if boxes is not None:
            boxes = replace(boxes, labels=np.asarray(self.classes, np.int64)[boxes.labels])
        return replace(target, label=label, labels=labels, boxes=boxes)

    def name(self, row: int) -> str:
        return self.samples.name(row)

    def digest(self, row: int) -> bytes:
        return self.samples.digest(row)

    def block(self) -> np.ndarray | None:
        return self.samples.block()

    def stored(self, row: int) -> Stored | None:
        return self.samples.stored(row)

    def shards(self) -> np.ndarray | None:
        return self.samples.shards()

    def origin(self, row: int) -> tuple[FileSamples, int] | None:
        return self.samples.origin(row)


def shape_of(files: Sequence[Stored]) -> tuple[int, int, int]:
    """C×H×W of some of the files, evenly spaced, from their headers; H and W are 0 if they differ."""
    found = set()
    for file in files[:: max(1, -(-len(files) // MEASURED))]:
        try:
            found.add(measure(file.read(), printable(file.name)))
        except UnreadableImage:
            continue  # it is reported, with its cause, when it is read as a sample
    channels = max((each[0] for each in found), default=3)
    sizes = {each[1:] for each in found}
    return (channels, *sizes.pop()) if len(sizes) == 1 else (channels, 0, 0)
