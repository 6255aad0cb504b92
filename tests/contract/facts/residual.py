"""Residual networks. Counts of torchvision 0.29, timm 1.0 and Keras 3.15, built and counted (multiply-adds by torch's
FlopCounterMode; Keras's kernels times output pixels); those of the networks for CIFAR derived from the papers.

seresnet18 and seresnet34 are timm's legacy_seresnet18 and 34, which reduce by 16 as the paper does (timm's newer ones
keep at least 8 channels); the networks named _caffe its legacy_seresnet50, 101 and 152; those named _keras Keras's.
preact_resnet200, resnext152_32x4d and wide_resnet68_3 are in no library: they were built of timm 1.0.31's classes
(ResNetV2 with layers 3, 24, 36, 3; ResNet with layers 3, 8, 36, 3, cardinality 32, base width 4; and with layers
3, 4, 12, 3, base width 192) and counted, and tests/claims/test_residual.py derives them by hand."""

from tests.contract.facts.base import Counts, Facts

FACTS = {
    "resnet": Facts(),
    "preact_resnet": Facts(),
    "wide_resnet": Facts(),
    "resnext": Facts(),
    "senet": Facts(),
    # the stem halves twice, rounding up, and the transition of two blocks once, rounding down: ⌈⌈5/2⌉/2⌉ = 2
    "densenet": Facts(least=(5, 5), ceil=False),
}

