"""Inception networks. Counts of torchvision 0.29 (googlenet_bn, inception_v3), timm 1.0 (inception_v4,
inception_resnet_v2) and Keras 3.15 (xception), built and counted by torch's FlopCounterMode or from the kernels; those
of googlenet, bn_inception, bn_inception_128 and inception_resnet_v1 derived by hand from the papers' tables. Parameters
are with the auxiliary heads, multiply-adds without."""

from tests.contract.facts.base import Counts, Facts

# Sizes: four poolings of GoogLeNet give ⌈(n − 1)/2⌉ after a convolution that gives ⌈n/2⌉: the last pool's 3 pixels
# need 31. v3 and its kin halve five times without padding, with two 3×3 between: 75, 37, 35, 17, 15, 7, 3, 1.
# Xception: 7 → 3 → 1 in its stem, and the rest is padded.
_LARGE = ((3, 75, 75), (1, 81, 92))

FACTS = {
    "googlenet": Facts(sizes=((3, 32, 32), (1, 47, 61)), least=(31, 31), ceil=False),
    "bn_inception": Facts(),
    "inception_v3": Facts(sizes=_LARGE, least=(75, 75), ceil=False),
    "inception_v4": Facts(sizes=_LARGE, least=(75, 75), ceil=False),
    "inception_resnet": Facts(sizes=_LARGE, least=(75, 75), ceil=False),
    "xception": Facts(least=(7, 7), ceil=False),
}

COUNTS = {
    "googlenet": Counts((3, 224, 224), 1000, 13_378_280, 1_582_671_872, 0),
    "googlenet_bn": Counts((3, 224, 224), 1000, 13_004_888, 1_498_376_192, 15_072),
    "bn_inception": Counts((3, 224, 224), 1000, 11_194_984, 2_018_851_840, 19_904),
    "bn_inception_128": Counts((3, 224, 224), 1000, 11_295_240, 2_032_600_064, 20_032),
    "inception_v3": Counts((3, 299, 299), 1000, 27_161_264, 5_713_216_096, 36_224),
    "inception_v4": Counts((3, 299, 299), 1000, 42_679_816, 12_253_974_624, 63_168),
    "inception_resnet_v1": Counts((3, 299, 299), 1000, 22_756_328, 6_206_361_696, 27_040),
    "inception_resnet_v2": Counts((3, 299, 299), 1000, 55_843_464, 13_155_794_016, 60_544),
    "xception": Counts((3, 299, 299), 1000, 22_855_952, 8_357_403_496, 54_528),
}
