"""Multi-head self-attention, and the block that encoders are made of."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visus.errors import ModelError
from visus.nn.activation import Activation, activation
from visus.nn.residual import DropPath

Order = Literal["pre", "post"]


class DotProduct(nn.Module):
    """softmax(QKᵀ/√D)·V, head by head (Vaswani et al. 2017, arXiv:1706.03762, equation 1).

    Queries, keys and values of N×heads×T×D each in, N×heads×T×D out. dropout: of the softmax's weights, while training.
    """

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout

    def forward(self, q_NHTD: Tensor, k_NHTD: Tensor, v_NHTD: Tensor) -> Tensor:
        dropout = self.dropout if self.training else 0.0
        return F.scaled_dot_product_attention(q_NHTD, k_NHTD, v_NHTD, dropout_p=dropout)


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, arXiv:1706.03762, §3.2.2): N×T×width in and out.

    The rows of `qkv` are the queries' matrix, then the keys', then the values'; in each of them head by head.
    dropout: of the attention weights. Each matrix starts by Glorot's uniform rule, biases at zero.
    Raises ModelError where the width can't be shared out among the heads.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise ModelError(f"a width of {width} can't be divided among {heads} heads", "make it a multiple of them")
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.product = DotProduct(dropout)
        with torch.no_grad():
            for matrix in (*self.qkv.weight.chunk(3), self.out.weight):
                nn.init.xavier_uniform_(matrix)
        for layer in (self.qkv, self.out):
            nn.init.zeros_(layer.bias)

    def forward(self, x_NTD: Tensor) -> Tensor:
        q_NHTD, k_NHTD, v_NHTD = self.qkv(x_NTD).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y: Tensor = self.out(self.product(q_NHTD, k_NHTD, v_NHTD).transpose(1, 2).flatten(2))
        return y


class FeedForward(nn.Module):
    """Two linear layers on each token by itself (Vaswani et al. 2017, §3.3): N×T×width in and out.

    hidden: units between them. dropout: of those units. Weights start by Glorot's uniform rule, biases at zero.
    """

    def __init__(self, width: int, hidden: int, act: Activation = "relu", dropout: float = 0.0) -> None:
        super().__init__()
        self.expand, self.act, self.drop = nn.Linear(width, hidden), activation(act), nn.Dropout(dropout)
        self.reduce = nn.Linear(hidden, width)
        for layer in (self.expand, self.reduce):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x_NTD: Tensor) -> Tensor:
        y: Tensor = self.reduce(self.drop(self.act(self.expand(x_NTD))))
        return y


class EncoderBlock(nn.Module):
    """Attention and feed-forward layers, each with a shortcut and a layer normalisation: N×T×width in and out.

    order: "post", norm(x + f(x)), as Vaswani et al. 2017; "pre", x + f(norm(x)), as in Vision Transformers.
    eps: of the normalisations. dropout: of what attention and feed-forward layers give; inner_dropout: of the hidden
    units; attention_dropout: of the attention weights; drop_path: see DropPath.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        *,
        act: Activation = "relu",
        order: Order = "post",
        eps: float = 1e-5,
        dropout: float = 0.0,
        inner_dropout: float = 0.0,
        attention_dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.order = order
        self.attention, self.norm1 = Attention(width, heads, attention_dropout), nn.LayerNorm(width, eps)
        self.feed_forward, self.norm2 = FeedForward(width, hidden, act, inner_dropout), nn.LayerNorm(width, eps)
        self.drop = nn.Sequential(nn.Dropout(dropout), DropPath(drop_path))

    def forward(self, x_NTD: Tensor) -> Tensor:
        if self.order == "pre":
            x_NTD = x_NTD + self.drop(self.attention(self.norm1(x_NTD)))
            y: Tensor = x_NTD + self.drop(self.feed_forward(self.norm2(x_NTD)))
        else:
            x_NTD = self.norm1(x_NTD + self.drop(self.attention(x_NTD)))
            y = self.norm2(x_NTD + self.drop(self.feed_forward(x_NTD)))
        return y
