"""Predictors of whole images: window by window, at the images' own sizes."""

import numpy as np
import pytest
import torch
from msgspec.structs import replace

from tests.helpers import encoded, pixels
from tests.predictors import fusion, network
from visus.data.loader import prepare
from visus.data.samples import FileSamples, OnDisk
from visus.data.types import Schema, Target
from visus.data.views import Views
from visus.errors import ModelError, SpecError
from visus.models.decoders import ValidUNetDecoder
from visus.models.unet import UNet
from visus.ops.tiles import window
from visus.prediction import NetworkManifest, NetworkPredictor, Viewed, load, save
from visus.prediction.bundle import ANSWERS
from visus.prediction.engines.graph import Graph
from visus.run.evaluation import evaluate_predictor
from visus.tasks import Segment

SCHEMA = Schema(shape=(3, 0, 0), targets=("mask",), masks=("ground", "cat"))
TILE = {"fit": "tile", "size": (24, 24), "margin": 8}


def tiling(margin: int = 8, size: int = 24) -> NetworkPredictor:
    """A network whose pixels see 6 others each way: five 3×3 convolutions, of which none has a stride, and 1×1."""
    return network(schema=SCHEMA, task=Segment(), **{**TILE, "margin": margin, "size": (size, size)})


def test_images_of_any_size_get_masks_of_theirs():
    images = [pixels(seed, height, width) for seed, (height, width) in enumerate([(30, 50), (24, 24), (9, 70)])]
    found = tiling()(images)
    assert [each.mask.shape for each in found] == [image.shape[:2] for image in images]
    assert found[0].image is not None
    assert repr(tiling()).endswith("; 2 classes of pixels)")


def test_it_makes_no_difference_where_the_windows_lie():
    image = torch.from_numpy(pixels(0, 33, 47)).permute(2, 0, 1)[None]
    whole = tiling()
    around = whole.network_outputs(window(image, -10, -10, (53, 67)))[..., 10:-10, 10:-10]
    for margin, size in ((8, 24), (10, 24), (8, 31), (12, 60)):
        assert torch.allclose(tiling(margin, size).outputs(image), around, atol=1e-5)


def test_a_network_without_padding_is_tiled_as_published():
    spec, task = UNet(widths=(4, 8), dropout=0.0), Segment(decoder=ValidUNetDecoder())
    image = torch.from_numpy(pixels(0, 33, 47)).permute(2, 0, 1)[None]
    found = []
    for size in (44, 60):
        preprocess = replace(tiling().preprocess, size=(size, size), margin=8)
        manifest = NetworkManifest(task=task, schema=SCHEMA, model="unet", network=spec, preprocess=preprocess)
        torch.manual_seed(0)
        predictor = NetworkPredictor(manifest, task.assemble(spec, preprocess.seen(SCHEMA)).eval())
        found.append(predictor.outputs(image))
        assert found[-1].shape == (1, 2, 33, 47)
    assert torch.allclose(*found, atol=1e-5)


def test_views_and_fusions_of_tiles_are_refused():
    with pytest.raises(SpecError, match="window by window already"):
        Viewed(tiling(), Views(mirror=True))
    with pytest.raises(SpecError, match="can't be fused"):
        fusion(tiling(), tiling())


def test_a_network_that_says_one_thing_of_an_image_cant_be_tiled():
    with pytest.raises(ModelError, match="pixel by pixel"):
        network(**TILE)([pixels(0, 30, 30)])


def test_it_is_measured_on_whole_images_of_any_size(tmp_path):
    sizes = ((30, 40), (20, 26))
    predictor = tiling()
    masks = [(pixels(row, *size, 1)[..., 0] > 127).astype(np.uint8) for row, size in enumerate(sizes)]
    images = [pixels(row, *size) for row, size in enumerate(sizes)]
    stored = []
    for row, image in enumerate(images):
        (tmp_path / f"{row}.png").write_bytes(encoded(image))
        stored.append(OnDisk(tmp_path / f"{row}.png", f"{row}.png", (tmp_path / f"{row}.png").stat().st_size))
    prepared = prepare(FileSamples(stored, [Target(mask=mask) for mask in masks]), SCHEMA, predictor)
    found = evaluate_predictor(predictor, prepared, cases=True)
    said = [each.mask for each in predictor(images)]
    right = sum((one == other).sum() for one, other in zip(said, masks, strict=True))
    assert found.scores["accuracy"].value == pytest.approx(right / sum(mask.size for mask in masks))
    assert {case.prediction.mask.shape for case in found.worst} == set(sizes)


def test_a_bundle_keeps_a_part_of_its_many_numbers_and_replays_them(tmp_path):
    predictor = tiling()
    save(tmp_path / "model", predictor, [pixels(0, 60, 90)])
    again = load(tmp_path / "model")
    (golden,) = again.manifest.goldens
    assert len(golden.output) == ANSWERS < 2 * 60 * 90
    assert (again(pixels(1, 40, 44)).mask == predictor(pixels(1, 40, 44)).mask).all()


def test_engines_and_graphs_take_windows_of_one_size():
    predictor, seen = tiling(), []

    def engine(placed: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(placed.shape[1:]))
        return Graph(predictor)(placed)[0]

    image = pixels(0, 30, 50)
    by_engine = NetworkPredictor(predictor.manifest, predictor.model, engine=engine)
    assert (by_engine(image).mask == predictor(image).mask).all()
    assert set(seen) == {(3, 24, 24)}
    assert predictor.looked_at(predictor.place(image)[None]).shape == (1, 3, 24, 24)
    with pytest.raises(SpecError, match="a graph takes one window"):
        Graph(predictor, "image")
