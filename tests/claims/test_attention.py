"""What SPEC §3 and the papers say of the networks of attention: "Transformer encoder and Vision Transformer (Ti/S/B/L,
patch 16/32)"."""

import pytest
import torch
from torch import nn

from visus.errors import ModelError
from visus.explanation import summarize
from visus.models import CATALOG, Network, build_classifier
from visus.models.transformer import TransformerEncoder
from visus.models.vit import ViT
from visus.nn.attention import EncoderBlock

VITS = sorted(name for name in CATALOG if name.startswith("vit_"))


def test_the_transformers_base_is_that_of_the_paper():
    """Vaswani et al. 2017, table 3, base: N = 6, d_model = 512, d_ff = 2048, h = 8, d_k = d_v = 64, P_drop = 0.1."""
    with torch.device("meta"):
        backbone = CATALOG["transformer_encoder"].spec.build((1, 28, 28))
    layers = [m for m in backbone.modules() if isinstance(m, EncoderBlock)]
    assert len(layers) == 6
    for layer in layers:
        assert (layer.attention.heads, layer.order) == (8, "post")
        assert layer.attention.qkv.out_features == 3 * 8 * 64
        assert (layer.feed_forward.expand.in_features, layer.feed_forward.expand.out_features) == (512, 2048)
        assert isinstance(layer.feed_forward.act, nn.ReLU)
        assert layer.drop[0].p == 0.1


@pytest.mark.parametrize(("depth", "d", "f"), [(6, 512, 2048), (2, 512, 2048), (6, 256, 1024), (6, 1024, 4096)])
def test_parameters_of_a_transformer_in_closed_form(depth, d, f):
    """Table 3 and its rows C: a layer has four d×d matrices, two of d×f, their biases, and two normalisations."""
    layer = 4 * (d * d + d) + 2 * d * f + d + f + 4 * d
    found = summarize(TransformerEncoder(depth=depth, width=d, heads=8, hidden=f), (1, 28, 28), 10)
    assert found.parameters == depth * layer + (28 * d + d) + (10 * d + 10)
    if (depth, d, f) == (6, 512, 2048):
        assert (layer, depth * layer) == (3_152_384, 18_914_304)


@pytest.mark.parametrize(
    ("name", "layers", "width", "hidden", "heads"),
    [
        ("base", 12, 768, 3072, 12),  # Dosovitskiy et al. 2020, table 1
        ("large", 24, 1024, 4096, 16),
        ("tiny", 12, 192, 768, 3),  # Touvron et al. 2020, table 1; four times the width in between, as in the base
        ("small", 12, 384, 1536, 6),
    ],
)
@pytest.mark.parametrize("patch", [16, 32])
def test_vision_transformers_have_the_papers_sizes(name, layers, width, hidden, heads, patch):
    with torch.device("meta"):
        backbone = CATALOG[f"vit_{name}_patch{patch}"].spec.build((3, 224, 224))
    blocks = [m for m in backbone.modules() if isinstance(m, EncoderBlock)]
    assert len(blocks) == layers
    for each in blocks:
        assert (each.attention.heads, each.order) == (heads, "pre")
        assert each.attention.qkv.weight.shape == (3 * width, width)
        assert each.feed_forward.expand.weight.shape == (hidden, width)
    assert backbone.stages[0][0].weight.shape == (width, 3, patch, patch)


