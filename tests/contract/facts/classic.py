"""Plain convolutional networks. Counts of torchvision 0.29 (`alexnet_owt`, `vgg*` but A-LRN and C, `squeezenet*`),
built and counted by torch's FlopCounterMode; the others derived by hand from the papers, layer by layer:

AlexNet 34,944 + 307,456 + 885,120 + 663,936 + 442,624 and 37,752,832 + 16,781,312 + 4,097,000; without groups
34,944 + 614,656 + 885,120 + 1,327,488 + 884,992 and the same three.
ZFNet 14,208 + 614,656 + 885,120 + 1,327,488 + 884,992 and the same three; with 512, 1024 and 512 filters
14,208 + 614,656 + 1,180,160 + 4,719,616 + 4,719,104 and 75,501,568 + 16,781,312 + 4,097,000, and multiply-adds
110²·14,112 + 26²·614,400 + 13²·(1,179,648 + 2·4,718,592) + 75,497,472 + 16,777,216 + 4,096,000.
Network in network 14,592 + 30,880 + 15,456 + 460,992 + 37,056 + 37,056 + 331,968 + 37,056 + 1,930.
VGG's C is B (133,047,848) with one 1×1 convolution of 256 and two of 512 channels more, 65,792 + 2·262,656."""

from tests.contract.facts.base import Counts, Facts

# Windows without padding: the papers' own sizes are in tests/claims. The least sizes follow from ⌊(n − f)/s⌋ + 1 or,
# rounded up, ⌈(n − f)/s⌉ + 1, backwards through the tiny network's windows.
FACTS = {
    # 1 ← pool 3/2: 3 ← 3/2: 7 ← 3/2: 15 ← 11/4: 14·4 + 11 = 67
    "alexnet": Facts(sizes=((3, 99, 99), (1, 70, 115)), least=(67, 67), ceil=False),
    # 1 ← pool 3/2 up: 2 ← 3/2 up: 4 ← 5/2: 11 ← 3/2 up: 22 ← 7/2 padded by 1: 21·2 + 7 − 2 = 47
    "zfnet": Facts(sizes=((3, 64, 64), (1, 47, 80)), least=(47, 47), ceil=False),
    # 1 ← pool 3/2 up: 2
    "nin": Facts(least=(2, 2), ceil=False),
    # three poolings 2/2
    "vgg": Facts(least=(8, 8), ceil=False),
    # 1 ← pool 3/2 up: 2 ← 3/2 up: 4 ← 3/2: 3·2 + 3 = 9
    "squeezenet": Facts(least=(9, 9), ceil=False),
}

COUNTS = {
    "alexnet": Counts((3, 227, 227), 1000, 60_965_224, 724_406_816, 0),
    "alexnet_one_tower": Counts((3, 227, 227), 1000, 62_378_344, 1_135_256_096, 0),
    "alexnet_owt": Counts((3, 224, 224), 1000, 61_100_840, 714_188_480, 0),
    "zfnet": Counts((3, 224, 224), 1000, 62_357_608, 1_168_032_896, 0),
    "zfnet_512": Counts((3, 224, 224), 1000, 107_627_624, 2_476_704_896, 0),
    "nin": Counts((3, 227, 227), 1000, 7_595_176, 1_105_996_320, 0),
    "nin_cifar": Counts((3, 32, 32), 10, 966_986, 222_486_528, 0),
    "vgg11": Counts((3, 224, 224), 1000, 132_863_336, 7_609_090_048, 0),
    "vgg11_lrn": Counts((3, 224, 224), 1000, 132_863_336, 7_609_090_048, 0),
    "vgg13": Counts((3, 224, 224), 1000, 133_047_848, 11_308_466_176, 0),
    "vgg16_c": Counts((3, 224, 224), 1000, 133_638_952, 11_770_888_192, 0),
    "vgg16": Counts((3, 224, 224), 1000, 138_357_544, 15_470_264_320, 0),
    "vgg19": Counts((3, 224, 224), 1000, 143_667_240, 19_632_062_464, 0),
    "vgg11_bn": Counts((3, 224, 224), 1000, 132_868_840, 7_609_090_048, 5_504),
    "vgg13_bn": Counts((3, 224, 224), 1000, 133_053_736, 11_308_466_176, 5_888),
    "vgg16_bn": Counts((3, 224, 224), 1000, 138_365_992, 15_470_264_320, 8_448),
    "vgg19_bn": Counts((3, 224, 224), 1000, 143_678_248, 19_632_062_464, 11_008),
    "squeezenet1_0": Counts((3, 224, 224), 1000, 1_248_424, 818_924_576, 0),
    "squeezenet1_1": Counts((3, 224, 224), 1000, 1_235_496, 349_151_936, 0),
}
