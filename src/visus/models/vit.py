"""Vision Transformers."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from visus.errors import ModelError
from visus.models.parts import Count, Factor, Share, require_image, sized
from visus.spec import Variant

if TYPE_CHECKING:
    from torch import nn

    from visus.nn import Pyramid

STAGES = 4


class ViT(Variant, frozen=True, tag="vit"):
    """Vision Transformers (Dosovitskiy et al. 2020, arXiv:2010.11929): N×C×H×W in, N×T×width tokens a stage out.

    The image is cut into squares of `patch` pixels, and each is a token. The first stage gives these tokens with their
    learnt positions, after the class token; four more share out the layers, as evenly as can be, and the last ends in
    a normalisation. Positions are for the image's size, whose sides are multiples of the patch.

    depth, width, heads, hidden: the paper's table 1, where they are layers, hidden size D, heads and MLP size.
    pool: what scores are read from, the "class" token or, without such a token, the "mean" of all (appendix D.3).
    eps: of the normalisations, as in the authors' code. dropout: after every linear layer but those to queries, keys
    and values, and of the tokens with their positions (appendix B.1; table 3: 0.1 for training on ImageNet).
    attention_dropout: of the attention weights. drop_path: stochastic depth; the chance grows evenly from 0 at the
    first layer to this at the last (Touvron et al. 2020, arXiv:2012.12877, table 9: 0.1).

    Departs from the paper: scores are one linear layer, as the paper has it for fine-tuning, at random first weights
    and not at zero, so that all layers learn from the first step on.
    """

    patch: Count = 16
    depth: Count = 12
    width: Count = 768
    heads: Count = 12
    hidden: Count = 3072
    pool: Literal["class", "mean"] = "class"
    eps: Factor = 1e-6
    dropout: Share = 0.1
    attention_dropout: Share = 0.0
    drop_path: Share = 0.0

    def build(self, shape: tuple[int, ...]) -> Pyramid:
        """shape: C×H×W of one image. Raises ModelError where a side is no multiple of the patch."""
        from torch import nn

        from visus.nn import Pyramid
        from visus.nn.attention import EncoderBlock
        from visus.nn.tokens import ClassToken, LearntPositions, Pixels, keep_variance

        channels, *sides = require_image(self, shape, (self.patch, self.patch))
        grid = self._grid(sides[0], sides[1])
        before = 1 if self.pool == "class" else 0
        stages = [
            nn.Sequential(
                keep_variance(nn.Conv2d(channels, self.width, self.patch, self.patch)),
                Pixels(),
                ClassToken(self.width) if before else nn.Identity(),
                LearntPositions(before + grid[0] * grid[1], self.width),
                nn.Dropout(self.dropout),
            )
        ]
        blocks = [
            EncoderBlock(
                self.width,
                self.heads,
                self.hidden,
                act="gelu",
                order="pre",
                eps=self.eps,
                dropout=self.dropout,
                inner_dropout=self.dropout,
                attention_dropout=self.attention_dropout,
                drop_path=self.drop_path * number / max(self.depth - 1, 1),
            )
            for number in range(self.depth)
        ]
        count = min(STAGES, self.depth)
        bounds = [self.depth * number // count for number in range(count + 1)]
        stages += [nn.Sequential(*blocks[start:end]) for start, end in pairwise(bounds)]
        stages[-1].append(nn.LayerNorm(self.width, self.eps))
        return Pyramid(stages, (self.width,) * len(stages), (self.patch,) * len(stages), grid)

    def head(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """One linear layer on the class token, or on the mean of all, on features of this shape."""
        from torch import nn

        from visus.nn.tokens import FirstToken, MeanToken

        return nn.Sequential(FirstToken() if self.pool == "class" else MeanToken(), nn.Linear(shape[1], classes))

    def _grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches."""
        rows, columns = height // self.patch, width // self.patch
        if (rows * self.patch, columns * self.patch) == (height, width):
            return rows, columns
        near = [(side // self.patch * self.patch, -(-side // self.patch) * self.patch) for side in (height, width)]
        fits = " or ".join(f"{h}×{w}" for h, w in dict.fromkeys(zip(*near, strict=True)))
        raise ModelError(
            f"a Vision Transformer of {self.patch}×{self.patch} patches can't cut up images of {height}×{width}",
            f"give images of {fits} pixels, multiples of the patch: {sized((near[0][0], near[1][0]))}",
        )
