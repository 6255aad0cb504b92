"""Which class every pixel is of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

import msgspec
import numpy as np
import torch
from msgspec.structs import replace as with_fields
from torch import Tensor, nn
from torch.nn import functional as F

from visus.data.types import VOID, Batch, Schema, Targets
from visus.errors import DataError, SpecError, nearest
from visus.metrics import MaskMeter
from visus.models import Network
from visus.models.decoders import Decoder, UNetDecoder
from visus.nn.unet import middle
from visus.ops.objects import border_weights, objects
from visus.spec import Spec, Variant
from visus.tasks.base import Case, How
from visus.tasks.masks import Segmentation, pictures
from visus.training import Player

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Amount = Annotated[float, msgspec.Meta(ge=0)]


class Border(Spec, frozen=True):
    """Pixels between objects weigh more, the nearer two of them are: by w0·exp(−(d1 + d2)²/2σ²) (Ronneberger et al.
    2015, arXiv:1505.04597, equation 2). strength: w0. sigma: σ, in pixels."""

    strength: Amount = 10.0
    sigma: Annotated[float, msgspec.Meta(gt=0)] = 5.0


class Segment(Variant, frozen=True, tag="segment"):
    """The class of every pixel. Pixels whose class isn't known (VOID) count in no loss and in no figure.

    decoder: what leads from the network's maps back to pixels; where it answers for the middle of the image alone, the
    middle of the mask is learnt and measured.
    cross_entropy, dice, focal: the weights of the parts of the loss. dice: 1 − the mean Dice coefficient of the classes
    that a batch has, of probabilities. focal: cross-entropy times (1 − p)^gamma (Lin et al. 2017, arXiv:1708.02002).
    balance: weight classes by the inverse of their pixels. weights: of the classes, in order; set by `balance`.
    boundary: the class that separates objects, such as membranes: the connected parts of all others are then measured
    as objects. A name; a number once fitted. border: a greater weight for the pixels between objects, which lie in the
    boundary's class, or in the first one where there is none. Both kinds of weights are of cross-entropy and focal
    loss, which are weighted means over pixels.
    """

    decoder: Decoder = UNetDecoder()
    cross_entropy: Amount = 1.0
    dice: Amount = 0.0
    focal: Amount = 0.0
    gamma: Amount = 2.0
    balance: bool = False
    weights: tuple[Amount, ...] | None = None
    boundary: str | int | None = None
    border: Border | None = None
    needs: ClassVar[tuple[tuple[str, ...], ...]] = (("mask",),)
    exact: ClassVar[bool] = False

    def goal(self, schema: Schema) -> str:
        return "iou"

    def fitted(self, schema: Schema, targets: Targets) -> Segment:
        classes = len(schema.masks)
        if classes < 2:
            raise DataError(
                f"segmentation needs at least two classes of pixels, and there is {', '.join(schema.masks) or 'none'}"
            )
        if not self.cross_entropy + self.dice + self.focal:
            raise SpecError("task.cross_entropy, dice and focal are all 0: nothing would be learnt", "set one above 0")
        if self.weights is not None and len(self.weights) != classes:
            raise DataError(f"task.weights has {len(self.weights)} values for {classes} classes")
        assert targets.mask is not None
        counts = torch.bincount(targets.mask.flatten(), minlength=VOID + 1)[:VOID]
        if (beyond := _highest(counts)) >= classes:
            raise DataError(
                f"a mask has pixels of class {beyond}, and {classes} have names: {', '.join(schema.masks[:8])}",
                f"name all classes, or make pixels of no class {VOID}",
            )
        task = with_fields(self, boundary=self._number(schema))
        if not self.balance or self.weights is not None:
            return task
        known = counts[:classes].double()
        inverse = known.sum() / (classes * known.clamp_min(1))
        return with_fields(task, weights=tuple(round(each, 6) for each in inverse.tolist()))

    def assemble(self, network: Network, schema: Schema) -> nn.Module:
        return self.decoder.build(network, schema.shape, len(schema.masks))

    def players(self, model: nn.Module) -> tuple[Player, ...]:
        device = next(model.parameters()).device
        weights = None if self.weights is None else torch.tensor(self.weights, device=device)

        def loss(batch: Batch) -> dict[str, Tensor]:
            scores_NKHW = model(batch.inputs).float()
            mask_NHW = _middle(batch.target, scores_NKHW)
            known_NHW = mask_NHW != VOID
            label_NHW = mask_NHW.long().masked_fill(~known_NHW, 0)
            logs_NHW = F.log_softmax(scores_NKHW, 1).gather(1, label_NHW[:, None])[:, 0]
            weight_NHW = self._weigh(mask_NHW, label_NHW, weights) * known_NHW
            total = weight_NHW.sum().clamp_min(1e-6)
            found: dict[str, Tensor] = {}
            if self.cross_entropy:
                found["cross_entropy"] = -self.cross_entropy * (logs_NHW * weight_NHW).sum() / total
            if self.focal:
                easy_NHW = (1 - logs_NHW.exp()).clamp_min(0) ** self.gamma
                found["focal"] = -self.focal * (easy_NHW * logs_NHW * weight_NHW).sum() / total
            if self.dice:
                found["dice"] = self.dice * soft_dice(scores_NKHW.softmax(1), label_NHW, known_NHW)
            return found

        return (Player.of("segmenter", model, loss),)

    def calibrate(self, model: nn.Module, batches: Iterable[Batch], held: Iterable[Batch]) -> None:
        return

    def decode(self, output: Tensor, schema: Schema) -> list[Segmentation]:
        masks = output.argmax(1).to(torch.uint8).cpu().numpy()
        return [
            Segmentation(mask, schema.masks, None, scores) for mask, scores in zip(masks, output, strict=True)
        ]  # fmt: skip

    def meter(self, schema: Schema) -> MaskMeter:
        return MaskMeter(schema.masks, VOID, self._number(schema))

    def measure(self, meter: MaskMeter, output: Tensor, target: Targets) -> None:
        said_NHW, true_NHW = output.argmax(1).to(torch.uint8).cpu().numpy(), _middle(target, output).cpu().numpy()
        for said_HW, true_HW in zip(said_NHW, true_NHW, strict=True):
            meter.update(said_HW, true_HW)

    def errors(self, output: Tensor, target: Targets) -> Tensor:
        """The mean cross-entropy of each image's known pixels."""
        mask_NHW = _middle(target, output).long()
        each_NHW = F.cross_entropy(output.float(), mask_NHW, reduction="none", ignore_index=VOID)
        return each_NHW.sum((1, 2)) / (mask_NHW != VOID).sum((1, 2)).clamp_min(1)

    def fuse(self, outputs: Sequence[Tensor], weights: Tensor, how: How, schema: Schema) -> Tensor:
        raise SpecError("what several networks say of pixels can't be averaged", "ask them one by one")

    def draw(self, meter: MaskMeter, worst: Sequence[Case], some: Sequence[Case], schema: Schema) -> dict[str, Figure]:
        return pictures(meter, worst, some)

    def _number(self, schema: Schema) -> int | None:
        """Of the boundary's class. Raises SpecError."""
        if self.boundary is None:
            return None
        if isinstance(self.boundary, int) and 0 <= self.boundary < len(schema.masks):
            return self.boundary
        if self.boundary not in schema.masks:
            known = nearest(str(self.boundary), schema.masks)
            raise SpecError(f"task.boundary = {self.boundary}: there is no such class", known)
        return schema.masks.index(str(self.boundary))

    def _weigh(self, mask_NHW: Tensor, label_NHW: Tensor, weights: Tensor | None) -> Tensor:
        """How much each pixel counts."""
        weight_NHW = torch.ones(mask_NHW.shape, device=mask_NHW.device) if weights is None else weights[label_NHW]
        if self.border is None:
            return weight_NHW
        between = self.boundary or 0
        assert not isinstance(between, str)  # a number, once fitted
        found = []
        for mask_HW in mask_NHW.cpu().numpy():
            numbers = objects(mask_HW, (mask_HW != between) & (mask_HW != VOID))
            found.append(border_weights(numbers, self.border.strength, self.border.sigma))
        return weight_NHW + torch.from_numpy(np.stack(found)).to(weight_NHW.device)


