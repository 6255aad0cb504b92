"""Fusions: the mean by its formula, names matched, and what can't be fused refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec.structs import replace

from tests.helpers import pixels
from tests.predictors import LABELS, PHOTOS, REGRESS, ROWS, SIZES, TAGS, fusion, network
from visus.data.types import Schema
from visus.data.views import Views
from visus.errors import BundleError, ModelError, SpecError
from visus.prediction import Fusion, FusionManifest, NetworkPredictor, Viewed, load, save
from visus.tasks import Classify

IMAGES = [pixels(seed, 14 + seed, 20 - seed) // (seed + 1) for seed in range(4)]


def probabilities(predictor) -> np.ndarray:
    return np.stack([each.probabilities for each in predictor(IMAGES)])


@pytest.mark.parametrize("schema", [PHOTOS, TAGS], ids=["classes", "labels"])
def test_the_arithmetic_mean_is_that_of_the_probabilities(schema):
    one, other = network(1, schema), network(2, schema, channels=1, mean=(0.2,), size=(8, 8))
    found = probabilities(fusion(one, other, weights=(3, 1)))
    np.testing.assert_allclose(found, 0.75 * probabilities(one) + 0.25 * probabilities(other), atol=1e-6)


def test_the_geometric_mean_of_classes_by_its_formula():
    one, other = network(1), network(2)
    product = probabilities(one) ** 0.3 * probabilities(other) ** 0.7
    found = probabilities(fusion(one, other, weights=(3, 7), how="geometric"))
    np.testing.assert_allclose(found, product / product.sum(1, keepdims=True), atol=1e-6)


def test_the_geometric_mean_of_labels_by_its_formula():
    one, other = network(1, TAGS), network(2, TAGS)
    (p, q), w = (probabilities(one), probabilities(other)), 0.3
    there, absent = p**w * q ** (1 - w), (1 - p) ** w * (1 - q) ** (1 - w)
    found = probabilities(fusion(one, other, weights=(3, 7), how="geometric"))
    np.testing.assert_allclose(found, there / (there + absent), atol=1e-6)


def test_values_are_averaged_and_have_no_geometric_mean():
    one, other = network(1, SIZES), network(2, SIZES)
    both = [np.stack([each.values for each in predictor(IMAGES)]) for predictor in (one, other)]
    found = np.stack([each.values for each in fusion(one, other, weights=(4, 1))(IMAGES)])
    np.testing.assert_allclose(found, 0.8 * both[0] + 0.2 * both[1], rtol=1e-5)
    with pytest.raises(SpecError, match="values have no probabilities"):
        fusion(one, other, how="geometric")(IMAGES[0])


def test_a_certain_member_and_one_that_rules_it_out_are_averaged_without_overflow():
    task, schema = Classify(), PHOTOS
    sure, other = torch.tensor([[900.0, 0.0, 0.0]]), torch.tensor([[-900.0, 0.0, 0.0]])
    fused = task.fuse([sure, other], torch.tensor([0.5, 0.5]), "arithmetic", schema)
    assert torch.softmax(fused, 1)[0].tolist() == pytest.approx([0.5, 0.25, 0.25])
    alone = task.fuse([sure, other], torch.tensor([0.0, 1.0]), "arithmetic", schema)
    assert torch.softmax(alone, 1)[0].tolist() == pytest.approx([0, 0.5, 0.5])


def test_views_are_averaged_as_members_are():
    net, views = network(3), Views(scales=(1.0, 1.3), crops="five", mirror=True)
    viewed = Viewed(net, views)
    placed = net.preprocess.place_views(torch.from_numpy(IMAGES[0].copy())[None], views.each())[0]
    each = torch.softmax(net.outputs(placed), 1).mean(0).numpy()
    np.testing.assert_allclose(viewed(IMAGES[0]).probabilities, each, atol=1e-6)
    np.testing.assert_allclose(fusion(viewed)(IMAGES[0]).probabilities, each, atol=1e-6)
    assert viewed.looks == 20
    assert len(viewed.place(IMAGES[0])) == 20


def test_a_fusion_of_a_fusion_weighs_as_all_together():
    one, other, third = (network(seed) for seed in range(3))
    nested = fusion(fusion(one, other, weights=(1, 3)), third, weights=(2, 1))
    flat = fusion(one, other, third, weights=(2 / 3 * 1 / 4, 2 / 3 * 3 / 4, 1 / 3))
    np.testing.assert_allclose(probabilities(nested), probabilities(flat), atol=1e-6)


def test_the_names_of_another_order_are_matched():
    one = network(1)
    shuffled = NetworkPredictor(
        replace(one.manifest, schema=replace(PHOTOS, labels=("emu", "cat", "dog"))), network(2).model
    )
    both = fusion(one, shuffled)
    (said,) = both([IMAGES[0]])
    by_name = [dict(predictor(IMAGES[0]).top(3)) for predictor in (one, shuffled)]
    assert dict(said.top(3)) == pytest.approx({name: (by_name[0][name] + by_name[1][name]) / 2 for name in LABELS})
    assert both.schema.labels == LABELS


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (network(1, replace(PHOTOS, labels=("cat", "dog", "fox"))), r"\(m1\).*\(m0\).*lacks emu and has fox besides"),
        (network(1, replace(PHOTOS, labels=(*LABELS, "fox"))), "has fox besides"),
        (network(1, TAGS), r"member 2 \(m1\) gives labels by classify, and member 1 \(m0\) label by classify"),
        (network(1, SIZES), "gives values by regress"),
        (network(1, ROWS), "takes other inputs"),
    ],
)
def test_members_that_answer_another_question_are_refused(other, says):
    with pytest.raises(SpecError, match=says):
        fusion(network(0), other)


def test_vectors_of_other_features_are_refused():
    with pytest.raises(SpecError, match="takes other inputs"):
        fusion(network(0, ROWS), network(1, replace(ROWS, features=("a", "b", "c", "e"))))


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ((1,), "1 weights for 2 members"),
        ((1, -1), "the weights are 1, -1"),
        ((0, 0), "not all of them 0"),
        ((1, float("nan")), "the weights are 1, nan"),
    ],
)
def test_weights_that_make_no_mean_are_refused(weights, says):
    with pytest.raises(SpecError, match=says):
        fusion(network(0), network(1), weights=weights)


def test_weights_are_brought_to_a_sum_of_one():
    assert fusion(network(0), network(1), weights=(3, 1)).weights == (0.75, 0.25)
    assert fusion(network(0), network(1), network(2)).weights == pytest.approx((1 / 3,) * 3)


def test_a_fusion_says_its_classes_in_words():
    both = fusion(network(), network(1))
    said = both.decode_predictions(both.outputs(torch.stack([both.place(image) for image in IMAGES])), top=2)
    assert said == [each.top(2) for each in both(IMAGES)]


def test_nothing_cannot_be_fused():
    with pytest.raises(SpecError, match="at least one member"):
        fusion()


def test_a_member_that_gives_no_numbers_is_named():
    bad = network(1)
    with torch.no_grad():
        next(bad.model.parameters()).fill_(float("nan"))
    with pytest.raises(ModelError, match=r"member 2 \(m1\) gives NaN"):
        fusion(network(0), bad)(IMAGES[0])


def test_views_that_show_all_of_an_image_each_time_are_refused():
    whole = network(0, replace(PHOTOS, shape=(3, 10, 12)), crop=1.0)
    with pytest.raises(SpecError, match=r"'ten' are all alike[\s\S]*--scales"):
        Viewed(whole, Views(crops="five", mirror=True))
    assert Viewed(whole, Views(scales=(1.25,), crops="five")).looks == 5
    assert Viewed(whole, Views(mirror=True)).looks == 2
    with pytest.raises(SpecError, match="takes vectors"):
        Viewed(network(0, ROWS), Views(mirror=True))


def test_views_are_averaged_in_one_way_with_the_members():
    with pytest.raises(SpecError, match="averaged otherwise"):
        fusion(network(0), Viewed(network(1), Views(mirror=True)), how="geometric")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "fusion"
    save(folder, fusion(fusion(network(0), network(1)), Viewed(network(2), Views(mirror=True))), IMAGES[:2])
    return folder


@pytest.fixture
def bundle(written: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(written, tmp_path / "fusion"))


def test_its_members_can_be_taken_out(bundle: Path):
    whole = load(bundle)
    assert isinstance(whole, Fusion)
    (inner, viewed) = whole.members
    assert isinstance(inner, Fusion)
    assert isinstance(viewed, Viewed)
    alone = load(bundle / "members" / "2")
    assert isinstance(alone, NetworkPredictor)  # its views are the fusion's
    np.testing.assert_allclose(probabilities(alone), probabilities(viewed.network), atol=1e-6)


def test_a_member_that_was_exchanged_is_noticed(bundle: Path):
    first, second = bundle / "members" / "1", bundle / "members" / "2"
    shutil.rmtree(first)
    shutil.copytree(second, first)  # a good bundle, and not the one
    with pytest.raises(BundleError, match=r"members.1.visus\.json: is damaged: its checksum fails"):
        load(bundle)


def test_a_member_that_is_gone_is_named(bundle: Path):
    shutil.rmtree(bundle / "members" / "2")
    with pytest.raises(BundleError, match=r"members.2.visus\.json: can't be read"):
        load(bundle)


def test_drift_from_the_goldens_is_refused(bundle: Path):
    path = bundle / "visus.json"
    plain = json.loads(path.read_text())
    plain["members"][0]["weight"], plain["members"][1]["weight"] = 0.9, 0.1
    path.write_text(json.dumps(plain))
    with pytest.raises(BundleError, match="golden input 1 gives another answer"):
        load(bundle)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"members": []}, "sum is 0"),
        ({"kind": "medley"}, "unknown kind 'medley'"),
        ({"how": "harmonic"}, "how can't be 'harmonic'"),
        ({"format": 9}, "format 9"),
        ({"colour": "red"}, "no setting colour"),
    ],
)
def test_a_damaged_description_is_refused(bundle: Path, change, says):
    path = bundle / "visus.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BundleError, match=says):
        load(bundle)


def test_views_of_a_fusion_are_refused(bundle: Path):
    path = bundle / "visus.json"
    plain = json.loads(path.read_text())
    plain["members"][0]["views"] = {"mirror": True}
    path.write_text(json.dumps(plain))
    with pytest.raises(BundleError, match="member 1 has views, and is a fusion"):
        load(bundle)


def test_a_fusion_is_its_manifest_and_its_members():
    first = network(0, SIZES)
    manifest = FusionManifest(task=REGRESS, schema=SIZES, members=())
    with pytest.raises(SpecError, match="sum is 0"):
        Fusion(manifest, ())
    assert fusion(first).task == first.task
    assert fusion(first).schema == Schema(shape=(3, 0, 0), targets=("values",), values=("weight", "height"))
