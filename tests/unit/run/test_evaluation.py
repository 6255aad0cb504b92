"""Other data for a model: what must be alike."""

import numpy as np
import pytest

from visus.data.samples import ArraySamples
from visus.data.types import Schema, Target
from visus.errors import DataError
from visus.run.evaluation import labelled

SAMPLES = ArraySamples("set", np.zeros((1, 8, 8, 1), np.uint8), [Target(mask=np.zeros((8, 8), np.uint8))])


def test_masks_must_be_of_the_models_classes():
    wanted, other = (Schema(targets=("mask",), masks=masks) for masks in (("cell", "membrane"), ("membrane", "cell")))
    assert labelled(SAMPLES, wanted, wanted) is SAMPLES
    with pytest.raises(DataError, match="masks are of membrane, cell, and the model's of cell, membrane"):
        labelled(SAMPLES, other, wanted)
