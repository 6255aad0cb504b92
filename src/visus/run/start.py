"""What a run starts from: a network with random or given weights, and the part of it that learns."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from visus.adaptation import Full, Linear, Partial, Scratch, Stage, features_of, groups, split
from visus.adaptation import Plan as Adaptation
from visus.data.loader import Loader, beside, free_memory, prepare
from visus.data.types import Skipped
from visus.errors import SpecError
from visus.models import Cut
from visus.nn import Classifier
from visus.run.reading import resources_of
from visus.run.recipe import Budget
from visus.run.resolve import Plan
from visus.run.watch import Watch
from visus.tasks import InGroups, degradations, unit_of
from visus.training import Player
from visus.training.ranks import ALONE, Ranks
from visus.weights.load import cut_down, put

UNDECIDED = 64  # samples a step, until it is found how many fit


@dataclass(frozen=True)
class Start:
    """whole: the network that a run ends with. model: what learns, the whole or its last layer, shared with it.
    fixed: what comes before that and never changes, so that its features are computed once; None where all learns."""

    whole: nn.Module
    model: nn.Module
    fixed: nn.Module | None = None

    def digest(self) -> str:
        """A hash of what never changes; "" where there is no such part."""
        return "" if self.fixed is None else _hash(self.fixed)

    def state(self) -> str:
        """A hash of all weights, as they are now."""
        return _hash(self.whole)


def start(plan: Plan, device: torch.device, say: Callable[[str], None]) -> Start:
    """Build the network of a plan, with the weights that it starts from. Raises WeightsError and SpecError."""
    transfer, weights = plan.recipe.transfer, plan.weights
    whole = plan.task.assemble(plan.network, plan.preprocess.seen(plan.schema)).to(device)
    if transfer is not None and not isinstance(whole, Classifier):
        raise SpecError("transfer takes networks with one backbone and one head", "leave the transfer settings out")
    if weights is not None:
        if isinstance(plan.network, Cut) and weights.network != plan.network:
            weights = cut_down(weights, plan.network)
        if weights.folded and not _keeps_norms(transfer):
            raise SpecError(
                f"{weights.source}: they predict as they should, and lose what they know when normalisations learn",
                "--set transfer.kind=linear, or --set transfer.kind=full --set transfer.norm=frozen",
            )
        same = bool(weights.labels) and weights.labels == plan.schema.labels
        left = put(whole, weights, new_head=not same)
        say(f"weights: {weights.source}" + (f"; random at first: {', '.join(left)}" if left else ""))
    elif transfer is not None and not isinstance(transfer, Scratch):
        raise SpecError(
            f"the plan {type(transfer).__name__.lower()} keeps what weights know, and none are given",
            "--weights imagenet",
        )
    if isinstance(transfer, Linear | Stage):
        assert isinstance(whole, Classifier)
        fixed, rest = split(whole)
        count = sum(p.numel() for p in rest.parameters())
        say(f"{count:,} parameters learn, on features that are computed once an image; nothing is augmented")
        return Start(whole, rest, fixed)
    return Start(whole, whole)


def _hash(module: nn.Module) -> str:
    total = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(module.state_dict().items()):
        total.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def _keeps_norms(transfer: Adaptation | None) -> bool:
    """Whether all normalisations stay as the weights have them."""
    return isinstance(transfer, Linear | Stage) or (isinstance(transfer, Full) and transfer.norm == "frozen")


def players(plan: Plan, model: nn.Module) -> tuple[Player, ...]:
    """Who learns, at the rates that the plan of transfer has."""
    found: tuple[Player, ...] = plan.task.players(model)
    if isinstance(plan.recipe.transfer, Partial | Full):
        assert isinstance(model, Classifier)
        (one,) = found
        return (replace(one, groups=groups(model, plan.recipe.transfer)),)
    return found


def read_splits(plan: Plan, device: torch.device, watch: Watch, ranks: Ranks = ALONE) -> dict[str, Loader]:
    """A loader for each split."""
    recipe = plan.recipe
    resources = resources_of(recipe.runtime, plan.dataset.splits, plan.preprocess, watch)
    room = min(ranks.gather(free_memory() // 4 // ranks.beside))  # one answer for all, and room for those beside
    last = recipe.runtime.channels_last and len(plan.preprocess.shape) == 3
    loaders: dict[str, Loader] = {}
    each = plan.task.each if isinstance(plan.task, InGroups) else None
    for name, samples in plan.dataset.splits.items():
        with watch.work(f"reading {name}") as bar:
            prepared = prepare(
                samples, plan.schema, plan.preprocess, bad=recipe.data.bad, progress=bar, resources=resources, room=room
            )
            if name == "train":
                prepared = beside(prepared, device)
        ranks.require_same(f"readable samples in {name}", len(prepared.rows))
        batch = _batch(recipe.budget, len(prepared.rows))
        if name == "train":
            require_equal_shares(batch, ranks)
            require_groups(recipe.budget, each, ranks)
        loaders[name] = Loader(
            prepared, plan.preprocess, batch if name == "train" else max(batch, 256), device,
            plan.augment, recipe.seed, len(plan.schema.labels), last, ranks.rank, ranks.count,
            degradations(plan.task), unit_of(plan.task, plan.schema), each if name == "train" else None,
        )  # fmt: skip
    return loaders


def with_batch(loader: Loader, budget: Budget) -> Loader:
    """The same, with the batches of a budget."""
    return replace(loader, batch=_batch(budget, len(loader.prepared.rows)))


def _batch(budget: Budget, count: int) -> int:
    return min(UNDECIDED if budget.batch == "auto" else budget.batch, count)


def unread(plan: Plan, loaders: dict[str, Loader]) -> list[Skipped]:
    """What was left out, while the data were listed and since."""
    return [*plan.dataset.skipped, *(each for loader in loaders.values() for each in loader.prepared.skipped)]


def known_features(start: Start, loaders: dict[str, Loader], precision: torch.dtype, watch: Watch) -> dict[str, Loader]:
    """What never changes, computed once for the samples that are seen in every epoch; nothing where all learns."""
    found: dict[str, Loader] = {}
    for name in ("train", "val") if start.fixed is not None else ():
        if name in loaders:
            assert start.fixed is not None
            with watch.work(f"features of {name}") as bar:
                loader = features_of(start.fixed, loaders[name], precision=precision, progress=bar)
                found[name] = replace(loader, prepared=beside(loader.prepared, loader.device))
    return found


def require_groups(budget: Budget, each: int | None, ranks: Ranks) -> None:
    """Raise SpecError where batches, or each rank's share of them, would cut groups of a class apart."""
    if each is None:
        return
    whole, asked = each * ranks.count, 0 if budget.batch == "auto" else budget.batch
    if not asked or asked % whole:
        raise SpecError(
            f"a batch of {budget.batch} isn't made of groups of {each} samples of a class"
            + (f" for {ranks.count} ranks" if ranks.count > 1 else ""),
            f"--batch {whole * max(1, asked // whole)}, or another task.each",
        )


def require_equal_shares(batch: int, ranks: Ranks) -> None:
    """Raise SpecError where the ranks can't all have as many samples of a batch."""
    if batch % ranks.count:
        fits = batch - batch % ranks.count
        ways = [str(each) for each in (fits, fits + ranks.count) if each]
        raise SpecError(
            f"a batch of {batch} training samples can't be shared equally by {ranks.count} ranks",
            f"--batch {' or '.join(ways)}; there must be as many samples",
        )
