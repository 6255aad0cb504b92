"""Eight digits that a run has never seen, as image files named by what they are.

python examples/digit_images.py runs/demo runs/demo-images
"""

import sys
from pathlib import Path

from PIL import Image

from visus.data.splits import divide
from visus.prediction import read_manifest
from visus.run.recipe import compose

import visus


def save_held_out(run: Path, folder: Path, count: int = 8) -> list[Path]:
    """Write the first sample of each of `count` classes of the run's test split."""
    recipe = compose(read_manifest(run).recipe)
    held_out = divide(visus.open_dataset(recipe.data), recipe.data, recipe.seed).splits["test"]
    first: dict[int, int] = {}
    for row in range(len(held_out)):
        label = held_out.target(row).label
        assert label is not None
        first.setdefault(label, row)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for label, row in sorted(first.items())[:count]:
        picture = held_out.read(row)
        path = folder / f"a-{label}.png"
        Image.fromarray(picture.pixels[..., 0]).save(path)
        paths.append(path)
    return paths


if __name__ == "__main__":
    for path in save_held_out(Path(sys.argv[1]), Path(sys.argv[2])):
        print(path)
