"""Vision Transformers in torchvision and timm."""

from __future__ import annotations

from collections.abc import Iterator

from visus.models import CATALOG
from visus.models.vit import ViT
from visus.weights.peers.base import Library, Pair, Peer

TIMM = {
    "norm1": "norm1", "attention.qkv": "attn.qkv", "attention.out": "attn.proj", "norm2": "norm2",
    "feed_forward.expand": "mlp.fc1", "feed_forward.reduce": "mlp.fc2",
}  # fmt: skip
TORCHVISION = {
    "norm1": "ln_1", "attention.out": "self_attention.out_proj", "norm2": "ln_2", "feed_forward.expand": "mlp.0",
    "feed_forward.reduce": "mlp.3",
}  # fmt: skip


def timm(spec: ViT) -> Iterator[Pair]:
    """timm's names."""
    yield Pair("backbone.stages.0.0", "patch_embed.proj")
    yield Pair("backbone.stages.0.2.token", "cls_token")
    yield Pair("backbone.stages.0.3.table", "pos_embed")
    for ours, index in _blocks(spec):
        for mine, other in TIMM.items():
            yield Pair(f"{ours}.{mine}", f"blocks.{index}.{other}")
    yield Pair(f"backbone.stages.4.{spec.depth // 4}", "norm")
    yield Pair("head.1", "head")


def torchvision(spec: ViT) -> Iterator[Pair]:
    """torchvision's names: queries, keys and values are one matrix there too, as tensors without a layer."""
    yield Pair("backbone.stages.0.0", "conv_proj")
    yield Pair("backbone.stages.0.2.token", "class_token")
    yield Pair("backbone.stages.0.3.table", "encoder.pos_embedding")
    for ours, index in _blocks(spec):
        theirs = f"encoder.layers.encoder_layer_{index}"
        for kind in ("weight", "bias"):
            yield Pair(f"{ours}.attention.qkv.{kind}", f"{theirs}.self_attention.in_proj_{kind}")
        for mine, other in TORCHVISION.items():
            yield Pair(f"{ours}.{mine}", f"{theirs}.{other}")
    yield Pair(f"backbone.stages.4.{spec.depth // 4}", "encoder.ln")
    yield Pair("head.1", "heads.head")


def _blocks(spec: ViT) -> Iterator[tuple[str, int]]:
    """Four stages share out the layers evenly."""
    for index in range(spec.depth):
        stage, block = divmod(index, spec.depth // 4)
        yield f"backbone.stages.{1 + stage}.{block}", index


def _peer(library: Library, name: str, network: str) -> Peer:
    spec = CATALOG[network].spec
    return Peer(library, name, name, network, spec, torchvision if library == "torchvision" else timm)


PEERS = (
    _peer("torchvision", "vit_b_16", "vit_base_patch16"),
    _peer("torchvision", "vit_b_32", "vit_base_patch32"),
    _peer("torchvision", "vit_l_16", "vit_large_patch16"),
    _peer("torchvision", "vit_l_32", "vit_large_patch32"),
    _peer("timm", "vit_tiny_patch16_224", "vit_tiny_patch16"),
    _peer("timm", "vit_small_patch16_224", "vit_small_patch16"),
    _peer("timm", "vit_small_patch32_224", "vit_small_patch32"),
    _peer("timm", "vit_base_patch16_224", "vit_base_patch16"),
    _peer("timm", "vit_base_patch32_224", "vit_base_patch32"),
    _peer("timm", "vit_large_patch16_224", "vit_large_patch16"),
)
