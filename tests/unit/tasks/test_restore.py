"""The task of restoration: what it builds, learns, says and refuses."""

import tomllib

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from tests.helpers import pixels
from visus.data.augment import Augment
from visus.data.degrade import Noise
from visus.data.loader import Loader, prepare
from visus.data.patches import Patch
from visus.data.preprocess import ImagePreprocess, Placement
from visus.data.samples import ArraySamples
from visus.data.types import Batch, Schema, Target, Targets
from visus.errors import DataError, ModelError, SpecError
from visus.models import TINY, build_classifier
from visus.models.decoders import UNetDecoder
from visus.models.dncnn import DnCNN, Straight
from visus.models.mlp import MLP
from visus.models.resnet import ResNet, SmallStem
from visus.nn.restorer import Restorer
from visus.prediction import NetworkManifest, NetworkPredictor
from visus.run.evaluation import evaluate_predictor
from visus.spec import decode, dumps
from visus.tasks import Case, Restoration, Restore
from visus.training import AdamW, fit, ready
from visus.weights.load import Weights, put

PAIRS = Schema(shape=(3, 24, 24), targets=("image",))
PREPROCESS = ImagePreprocess(size=(24, 24), mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
NETWORKS = {
    "straight": DnCNN(depth=4, channels=16),
    "folded": DnCNN(depth=4, channels=16, fold=2),
    "U-Net": ResNet(depths=(1, 1), widths=(8, 16), stem=SmallStem(channels=8)),
}
each_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=list(NETWORKS))


