"""The builders of the chapter on attention beside the same networks written out by hand, with the same weights."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visus.models import build_classifier
from visus.models.transformer import TransformerEncoder
from visus.models.vit import ViT


def same(x: Tensor) -> Tensor:
    return x


def linear(x: Tensor, weights: Iterator[Tensor]) -> Tensor:
    """The next two of the stored tensors."""
    matrix, bias = next(weights), next(weights)
    return x @ matrix.T + bias


def norm(x: Tensor, weights: Iterator[Tensor], eps: float) -> Tensor:
    """Layer normalisation; the next two of the stored tensors."""
    gamma, beta = next(weights), next(weights)
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, correction=0)
    return (x - mean) / (variance + eps).sqrt() * gamma + beta


def attention(x: Tensor, weights: Iterator[Tensor], heads: int) -> Tensor:
    """Concat(head_1 … head_h)·Wᴼ, head_i = softmax(Q·Kᵀ/√d_k)·V: Vaswani et al. 2017, §3.2."""
    queries, keys, values = linear(x, weights).chunk(3, -1)
    found = []
    for q, k, v in zip(queries.chunk(heads, -1), keys.chunk(heads, -1), values.chunk(heads, -1), strict=True):
        scores = q @ k.mT / q.shape[-1] ** 0.5
        found.append(scores.exp() / scores.exp().sum(-1, keepdim=True) @ v)
    return linear(torch.cat(found, -1), weights)


def block(
    x: Tensor,
    weights: dict[str, Tensor],
    heads: int,
    act: Callable[[Tensor], Tensor],
    order: str,
    eps: float,
    drop: Callable[[Tensor], Tensor] = same,
    inner_drop: Callable[[Tensor], Tensor] = same,
) -> Tensor:
    """One layer. weights: its own, by the names of its parts."""

    def part(name: str) -> Iterator[Tensor]:
        return iter([value for key, value in weights.items() if key.startswith(name)])

    def attend(y: Tensor) -> Tensor:
        return drop(attention(y, part("attention."), heads))

    def feed(y: Tensor) -> Tensor:
        return drop(linear(inner_drop(act(linear(y, part("feed_forward.expand")))), part("feed_forward.reduce")))

    if order == "pre":
        x = x + attend(norm(x, part("norm1"), eps))
        return x + feed(norm(x, part("norm2"), eps))
    x = norm(x + attend(x), part("norm1"), eps)
    return norm(x + feed(x), part("norm2"), eps)


def part_of(model: nn.Module, prefix: str) -> dict[str, Tensor]:
    """The stored tensors under a prefix, without it."""
    return {key.removeprefix(prefix): each for key, each in model.state_dict().items() if key.startswith(prefix)}


def filled(model: nn.Module) -> nn.Module:
    """Every parameter at random, so that none is zero or one."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 if "norm" in name and "weight" in name else 0.0, 0.3)
    return model


def gelu(x: Tensor) -> Tensor:
    """x·Φ(x), Φ the normal distribution."""
    return x * (1 + torch.erf(x / 2**0.5)) / 2


@pytest.mark.parametrize("order", ["post", "pre"])
@pytest.mark.parametrize("positions", ["sinusoidal", "learnt"])
def test_a_transformer_encoder(order, positions):
    torch.manual_seed(0)
    spec = TransformerEncoder(depth=2, width=12, heads=3, hidden=20, order=order, positions=positions)
    model = filled(build_classifier(spec, (2, 6, 5), 4)).eval()
    x = given = torch.randn(3, 2, 6, 5)
    x = torch.stack([torch.cat([image[:, row].flatten() for row in range(6)]).view(6, 10) for image in x])
    stored = part_of(model, "backbone.stages.0.")
    x = x @ stored["1.weight"].T + stored["1.bias"]
    if positions == "learnt":
        x = x + stored["2.table"]
    else:  # the paper, §3.5
        for p in range(6):
            for i in range(6):
                angle = torch.tensor(p / 10000 ** (2 * i / 12))
                x[:, p, 2 * i] += torch.sin(angle)
                x[:, p, 2 * i + 1] += torch.cos(angle)
    for number in (1, 2):
        x = block(x, part_of(model, f"backbone.stages.{number}.0."), 3, torch.relu, order, 1e-5)
    if order == "pre":
        x = norm(x, iter(part_of(model, "backbone.stages.2.1.").values()), 1e-5)
    wanted = linear(x.mean(1), iter(part_of(model, "head.").values()))
    assert torch.allclose(model(given), wanted, atol=1e-4)


