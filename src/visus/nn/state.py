"""Putting weights into a network, or saying exactly why they don't fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from visus.errors import WeightsError

SHOWN = 8
# torch hands some of its own functions over whole, and what they call isn't seen then
DRAWING = (Tensor.uniform_, Tensor.normal_, nn.init.uniform_, nn.init.normal_,
           nn.init.kaiming_uniform_, nn.init.kaiming_normal_)  # fmt: skip


class WithoutRandomStart(TorchFunctionMode):
    """Inside of it, a network is built without drawing first weights, which is slow for what is overwritten anyway.

    with WithoutRandomStart():
        model = build_classifier(…)
    load_state(model, …)
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in DRAWING:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def load_state(model: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copy tensors into a network of exactly those names and shapes.

    Raises WeightsError that names the keys and shapes that differ; the network is then unchanged.
    """
    wanted = model.state_dict()
    problems = [f"{name}: not in {source}" for name in wanted if name not in tensors]
    problems += [f"{name}: not in the network" for name in tensors if name not in wanted]
    problems += [
        f"{name}: {sides(tensor.shape)} in {source}, {sides(wanted[name].shape)} in the network"
        for name, tensor in tensors.items()
        if name in wanted and tensor.shape != wanted[name].shape
    ]
    if problems:
        raise WeightsError(
            f"{source} doesn't fit the network:{listed(problems)}",
            "build the network that these weights are of: the same model, classes, channels and size",
        )
    model.load_state_dict(dict(tensors))


def listed(problems: Sequence[str]) -> str:
    """The first of them, a line each."""
    more = [f"… and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    return "".join(f"\n    {problem}" for problem in [*problems[:SHOWN], *more])


def sides(shape: Sequence[int]) -> str:
    """A shape as text.

    >>> sides((64, 3, 7, 7)), sides(())
    ('64×3×7×7', 'scalar')
    """
    return "×".join(map(str, shape)) or "scalar"
