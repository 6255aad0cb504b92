"""Eight digits that a run has never seen, as image files named by what they are.

python examples/digit_images.py runs/demo runs/demo-images
"""

import sys
from pathlib import Path

from PIL import Image

import visus
from visus.data.splits import divide
from visus.prediction import read_manifest
from visus.run.recipe import compose


def save_held_out(run: Path, folder: Path, count: int = 8) -> list[Path]:
    """Write `count` samples, spread evenly over the run's test split, as true-LABEL-ROW.png."""
    recipe = compose(read_manifest(run).recipe)
    dataset = divide(visus.open_dataset(recipe.data), recipe.data, recipe.seed)
    held_out, labels = dataset.splits["test"], dataset.schema.labels
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for row in range(0, len(held_out), len(held_out) // count)[:count]:
        path = folder / f"true-{labels[held_out.target(row).label]}-{row:03d}.png"
        Image.fromarray(held_out.read(row).pixels[..., 0]).save(path)
        paths.append(path)
    return paths


if __name__ == "__main__":
    for path in save_held_out(Path(sys.argv[1]), Path(sys.argv[2])):
        print(path)
