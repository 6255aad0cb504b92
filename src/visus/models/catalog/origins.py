"""Where it began: the perceptron and LeNet-5."""

from __future__ import annotations

from visus.models.cards import Card, Family, Figures, Published
from visus.models.lenet import LeNet5
from visus.models.mlp import MLP

Networks = MLP | LeNet5

FAMILIES: dict[str, Family] = {
    "mlp": Family(
        title="Multi-layer perceptron",
        authors="Rumelhart, Hinton, Williams",
        year=1986,
        reference="Nature 323, 533–536",
        doi="10.1038/323533a0",
        idea="Hidden units find features of their own: the error is carried back through the layers by the chain rule, "
        "and every weight moves against its share of it.",
    ),
    "lenet5": Family(
        title="Gradient-based learning applied to document recognition",
        authors="LeCun, Bottou, Bengio, Haffner",
        year=1998,
        reference="Proc. IEEE 86(11), 2278–2324",
        doi="10.1109/5.726791",
        idea="Small windows that share their weights across the image, in turn with subsampling, so that a digit is "
        "known wherever it stands; features and classifier are learned together, from pixels to class.",
        departs="The fixed output codes are drawn at random (the paper names both ways) and not by hand; distances to "
        "them are divided by 16 for softmax cross-entropy; "
        "C5 covers the whole of S4 at any input size.",
    ),
}

TINY: dict[str, Networks] = {
    "mlp": MLP(hidden=(16, 8)),
    "lenet5": LeNet5(),
}

CARDS: dict[str, Card] = {
    "mlp": Card(
        family="mlp",
        spec=MLP(),
        input=(1, 28, 28),
        figures=Figures(parameters=118_282, multiply_adds=118_016, classes=10),
        about="two hidden layers of 128; for vectors and images",
    ),
    "lenet5": Card(
        family="lenet5",
        spec=LeNet5(),
        input=(1, 32, 32),
        fixed=True,
        figures=Figures(parameters=60_000, multiply_adds=325_680, classes=10),
        published=Published(data="MNIST", source="the paper, §III.B", top1_error=0.95),
        about="as published: sparse C3, trainable subsampling, fixed output codes",
    ),
    "lenet5_full": Card(
        family="lenet5",
        spec=LeNet5(connect="full", pool="average", activation="tanh", output="linear"),
        input=(1, 32, 32),
        fixed=True,
        figures=Figures(parameters=61_706, multiply_adds=416_520, classes=10),
        about="the common reading: full C3, average pooling, tanh, linear output",
    ),
}
