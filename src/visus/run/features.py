"""Features: what a network sees in images, as numbers, to files and on maps."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from visus.adaptation import features_of
from visus.adaptation import split as halves
from visus.data.dataset import Data, Dataset
from visus.data.image import EXTENSIONS, printable
from visus.data.loader import Loader, prepare
from visus.data.open import open_dataset
from visus.data.preprocess import ImagePreprocess
from visus.data.samples import FileSamples, Joined, OnDisk, Samples
from visus.data.types import Schema, Target
from visus.errors import DataError, MissingPart, ModelError, NotFound, WeightsError, require_count, require_known
from visus.files import write_atomic
from visus.models import CATALOG
from visus.nn import Classifier
from visus.prediction import NetworkPredictor, Predictor, load
from visus.run.device import device_of
from visus.run.inputs import image_files
from visus.run.pretrained import pretrained
from visus.run.reading import resources_of
from visus.run.recipe import Runtime
from visus.run.watch import Silent, Watch
from visus.text import counted

FORMATS = (".npz", ".csv", ".parquet")


@dataclass(frozen=True)
class Features:
    """values: N×F float32. names: of the samples. labels: N int64, −1 where unknown; classes: what they are called."""

    values: np.ndarray
    names: tuple[str, ...]
    labels: np.ndarray
    classes: tuple[str, ...]

    def save(self, path: str | Path) -> Path:
        """Write them: .npz (values, names, labels, classes), .csv or .parquet (name, label, f0, f1, …)."""
        path = writable(path)
        said = [self.classes[label] if label >= 0 else "" for label in self.labels.tolist()]
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".npz":
            file = io.BytesIO()
            names = {"names": np.array(self.names), "classes": np.array(self.classes)}
            np.savez_compressed(file, values=self.values, labels=self.labels, **names)  # type: ignore[arg-type]
            return write_atomic(path, file.getvalue())
        columns = [f"f{index}" for index in range(self.values.shape[1])]
        if path.suffix == ".csv":
            text = io.StringIO()
            table = csv.writer(text)
            table.writerow(["name", "label", *columns])
            for name, label, row in zip(self.names, said, self.values.tolist(), strict=True):
                table.writerow([name, label, *(f"{value:.7g}" for value in row)])
            return write_atomic(path, text.getvalue())
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ImportError:
            raise MissingPart("pyarrow", "writing .parquet", "parquet") from None
        found = {"name": list(self.names), "label": said} | dict(zip(columns, self.values.T, strict=True))
        buffer = io.BytesIO()
        parquet.write_table(pa.table(found), buffer)
        return write_atomic(path, buffer.getvalue())

    def placed(self, method: Literal["pca", "tsne"] = "pca", seed: int = 0) -> np.ndarray:
        """N×2: the samples on a plane, by the two principal components, or by t-SNE of the first 50 of them.

        t-SNE (van der Maaten & Hinton 2008) keeps neighbours together; distances between groups mean nothing.
        Raises SpecError for another method, and DataError for fewer than three samples.
        """
        require_known("method", method, ("pca", "tsne"))
        from sklearn.decomposition import PCA
        from sklearn.manifold import TSNE

        count = len(self.values)
        if count < 3:
            raise DataError(f"a map needs at least 3 samples, and there are {count}")
        few = PCA(min(2 if method == "pca" else 50, *self.values.shape), random_state=seed).fit_transform(self.values)
        if method == "tsne":
            few = TSNE(2, perplexity=min(30.0, (count - 1) / 3), init="pca", random_state=seed).fit_transform(few)
        return np.asarray(few if few.shape[1] == 2 else np.pad(few, ((0, 0), (0, 1))), np.float32)

    def explained(self, points: np.ndarray) -> float:
        """The share of the values' variance that N×2 points hold, which `placed` made of principal components."""
        whole = self.values.var(0, dtype=np.float64).sum()
        return float(points.var(0, dtype=np.float64).sum() / whole) if whole else 1.0


