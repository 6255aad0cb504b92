"""Residual networks. Counts of torchvision 0.29 and timm 1.0, built and counted by torch's FlopCounterMode; those of
the CIFAR networks derived from the paper."""

from tests.contract.facts.base import Counts, Facts

FACTS = {
    "resnet": Facts(),
    "wide_resnet": Facts(),
    "resnext": Facts(),
    "senet": Facts(),
}

COUNTS = {
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
}
