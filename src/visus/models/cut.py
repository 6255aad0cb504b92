"""The first stages of a network, as a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from visus.errors import ModelError
from visus.models.catalog.chapters import Whole
from visus.spec import Variant

if TYPE_CHECKING:
    from torch import nn

    from visus.nn import Pyramid


class Cut(Variant, frozen=True, tag="cut"):
    """The stages 0…stage of another network, with a linear layer on their pooled features as the head.

    Inputs and maps are those of the other network.
    """

    network: Whole
    stage: Annotated[int, msgspec.Meta(ge=0)]

    def build(self, shape: tuple[int, ...]) -> Pyramid:
        """shape: of one input. Raises ModelError where the network has no such stage."""
        from visus.nn import Pyramid

        whole, end = self.network.build(shape), self.stage + 1
        if end > len(whole.stages):
            raise ModelError(
                f"the network has no stage {self.stage}: it has {len(whole.stages)}", f"0 … {len(whole.stages) - 1}"
            )
        return Pyramid(list(whole.stages)[:end], whole.channels[:end], whole.strides[:end], whole.grid)

    def head(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The mean over the map, or over the tokens, and one linear layer."""
        from torch import nn

        from visus.nn import pooled_head

        if len(shape) == 3:
            return pooled_head(shape[0], classes)
        if len(shape) == 2:
            from visus.nn.tokens import MeanToken

            return nn.Sequential(MeanToken(), nn.Linear(shape[1], classes))
        return nn.Linear(shape[0], classes)