def features(
    source: str | Path,
    model: str | Path | Predictor,
    *,
    weights: str | None = None,
    stage: int | None = None,
    split: str | None = None,
    batch: int = 64,
    device: str = "auto",
    watch: Watch | None = None,
) -> Features:
    """What a network sees in the images of a data set: the input of its last layer, or a stage's map, pooled.

    source: a named data set or a path; a photograph or a folder of them too, whose labels are unknown. model: a run, a
    bundle or a predictor; or a name in the catalog, with `weights`, "imagenet" by default. stage: from 0, the stem.
    split: of the data; all of it where it isn't given.
    Raises VisusError.
    """
    watch = watch or Silent()
    require_count("batch", batch)
    predictor = _predictor(model, weights, device)
    if not isinstance(predictor, NetworkPredictor) or not isinstance(predictor.model, Classifier):
        raise ModelError("features are taken of one network, not of a fusion or of views", "name one of the members")
    preprocess = predictor.manifest.preprocess
    if not isinstance(preprocess, ImagePreprocess):
        raise ModelError("features are taken of images", "name a model of images")
    dataset = _opened(Path(source))
    if split is not None and split not in dataset.splits:
        raise DataError(f"{dataset.name} has no split named {split!r}", "it has " + ", ".join(dataset.splits))
    samples: Samples = dataset.splits[split] if split else Joined(tuple(dataset.splits.values()))
    known = "label" in dataset.schema.targets
    schema = Schema(shape=dataset.schema.shape, targets=("label",) if known else (), labels=dataset.schema.labels)
    resources = resources_of(Runtime(), {"all": samples}, preprocess, watch)
    with watch.work("reading") as bar:
        prepared = prepare(samples, schema, preprocess, progress=bar, resources=resources)
    loader = Loader(prepared, preprocess, batch, device_of(device))
    with watch.work("computing features") as bar:
        values, labels = values_of(pooled_features(predictor.model, stage), loader, progress=bar)
    if skipped := [*dataset.skipped, *prepared.skipped]:
        watch.say(
            f"{counted(len(skipped), 'file')} left out: "
            + "; ".join(f"{printable(each.name)}: {each.cause}" for each in skipped[:3])
            + (" …" if len(skipped) > 3 else "")
        )
    names = tuple(printable(samples.name(row)) for row in prepared.rows.tolist())
    return Features(values, names, labels, dataset.schema.labels)


def _opened(path: Path) -> Dataset:
    """A data set; or a photograph, or those that lie in a folder itself, without labels."""
    alone = path.is_file() and path.suffix.lower() in EXTENSIONS
    if not alone and not (path.is_dir() and any(each.suffix.lower() in EXTENSIONS for each in path.iterdir())):
        return open_dataset(Data(source=str(path)))
    files = [OnDisk(each, each.name, each.stat().st_size) for each in image_files(path)]
    return Dataset(path.name, Schema(shape=(3, 0, 0), targets=()), {"all": FileSamples(files, [Target()] * len(files))})


def values_of(
    network: nn.Module, loader: Loader, *, progress: Callable[[int, int], None] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """N×F: what a network gives for the samples of a loader, in order; and their labels, −1 where there are none."""
    found = features_of(network, loader, progress=progress).prepared
    batch = found.gather(torch.arange(len(found.rows)))
    labels = batch.target.label if batch.target.label is not None else torch.full((len(batch),), -1)
    return batch.inputs.flatten(1).numpy(), labels.numpy()


def writable(path: str | Path) -> Path:
    """The path, if its ending is one that features are written as. Raises NotFound."""
    path = Path(path)
    if path.suffix not in FORMATS:
        raise NotFound(f"{path}: features are written as {', '.join(FORMATS)}", "name the file so")
    return path


def _predictor(model: str | Path | Predictor, weights: str | None, device: str) -> Predictor:
    if not isinstance(model, Predictor) and (str(model) in CATALOG or not Path(model).exists()):
        return pretrained(str(model), weights or "imagenet", device=device)
    if weights is not None:
        raise WeightsError(f"--weights {weights}: a trained model has its own", "leave it out, or name a network")
    return model if isinstance(model, Predictor) else load(model, device_of(device))


class _Mean(nn.Module):
    """N×C×H×W, or tokens N×T×D → N×C."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3)) if x.ndim == 4 else x.mean(1) if x.ndim == 3 else x


def pooled_features(model: Classifier, stage: int | None) -> nn.Module:
    """What gives N×F features: the part before the last layer, or the stages up to one, pooled. Raises ModelError."""
    if stage is None:
        return halves(model)[0]
    stages: Sequence[nn.Module] = list(model.backbone.stages)
    if not 0 <= stage < len(stages):
        raise ModelError(f"the network has no stage {stage}: it has {len(stages)}", f"0 … {len(stages) - 1}")
    return nn.Sequential(*stages[: stage + 1], _Mean())
