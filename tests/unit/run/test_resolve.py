"""What augmentation can't be, for the data at hand."""

import pytest

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
