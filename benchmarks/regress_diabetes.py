"""R² on scikit-learn's diabetes table: Visus's MLP against scikit-learn's MLPRegressor, on the same splits.

    python benchmarks/regress_diabetes.py [--seeds 5]

The settings of both are fixed beforehand (scikit-learn's default width of 100; Visus's recipe `diabetes`); each seed
makes another split: 80 % to train on (of which Visus sets an eighth apart to choose the epoch), 20 % to test on.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
from machine import describe
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import visus
from visus.run.watch import Silent


def write(path: Path, x: np.ndarray, y: np.ndarray, names: list[str], split: np.ndarray) -> None:
    """A table with a column that says which split a row is of."""
    lines = [",".join([*names, "progression", "split"])]
    lines += [
        ",".join([*map(repr, row.tolist()), repr(float(value)), part])
        for row, value, part in zip(x, y, split, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def peers(seed: int) -> dict[str, Pipeline]:
    """MLPRegressor as it comes, and as its guide advises: targets standardised too, and stopped early."""
    plain = MLPRegressor(max_iter=2000, random_state=seed)
    stopped = MLPRegressor(max_iter=2000, early_stopping=True, random_state=seed)
    advised = TransformedTargetRegressor(stopped, transformer=StandardScaler())
    return {
        "MLPRegressor": make_pipeline(StandardScaler(), plain),
        "MLPRegressor, targets standardised, stopped early": make_pipeline(StandardScaler(), advised),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    data = load_diabetes()
    print(describe(), "\n")
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in peers(0)}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.seeds):
            train, test = train_test_split(np.arange(len(data.target)), test_size=0.2, random_state=seed)
            fitted, chosen = train_test_split(train, test_size=0.125, random_state=seed)
            split = np.full(len(data.target), "train", dtype=object)
            split[test], split[chosen] = "test", "val"
            assert len(fitted) + len(chosen) + len(test) == len(split)
            for name, regressor in peers(seed).items():
                regressor.fit(data.data[train], data.target[train])
                theirs[name].append(r2_score(data.target[test], regressor.predict(data.data[test])))
            table = Path(folder) / f"diabetes-{seed}.csv"
            write(table, data.data, data.target, data.feature_names, split)
            run = visus.train(str(table), recipe="diabetes", seed=seed, run=Path(folder) / f"run{seed}", watch=Silent())
            ours.append(run.scores["r2"].value)
            shown = "  ".join(f"{name} {scores[-1]:.3f}" for name, scores in theirs.items())
            print(f"seed {seed} (n = {len(test)}): visus {ours[-1]:.3f}  {shown}")
    print(f"\nmean R² over {arguments.seeds} splits: visus {statistics.mean(ours):.3f}")
    for name, scores in theirs.items():
        print(f"  {name} {statistics.mean(scores):.3f}")


if __name__ == "__main__":
    main()
