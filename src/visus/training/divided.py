"""Tensors of which each rank holds a part, as FSDP makes them of a network's parameters."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from visus.nn import load_state


def divided(tensor: Tensor) -> bool:
    """Whether other ranks hold the rest of it. To import DTensor for asking would slow every start."""
    return hasattr(tensor, "full_tensor")


def joined(tensor: Tensor) -> Tensor:
    """A tensor put together again where it is divided; every rank must call it."""
    if divided(tensor):
        tensor = tensor.full_tensor()  # type: ignore[attr-defined]
    return tensor


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All of them put together, those that were divided on the processor."""
    return {name: joined(value).cpu() if divided(value) else value for name, value in tensors.items()}


def as_divided(value: Tensor, like: Tensor) -> Tensor:
    """This rank's part of a whole tensor, where the other is divided; else the tensor itself."""
    if not divided(like):
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def put(model: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copy whole tensors into a network, of which each rank may hold a part. Raises WeightsError as `load_state`."""
    state = model.state_dict()
    parts = {name: as_divided(value, state[name]) if name in state else value for name, value in tensors.items()}
    load_state(model, parts, source)