COUNTS = {
    # by hand: 3×3 kernels 3·16, 2·16·16, 16·32 + 32·32, 32·64 + 64·64 on 32², 32², 16², 8² pixels, projections 16·32,
    # 32·64, normalisations of 336 channels, 64·10 + 10 in the last layer
    "resnet8": Counts((3, 32, 32), 10, 78_042, 12_501_632, 672),
    "resnet20": Counts((3, 32, 32), 10, 269_722, 40_551_040, 1_376),
    "resnet32": Counts((3, 32, 32), 10, 464_154, 68_862_592, 2_272),
    "resnet44": Counts((3, 32, 32), 10, 658_586, 97_174_144, 3_168),
    "resnet56": Counts((3, 32, 32), 10, 853_018, 125_485_696, 4_064),
    "resnet110": Counts((3, 32, 32), 10, 1_727_962, 252_887_680, 8_096),
    "resnet18": Counts((3, 224, 224), 1000, 11_689_512, 1_814_073_344, 9_600),
    "resnet34": Counts((3, 224, 224), 1000, 21_797_672, 3_663_761_408, 17_024),
    "resnet50": Counts((3, 224, 224), 1000, 25_557_032, 4_089_184_256, 53_120),
    "resnet101": Counts((3, 224, 224), 1000, 44_549_160, 7_801_405_440, 105_344),
    "resnet152": Counts((3, 224, 224), 1000, 60_192_808, 11_513_626_624, 151_424),
    "wide_resnet50_2": Counts((3, 224, 224), 1000, 68_883_240, 11_398_021_120, 68_224),
    "wide_resnet101_2": Counts((3, 224, 224), 1000, 126_886_696, 22_753_050_624, 137_856),
    "resnext50_32x4d": Counts((3, 224, 224), 1000, 25_028_904, 4_230_479_872, 68_224),
    "resnext101_32x8d": Counts((3, 224, 224), 1000, 88_791_336, 16_414_015_488, 202_880),
    "resnext101_64x4d": Counts((3, 224, 224), 1000, 83_455_272, 15_460_270_080, 202_880),
    "seresnet50": Counts((3, 224, 224), 1000, 28_088_024, 4_091_699_200, 53_120),
    "seresnet101": Counts((3, 224, 224), 1000, 49_326_872, 7_806_148_608, 105_344),
    "seresnet152": Counts((3, 224, 224), 1000, 66_821_848, 11_520_204_800, 151_424),
    "seresnext50_32x4d": Counts((3, 224, 224), 1000, 27_559_896, 4_232_994_816, 68_224),
    "resnet200": Counts((3, 224, 224), 1000, 64_673_832, 15_007_481_856, 176_000),
    "resnet50_keras": Counts((3, 224, 224), 1000, 25_583_592, 3_857_973_248, 53_120),
    "resnet101_keras": Counts((3, 224, 224), 1000, 44_601_832, 7_570_194_432, 105_344),
    "resnet152_keras": Counts((3, 224, 224), 1000, 60_268_520, 11_282_415_616, 151_424),
    "preact_resnet18": Counts((3, 224, 224), 1000, 11_687_720, 1_814_073_344, 7_808),
    "preact_resnet34": Counts((3, 224, 224), 1000, 21_795_880, 3_663_761_408, 15_232),
    "preact_resnet50": Counts((3, 224, 224), 1000, 25_549_352, 4_089_184_256, 45_440),
    "preact_resnet101": Counts((3, 224, 224), 1000, 44_541_480, 7_801_405_440, 97_664),
    "preact_resnet152": Counts((3, 224, 224), 1000, 60_185_128, 11_513_626_624, 143_744),
    "preact_resnet200": Counts((3, 224, 224), 1000, 64_666_152, 15_007_481_856, 168_320),
    "preact_resnet50_keras": Counts((3, 224, 224), 1000, 25_568_360, 3_482_255_360, 45_440),
    "preact_resnet101_keras": Counts((3, 224, 224), 1000, 44_577_896, 7_194_476_544, 97_664),
    "preact_resnet152_keras": Counts((3, 224, 224), 1000, 60_236_904, 10_906_697_728, 143_744),
    "wide_resnet16_8": Counts((3, 32, 32), 10, 10_961_370, 1_548_145_664, 7_200),
    "wide_resnet28_10": Counts((3, 32, 32), 10, 36_479_194, 5_243_328_768, 17_952),
    "wide_resnet40_4": Counts((3, 32, 32), 10, 8_949_210, 1_298_582_016, 10_784),
    "wide_resnet68_3": Counts((3, 224, 224), 1000, 176_162_344, 30_498_619_392, 114_048),
    "resnext101_32x4d": Counts((3, 224, 224), 1000, 44_177_704, 7_969_996_800, 137_856),
    "resnext152_32x4d": Counts((3, 224, 224), 1000, 59_951_400, 11_709_513_728, 199_296),
    "seresnet18": Counts((3, 224, 224), 1000, 11_778_592, 1_814_160_384, 9_600),
    "seresnet34": Counts((3, 224, 224), 1000, 21_958_868, 3_663_918_592, 17_024),
    "seresnet50_caffe": Counts((3, 224, 224), 1000, 28_088_024, 3_860_488_192, 53_120),
    "seresnet101_caffe": Counts((3, 224, 224), 1000, 49_326_872, 7_574_937_600, 105_344),
    "seresnet152_caffe": Counts((3, 224, 224), 1000, 66_821_848, 11_288_993_792, 151_424),
    "seresnext101_32x4d": Counts((3, 224, 224), 1000, 48_955_416, 7_974_739_968, 137_856),
    "seresnext101_32x8d": Counts((3, 224, 224), 1000, 93_569_048, 16_418_758_656, 202_880),
    "senet154": Counts((3, 224, 224), 1000, 115_088_984, 20_688_363_520, 247_552),
    "densenet40_12": Counts((3, 32, 32), 10, 1_019_722, 264_812_928, 18_096),
    "densenet100_12": Counts((3, 32, 32), 10, 6_979_642, 1_769_516_448, 117_216),
    "densenet_bc100_12": Counts((3, 32, 32), 10, 769_162, 287_929_692, 23_988),
    "densenet121": Counts((3, 224, 224), 1000, 7_978_856, 2_834_161_664, 83_648),
    "densenet161": Counts((3, 224, 224), 1000, 28_681_000, 7_727_907_072, 219_936),
    "densenet169": Counts((3, 224, 224), 1000, 14_149_480, 3_359_843_328, 158_400),
    "densenet201": Counts((3, 224, 224), 1000, 20_013_928, 4_291_365_888, 229_056),
}
