"""What bfloat16 costs in accuracy, and what it saves: the same training in both, seed by seed.

    python benchmarks/precision.py [--recipe fashion-mnist-resnet8] [--epochs 4] [--seeds 3]

Each run chooses its epoch on validation samples and is measured on the test split, in float32 as its bundle answers. A
pair has the same seed: the same first weights, the same batches, the same augmentation.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
from pathlib import Path

from machine import describe

import visus
from visus.run.watch import Silent

KINDS = ("float32", "bfloat16")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="fashion-mnist-resnet8")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    print(describe() + "\n", flush=True)
    apart, times = [], []
    for seed in range(arguments.seeds):
        found, seconds = {}, {}
        for kind in KINDS if seed % 2 else KINDS[::-1]:
            with tempfile.TemporaryDirectory() as folder:
                run = visus.train(
                    recipe=arguments.recipe, epochs=arguments.epochs, seed=seed, run=str(Path(folder) / "run"),
                    settings=[f"runtime.precision={kind}"], watch=Silent(),
                )  # fmt: skip
            found[kind], seconds[kind] = run.scores["accuracy"], run.history[-1]["seconds"]
        apart.append(100 * (found["bfloat16"].value - found["float32"].value))
        times.append(seconds["float32"] / seconds["bfloat16"])
        said = "  ".join(f"{kind} {found[kind].text} in {seconds[kind]:.0f} s" for kind in KINDS)
        print(f"seed {seed} (n = {found['float32'].n}): {said}  {apart[-1]:+.2f} points", flush=True)
    spread = statistics.stdev(apart) / math.sqrt(len(apart)) if len(apart) > 1 else math.nan
    print(f"\nbfloat16 − float32: {statistics.mean(apart):+.2f} ± {spread:.2f} points (mean and its standard error)")
    print(f"float32's seconds over bfloat16's: {statistics.median(times):.2f}")


if __name__ == "__main__":
    main()