def clean(count: int = 4, side: int = 24) -> torch.Tensor:
    """N×3×side×side uint8: squares of one colour."""
    coarse = torch.randint(30, 226, (count, 3, side // 8, side // 8), generator=torch.Generator().manual_seed(0))
    return coarse.repeat_interleave(8, 2).repeat_interleave(8, 3).to(torch.uint8)


def batch(sigma: float = 25.0) -> Batch:
    x = clean()
    noisy = x + torch.randn(x.shape, generator=torch.Generator().manual_seed(1)) * sigma
    return Batch(PREPROCESS.normalize(noisy), Targets(image=x), torch.arange(len(x)))


def trained(task: Restore, network, steps: int = 0) -> tuple[Restorer, list[float]]:
    torch.manual_seed(0)
    task = task.fitted(PAIRS, batch().target).scaled(PREPROCESS)
    model = task.assemble(network, PAIRS)
    (player,) = task.players(model)
    losses = []
    for step in fit(ready((player,), AdamW(lr=0.01)), iter(batch, None), steps=steps):
        losses.append(step.losses["restorer"][task.loss].item())
    return model.eval(), losses


@pytest.mark.parametrize(("name", "residual"), [*((name, True) for name in NETWORKS), ("U-Net", False)])
def test_it_learns_to_take_noise_away(name, residual):
    task = Restore(residual=residual)
    model, losses = trained(task, NETWORKS[name], 50)
    assert losses[-1] < losses[0] / 2
    assert all(parameter.grad is not None for parameter in model.parameters())
    task, meter, before = task.scaled(PREPROCESS), task.meter(PAIRS), task.meter(PAIRS)
    with torch.inference_mode():
        output = model.train()(batch().inputs)
    task.measure(meter, output, batch().target)
    given = PREPROCESS.denormalize(batch().inputs)
    task.measure(before, given / 255, batch().target)
    assert before.scores()["psnr"].value == pytest.approx(20.3, abs=0.3)  # 10·log10(255²/25²) = 20.17, less clipped
    assert meter.scores()[task.goal(PAIRS)].value > before.scores()["psnr"].value + 2


@pytest.mark.parametrize("loss", ["mse", "l1", "charbonnier"])
def test_losses_are_those_of_pixels_from_0_to_1(loss):
    task = Restore(loss=loss).scaled(PREPROCESS)
    model = task.assemble(NETWORKS["straight"], PAIRS)
    (player,) = task.players(model)
    apart = model(batch().inputs) - batch().target.image / 255
    wanted = {
        "mse": apart.square().mean(), "l1": apart.abs().mean(), "charbonnier": (apart**2 + 1e-6).sqrt().mean(),
    }  # fmt: skip
    assert player.loss(batch())[loss].item() == pytest.approx(wanted[loss].item(), rel=1e-5)


@each_network
@pytest.mark.parametrize("sides", [(24, 24), (19, 30), (3, 5)])
def test_a_network_that_finds_nothing_to_take_away_gives_the_image(network, sides):
    """Whatever its size, and in whatever order the network takes colours."""
    x = torch.randint(0, 256, (2, 3, *sides), dtype=torch.uint8)
    for order in ("rgb", "bgr"):
        preprocess = ImagePreprocess(size=(24, 24), mean=PREPROCESS.mean, std=PREPROCESS.std, order=order)
        model = Restore().scaled(preprocess).assemble(network, PAIRS).eval()
        for parameter in model.parameters():
            torch.nn.init.zeros_(parameter)
        with torch.inference_mode():
            found = model(preprocess.normalize(x))
        assert found.dtype == torch.float32
        assert torch.allclose(found * 255, x.float(), atol=1e-2)


def test_decoders_are_chosen_by_the_networks_maps_or_named():
    task = Restore().scaled(PREPROCESS)
    assert type(task.assemble(NETWORKS["folded"], PAIRS).inner).__name__ == "Unfolded"
    assert type(task.assemble(NETWORKS["U-Net"], PAIRS).inner).__name__ == "Expanding"
    named = Restore(decoder=UNetDecoder(width=4)).scaled(PREPROCESS)
    assert type(named.assemble(NETWORKS["straight"], PAIRS).inner).__name__ == "Expanding"
    with pytest.raises(ModelError, match="one resolution"):
        Restore(decoder=Straight()).scaled(PREPROCESS).assemble(NETWORKS["U-Net"], PAIRS)


def test_a_trained_network_goes_under_a_decoder():
    network = NETWORKS["U-Net"]
    state = build_classifier(network, (3, 24, 24), 5).state_dict()
    model = Restore().scaled(PREPROCESS).assemble(network, PAIRS)
    left = put(model, Weights(network, (3, 24, 24), 5, dict(state), "here.pt"), new_head=True)
    assert left == ["inner.blocks.*", "inner.last.*"]
    taken = {name.removeprefix("inner."): tensor for name, tensor in model.state_dict().items()}
    backbone = [name for name in state if name.startswith("backbone.")]
    assert all(torch.equal(taken[name], state[name]) for name in backbone)


def test_pairs_stay_together_and_an_image_that_is_left_as_it_is_has_the_figures_of_what_was_given():
    """Windows and patches of a pair are of one place, and what is measured is what the network makes of the input."""
    given, wanted = (np.stack([pixels(10 * each + row, 30, 26) for row in range(3)]) for each in (0, 1))
    samples = ArraySamples("pairs", given, [Target(image=each) for each in wanted])
    preprocess = ImagePreprocess(size=(24, 24), fit="tile", margin=4, mean=(0.5,) * 3, std=(0.25,) * 3)
    prepared = prepare(samples, PAIRS, preprocess)
    loader = Loader(prepared, preprocess, 3, torch.device("cpu"), Augment(patch=Patch(size=12, turn=True)))
    both = {tuple(a) + tuple(b) for a, b in zip(given.reshape(-1, 3), wanted.reshape(-1, 3), strict=True)}
    batch = next(loader.train())
    seen = torch.cat([preprocess.denormalize(batch.inputs), batch.target.image], 1).permute(0, 2, 3, 1).reshape(-1, 6)
    assert {tuple(each) for each in seen.tolist()} <= both
    task = Restore().scaled(preprocess)
    model = task.assemble(NETWORKS["straight"], PAIRS).eval()
    torch.nn.init.zeros_(model.inner.last.weight)
    manifest = NetworkManifest(
        task=task, model="dncnn", network=NETWORKS["straight"], schema=PAIRS, preprocess=preprocess
    )
    found = evaluate_predictor(NetworkPredictor(manifest, model), prepared, cases=True)
    ratios = [10 * np.log10(255**2 / np.square(a - b.astype(float)).mean()) for a, b in zip(given, wanted, strict=True)]
    assert found.scores["psnr"].value == pytest.approx(np.mean(ratios))
    assert found.degraded == ""
    assert np.array_equal(found.worst[0].prediction.restored, found.worst[0].image)


def test_it_survives_toml():
    task = Restore(degrade=(Noise(sigma=(0, 55)),), decoder=UNetDecoder(width=8), loss="l1").scaled(PREPROCESS)
    assert decode(tomllib.loads(dumps(task)), Restore) == task


def test_what_cannot_be_is_refused():
    with pytest.raises(DataError, match="needs pairs"):
        Restore().fitted(Schema(targets=()), Targets())
    with pytest.raises(SpecError, match="pairs already"):
        Restore(degrade=(Noise(),)).fitted(PAIRS, batch().target)
    with pytest.raises(SpecError, match="nothing lies between"):
        Restore(degrade=(Noise(sigma=(9, 1)),)).fitted(Schema(targets=()), Targets())
    with pytest.raises(DataError, match="`scaled` first"):
        Restore().assemble(NETWORKS["straight"], PAIRS)
    with pytest.raises(ModelError, match="fixed grid of patches"):
        Restore().scaled(PREPROCESS).assemble(TINY["vit"], Schema(shape=(3, 32, 32), targets=("image",)))
    with pytest.raises(ModelError, match="vectors"):
        Restore().scaled(PREPROCESS).assemble(MLP(), Schema(inputs="vector", shape=(7,), targets=()))
    with pytest.raises(SpecError, match="probabilities"):
        Restore().fuse([torch.zeros(1, 3, 2, 2)], torch.ones(1), "geometric", PAIRS)


def test_several_are_averaged_by_weight():
    outputs = [torch.full((2, 3, 4, 4), value) for value in (0.0, 0.5)]
    found = Restore().fuse(outputs, torch.tensor([0.25, 0.75]), "arithmetic", PAIRS)
    assert torch.allclose(found, torch.tensor(0.375))


def test_errors_are_mean_squared_ones_of_each_image():
    output = torch.zeros(2, 3, 4, 4)
    target = Targets(image=torch.stack([torch.zeros(3, 4, 4), torch.full((3, 4, 4), 51)]).to(torch.uint8))
    assert Restore().errors(output, target).tolist() == pytest.approx([0, 0.04])


def test_pixels_are_rounded_and_clipped():
    output = torch.tensor([-0.3, 0.5 / 255 + 1e-5, 100.4 / 255, 1.7]).view(1, 1, 2, 2)
    (found,) = Restore().decode(output, PAIRS)
    assert found.restored[..., 0].tolist() == [[0, 1], [100, 255]]


def restoration(channels: int = 3) -> Restoration:
    restored = np.random.default_rng(0).integers(0, 200, (40, 60, channels), dtype=np.uint8)
    return Restoration(restored).on(restored + 3, Placement(1, 1, 0, 0, 40, 60))


def test_a_prediction_tells_its_size_and_what_was_changed():
    found = restoration()
    assert found.row() == {"width": 60, "height": 40, "channels": 3, "change": pytest.approx(3)}
    assert found.text() == "60×40 restored, changed by 3.0 of 255"
    assert Restoration(found.restored).row()["change"] is None
    grey = Restoration(found.restored[..., :1]).on(found.image, Placement(1, 1, 0, 0, 40, 60))
    assert np.isfinite(grey.change)  # a grey network's answer to a picture in colours


@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_written_as_the_kind_of_file_that_is_named(tmp_path, channels):
    found = restoration(channels)
    for name, kind in (("a.png", "PNG"), ("b.TIF", "TIFF"), ("c.jpg", "JPEG")):
        with Image.open(found.save(tmp_path / name)) as image:
            assert (image.format, image.size) == (kind, (60, 40))
            if kind != "JPEG":
                assert np.array_equal(np.asarray(image).reshape(found.restored.shape), found.restored)
    with pytest.raises(SpecError, match=r"a\.txt: isn't the name of an image file"):
        found.save(tmp_path / "a.txt")


def test_it_draws():
    found = restoration()
    assert isinstance(found.plot("$noisy.png"), Figure)
    assert isinstance(Restoration(found.restored).plot(), Figure)
    case = Case("a.png", found.image, found, Target(image=found.restored), 0.1)
    task = Restore()
    assert set(task.draw(task.meter(PAIRS), [case], [case] * 9, PAIRS)) == {"worst", "samples"}
    plt.close("all")