def soft_dice(shares_NKHW: Tensor, label_NHW: Tensor, known_NHW: Tensor) -> Tensor:
    """1 − the mean, over the classes that a batch has, of 2·Σ p·t / (Σ p + Σ t) over its known pixels."""
    true_NKHW = F.one_hot(label_NHW, shares_NKHW.shape[1]).movedim(-1, 1) * known_NHW[:, None]
    both_K = (shares_NKHW * true_NKHW).sum((0, 2, 3))
    true_K = true_NKHW.sum((0, 2, 3))
    said_K = (shares_NKHW * known_NHW[:, None]).sum((0, 2, 3))
    there_K = (true_K > 0).to(both_K.dtype)
    dice_K = 2 * both_K / (said_K + true_K).clamp_min(1e-6)
    return 1 - (dice_K * there_K).sum() / there_K.sum().clamp_min(1)


def _middle(target: Targets, scores_NKHW: Tensor) -> Tensor:
    """What is compared with the scores: the masks, or their middle."""
    assert target.mask is not None
    return middle(target.mask.to(scores_NKHW.device), scores_NKHW.shape[-2], scores_NKHW.shape[-1])


def _highest(counts: Tensor) -> int:
    """The highest class number that occurs, 0 where none does."""
    there = counts.nonzero()
    return int(there.max()) if len(there) else 0
