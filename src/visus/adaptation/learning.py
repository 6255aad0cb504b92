"""Which parameters learn, how fast, and from when on."""

from __future__ import annotations

from torch import nn

from visus.adaptation.plans import Full, Partial, Plan
from visus.errors import SpecError
from visus.nn import Classifier
from visus.training import Group


def groups(model: Classifier, plan: Plan) -> tuple[Group, ...]:
    """The parameters that ever learn, by stage: the heads at the full rate, each stage below at `decay` of the next."""
    stages = model.backbone.stages
    first = _frozen(len(stages), plan, None)
    decay = plan.decay if isinstance(plan, (Partial, Full)) else 1.0
    found = [
        Group(tuple(stage.parameters()), decay ** (len(stages) - index))
        for index, stage in enumerate(stages)
        if index >= first and next(stage.parameters(), None) is not None
    ]
    heads = (*model.head.parameters(), *model.auxiliary.parameters())
    return (*found, Group(heads)) if decay != 1.0 else (Group((*(p for g in found for p in g.parameters), *heads)),)


def set_epoch(model: Classifier, plan: Plan | None, epoch: int) -> None:
    """Put a model in training mode as a plan has it in an epoch, from 0: what is frozen takes no gradient and stays in
    evaluation mode, so that its running statistics and its dropout rest too."""
    model.train()
    if plan is None:
        return
    first = _frozen(len(model.backbone.stages), plan, epoch)
    for index, stage in enumerate(model.backbone.stages):
        stage.requires_grad_(index >= first)
        stage.train(index >= first)
    if isinstance(plan, Full) and plan.norm == "frozen":
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def _frozen(stages: int, plan: Plan, epoch: int | None) -> int:
    """How many of the lower stages are frozen in an epoch, or in all of them."""
    if isinstance(plan, Partial):
        if plan.stages > stages:
            raise SpecError(f"partial:{plan.stages}: the network has {stages} stages", f"partial:1 … partial:{stages}")
        return stages - plan.stages
    if isinstance(plan, Full) and plan.thaw and epoch is not None:
        return max(0, stages - epoch // plan.thaw)
    return 0
