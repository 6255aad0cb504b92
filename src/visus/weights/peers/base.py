"""What is known of another library's network: its name, ours, and which of its layers is which of ours."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from visus.models import Network

Library = Literal["torchvision", "timm", "keras", "efficientnet_lite_pytorch"]
NO_ARGUMENTS: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Pair:
    """A layer of ours, by the path of its module, and the same layer in another library.

    Either may be one tensor instead, by its full name. In Keras's separable layers "name@depthwise" and
    "name@pointwise" are the two halves. change: what is to be done with the other's tensors once they are laid out as
    ours; None for nothing.
    """

    ours: str
    theirs: str
    change: Callable[[Tensor], Tensor] | None = None


Pairs = Callable[[Any], Iterator[Pair]]  # of a family's spec


@dataclass(frozen=True, slots=True)
class Peer:
    """A network of another library.

    name: lower case, unique in the library, as users write it. call: the library's own name for the function that
    builds it, with `arguments`. network: ours in the catalog, read as `spec` says (padding, eps, biases).
    pairs: of layers. input: C×H×W at which the two are compared. ignored: endings of names of the other's tensors that
    have no counterpart and no effect. damping: see `filled`.
    """

    library: Library
    name: str
    call: str
    network: str
    spec: Network
    pairs: Pairs
    input: tuple[int, int, int] = (3, 224, 224)
    arguments: Mapping[str, object] = field(default_factory=lambda: NO_ARGUMENTS)
    classes: int = 1000
    ignored: tuple[str, ...] = ()
    damping: float = 1.0

    @property
    def key(self) -> str:
        """library:name."""
        return f"{self.library}:{self.name}"


def numbered(spec: Network, shape: tuple[int, int, int], without: Collection[str] = ()) -> Iterator[Pair]:
    """Pairs of units with Keras's numbered layers, conv2d, conv2d_1, …: ours in order are theirs in order.

    without: units of ours that have names of their own there.
    """
    import torch

    with torch.device("meta"):
        state = spec.build(shape).state_dict()
    units = [f"backbone.{name.removesuffix('.conv.weight')}" for name in state if name.endswith(".conv.weight")]
    for index, ours in enumerate(each for each in units if each not in without):
        ending = f"_{index}" if index else ""
        yield Pair(f"{ours}.conv", f"conv2d{ending}")
        yield Pair(f"{ours}.norm", f"batch_normalization{ending}")
