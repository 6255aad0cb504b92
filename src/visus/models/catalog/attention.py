"""Attention: the Transformer's encoder and Vision Transformers."""

from __future__ import annotations

from msgspec.structs import replace

from visus.models.cards import Card, Family, Figures, Published
from visus.models.transformer import TransformerEncoder
from visus.models.vit import ViT

Networks = TransformerEncoder | ViT

FAMILIES: dict[str, Family] = {
    "transformer": Family(
        title="Attention is all you need",
        authors="Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin",
        year=2017,
        reference="arXiv:1706.03762",
        idea="Attention alone, without recurrence or convolution: each word takes from all others what its query finds "
        "in their keys, in several heads at once, and sines tell the places. No word of the input waits for the "
        "one before it.",
        departs="The encoder alone. The rows of an image stand for words, and a linear layer for the table of words; "
        "the mean over the rows and a linear layer stand for the decoder.",
    ),
    "vit": Family(
        title="An image is worth 16x16 words: Transformers for image recognition at scale",
        authors="Dosovitskiy, Beyer, Kolesnikov and others",
        year=2020,
        reference="arXiv:2010.11929",
        idea="An image is cut into patches that are read as words by a plain Transformer, with a token for the class. "
        "It knows next to nothing of images beforehand, and passes convolutional networks once it is pre-trained "
        "on enough of them.",
        departs="One linear layer gives the scores, as the paper has it for fine-tuning (for pre-training: one hidden "
        "layer more); it starts at random and not at zero.",
    ),
}

TINY: dict[str, Networks] = {
    "transformer": TransformerEncoder(depth=2, width=16, heads=4, hidden=32),
    "vit": ViT(patch=8, depth=4, width=16, heads=4, hidden=32),
}

_IMAGENET = (3, 224, 224)
_TV1 = "torchvision, weights IMAGENET1K_V1, 224×224 centre crop"
_TIMM = "timm, weights augreg_in21k_ft_in1k, 224×224"
_BASE = ViT()
_LARGE = ViT(depth=24, width=1024, heads=16, hidden=4096)
_SMALL = ViT(width=384, heads=6, hidden=1536, dropout=0.0, drop_path=0.1)
_TINY = ViT(width=192, heads=3, hidden=768, dropout=0.0, drop_path=0.1)
_TOUVRON = "the width, heads and stochastic depth of Touvron et al. 2020 (arXiv:2012.12877)"


def _vit(
    spec: ViT, count: int, macs: int, source: str, errors: tuple[float, float], crop: float = 0.875, about: str = ""
) -> Card:
    return Card(
        family="vit",
        spec=spec,
        input=_IMAGENET,
        fixed=True,
        figures=Figures(parameters=count, multiply_adds=macs),
        published=Published(data="ImageNet", source=source, top1_error=errors[0], top5_error=errors[1]),
        crop=crop,
        about=about,
    )


CARDS: dict[str, Card] = {
    "transformer_encoder": Card(
        family="transformer",
        spec=TransformerEncoder(),
        input=(1, 28, 28),
        figures=Figures(parameters=18_934_282, multiply_adds=533_705_728, classes=10),
        about="the base of the paper's table 3, on the rows of an image",
    ),
    "vit_tiny_patch16": _vit(_TINY, 5_717_416, 1_253_683_200, _TIMM, (24.548, 7.142), 0.9, _TOUVRON),
    "vit_tiny_patch32": Card(
        family="vit",
        spec=replace(_TINY, patch=32),
        input=_IMAGENET,
        fixed=True,
        figures=Figures(parameters=6_131_560, multiply_adds=306_034_176),
        crop=0.9,
        about=_TOUVRON,
    ),
    "vit_small_patch16": _vit(_SMALL, 22_050_664, 4_598_882_304, _TIMM, (18.598, 3.85), 0.9, _TOUVRON),
    "vit_small_patch32": _vit(
        replace(_SMALL, patch=32), 22_878_952, 1_142_909_952, _TIMM, (23.99, 6.734), 0.9, _TOUVRON
    ),
    "vit_base_patch16": _vit(_BASE, 86_567_656, 17_563_828_224, _TV1, (18.928, 4.682)),
    "vit_base_patch32": _vit(replace(_BASE, patch=32), 88_224_232, 4_409_186_304, _TV1, (24.088, 7.534)),
    "vit_large_patch16": _vit(_LARGE, 304_326_632, 61_554_712_576, _TV1, (20.338, 5.362), 0.9256),
    "vit_large_patch32": _vit(replace(_LARGE, patch=32), 306_535_400, 15_377_539_072, _TV1, (23.028, 6.93)),
}