@pytest.mark.parametrize("name", VITS)
def test_vision_transformers_stage_by_stage(name):
    """Dosovitskiy et al. 2020, §3.1: "N = HW/P² is the resulting number of patches"; equation 1: one token more;
    equation 4: the last output is normalised."""
    card, patch = CATALOG[name], int(name[-2:])
    side = 224 // patch
    with torch.device("meta"):
        backbone = card.spec.build(card.input).eval()
        outputs, maps = (found(torch.empty(2, *card.input)) for found in (backbone.outputs, backbone.maps))
    assert [tuple(each.shape) for each in outputs] == [(2, 224 * 224 // patch**2 + 1, card.spec.width)] * 5
    assert [tuple(each.shape) for each in maps] == [(2, card.spec.width, side, side)] * 5
    assert backbone.strides == (patch,) * 5
    kinds = [[type(layer).__name__ for layer in stage] for stage in backbone.stages[1:]]
    quarter = ["EncoderBlock"] * (card.spec.depth // 4)
    assert kinds == [quarter, quarter, quarter, [*quarter, "LayerNorm"]]


@pytest.mark.parametrize("name", VITS)
def test_parameters_of_a_vision_transformer_in_closed_form(name):
    """Equations 1 to 4: patches, class token, positions, layers, the last normalisation, one linear layer."""
    card, patch = CATALOG[name], int(name[-2:])
    d, f = card.spec.width, 4 * card.spec.width
    layer = 4 * (d * d + d) + 2 * d * f + d + f + 4 * d
    tokens = (224 // patch) ** 2 + 1
    wanted = (3 * patch**2 * d + d) + d + tokens * d + card.spec.depth * layer + 2 * d + (1000 * d + 1000)
    assert summarize(card.spec, card.input, 1000).parameters == wanted


@pytest.mark.parametrize(("name", "millions"), [("tiny", 5), ("small", 22), ("base", 86)])
def test_parameters_in_millions(name, millions):
    """Touvron et al. 2020, table 1: 5M, 22M, 86M."""
    assert summarize(CATALOG[f"vit_{name}_patch16"].spec, (3, 224, 224), 1000).parameters // 10**6 == millions


@pytest.mark.parametrize("name", ["vit_tiny_patch16", "vit_base_patch32", "transformer_encoder"])
def test_the_rows_of_a_summary_add_up(name):
    """The two matrix products of attention, T²·d each, stand in a row of their own."""
    card = CATALOG[name]
    found = summarize(card.spec, card.input, 10)
    assert sum(row.multiply_adds for row in found.rows) == found.multiply_adds
    assert sum(row.parameters for row in found.rows) == found.parameters
    tokens = 28 if name == "transformer_encoder" else (224 // card.spec.patch) ** 2 + 1
    products = [row.multiply_adds for row in found.rows if row.kind == "DotProduct"]
    assert products == [2 * tokens**2 * card.spec.width] * card.spec.depth


def test_the_order_of_patches_is_known_by_their_positions_alone():
    """Dosovitskiy et al. 2020, §3.1: position embeddings "retain positional information". Without them the class
    token is the same for any order of the patches."""
    torch.manual_seed(0)
    model = build_classifier(ViT(patch=4, depth=2, width=12, heads=3, hidden=20), (1, 8, 8), 3).eval()
    x = torch.randn(2, 1, 8, 8)
    moved = x.roll(4, 3)
    assert not torch.allclose(model(x), model(moved), atol=1e-5)
    nn.init.zeros_(model.backbone.stages[0][3].table)
    assert torch.allclose(model(x), model(moved), atol=1e-5)


def test_a_patch_token_sees_its_patch_alone():
    torch.manual_seed(0)
    model = build_classifier(ViT(patch=4, depth=1, width=12, heads=3, hidden=20), (1, 8, 12), 3).eval()
    x = torch.randn(1, 1, 8, 12)
    other = x.clone()
    other[..., 4:, 8:] += 1  # the last of the six
    here, there = (model.backbone.maps(each)[0] for each in (x, other))
    changed = (here != there).any(1)[0]
    assert changed.tolist() == [[False, False, False], [False, False, True]]


@pytest.mark.parametrize(
    ("shape", "sizes", "setting"),
    [
        ((3, 225, 230), "224×224 or 240×240", "--size 224"),
        ((3, 224, 230), "224×224 or 224×240", "--size 224"),
        ((3, 17, 48), "16×48 or 32×48", "--set preprocess.size=[16,48]"),
    ],
)
def test_sides_that_are_no_multiples_of_the_patch_are_refused_with_the_nearest_that_are(shape, sizes, setting):
    with pytest.raises(ModelError, match=f"{shape[1]}×{shape[2]}") as raised:
        build_classifier(ViT(), shape, 10)
    assert f"images of {sizes} pixels" in raised.value.remedy
    assert setting in raised.value.remedy


@pytest.mark.parametrize("spec", [ViT(width=100, heads=12), TransformerEncoder(width=100, heads=8)], ids=str)
def test_a_width_that_heads_cannot_share_is_refused(spec: Network):
    with pytest.raises(ModelError, match="100"):
        build_classifier(spec, (3, 32, 32), 3)


@pytest.mark.parametrize("depth", [1, 3, 5, 6])
def test_any_number_of_layers_is_shared_out_evenly(depth):
    with torch.device("meta"):
        backbone = ViT(patch=4, depth=depth, width=12, heads=3, hidden=20).build((1, 8, 8))
    counts = [sum(isinstance(layer, EncoderBlock) for layer in stage) for stage in backbone.stages[1:]]
    assert sum(counts) == depth
    assert len(counts) == min(4, depth)
    assert max(counts) - min(counts) <= 1


def test_stochastic_depth_grows_from_layer_to_layer():
    """Huang et al. 2016 (arXiv:1603.09382), equation 4: the chance of a layer to be left out grows linearly with its
    depth. Touvron et al. 2020, table 9: 0.1."""
    with torch.device("meta"):
        backbone = CATALOG["vit_small_patch16"].spec.build((3, 224, 224))
    rates = [m.drop[1].rate for m in backbone.modules() if isinstance(m, EncoderBlock)]
    assert rates == pytest.approx([0.1 * number / 11 for number in range(12)])


@pytest.mark.parametrize(
    "spec",
    [
        ViT(patch=8, depth=3, width=12, heads=2, hidden=16, pool="mean", drop_path=0.5, attention_dropout=0.2),
        ViT(patch=16, depth=1, width=12, heads=12, hidden=16, dropout=0.0, drop_path=0.3),
        TransformerEncoder(depth=1, width=9, heads=3, hidden=8, positions="learnt", inner_dropout=0.1),
        TransformerEncoder(depth=2, width=8, heads=1, hidden=8, order="pre", activation="gelu", attention_dropout=0.1),
    ],
    ids=str,
)
def test_other_settings_build_and_learn(spec: Network):
    torch.manual_seed(0)
    model = build_classifier(spec, (3, 32, 32), 4)
    model(torch.randn(4, 3, 32, 32)).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())