@pytest.mark.parametrize("order", ["post", "pre"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("training", [False, True])
def test_a_transformer_encoder_is_that_of_torch(order, activation, training):
    """Beside torch.nn.TransformerEncoder, whose dropout would draw other numbers and is off."""
    torch.manual_seed(0)
    spec = TransformerEncoder(
        depth=3, width=12, heads=3, hidden=20, order=order, activation=activation, dropout=0.0, eps=1e-4
    )
    model = filled(build_classifier(spec, (1, 7, 4), 5)).train(training)
    layer = nn.TransformerEncoderLayer(
        12, 3, 20, dropout=0.0, activation=activation, layer_norm_eps=1e-4, batch_first=True, norm_first=order == "pre"
    )
    last = nn.LayerNorm(12, 1e-4) if order == "pre" else None
    peer = nn.TransformerEncoder(layer, 3, last, enable_nested_tensor=False).train(training)
    names = {
        "self_attn.in_proj_": "attention.qkv.", "self_attn.out_proj.": "attention.out.", "norm1.": "norm1.",
        "linear1.": "feed_forward.expand.", "linear2.": "feed_forward.reduce.", "norm2.": "norm2.",
    }  # fmt: skip
    stored = {
        f"layers.{number}.{theirs}{kind}": model.state_dict()[f"backbone.stages.{number + 1}.0.{ours}{kind}"]
        for number in range(3)
        for theirs, ours in names.items()
        for kind in ("weight", "bias")
    }
    if order == "pre":
        stored |= {f"norm.{key}": each for key, each in part_of(model, "backbone.stages.3.1.").items()}
    peer.load_state_dict(stored)
    x = torch.randn(2, 1, 7, 4)
    outputs = model.backbone.outputs(x)
    assert torch.allclose(outputs[-1], peer(outputs[0]), atol=1e-5)


def vit(model: nn.Module, x: Tensor, patch: int, heads: int, pool: str, drop: Callable[[Tensor], Tensor]) -> Tensor:
    """Dosovitskiy et al. 2020, equations 1 to 4."""
    stored = part_of(model, "backbone.stages.0.")
    matrix, bias, table = stored["0.weight"].flatten(1), stored["0.bias"], stored["3.table"][0]
    count, _, height, width = x.shape
    tokens = [stored["2.token"][0, 0].expand(count, -1)] if pool == "class" else []
    for top in range(0, height, patch):
        for left in range(0, width, patch):
            tokens.append(x[:, :, top : top + patch, left : left + patch].flatten(1) @ matrix.T + bias)
    x = drop(torch.stack(tokens, 1) + table)
    for stage in (1, 2, 3, 4):
        x = block(x, part_of(model, f"backbone.stages.{stage}.0."), heads, gelu, "pre", 1e-6, drop, drop)
    x = norm(x, iter(part_of(model, "backbone.stages.4.1.").values()), 1e-6)
    return linear(x[:, 0] if pool == "class" else x.mean(1), iter(part_of(model, "head.").values()))


@pytest.mark.parametrize("pool", ["class", "mean"])
def test_a_vision_transformer(pool):
    torch.manual_seed(0)
    spec = ViT(patch=4, depth=4, width=12, heads=3, hidden=20, pool=pool)
    model = filled(build_classifier(spec, (3, 12, 8), 5)).eval()
    x = torch.randn(2, 3, 12, 8)
    assert torch.allclose(model(x), vit(model, x, 4, 3, pool, same), atol=1e-4)


def test_a_vision_transformer_while_it_is_trained(monkeypatch):
    """Appendix B.1: dropout "is applied after every dense layer except for the qkv-projections and directly after
    adding positional- to patch embeddings". Here all that it would draw from is halved instead."""
    monkeypatch.setattr(F, "dropout", lambda x, p, training, inplace: x / 2 if training and p == 0.25 else x)
    torch.manual_seed(0)
    spec = ViT(patch=4, depth=4, width=12, heads=3, hidden=20, dropout=0.25)
    model = filled(build_classifier(spec, (3, 12, 8), 5)).train()
    x = torch.randn(2, 3, 12, 8)
    assert torch.allclose(model(x), vit(model, x, 4, 3, "class", lambda y: y / 2), atol=1e-4)


def test_a_transformer_encoder_while_it_is_trained(monkeypatch):
    """Vaswani et al. 2017, §5.4: dropout "to the output of each sub-layer, before it is added to the sub-layer input
    and normalized", and "to the sums of the embeddings and the positional encodings". Halved here instead."""
    monkeypatch.setattr(F, "dropout", lambda x, p, training, inplace: x / 2 if training and p == 0.25 else x)
    torch.manual_seed(0)
    spec = TransformerEncoder(depth=1, width=12, heads=3, hidden=20, dropout=0.25)
    model = filled(build_classifier(spec, (1, 7, 4), 5)).train()
    given = torch.randn(2, 1, 7, 4)
    stages = model.backbone.stages
    x = stages[0].eval()(given) / 2
    x = block(x, part_of(model, "backbone.stages.1.0."), 3, torch.relu, "post", 1e-5, lambda y: y / 2)
    stages[0].train()
    assert torch.allclose(model(given), linear(x.mean(1), iter(part_of(model, "head.").values())), atol=1e-4)
