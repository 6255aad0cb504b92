"""Several predictors as one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from math import isclose, prod
from typing import Any, final

import msgspec
import numpy as np
import torch
from torch import Tensor

from visus.data.preprocess import Placement
from visus.data.types import Schema, Target
from visus.errors import ModelError, SpecError
from visus.prediction.manifest import FusionManifest, Member
from visus.prediction.network import Viewed
from visus.prediction.predictor import Predictor
from visus.tasks import How


@final
class Fusion(Predictor):
    """The weighted mean of what several predictors say, usable wherever one is.

    It speaks in the labels, or values, of its first member; those of the others are matched by name. A placed input
    is all of its members' placed inputs in one row, so that whatever keeps placed inputs keeps a fusion's too.
    """

    manifest: FusionManifest

    def __init__(self, manifest: FusionManifest, members: Sequence[Predictor]) -> None:
        """Raises SpecError for members that don't answer the same question, and for weights that make no mean."""
        super().__init__(manifest)
        self.members = tuple(members)
        self.weights = tuple(member.weight for member in manifest.members)
        if not isclose(sum(self.weights), 1, abs_tol=1e-6):
            raise SpecError(f"the weights' sum is {sum(self.weights):.6g}, and a mean's is 1")
        if any(each.whole for each in members):
            raise SpecError("what is said of images window by window can't be fused", "ask them one by one")
        if any(isinstance(each, Viewed) and each.how != manifest.how for each in members):
            raise SpecError(f"the members' views are averaged otherwise than {manifest.how!r}", "say the same of both")
        self._orders = [self._order(index) for index in range(len(self.members))]
        self._sizes = [prod(member.shape) for member in self.members]

    @staticmethod
    def of(
        members: Sequence[Predictor],
        names: Sequence[str],
        weights: Sequence[float] | None = None,
        how: How = "arithmetic",
    ) -> Fusion:
        """Of predictors, and what to call them. weights: in proportion to these; by default all weigh alike."""
        if not members:
            raise SpecError("a fusion needs at least one member", "name runs or bundles")
        given = (1.0,) * len(members) if weights is None else tuple(weights)
        if len(given) != len(members):
            raise SpecError(f"there are {len(given)} weights for {len(members)} members", "give one to each")
        total = sum(given)
        if not np.isfinite(given).all() or min(given) < 0 or total == 0:
            raise SpecError(
                f"the weights are {', '.join(f'{each:g}' for each in given)}",
                "give numbers from 0 up, not all of them 0",
            )
        described = tuple(
            Member(name=name, weight=weight / total, views=member.views if isinstance(member, Viewed) else None)
            for name, weight, member in zip(names, given, members, strict=True)
        )
        first = members[0]
        return Fusion(FusionManifest(task=first.task, schema=first.schema, members=described, how=how), members)

    def _inside(self) -> str:
        count = len(self.members)
        return ", ".join(member.name for member in self.manifest.members[:3]) + (f", … ({count})" if count > 3 else "")

    @property
    def device(self) -> torch.device:
        return self.members[0].device

    def digest(self) -> str:
        told = (
            self.manifest.task,
            self.schema,
            self.manifest.how,
            self.weights,
            [each.digest() for each in self.members],
        )
        return hashlib.blake2b(msgspec.json.encode(told), digest_size=16).hexdigest()

    @property
    def looks(self) -> int:
        """How often the member that looks most looks at each image."""
        return max(member.looks for member in self.members)

    @property
    def shape(self) -> tuple[int, ...]:
        return (sum(self._sizes),)

    @property
    def whole(self) -> bool:
        return False

    def place(self, value: np.ndarray) -> Tensor:
        return torch.cat([member.place(value).flatten() for member in self.members])

    def place_many(self, block: Tensor) -> Tensor:
        return torch.cat([member.place_many(block).flatten(1) for member in self.members], 1)

    def place_target(self, target: Target, height: int, width: int) -> Target:
        return target  # what can be averaged over networks has no place in their inputs

    def placement(self, height: int, width: int) -> Placement:
        return Placement(1, 1, 0, 0, height, width)

    def outputs(self, placed: Tensor) -> Any:
        return self.task.fuse(self.each(placed), torch.tensor(self.weights), self.manifest.how, self.schema)

    def each(self, placed: Tensor) -> list[Tensor]:
        """What each member says, in the order of the fusion's names.

        Raises ModelError when a member gives something that isn't a number.
        """
        found = []
        parts = torch.split(placed, self._sizes, 1)
        for index, (member, part, order) in enumerate(zip(self.members, parts, self._orders, strict=True)):
            output = member.outputs(part.reshape(-1, *member.shape)).to(self.device)
            if not output.isfinite().all():
                raise ModelError(f"{self._name(index)} gives NaN or infinity", "leave it out, or train it anew")
            found.append(output[..., order])
        return found

    def _order(self, index: int) -> list[int]:
        """Where the fusion's names are among a member's."""
        member, own, first = self.members[index], self.schema, self._name(0)
        theirs, name = member.schema, self._name(index)
        if type(member.task) is not type(self.task) or theirs.targets != own.targets:
            raise SpecError(
                f"{name} gives {_answer(theirs)} by {_task(member)}, and {first} {_answer(own)} by {_task(self)}",
                "fuse predictors of one task",
            )
        if theirs.inputs != own.inputs or theirs.features != own.features:
            raise SpecError(f"{name} takes other inputs than {first}", "fuse predictors of the same data")
        wanted, given = own.labels or own.values, theirs.labels or theirs.values
        absent, more = [each for each in wanted if each not in given], [each for each in given if each not in wanted]
        if absent or more:
            lacks = f"lacks {_few(absent)}" if absent else ""
            has = f"has {_few(more)} besides" if more else ""
            raise SpecError(
                f"{name} doesn't have the names that {first} has: it {' and '.join(filter(None, (lacks, has)))}",
                "fuse predictors of the same classes",
            )
        return [given.index(each) for each in wanted]

    def _name(self, index: int) -> str:
        return f"member {index + 1} ({self.manifest.members[index].name})"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f", … ({len(names)} in all)" if len(names) > 8 else "")


def _task(predictor: Predictor) -> str:
    return type(predictor.task).__name__.lower()


def _answer(schema: Schema) -> str:
    return " and ".join(schema.targets)
