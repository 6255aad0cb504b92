"""Attention beside the same arithmetic written out by hand."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from visus.errors import ModelError
from visus.nn.attention import Attention, DotProduct, EncoderBlock, FeedForward


def test_one_query_weighs_values_by_the_softmax_of_its_products():
    # d = 4: q·k/2 = 0 and ln 3, so that the weights are 1/4 and 3/4
    q, v = torch.tensor([2.0, 0, 0, 0]), torch.tensor([[4.0, 0, 0, 8], [0, 4, 0, 8]])
    k = torch.tensor([[0.0, 1, 1, 1], [torch.tensor(3.0).log().item(), 5, 5, 5]])
    found = DotProduct()(q.view(1, 1, 1, 4), k.view(1, 1, 2, 4), v.view(1, 1, 2, 4))
    assert found.flatten().tolist() == pytest.approx([1, 3, 0, 8], abs=1e-5)


def test_keys_that_are_alike_give_the_mean_of_the_values():
    q, v = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 5, 4)
    found = DotProduct()(q, torch.ones(2, 3, 5, 4), v)
    assert torch.allclose(found, v.mean(2, keepdim=True).expand_as(v), atol=1e-6)


def test_weights_are_dropped_while_training_only():
    torch.manual_seed(0)
    layer, q, v = DotProduct(0.5), torch.zeros(1, 1, 1, 2), torch.ones(1, 1, 1000, 2)
    k = torch.zeros_like(v)
    assert torch.allclose(layer.eval()(q, k, v), torch.ones(2), atol=1e-5)
    kept = layer.train()(q, k, v)  # a thousandth each; those that stay count twice: the spread is √(1000)·0.001
    assert kept[0, 0, 0, 0] != 1
    assert kept[0, 0, 0, 0].item() == pytest.approx(1, abs=5 * 0.032)


def test_attention_follows_the_order_of_its_tokens():
    layer, x, order = Attention(6, 2), torch.randn(2, 5, 6), torch.randperm(5)
    assert torch.allclose(layer(x[:, order]), layer(x)[:, order], atol=1e-6)


def test_heads_do_not_mix_before_the_last_matrix():
    torch.manual_seed(0)
    layer, x = Attention(6, 3), torch.randn(1, 5, 6)
    with torch.no_grad():
        layer.out.weight.copy_(torch.eye(6))
    before = layer(x)
    with torch.no_grad():
        for start in (0, 6, 12):  # the second head's queries, keys and values
            layer.qkv.weight[start + 2 : start + 4] += 1
    changed = (layer(x) - before).abs().amax((0, 1)) > 1e-5
    assert changed.tolist() == [False, False, True, True, False, False]


def test_a_width_that_heads_cannot_share_is_refused():
    with pytest.raises(ModelError, match="10 can't be divided among 4"):
        Attention(10, 4)


def test_matrices_start_by_glorots_rule():
    # Glorot & Bengio 2010, equation 16: uniform within ±√(6/(fan in + fan out)), each of the four matrices by itself
    torch.manual_seed(0)
    layer, feed = Attention(64, 4), FeedForward(64, 192)
    for matrix in (*layer.qkv.weight.chunk(3), layer.out.weight):
        assert 0.95 * (6 / 128) ** 0.5 < matrix.abs().max().item() <= (6 / 128) ** 0.5
    for matrix in (feed.expand.weight, feed.reduce.weight):
        assert 0.95 * (6 / 256) ** 0.5 < matrix.abs().max().item() <= (6 / 256) ** 0.5
    assert all(not bias.any() for bias in (layer.qkv.bias, layer.out.bias, feed.expand.bias, feed.reduce.bias))


def test_matrix_products_are_counted():
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        Attention(24, 3)(torch.empty(1, 7, 24))
    assert counter.get_total_flops() == 2 * (7 * 4 * 24 * 24 + 2 * 7 * 7 * 24)


def test_a_feed_forward_layer_takes_each_token_by_itself():
    layer, x = FeedForward(4, 9), torch.randn(2, 5, 4)
    w1, b1, w2, b2 = layer.parameters()
    for n in range(2):
        for t in range(5):
            wanted = w2 @ (w1 @ x[n, t] + b1).clamp_min(0) + b2  # Vaswani et al. 2017, equation 2
            assert torch.allclose(layer(x)[n, t], wanted, atol=1e-6)


@pytest.mark.parametrize("order", ["pre", "post"])
def test_a_block_that_adds_nothing(order):
    """x itself with the normalisation before, the normalised x with it after."""
    block, x = EncoderBlock(6, 2, 8, order=order), torch.randn(2, 3, 6)
    for layer in (block.attention.out, block.feed_forward.reduce):
        nn.init.zeros_(layer.weight)
    wanted = x if order == "pre" else (x - x.mean(2, keepdim=True)) / x.std(2, keepdim=True, correction=0)
    assert torch.allclose(block(x), wanted, atol=1e-4)


def test_a_dropped_block_leaves_its_sample_as_it_was():
    torch.manual_seed(0)
    block, x = EncoderBlock(6, 2, 8, order="pre", drop_path=0.5), torch.randn(64, 3, 6)
    nn.init.zeros_(block.feed_forward.reduce.weight)
    kept = (block.train()(x) == x).flatten(1).all(1)
    assert 16 < kept.sum() < 48  # 32 ± 4 standard deviations
    doubled = block.eval()(x) * 2 - x  # what stays is divided by the chance to stay
    block.train()
    torch.manual_seed(1)
    found = block(x)
    near = (found - doubled).flatten(1).abs().amax(1) < 1e-5
    assert ((found == x).flatten(1).all(1) ^ near).all()
