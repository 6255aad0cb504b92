"""Shards: a folder that `visus data shard` wrote, or tars in WebDataset's layout, which are read where they lie.

A folder of others' tars is one whose tars lie in it, or in a folder for each split. Which split a tar belongs to is a
word of its name, as in `train-000000.tar`. `classes.txt` beside them names the classes, a line each.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import final

import msgspec
import numpy as np

from visus.data.dataset import Data, Dataset, split_order, title_of
from visus.data.image import Picture, decode, printable
from visus.data.readers import tars
from visus.data.readers.base import Reader
from visus.data.readers.listing import SPLITS, few, in_order, is_hidden, is_image
from visus.data.readers.members import Span
from visus.data.readers.shard_index import FIELDS, UNKNOWN, Index, Texts, index_of, parted
from visus.data.samples import Samples, shape_of
from visus.data.shards import DIGEST_BYTES, JOURNAL, LEFT_OUT, MANIFEST, Said, digest_said, digests_of, read_manifest
from visus.data.types import Schema, Skipped, Target
from visus.errors import DataError, UnreadableImage
from visus.text import counted

ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2")
PEEK = 64  # members that are looked at, to recognise the layout
AHEAD = 8  # reads from a shard until all of it is fetched
RECENT = 16  # shards of which it is known that they were
LARGEST = 1 << 30  # bytes of a shard that is fetched ahead
PIECE = 128 << 10  # bytes: what the system fetches at one request, whatever more is asked for


@final
class ShardSamples(Samples):
    """Samples in tars, by row, without an object for each."""

    def __init__(
        self,
        indices: Sequence[Index],
        schema: Schema,
        labels: np.ndarray,
        digests: np.ndarray | None = None,
        kept: np.ndarray | None = None,
    ) -> None:
        """labels: N int64, the class of each, or UNKNOWN. digests: N×16 uint8, of each image when it was written.

        kept: int64, the rows that are samples, of those that the indices hold; None for all.
        """
        self.archives = tuple(index.archive for index in indices)
        self.names = Texts.joined([index.names for index in indices])
        self.said = Texts.joined([index.said for index in indices])
        self.texts = Texts.joined([index.texts for index in indices])
        self.offsets, self.sizes = (
            np.concatenate([getattr(index, name) for index in indices]) for name in ("offsets", "sizes")
        )
        self.shard = np.repeat(np.arange(len(indices)), [len(index.offsets) for index in indices])
        self.schema, self.labels, self.written = schema, labels, digests
        self.rows = np.arange(len(self.offsets)) if kept is None else kept
        self.intact = np.zeros(len(self.offsets), bool)  # which were held against their digest
        self.found: dict[int, bytes] = {}  # digests that weren't known: each costs a reading
        self.recent: dict[int, int] = {}  # shard → reads from it

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, row: int) -> Picture:
        self._ahead(int(self.shard[self.rows[row]]))
        data = self.stored(row).read()
        if self.written is not None and not self.intact[row]:
            if _digest(data) != bytes(self.written[self.rows[row]]):
                raise UnreadableImage(self.name(row), "isn't what was written: the shard is damaged")
            self.intact[row] = True
        return decode(data, self.name(row))

    def target(self, row: int) -> Target:
        at = int(self.rows[row])
        known = int(self.labels[at])
        label = None if known == UNKNOWN else known
        if set(self.schema.targets) <= {"label"}:
            return Target(label=label)
        text = self.texts[at]
        said = msgspec.json.decode(self.said[at], type=Said) if self.said[at] else Said()
        return said.target(label, (text.decode().strip(),) if text else ())

    def name(self, row: int) -> str:
        at = self.rows[row]
        return printable(f"{self.archives[self.shard[at]].path.name}/{_named(self.names[int(at)])}")

    def digest(self, row: int) -> bytes:
        if self.written is not None:
            return bytes(self.written[self.rows[row]])
        if row not in self.found:
            self.found[row] = _digest(self.stored(row).read())
        return self.found[row]

    def block(self) -> None:
        return None

    def origin(self, row: int) -> None:
        return None

    def stored(self, row: int) -> Span:
        at = int(self.rows[row])
        archive = self.archives[self.shard[at]]
        return Span(archive, _named(self.names[at]), int(self.offsets[at]), int(self.sizes[at]))

    def shards(self) -> np.ndarray:
        return self.shard[self.rows]

    def _ahead(self, shard: int) -> None:
        """Have the system fetch a shard from end to end once several of its samples were wanted: an epoch wants all."""
        reads = self.recent.pop(shard, 0) + 1
        self.recent[shard] = reads  # now the last
        if len(self.recent) > RECENT:
            self.recent.pop(list(self.recent)[0], None)  # noqa: RUF015 — in one piece, as other threads write too
        if reads == AHEAD and self.archives[shard].size <= LARGEST:
            self.archives[shard].fetch_ahead(PIECE)


@dataclass(frozen=True)
class _Found:
    """The shards of a source. split: of each. labels: the names of the classes, or () where nobody says them."""

    files: list[Path]
    splits: list[str]
    labels: tuple[str, ...] = ()


def _read(path: Path, data: Data) -> Dataset:
    if not path.is_dir():
        return _foreign(path, _Found([path], ["train"], _names(path.parent)))
    if (path / MANIFEST).is_file():
        return _own(path)
    if (path / JOURNAL).is_file():
        raise DataError(
            f"{printable(path)}: its shards are unfinished: writing them was interrupted",
            "give the same `visus data shard` again, which goes on",
        )
    files = [each for each in _entries(path) if each.is_file() and _is_tar(each.name)]
    splits = [_split_of(each) for each in files]
    for folder in (each for each in _entries(path) if each.is_dir()):
        inside = [each for each in _entries(folder) if _is_tar(each.name)]
        files += inside
        splits += [SPLITS[folder.name.casefold()]] * len(inside)
    if any(splits) and not all(splits):
        lost = next(file for file, split in zip(files, splits, strict=True) if not split)
        raise DataError(
            f"{printable(lost)}: its name says no split, and others' names do", "call it train-…, val-… or test-…"
        )
    return _foreign(path, _Found(files, [split or "train" for split in splits], _names(path)))


def _own(path: Path) -> Dataset:
    """What `visus data shard` wrote."""
    manifest = read_manifest(path)
    root = printable(path)
    notes: list[str] = []
    parts: dict[str, list[tuple[Index, np.ndarray]]] = {}
    for shard in manifest.shards:
        index, problem = index_of(path / shard.file)
        data = digests_of(path / shard.file).read_bytes()
        said = (index.said[at] or str(label).encode() for at, label in enumerate(index.labels.tolist()))
        if digest_said(said) != shard.said or len(index.offsets) != shard.samples:
            raise DataError(
                f"{printable(path / shard.file)}: what it says of its images isn't what was written", "copy it again"
            )
        if hashlib.blake2b(data, digest_size=DIGEST_BYTES).hexdigest() != shard.contents:
            raise DataError(f"{printable(digests_of(path / shard.file))}: is damaged", "copy it again")
        parts.setdefault(shard.split, []).append((index, np.frombuffer(data, np.uint8).reshape(-1, DIGEST_BYTES)))
        notes += _unkept(problem, notes)
        if manifest.schema.labels:
            _check_range(index, np.maximum(index.labels, index.tops), len(manifest.schema.labels))
    splits: dict[str, Samples] = {
        split: ShardSamples(
            [index for index, _ in pairs],
            manifest.schema,
            np.concatenate([index.labels for index, _ in pairs]),
            np.concatenate([digests for _, digests in pairs]),
        )
        for split, pairs in sorted(parts.items(), key=lambda part: split_order(part[0]))
    }
    if manifest.left_out:
        notes.append(
            f"{counted(manifest.left_out, 'item')} couldn't be used when the shards were written: see {LEFT_OUT}"
        )
    known = {shard.file for shard in manifest.shards}
    if more := [each.name for each in _entries(path) if _is_tar(each.name) and each.name not in known]:
        notes.append(f"tars that aren't in {MANIFEST}, ignored: {few(more)}")
    return Dataset(manifest.name, manifest.schema, splits, tuple(notes), (), manifest.source or root)


def _foreign(path: Path, found: _Found) -> Dataset:
    """Tars in WebDataset's layout, from anywhere."""
    root = printable(path)
    notes: list[str] = []
    for file in found.files:
        if tars.is_packed(file):
            raise DataError(
                f"{printable(file)}: is compressed, and the samples of a shard are read by their places in it",
                "unpack it to a plain .tar, for instance with gunzip; images hardly get smaller by it",
            )
    indices = []
    for file in found.files:
        index, problem = index_of(file)
        indices.append(index)
        notes += _unkept(problem, notes)
    skipped = [each for index in indices for each in index.skipped]
    if not any(len(index.offsets) for index in indices):
        first = f"; the first of {len(skipped):,}: {skipped[0].name}: {skipped[0].cause}" if skipped else ""
        raise DataError(f"{root}: holds no sample{first}", "a sample is an image, and what is said of it, by one key")
    targets = _targets(indices)
    names, labels = _classes(root, indices, found.labels)
    values = (
        int(np.bincount(np.concatenate([index.widths for index in indices])).argmax()) if "values" in targets else 0
    )
    schema = Schema(
        targets=targets,
        labels=names if {"label", "labels", "boxes"} & set(targets) else (),
        values=tuple(f"value {number + 1}" for number in range(values)),
    )
    splits: dict[str, Samples] = {}
    wanted = sum(1 << FIELDS.index(name) for name in targets)
    for split in sorted(set(found.splits), key=split_order):
        chosen = [at for at, each in enumerate(found.splits) if each == split]
        whole, begin = [], 0
        for index in (indices[at] for at in chosen):
            says, fits = index.known & wanted == wanted, (index.widths == values) | (values == 0)
            for row in np.flatnonzero(~(says & fits)).tolist():
                cause = f"lacks {' or '.join(targets)}, which others have"
                if says[row]:
                    cause = f"has {index.widths[row]} values, and others {values}"
                skipped.append(Skipped(index.title(row), cause))
            whole.append(np.flatnonzero(says & fits) + begin)
            begin += len(says)
        splits[split] = ShardSamples(
            [indices[at] for at in chosen], schema, np.concatenate([labels[at] for at in chosen]),
            kept=np.concatenate(whole),
        )  # fmt: skip
    some = next(samples for samples in splits.values() if len(samples))
    shape = shape_of([some.stored(row) for row in range(0, len(some), max(1, len(some) // 64))])  # type: ignore[misc]
    return Dataset(
        printable(title_of(path)),
        msgspec.structs.replace(schema, shape=shape), splits, tuple(notes), tuple(skipped), root,
    )  # fmt: skip


def _targets(indices: Sequence[Index]) -> tuple[str, ...]:
    """What is said of most samples."""
    known = np.concatenate([index.known for index in indices])
    return tuple(name for bit, name in enumerate(FIELDS) if 2 * np.count_nonzero(known & (1 << bit)) > len(known))


def _classes(root: str, indices: Sequence[Index], names: tuple[str, ...]) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """The names of the classes, and the class of each sample of each shard."""
    words = in_order({word for index in indices for word in index.words})
    numbered = max(
        (int(max(index.labels.max(initial=-1), index.tops.max(initial=-1))) for index in indices), default=-1
    )
    if words and numbered >= 0:
        raise DataError(
            f"{root}: some labels are numbers, others names, such as {printable(words[0])!r}", "use one kind"
        )
    if words and names and (strange := [word for word in words if word not in names]):
        raise DataError(f"{root}: {few(strange)}: these classes aren't in classes.txt", "add them")
    if words:
        names = names or tuple(words)
        place = {name: at for at, name in enumerate(names)}
        found = []
        for index in indices:
            codes = np.array([*(place[word] for word in index.words), UNKNOWN], np.int64)
            found.append(codes[np.where(index.labels == UNKNOWN, len(index.words), -2 - index.labels)])
        return tuple(printable(name) for name in names), found
    if not names:
        return tuple(map(str, range(numbered + 1))), [index.labels for index in indices]
    for index in indices:
        _check_range(index, np.maximum(index.labels, index.tops), len(names))
    return names, [index.labels for index in indices]


def _check_range(index: Index, labels: np.ndarray, count: int) -> None:
    """Raise DataError for a class that there isn't."""
    if len(wrong := np.flatnonzero(labels >= count)):
        name = index.title(int(wrong[0]))
        raise DataError(
            f"{name}: has the label {labels[wrong[0]]}, where there are 0 to {count - 1}", "add its name, or mend it"
        )


def _names(folder: Path) -> tuple[str, ...]:
    """What the classes are called, by the list of shards or by classes.txt in the same folder."""
    if (folder / MANIFEST).is_file():
        return read_manifest(folder).schema.labels
    path = folder / "classes.txt"
    if not path.is_file():
        return ()
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"{printable(path)}: can't be read: {problem}", "a line of UTF-8 for each class") from None
    if len(set(names)) != len(names):
        raise DataError(f"{printable(path)}: names a class twice")
    return tuple(printable(name) for name in names)


def _unkept(problem: str, notes: list[str]) -> list[str]:
    """A note, once, that the places of samples can't be kept."""
    note = f"where samples lie is read anew each time, as it can't be kept: {problem}"
    return [note] if problem and note not in notes else []


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


def _named(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _split_of(path: Path) -> str:
    """The split that a word of a file's name says, or ""."""
    words = re.split(r"[^a-z]+", path.name.casefold())
    return next((SPLITS[word] for word in words if word in SPLITS), "")


def _is_tar(name: str) -> bool:
    return name.lower().endswith(ENDINGS)


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder and isn't hidden, in order."""
    return [folder / name for name in in_order(each.name for each in folder.iterdir() if not is_hidden(each.name))]


def _recognises(path: Path) -> bool:
    with suppress(OSError):
        if path.is_dir():
            return (path / MANIFEST).is_file() or (path / JOURNAL).is_file() or _only_tars(path)
        return _is_tar(path.name) and path.is_file() and _is_shard(path)
    return False


def _only_tars(folder: Path) -> bool:
    """Whether there are tars, directly or in folders of splits, and no images or other folders."""
    found = False
    for entry in (each for each in folder.iterdir() if not is_hidden(each.name)):
        if entry.is_dir():
            inside = [_is_tar(each.name) for each in entry.iterdir() if not is_hidden(each.name)]
            if entry.name.casefold() not in SPLITS or not all(inside):
                return False
            found = found or bool(inside)
        elif is_image(entry.name):
            return False
        else:
            found = found or _is_tar(entry.name)
    return found


def _is_shard(path: Path) -> bool:
    """By its first members: an image with a .cls, or images that lie in no folder, which can't be classes then."""
    said, images = set(), {}
    with suppress(DataError), tars.damage(printable(path)):
        for _, member in zip(range(PEEK), tars.members(printable(path), path), strict=False):
            if member.is_folder or not member.parts or any(is_hidden(part) for part in member.parts):
                continue
            key, ending = parted(member.parts)
            if ending == "cls":
                said.add(key)
            elif is_image(f"_.{ending}"):
                images[key] = len(member.parts)
    return bool(said & images.keys()) or (bool(images) and max(images.values()) == 1)


SHARDS = Reader(
    "shards",
    "shards: what `visus data shard` wrote, a tar in WebDataset's layout (1.jpg, 1.cls, …) or a folder of them",
    _recognises,
    _read,
)
