"""What is said, and kept, when a run can't go on."""

from __future__ import annotations

import torch

from visus.data.samples import Samples
from visus.errors import TrainingError
from visus.run.folder import RunFolder, table
from visus.run.recipe import Recipe
from visus.training import NotFinite
from visus.training.ranks import ALONE, Ranks


def named(problem: NotFinite, samples: Samples, folder: RunFolder, ranks: Ranks = ALONE) -> NotFinite:
    """The same error with the files of the batch, all ranks' parts of it, which diverged.csv lists as well."""
    rows = tuple(row for part in ranks.gather(problem.rows) for row in part)
    if not ranks.first:
        return NotFinite(problem.problem, rows)
    names = [samples.name(row) for row in rows]
    path = folder.path / "diverged.csv"
    path.write_text(table([{"file": name} for name in names]), encoding="utf-8", errors="backslashreplace")
    shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
    found = NotFinite(f"{problem.problem}\n  the batch: {shown} (all in {path})", rows)
    folder.log(found.problem)
    return found


def is_out_of_memory(problem: BaseException) -> bool:
    """Whether an error says that there is no more memory, of the processor or of an accelerator."""
    said = ("can't allocate memory", "not enough memory")
    return isinstance(problem, torch.OutOfMemoryError | MemoryError) or any(each in str(problem) for each in said)


def out_of_memory(
    problem: BaseException, recipe: Recipe, batch: int, device: torch.device, folder: RunFolder, ranks: Ranks = ALONE
) -> TrainingError:
    """An error with a batch size that may fit."""
    smaller = max(1, batch // 2)
    if ranks.first:
        folder.log(f"out of memory at batch {batch}: {problem}")
    return TrainingError(
        f"out of memory on {device} with batches of {batch}",
        f"--batch {smaller} --set budget.accumulate={2 * recipe.budget.accumulate} gives the same steps with "
        "less memory; or make the images smaller with --size",
    )
