"""MobileNets and EfficientNets. Counts of Keras 3.15 (MobileNet v1 and v2 at every width and size), torchvision 0.29
and timm 1.0 (the others), built and counted as architectures.csv of the specification says; those of EfficientNet-Lite
3 and 4 at their authors' sizes (280 and 300; the rows there are at timm's) of timm 1.0.31, built and counted by
torch's FlopCounterMode. Numbers that aren't trained: 2 a channel of each normalisation."""

from tests.contract.facts.base import Counts, Facts

FACTS = {
    "mobilenet_v1": Facts(),
    "mobilenet_v2": Facts(),
    "mobilenet_v3": Facts(),
    "efficientnet": Facts(),
    "efficientnet_lite": Facts(),
}

COUNTS = {
    "mobilenet_v1": Counts((3, 224, 224), 1000, 4_231_976, 568_740_352, 21_888),
    "mobilenet_v1_100_192": Counts((3, 192, 192), 1000, 4_231_976, 418_121_728, 21_888),
    "mobilenet_v1_100_160": Counts((3, 160, 160), 1000, 4_231_976, 290_675_200, 21_888),
    "mobilenet_v1_100_128": Counts((3, 128, 128), 1000, 4_231_976, 186_400_768, 21_888),
    "mobilenet_v1_075": Counts((3, 224, 224), 1000, 2_585_560, 325_400_448, 16_416),
    "mobilenet_v1_075_192": Counts((3, 192, 192), 1000, 2_585_560, 239_273_472, 16_416),
    "mobilenet_v1_075_160": Counts((3, 160, 160), 1000, 2_585_560, 166_396_800, 16_416),
    "mobilenet_v1_075_128": Counts((3, 128, 128), 1000, 2_585_560, 106_770_432, 16_416),
    "mobilenet_v1_050": Counts((3, 224, 224), 1000, 1_331_592, 149_497_088, 10_944),
    "mobilenet_v1_050_192": Counts((3, 192, 192), 1000, 1_331_592, 109_970_432, 10_944),
    "mobilenet_v1_050_160": Counts((3, 160, 160), 1000, 1_331_592, 76_524_800, 10_944),
    "mobilenet_v1_050_128": Counts((3, 128, 128), 1000, 1_331_592, 49_160_192, 10_944),
    "mobilenet_v1_025": Counts((3, 224, 224), 1000, 470_072, 41_030_272, 5_472),
    "mobilenet_v1_025_192": Counts((3, 192, 192), 1000, 470_072, 30_212_608, 5_472),
    "mobilenet_v1_025_160": Counts((3, 160, 160), 1000, 470_072, 21_059_200, 5_472),
    "mobilenet_v1_025_128": Counts((3, 128, 128), 1000, 470_072, 13_570_048, 5_472),
    "mobilenet_v2": Counts((3, 224, 224), 1000, 3_504_872, 300_774_272, 34_112),
    "mobilenet_v2_035": Counts((3, 224, 224), 1000, 1_677_128, 59_285_808, 14_080),
    "mobilenet_v2_050": Counts((3, 224, 224), 1000, 1_968_680, 97_131_840, 18_544),
    "mobilenet_v2_075": Counts((3, 224, 224), 1000, 2_636_424, 209_069_792, 26_640),
    "mobilenet_v2_130": Counts((3, 224, 224), 1000, 5_386_792, 509_374_560, 44_256),
    "mobilenet_v2_140": Counts((3, 224, 224), 1000, 6_108_776, 582_195_824, 47_936),
    "mobilenet_v3_large": Counts((3, 224, 224), 1000, 5_483_032, 216_589_760, 24_400),
    "mobilenet_v3_large_075": Counts((3, 224, 224), 1000, 3_993_528, 154_560_624, 19_088),
    "mobilenet_v3_large_minimal": Counts((3, 224, 224), 1000, 3_924_288, 209_136_704, 24_400),
    "mobilenet_v3_small": Counts((3, 224, 224), 1000, 2_542_856, 56_510_400, 12_112),
    "mobilenet_v3_small_075": Counts((3, 224, 224), 1000, 2_041_872, 43_399_344, 9_680),
    "mobilenet_v3_small_050": Counts((3, 224, 224), 1000, 1_593_224, 24_188_688, 6_496),
    "mobilenet_v3_small_minimal": Counts((3, 224, 224), 1000, 2_044_736, 52_288_448, 12_112),
    "efficientnet_b0": Counts((3, 224, 224), 1000, 5_288_548, 385_814_752, 42_016),
    "efficientnet_b1": Counts((3, 240, 240), 1000, 7_794_184, 686_802_832, 62_048),
    "efficientnet_b2": Counts((3, 260, 260), 1000, 9_109_994, 993_561_872, 67_568),
    "efficientnet_b3": Counts((3, 300, 300), 1000, 12_233_232, 1_827_141_392, 87_296),
    "efficientnet_b4": Counts((3, 380, 380), 1000, 19_341_616, 4_393_771_024, 125_200),
    "efficientnet_b5": Counts((3, 456, 456), 1000, 30_389_784, 10_266_384_752, 172_736),
    "efficientnet_b6": Counts((3, 528, 528), 1000, 43_040_704, 19_067_593_536, 224_432),
    "efficientnet_b7": Counts((3, 600, 600), 1000, 66_347_960, 37_745_884_192, 310_720),
    "efficientnet_lite0": Counts((3, 224, 224), 1000, 4_652_008, 385_187_552, 42_016),
    "efficientnet_lite1": Counts((3, 240, 240), 1000, 5_416_680, 600_185_232, 53_664),
    "efficientnet_lite2": Counts((3, 260, 260), 1000, 6_092_072, 859_736_272, 58_096),
    "efficientnet_lite3": Counts((3, 280, 280), 1000, 8_197_096, 1_383_321_872, 76_672),
    "efficientnet_lite4": Counts((3, 300, 300), 1000, 13_006_568, 2_553_034_336, 112_368),
}
