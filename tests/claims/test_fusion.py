"""§3, "Fusion: average the class probabilities of several nets over several scales/crops"."""

import numpy as np
import torch

from tests.helpers import pixels
from tests.predictors import fusion, network
from visus.data.views import Views
from visus.prediction import Viewed

SCALES, SIDES = (1.0, 1.25), ((10, 12), (16, 16), (8, 20))


def test_class_probabilities_of_several_nets_over_several_scales_and_crops_are_averaged():
    """Each net has its own input; each sees each scale's five crops and their mirror images: 3 × 2 × 10 answers."""
    views = Views(scales=SCALES, crops="five", mirror=True)
    nets = [network(seed, size=size) for seed, size in enumerate(SIDES)]
    fused = fusion(*(Viewed(net, views) for net in nets))
    for image in (pixels(0, 40, 30), pixels(1, 30, 52)):
        answers = []
        for net in nets:
            seen_VCHW = net.preprocess.place_views(torch.from_numpy(image)[None], views.each())[0]
            with torch.inference_mode():
                scores = net.model(net.preprocess.normalize(seen_VCHW)).double().numpy()
            answers += list(np.exp(scores) / np.exp(scores).sum(1, keepdims=True))
        assert len(answers) == 60
        np.testing.assert_allclose(fused(image).probabilities, np.mean(answers, 0), atol=1e-6)


def test_an_ensemble_of_seven_nets_is_the_mean_of_their_predictions():
    """§3, AlexNet: "7-net ensemble"; Krizhevsky et al. 2012, §6, average the predictions of their nets."""
    nets = [network(seed) for seed in range(7)]
    image = pixels(3, 24, 24)
    mean = np.mean([net(image).probabilities for net in nets], 0)
    np.testing.assert_allclose(fusion(*nets)(image).probabilities, mean, atol=1e-6)
    assert fusion(*nets)(image).label == nets[0].schema.labels[int(mean.argmax())]
