"""What is known of another library's network: its name, ours, and which of its layers is which of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
    have no counterpart and no effect.
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

    @property
    def key(self) -> str:
        """library:name."""
        return f"{self.library}:{self.name}"


def within(ours: str, theirs: str, rows: Mapping[str, str]) -> Iterator[Pair]:
    """Pairs of the layers inside two blocks: `rows` from a path within ours to a path within theirs."""
    for mine, other in rows.items():
        yield Pair(f"{ours}.{mine}", f"{theirs}{other}")
