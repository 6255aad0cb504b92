"""What R-CNN fits to the features of regions: linear machines that score, and regressions that move boxes.

K: classes. F, G: features. B: regions of an image. Settings are those of the published experiments.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

NORM = 20.0  # the mean length that features are brought to, on which costs and λ are based
DOUBLE, OFFSET = 2.0, 10.0  # of the machines: how much an object's error counts, and by what intercepts are cheap
AWAY = 0.3  # the IoU with all objects of a class under which a region is none of it
HARD, EASY = -1.0, -1.2  # scores: regions above the first are taken, those under the second are given up
NEW = 2000  # regions that are taken before machines are fitted anew
MOST = 2000  # regions of a class that moves are fitted to: what is kept of them grows no further


class Scale:
    """By what features are multiplied: found from the first that are seen."""

    def __init__(self) -> None:
        self.factor = 0.0

    def of(self, found: Tensor) -> np.ndarray:
        values = found.detach().float().cpu().numpy()
        if not self.factor and len(values):
            self.factor = NORM / max(float(np.linalg.norm(values, axis=1).mean()), 1e-12)
        return np.asarray(values * self.factor)


class Machines:
    """A linear support vector machine for each class, with hard negative mining (Felzenszwalb et al. 2010, TPAMI 32;
    Girshick et al. 2014, arXiv:1311.2524, §2.3): objects are positive, regions away from all of a class negative, and
    of those only the ones are kept that the machines so far don't tell well. One look at every image is enough.
    """

    def __init__(self, classes: int, cost: float) -> None:
        self.classes, self.cost, self.scale = classes, cost, Scale()
        self.positive: list[list[np.ndarray]] = [[] for _ in range(classes)]
        self.negative: list[list[np.ndarray]] = [[] for _ in range(classes)]
        self.new = [0] * classes
        self.machine: list[tuple[np.ndarray, float] | None] = [None] * classes

    def add(self, objects_PF: Tensor, labels_P: Tensor, regions_BF: Tensor, fits_BK: Tensor) -> None:
        """Take an image in. fits: the highest IoU of each region with an object of each class."""
        objects, regions = self.scale.of(objects_PF), self.scale.of(regions_BF)
        labels, away = labels_P.cpu().numpy(), (fits_BK < AWAY).cpu().numpy()
        for label in range(self.classes):
            if (own := objects[labels == label]).size:
                self.positive[label].append(own)
            others, machine = regions[away[:, label]], self.machine[label]
            if machine is not None:
                others = others[others @ machine[0] + machine[1] > HARD]
            self.negative[label].append(others)
            self.new[label] += len(others)
            if self.new[label] >= NEW and self.positive[label]:
                self._fit(label)

    def fitted(self) -> tuple[Tensor, Tensor]:
        """K×F weights and K biases. Of a class without objects or others every score is `-OFFSET`."""
        weights, biases = [], []
        for label in range(self.classes):
            if self.positive[label] and sum(map(len, self.negative[label])):
                self._fit(label)
            weight, bias = self.machine[label] or (np.zeros(1), -OFFSET)
            weights.append(weight * self.scale.factor)
            biases.append(bias)
        size = max(map(len, weights))
        full = [weight if len(weight) == size else np.zeros(size) for weight in weights]
        return torch.from_numpy(np.stack(full)).float(), torch.tensor(biases, dtype=torch.float32)

    def _fit(self, label: int) -> None:
        from sklearn.svm import LinearSVC

        positive, negative = np.concatenate(self.positive[label]), np.concatenate(self.negative[label])
        # squared errors: the primal problem is smooth, and is solved whatever the cost
        machine = LinearSVC(C=self.cost, dual=False, class_weight={1: DOUBLE}, intercept_scaling=OFFSET)
        machine.fit(np.concatenate((positive, negative)), np.repeat([1, 0], [len(positive), len(negative)]))
        weight, bias = machine.coef_[0], float(machine.intercept_[0])
        self.machine[label], self.new[label] = (weight, bias), 0
        self.negative[label] = [negative[negative @ weight + bias >= EASY]]


class Moves:
    """How boxes of each class are moved, by ridge regression on the last map (Girshick et al. 2014, appendix C)."""

    def __init__(self, classes: int, ridge: float) -> None:
        self.ridge, self.scale = ridge, Scale()
        self.inputs: list[list[np.ndarray]] = [[] for _ in range(classes)]
        self.wanted: list[list[np.ndarray]] = [[] for _ in range(classes)]

    def add(self, coarse_BG: Tensor, offsets_B4: Tensor, labels_B: Tensor) -> None:
        """Take regions in that are close to an object: their last map, where it is from there, and its class."""
        coarse, wanted, labels = self.scale.of(coarse_BG), offsets_B4.cpu().numpy(), labels_B.cpu().numpy()
        for label in np.unique(labels).tolist():
            room = MOST - sum(map(len, self.inputs[label]))
            (own,) = (labels == label).nonzero()
            self.inputs[label].append(coarse[own[:room]])
            self.wanted[label].append(wanted[own[:room]])

    def fitted(self) -> tuple[Tensor, Tensor]:
        """K×4×G weights and K×4 biases; zeros of a class of which there is nothing to learn from."""
        from sklearn.linear_model import Ridge

        size = max((each.shape[1] for parts in self.inputs for each in parts), default=1)
        weight, bias = np.zeros((len(self.inputs), 4, size), np.float32), np.zeros((len(self.inputs), 4), np.float32)
        for label, (inputs, wanted) in enumerate(zip(self.inputs, self.wanted, strict=True)):
            if sum(map(len, inputs)):
                found = Ridge(alpha=self.ridge).fit(np.concatenate(inputs), np.concatenate(wanted))
                weight[label], bias[label] = found.coef_ * self.scale.factor, found.intercept_
        return torch.from_numpy(weight), torch.from_numpy(bias)
