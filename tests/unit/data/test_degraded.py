"""Clean images as pairs: in training other ones each time and the same ones again, in measuring always the same."""

from itertools import islice

import numpy as np
import pytest
import torch

from tests.helpers import pixels
from visus.data.augment import Augment
from visus.data.degrade import Noise, Rounded
from visus.data.degraded import Degraded
from visus.data.loader import Loader, prepare, read_all
from visus.data.patches import Patch
from visus.data.preprocess import ImagePreprocess, VectorPreprocess
from visus.data.samples import ArraySamples
from visus.data.types import Schema, Target

SCHEMA = Schema(shape=(1, 24, 24), targets=())
WINDOWS = ImagePreprocess(size=(28, 28), channels=1, fit="tile", margin=4, mean=(0.5,), std=(0.25,))
STEPS = (Noise(sigma=30),)
SMALL = ImagePreprocess(size=(24, 24), channels=1, mean=(0.5,), std=(0.25,))
CPU = torch.device("cpu")


def samples(count: int = 6) -> ArraySamples:
    return ArraySamples("set", np.stack([pixels(seed, 24, 24, 1) for seed in range(count)]), [Target()] * count)


def loader(seed: int = 0, **more) -> Loader:
    return Loader(prepare(samples(), SCHEMA, WINDOWS), WINDOWS, 2, CPU, seed=seed, degrade=STEPS, **more)


def noise(batch) -> torch.Tensor:
    """What was added, in values 0…255."""
    return (batch.inputs * 0.25 + 0.5) * 255 - batch.target.image


def test_training_pairs_are_clean_images_and_the_same_with_noise():
    for batch in islice(loader(augment=Augment(patch=Patch(size=16, count=3, turn=True))).train(), 4):
        assert batch.inputs.shape == batch.target.image.shape == (6, 1, 16, 16)
        assert batch.target.image.dtype == torch.uint8
        assert noise(batch).std() == pytest.approx(30, rel=0.15)
        assert abs(noise(batch).mean()) < 4 * 30 / 1536**0.5


def test_noise_is_another_in_each_step_epoch_and_seed_and_comes_again_from_anywhere():
    steps = len(loader())
    found = [noise(batch) for batch in islice(loader().train(), 2 * steps)]
    for one in range(len(found)):
        for other in range(one):
            assert not torch.allclose(found[one], found[other], atol=20)
    again = [noise(batch) for batch in islice(loader().train(steps + 1), steps - 1)]
    assert all(torch.equal(a, b) for a, b in zip(found[steps + 1 :], again, strict=True))
    assert not torch.allclose(noise(next(loader(seed=1).train())), found[0], atol=20)


@pytest.mark.parametrize("whole", [True, False])
def test_what_is_measured_is_always_the_same(whole):
    plain = ImagePreprocess(size=(24, 24), channels=1, mean=(0.5,), std=(0.25,))
    clean = prepare(samples(), SCHEMA, WINDOWS) if whole else read_all(samples(), SCHEMA, plain, 0.0)
    found = Degraded(clean, STEPS)
    for row in (4, 0, 4):
        batch = found.gather(torch.tensor([row]))
        assert torch.equal(batch.target.image[0, 0], torch.from_numpy(pixels(row, 24, 24, 1)[..., 0]))
        assert batch.inputs.dtype == torch.float32
        assert torch.equal(batch.inputs, Degraded(clean, STEPS).gather(torch.tensor([row])).inputs)
    if not whole:
        together = found.gather(torch.tensor([5, 4])).inputs
        assert torch.equal(together[1:], batch.inputs)
        assert not torch.allclose(together[0] - torch.from_numpy(pixels(5, 24, 24, 1)[..., 0]),
                                  together[1] - torch.from_numpy(pixels(4, 24, 24, 1)[..., 0]), atol=20)  # fmt: skip


def test_to_look_at_it_is_rounded():
    found = Degraded(prepare(samples(), SCHEMA, WINDOWS), STEPS)
    shown = found.samples.read(3).pixels
    inputs = found.gather(torch.tensor([3])).inputs[0, 0]
    assert np.array_equal(shown[..., 0], inputs.round().clamp(0, 255).numpy())
    assert np.array_equal(found.samples.target(3).image, pixels(3, 24, 24, 1))
    assert len(found.samples) == 6
    assert found.samples.name(3) == "set[3]"


def test_rounded_noise_is_whole_numbers():
    found = Degraded(prepare(samples(), SCHEMA, WINDOWS), (*STEPS, Rounded())).gather(torch.tensor([1])).inputs
    assert torch.equal(found, found.to(torch.uint8).float())


def test_vectors_get_noise_in_each_feature_s_own_unit():
    values = np.random.default_rng(0).normal(size=(400, 2)).astype(np.float32) * [1, 1000]
    made = ArraySamples("v", values.astype(np.float32), [Target()] * 400)
    schema, scale = (
        Schema(inputs="vector", shape=(2,), targets=()),
        VectorPreprocess(mean=(0.0, 0.0), std=(1.0, 1000.0)),
    )
    loader = Loader(
        prepare(made, schema, scale), scale, 400, CPU, degrade=(Noise(sigma=0.5),), unit=torch.tensor(scale.std)
    )
    batch = next(loader.train())
    apart = batch.inputs * torch.tensor(scale.std) - batch.target.image
    assert (apart.std(0) / torch.tensor(scale.std) - 0.5).abs().max() < 0.05  # its own error: 0.5/√(2·400) = 0.018
    held = Degraded(prepare(made, schema, scale), (Noise(sigma=0.5),), torch.tensor(scale.std))
    found = held.gather(torch.tensor([3, 5]))
    assert torch.equal(found.target.image, torch.from_numpy(made.values[[3, 5]]))
    assert np.array_equal(held.samples.read(5), found.inputs[1].numpy())


def test_copies_are_wanted_as_they_are_where_nothing_is_done_to_them():
    loader = Loader(prepare(samples(), SCHEMA, SMALL), SMALL, 2, CPU, degrade=())
    for batch in (next(loader.train()), next(loader.evaluate())):
        assert torch.equal(batch.inputs, SMALL.normalize(batch.target.image))
