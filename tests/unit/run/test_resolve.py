"""What is chosen and what is refused, for the data at hand."""

import numpy as np
import pytest
import torch

from tests import trees
from visus.data.open import open_dataset
from visus.data.splits import divide
from visus.errors import SpecError
from visus.run.recipe import compose
from visus.run.resolve import resolve


@pytest.mark.parametrize(
    ("source", "setting", "said"),
    [
        ("digits", "augment.hue=20", "the images are grey"),
        ("digits", "augment.saturation=0.2", "the images are grey"),
        ("diabetes", "augment.flip=true", "the data are vectors"),
        ("diabetes", "augment.randaugment={}", "the data are vectors"),
    ],
)
def test_what_augmentation_cant_do_is_refused(source, setting, said):
    recipe = compose({"model": {"name": "mlp"}, "data": {"source": source}}, [setting])
    with pytest.raises(SpecError, match=said):
        resolve(recipe, divide(open_dataset(recipe.data), recipe.data, 0), lambda text: None)


def test_windows_are_for_answers_to_every_pixel():
    recipe = compose(
        {"model": {"name": "resnet8"}, "data": {"source": "digits"}}, ["preprocess.fit=tile", "preprocess.margin=1"]
    )
    with pytest.raises(SpecError, match="answers to every pixel, and the task uses label"):
        resolve(recipe, divide(open_dataset(recipe.data), recipe.data, 0), lambda text: None)


def test_classes_of_pixels_are_weighed_by_what_the_training_masks_hold():
    recipe = compose(
        {"model": {"name": "resnet8"}, "data": {"source": "scenes", "count": 40}, "task": {"kind": "segment"}},
        ["task.balance=true", "preprocess.fit=tile", "preprocess.size=[48,48]", "preprocess.margin=8"],
    )
    plan = resolve(recipe, divide(open_dataset(recipe.data), recipe.data, 0), lambda text: None)
    train = plan.dataset.splits["train"]
    counts = np.bincount(np.stack([train.target(row).mask for row in range(40)]).ravel(), minlength=17)
    wanted = counts.sum() / (17 * counts.clip(1))
    assert plan.task.weights == pytest.approx(wanted.tolist(), rel=1e-5)  # 64×64 masks are taken as they are
    assert (plan.recipe.preprocess.fit, plan.recipe.preprocess.margin) == ("tile", 8)
    assert plan.schema.targets == ("mask",)


@pytest.mark.parametrize(
    ("sizes", "model", "size"),
    [
        ([(480, 640)] * 6, "resnet18", (256, 320)),  # the longer side halved, both multiples of 32
        ([(100, 130)] * 6, "resnet18", (128, 160)),  # not enlarged
        ([(480, 640)] * 3 + [(640, 480)] * 3, "resnet18", (320, 320)),
        ([(480, 640)] * 6, "vit_tiny_patch16", (224, 224)),  # which takes no other size
        ([(60, 40)] * 6, "resnet18", (60, 40)),
    ],
)
def test_of_images_with_objects_nothing_is_cut_off(tmp_path, sizes, model, size):
    names = [f"{number}.png" for number in range(len(sizes))]
    for name, (height, width) in zip(names, sizes, strict=True):
        trees.images(tmp_path / "images", [name], height, width)
        trees.put(tmp_path / "labels" / f"{name[0]}.txt", "0 0.5 0.5 0.2 0.2\n")
    trees.put(tmp_path / "data.yaml", "names: [cell]\ntrain: images\n")
    recipe = compose({"model": {"name": model}, "data": {"source": str(tmp_path)}, "task": {"kind": "detect"}}, [])
    plan = resolve(recipe, divide(open_dataset(recipe.data), recipe.data, 0), lambda text: None)
    assert (plan.preprocess.fit, plan.preprocess.size) == ("pad", size)


def test_yolos_own_network_and_task_are_the_papers_detector_without_a_setting():
    recipe = compose(
        {"model": {"name": "yolo_v1"}, "data": {"source": "scenes", "count": 40}, "task": {"kind": "yolo_v1"}}, []
    )
    plan = resolve(recipe, divide(open_dataset(recipe.data), recipe.data, 0), lambda text: None)
    assert plan.preprocess.shape == (3, 448, 448)  # though the images have 64×64 pixels
    with torch.device("meta"):
        model = plan.task.assemble(plan.network, plan.preprocess.seen(plan.schema))
    classes = len(plan.schema.labels)  # the paper's has 20, and 271,703,550 parameters: tests/unit/tasks/test_yolo.py
    assert sum(each.numel() for each in model.parameters()) == 271_703_550 + 4097 * 49 * (classes - 20)
    assert model.cells == (7, 7)
