"""What a network sees, as numbers in files."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pyarrow import parquet
from sklearn.decomposition import PCA

import visus
from tests.helpers import class_folders, pixels
from tests.runs import quick_run
from visus.errors import DataError, ModelError, NotFound, SpecError, WeightsError
from visus.run.features import Features, pooled_features


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    quick_run(folder, epochs=1, settings=("optim.lr=0.01",), model="resnet8")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("photos"), {"cat": 3, "dog": 4})


def test_features_are_what_the_last_layer_takes(run, photos):
    found = visus.features(photos, str(run), device="cpu")
    assert found.values.shape == (7, 64)
    assert [found.classes[label] for label in found.labels] == ["cat"] * 3 + ["dog"] * 4
    assert [Path(name).name for name in found.names] == [
        *(f"{i}.png" for i in range(3)),
        *(f"{i}.png" for i in range(4)),
    ]
    predictor = visus.load(run)
    placed = torch.stack([predictor.place(pixels(seed)) for seed in range(7)])  # as the files were drawn
    with torch.inference_mode():
        model = predictor.model
        x = predictor.manifest.preprocess.normalize(placed)
        assert np.allclose(found.values, model.backbone(x).mean((2, 3)).numpy(), atol=1e-5)
        scores = torch.from_numpy(found.values) @ model.head[2].weight.T + model.head[2].bias
        assert torch.allclose(scores, model(x), atol=1e-4)


def test_features_of_a_stage_are_its_map_pooled(run, photos):
    predictor = visus.load(run)
    found = visus.features(photos, predictor, stage=1, device="cpu")
    placed = torch.stack([predictor.place(pixels(seed)) for seed in range(7)])
    with torch.inference_mode():
        maps = predictor.model.backbone.maps(predictor.manifest.preprocess.normalize(placed))
    assert np.allclose(found.values, maps[1].mean((2, 3)).numpy(), atol=1e-5)


@pytest.mark.parametrize("stage", [-1, 9])
def test_a_stage_that_is_not_there(run, stage):
    with pytest.raises(ModelError, match=f"has no stage {stage}"):
        pooled_features(visus.load(run).model, stage)


def test_one_split_alone(run):
    found = visus.features("digits", run, split="train", device="cpu")
    assert len(found.values) == 1797  # scikit-learn's
    with pytest.raises(DataError, match="has no split named 'tset'"):
        visus.features("digits", run, split="tset", device="cpu")


def test_a_trained_model_has_its_own_weights(run, photos):
    with pytest.raises(WeightsError, match="has its own"):
        visus.features(photos, run, weights="imagenet")
    with pytest.raises(NotFound, match="resnet9"):
        visus.features(photos, "resnet9")


def some() -> Features:
    values = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    names = ("a.png", "b, c.png", "d\n.png", "é.png", "f.png")
    return Features(values, names, np.array([0, 1, 1, -1, 0]), ("cat", "dog"))


def test_npz(tmp_path):
    found = some()
    with np.load(found.save(tmp_path / "new" / "f.npz"), allow_pickle=False) as file:
        assert np.array_equal(file["values"], found.values)
        assert tuple(file["names"]) == found.names
        assert file["labels"].tolist() == [0, 1, 1, -1, 0]
        assert file["classes"].tolist() == ["cat", "dog"]


def test_csv(tmp_path):
    found = some()
    with found.save(tmp_path / "f.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["name", "label", "f0", "f1", "f2"]
    assert tuple(row["name"] for row in rows) == found.names
    assert [row["label"] for row in rows] == ["cat", "dog", "dog", "", "cat"]
    values = [[float(row[f"f{column}"]) for column in range(3)] for row in rows]
    assert np.allclose(values, found.values, rtol=1e-6)


def test_parquet(tmp_path):
    found = some()
    table = parquet.read_table(found.save(tmp_path / "f.parquet"))
    assert table.column_names == ["name", "label", "f0", "f1", "f2"]
    assert tuple(table["name"].to_pylist()) == found.names
    assert np.array_equal(np.stack([table[f"f{column}"].to_numpy() for column in range(3)], 1), found.values)


def test_another_ending(tmp_path):
    with pytest.raises(NotFound, match=r"are written as \.npz, \.csv, \.parquet"):
        some().save(tmp_path / "f.xlsx")
    assert not list(tmp_path.iterdir())


def test_principal_components_are_those_of_the_covariance():
    """The plane of the two eigenvectors of the covariance with the largest eigenvalues; each up to its sign."""
    values = np.random.default_rng(1).normal(size=(40, 5)).astype(np.float32) * [5, 3, 1, 1, 1]
    features = Features(values.astype(np.float32), ("x",) * 40, np.zeros(40, int), ("a",))
    found = features.placed("pca")
    centred = values - values.mean(0)
    variances, vectors = np.linalg.eigh(np.cov(centred.T))
    wanted = centred @ vectors[:, ::-1][:, :2]
    assert np.allclose(np.abs(found), np.abs(wanted), atol=1e-3)
    assert np.allclose(np.abs(found), np.abs(PCA(2).fit_transform(values)), atol=1e-3)
    assert features.explained(found) == pytest.approx(variances[-2:].sum() / variances.sum(), rel=1e-5)


def test_another_way_to_a_map():
    with pytest.raises(SpecError, match="method can't be 'umap'"):
        Features(np.zeros((4, 3), np.float32), tuple("abcd"), np.zeros(4, int), ("a",)).placed("umap")


def test_t_sne_keeps_groups_apart_and_repeats():
    random = np.random.default_rng(2)
    values = np.concatenate([random.normal(0, 1, (20, 8)), random.normal(30, 1, (20, 8))]).astype(np.float32)
    features = Features(values, ("x",) * 40, np.repeat([0, 1], 20), ("a", "b"))
    found = features.placed("tsne")
    assert np.array_equal(found, features.placed("tsne"))
    distance = np.linalg.norm(found[:, None] - found[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert all((row < 20) == (nearest < 20) for row, nearest in enumerate(distance.argmin(1)))


def test_a_map_of_few_samples_and_of_one_feature():
    two = Features(np.zeros((2, 4), np.float32), ("a", "b"), np.zeros(2, int), ("x",))
    with pytest.raises(DataError, match="at least 3 samples, and there are 2"):
        two.placed()
    line = Features(np.arange(5, dtype=np.float32)[:, None], ("x",) * 5, np.zeros(5, int), ("x",))
    assert line.placed("pca").shape == (5, 2)
    assert np.ptp(line.placed("pca")[:, 1]) == 0


def test_photographs_without_classes_have_no_labels(run: Path, tmp_path: Path) -> None:
    for seed, size in enumerate(((20, 30), (33, 21), (40, 40))):
        Image.fromarray(pixels(seed, *size)).save(tmp_path / f"{seed}.png")
    found = visus.features(tmp_path, run, device="cpu")
    assert found.names == ("0.png", "1.png", "2.png")
    assert found.labels.tolist() == [-1, -1, -1]
    alone = visus.features(tmp_path / "1.png", run, device="cpu")
    np.testing.assert_allclose(alone.values, found.values[1:2], rtol=1e-4, atol=1e-5)
