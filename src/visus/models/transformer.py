"""The Transformer's encoder, on the rows of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from visus.models.parts import Count, Factor, Share, require_image
from visus.spec import Variant

if TYPE_CHECKING:
    from torch import nn

    from visus.nn import Pyramid


class TransformerEncoder(Variant, frozen=True, tag="transformer"):
    """The encoder of Vaswani et al. 2017 (arXiv:1706.03762): N×C×H×W in, N×H×width tokens a stage out.

    The sequence is the image's rows: the C·W values of each go through one linear layer to a token, to which its
    position is added. The first stage is that, each further stage one layer; scores are a linear layer on the mean of
    the tokens.

    depth: layers. hidden: the feed-forward layers' units. order: of normalisation, "post" as in the paper, or "pre",
    which ends in one more. positions: as in the paper; "learnt" is row E of its table 3. eps: of the normalisations,
    which the paper doesn't give. dropout: of what attention and feed-forward layers give, and of the tokens with their
    positions. inner_dropout, attention_dropout: of the hidden units and of the attention weights, which the paper
    doesn't name and torch.nn.TransformerEncoderLayer has.

    Departs from the paper: rows of images stand for words, so a linear layer stands for the table of words (without
    the factor √width that the paper gives its table), and the mean and a linear layer for the decoder.
    """

    depth: Count = 6
    width: Count = 512
    heads: Count = 8
    hidden: Count = 2048
    order: Literal["post", "pre"] = "post"
    activation: Literal["relu", "gelu"] = "relu"
    positions: Literal["sinusoidal", "learnt"] = "sinusoidal"
    eps: Factor = 1e-5
    dropout: Share = 0.1
    inner_dropout: Share = 0.0
    attention_dropout: Share = 0.0

    def build(self, shape: tuple[int, ...]) -> Pyramid:
        """shape: C×H×W of one image; any height and width. Its maps are columns of H pixels, without a stride."""
        from torch import nn

        from visus.nn import Pyramid
        from visus.nn.attention import EncoderBlock
        from visus.nn.tokens import LearntPositions, Rows, SinusoidalPositions, keep_variance

        channels, height, columns = require_image(self, shape)
        positions = {"sinusoidal": SinusoidalPositions, "learnt": LearntPositions}[self.positions]
        embedding = keep_variance(nn.Linear(channels * columns, self.width))
        stages = [nn.Sequential(Rows(), embedding, positions(height, self.width), nn.Dropout(self.dropout))]
        for _ in range(self.depth):
            block = EncoderBlock(
                self.width,
                self.heads,
                self.hidden,
                act=self.activation,
                order=self.order,
                eps=self.eps,
                dropout=self.dropout,
                inner_dropout=self.inner_dropout,
                attention_dropout=self.attention_dropout,
            )
            stages.append(nn.Sequential(block))
        if self.order == "pre":
            stages[-1].append(nn.LayerNorm(self.width, self.eps))
        return Pyramid(stages, (self.width,) * len(stages), (), (height, 1))

    def head(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The mean over the tokens and one linear layer, on features of this shape."""
        from torch import nn

        from visus.nn.tokens import MeanToken

        return nn.Sequential(MeanToken(), nn.Linear(shape[1], classes))
