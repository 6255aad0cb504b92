"""Attention. Counts of Vision Transformers: torchvision 0.29 (base, large) and timm 1.0 (tiny, small), built and
counted by torch's FlopCounterMode.

By hand, with d the width, f the hidden units, T the tokens: a layer has 4(d² + d) + 2df + f + d parameters and two
normalisations of 2d; it takes T(4d² + 2df) + 2T²d multiply-adds.

- transformer_encoder, d = 512, f = 2,048, T = 28 rows: a layer 3,152,384, six 18,914,304; the rows' layer
  28·512 + 512 = 14,848; ten classes 5,130; together 18,934,282. Multiply-adds: a layer 28·3,145,728 + 2·784·512 =
  88,883,200, six 533,299,200; rows 28·28·512 = 401,408; classes 5,120; together 533,705,728.
- vit_tiny_patch32, d = 192, f = 768, T = 1 + 7·7: a layer 444,864, twelve 5,338,368; patches 3·32²·192 + 192 = 590,016;
  class token 192; positions 9,600; the last normalisation 384; classes 193,000; together 6,131,560. Multiply-adds: a
  layer 50·442,368 + 2·2,500·192 = 23,078,400, twelve 276,940,800; patches 49·3,072·192 = 28,901,376; classes 192,000;
  together 306,034,176.
"""

from tests.contract.facts.base import Counts, Facts

FACTS = {
    "transformer": Facts(ceil=False),  # rows, not maps
    "vit": Facts(sizes=((3, 32, 32), (1, 40, 24)), least=(8, 8), ceil=False),  # sides are multiples of the patch
}

COUNTS = {
    "transformer_encoder": Counts((1, 28, 28), 10, 18_934_282, 533_705_728, 0),
    "vit_tiny_patch16": Counts((3, 224, 224), 1000, 5_717_416, 1_253_683_200, 0),
    "vit_tiny_patch32": Counts((3, 224, 224), 1000, 6_131_560, 306_034_176, 0),
    "vit_small_patch16": Counts((3, 224, 224), 1000, 22_050_664, 4_598_882_304, 0),
    "vit_small_patch32": Counts((3, 224, 224), 1000, 22_878_952, 1_142_909_952, 0),
    "vit_base_patch16": Counts((3, 224, 224), 1000, 86_567_656, 17_563_828_224, 0),
    "vit_base_patch32": Counts((3, 224, 224), 1000, 88_224_232, 4_409_186_304, 0),
    "vit_large_patch16": Counts((3, 224, 224), 1000, 304_326_632, 61_554_712_576, 0),
    "vit_large_patch32": Counts((3, 224, 224), 1000, 306_535_400, 15_377_539_072, 0),
}
