"""The sets that are known by name. Importing this table loads no heavy library: `visus data list` answers at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from visus.errors import DataError, DownloadError

if TYPE_CHECKING:
    from visus.data.dataset import Data, Dataset


@dataclass(frozen=True, slots=True)
class Named:
    """A set that is known by name.

    title, description: for people. source_and_licence: who made it, where it comes from, what may be done with it.
    load: reads it; may raise DataError or DownloadError.
    """

    title: str
    description: str
    source_and_licence: str
    load: Callable[[Data], Dataset]


@dataclass(frozen=True, slots=True)
class Remote:
    """One file of a set: its name, size in bytes, and checksum as it lies on the mirrors."""

    name: str
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class IdxSet:
    """A set of the MNIST kind: four IDX files of 60,000 + 10,000 grey 28×28 images.

    title: also the folder that torchvision keeps it in. labels: the names of the classes. mirrors: ending in "/".
    files: images and labels of the training split, then of the test split.
    first: the first ten labels of the test split, which tell sets with equal file names apart.
    """

    name: str
    title: str
    labels: tuple[str, ...]
    mirrors: tuple[str, ...]
    files: tuple[Remote, ...]
    first: tuple[int, ...]


MNIST = IdxSet(
    name="mnist",
    title="MNIST",
    labels=tuple("0123456789"),
    mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    files=(
        Remote("train-images-idx3-ubyte.gz", 9_912_422, "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        Remote("train-labels-idx1-ubyte.gz", 28_881, "md5:d53e105ee54ea40749a09fcbcd1e9432"),
        Remote("t10k-images-idx3-ubyte.gz", 1_648_877, "md5:9fb629c4189551a2d022fa330f9573f3"),
        Remote("t10k-labels-idx1-ubyte.gz", 4_542, "md5:ec29112dd5afa0611ce80d1b7f02629c"),
    ),
    first=(7, 2, 1, 0, 4, 1, 4, 9, 5, 9),
)

FASHION = IdxSet(
    name="fashion-mnist",
    title="FashionMNIST",
    labels=(
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
    mirrors=(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    files=(
        Remote(
            "train-images-idx3-ubyte.gz",
            26_421_880,
            "sha256:3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        Remote(
            "train-labels-idx1-ubyte.gz",
            29_515,
            "sha256:a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        Remote(
            "t10k-images-idx3-ubyte.gz",
            4_422_102,
            "sha256:346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        Remote(
            "t10k-labels-idx1-ubyte.gz",
            5_148,
            "sha256:67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
    first=(9, 2, 1, 1, 6, 1, 4, 6, 5, 7),
)  # fmt: skip


def _digits(data: Data) -> Dataset:
    import numpy as np
    from sklearn.datasets import load_digits

    from visus.data.dataset import Dataset
    from visus.data.samples import ArraySamples
    from visus.data.types import Schema, Target

    found = load_digits()
    pixels = np.round(found.images * 255 / 16).astype(np.uint8)[..., None]  # 0 … 16 → 0 … 255
    targets = [Target(label=label) for label in found.target.tolist()]
    return Dataset(
        name="digits",
        schema=Schema(shape=(1, 8, 8), labels=tuple("0123456789")),
        splits={"train": ArraySamples("digits", pixels, targets)},
        source=NAMED["digits"].source_and_licence,
    )


def _diabetes(data: Data) -> Dataset:
    import numpy as np
    from sklearn.datasets import load_diabetes

    from visus.data.dataset import Dataset
    from visus.data.samples import ArraySamples
    from visus.data.types import Schema, Target

    found = load_diabetes(scaled=False)
    values = found.data.astype(np.float32)
    return Dataset(
        name="diabetes",
        schema=Schema(
            inputs="vector", shape=(10,), targets=("values",), values=("progression",),
            features=tuple(found.feature_names),
        ),
        splits={"train": ArraySamples("diabetes", values, [Target(values=(each,)) for each in found.target.tolist()])},
        source=NAMED["diabetes"].source_and_licence,
    )  # fmt: skip


def _scenes(data: Data) -> Dataset:
    from visus.data import scenes

    return scenes.load(data)


def _archive(name: str, file: str, content: str, data: Data) -> Path:
    """The first archive of a set, in a folder of its name or beside it. Raises DataError."""
    for root in _roots(data):
        for path in (root / name / file, root / file):
            if path.is_file():
                return path
    raise DataError(
        f"{name}: there is no {file} in data.dir, in $VISUS_DATA or in the system's data folders",
        f"pack {content} so, and name the folder: data.dir = …",
    )


def _membrane(data: Data) -> Dataset:
    from visus.data import membrane

    path = _archive("membrane", membrane.FILE, "image/0.png … and label/0.png … of the ISBI 2012 slices", data)
    return membrane.load(path, NAMED["membrane"].source_and_licence)


def _bccd(data: Data) -> Dataset:
    from dataclasses import replace

    from visus.data.readers.archives import ARCHIVES

    path = _archive("bccd", "bccd.tar", "the set's JPEGImages, Annotations and ImageSets", data)
    found = ARCHIVES.read(path, data)
    return replace(
        found, name="bccd", notes=(*found.notes, f"read from {path}"), source=NAMED["bccd"].source_and_licence
    )


def _denoise(data: Data) -> Dataset:
    from visus.data import greyscale

    path = _archive("denoise", greyscale.FILE, "train400/*.png and set12/*.png", data)
    return greyscale.load(path, NAMED["denoise"].source_and_licence)


def _idx(known: IdxSet, data: Data) -> Dataset:
    """A set of the MNIST kind from the first folder that has all four files, or else from its mirrors."""
    from visus.data.readers.idx import read_idx, read_pairs

    source = NAMED[known.name].source_and_licence
    passed = []
    for folder in _places(known, data):
        pairs = _pairs(folder)
        if pairs is None:
            continue
        first = tuple(read_idx(pairs["test"][1])[:10].tolist())
        if any(other.first == first for other in (MNIST, FASHION) if other != known):
            passed.append(f"{folder} holds another set under the same file names")
            continue
        found = read_pairs(known.name, pairs, known.labels, source)
        return _noted(found, (f"read from {folder}", *passed))
    try:
        pairs = _download(known)
    except DownloadError as problem:
        remedy = f"{problem.remedy}; or put all four files into a folder and name it: data.dir = …"
        raise DownloadError(problem.problem, remedy) from None
    notes = (f"fetched into {pairs['train'][0].parent}", *passed)
    return _noted(read_pairs(known.name, pairs, known.labels, source), notes)


def _noted(found: Dataset, notes: tuple[str, ...]) -> Dataset:
    from dataclasses import replace

    return replace(found, notes=(*found.notes, *notes))


def _places(known: IdxSet, data: Data) -> Iterator[Path]:
    """Where the set is looked for, in order; what doesn't exist is passed over by who looks.

    In each root: a folder of the set's name, torchvision's layout, and the root itself. The roots are data.dir,
    $VISUS_DATA, and the folder datasets of each of the system's data folders; then comes the download cache.
    """
    from visus.data.download import cache_folder

    for root in _roots(data):
        yield root / known.name
        yield root / known.title / "raw"
        yield root
    yield cache_folder() / known.name


def _roots(data: Data) -> Iterator[Path]:
    """The folders in which named sets are looked for, in order."""
    system = os.environ.get("XDG_DATA_DIRS") or os.pathsep.join(("/usr/local/share", "/usr/share"))
    yield from (Path(each).expanduser() for each in (data.dir, os.environ.get("VISUS_DATA")) if each)
    yield from (Path(each) / "datasets" for each in system.split(os.pathsep) if each)


def _pairs(folder: Path) -> dict[str, tuple[Path, Path]] | None:
    """Split → the files of images and labels, if both splits are whole, plain or gzipped."""
    from visus.data.readers.idx import find_pairs

    if not folder.is_dir():
        return None
    there = find_pairs(folder)
    named = {"train": there.get("train", {}), "test": there.get("t10k", {})}
    if any(len(parts) < 2 for parts in named.values()):
        return None
    return {split: (parts["images"], parts["labels"]) for split, parts in named.items()}


def _download(known: IdxSet) -> dict[str, tuple[Path, Path]]:
    """Fetch the four files into the cache, with a bar where somebody can see it. Returns them as `_pairs` does."""
    from rich.console import Console
    from rich.progress import Progress

    from visus.data.download import cache_folder, fetch

    folder = cache_folder() / known.name
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bars:

        def one(file: Remote) -> Path:
            bar = bars.add_task(f"{known.name}/{file.name}", total=file.size)

            def show(done: int, total: int) -> None:
                bars.update(bar, completed=done)

            urls = [mirror + file.name for mirror in known.mirrors]
            return fetch(urls, file.name, file.digest, file.size, folder, progress=show)

        train_images, train_labels, test_images, test_labels = map(one, known.files)
    return {"train": (train_images, train_labels), "test": (test_images, test_labels)}


NAMED: dict[str, Named] = {
    "digits": Named(
        title="Digits",
        description="1,797 handwritten digits, grey 8×8, 10 classes; comes with scikit-learn",
        source_and_licence="E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (test part), "
        "UCI Machine Learning Repository, 1998, CC BY 4.0; by way of scikit-learn",
        load=_digits,
    ),
    "diabetes": Named(
        title="Diabetes",
        description="442 patients, ten measurements each: the progression of the disease a year later, a number; "
        "comes with scikit-learn",
        source_and_licence="B. Efron, T. Hastie, I. Johnstone, R. Tibshirani, Least Angle Regression, Annals of "
        "Statistics 32(2), 2004; by way of scikit-learn",
        load=_diabetes,
    ),
    "scenes": Named(
        title="Scenes",
        description="digits and shapes placed on backgrounds, drawn on the fly: label, boxes, mask and caption",
        source_and_licence="drawn by Visus, Apache-2.0",
        load=_scenes,
    ),
    "membrane": Named(
        title="Membrane",
        description="30 slices of a fly's nerve cord under the electron microscope, grey 512×512, a mask of membranes "
        "and cells: 20 to train, 5 to choose, 5 to report",
        source_and_licence="A. Cardona et al., ISBI 2012 challenge “Segmentation of neuronal structures in EM stacks” "
        "(PLoS Biology 8(10), 2010; Frontiers in Neuroanatomy 9:142, 2015), for research; as packed by zhixuhao/unet",
        load=_membrane,
    ),
    "bccd": Named(
        title="BCCD",
        description="364 micrographs of blood, 640×480 in colour: boxes around red cells, white cells and platelets; "
        "205 to train, 87 to choose, 72 to report",
        source_and_licence="Blood Cell Count and Detection, github.com/Shenggan/BCCD_Dataset, MIT",
        load=_bccd,
    ),
    "mnist": Named(
        title="MNIST",
        description="60,000 + 10,000 handwritten digits, grey 28×28, 10 classes",
        source_and_licence="Y. LeCun, C. Cortes and C. Burges, The MNIST database of handwritten digits, 1998, "
        "CC BY-SA 3.0",
        load=partial(_idx, MNIST),
    ),
    "fashion-mnist": Named(
        title="Fashion-MNIST",
        description="60,000 + 10,000 pictures of garments, grey 28×28, 10 classes",
        source_and_licence="H. Xiao, K. Rasul and R. Vollgraf, Zalando Research, arXiv:1708.07747, MIT",
        load=partial(_idx, FASHION),
    ),
    "denoise": Named(
        title="Denoise",
        description="400 grey images of 180×180 to learn restoration from, and Set12 to report it on",
        source_and_licence="K. Zhang, W. Zuo, Y. Chen, D. Meng and L. Zhang, arXiv:1608.03981: images of the Berkeley "
        "segmentation data set, and the usual twelve test images; for research",
        load=_denoise,
    ),
}
