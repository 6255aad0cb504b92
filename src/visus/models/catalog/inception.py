"""The Inception networks, from GoogLeNet to Xception."""

from __future__ import annotations

from msgspec.structs import replace

from visus.models.bn_inception import BNInception
from visus.models.cards import Card, Family, Figures, Published
from visus.models.googlenet import AuxiliaryHeads, GoogLeNet
from visus.models.inception_resnet import InceptionResNet
from visus.models.inception_v3 import AuxiliaryHead, InceptionV3
from visus.models.inception_v4 import InceptionV4
from visus.models.parts import BatchNorm
from visus.models.xception import Xception

Networks = GoogLeNet | BNInception | InceptionV3 | InceptionV4 | InceptionResNet | Xception

FAMILIES: dict[str, Family] = {
    "googlenet": Family(
        title="Going deeper with convolutions",
        authors="Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich",
        year=2014,
        reference="arXiv:1409.4842",
        idea="Windows of 1×1, 3×3 and 5×5 and a pooling side by side, with 1×1 convolutions that keep the channels "
        "few, so that 22 layers have a twelfth of AlexNet's parameters. Two auxiliary classifiers bring gradients "
        "to the lower layers while it is trained.",
        departs="The paper gives no constants of local response normalisation and no border of pooling: they are those "
        "of Caffe's reference network. At other sizes than 224×224 the auxiliary heads average to 4×4 pixels.",
    ),
    "bn_inception": Family(
        title="Batch normalization: accelerating deep network training by reducing internal covariate shift",
        authors="Ioffe, Szegedy",
        year=2015,
        reference="arXiv:1502.03167",
        idea="Each activation is normalised by the mean and variance of its batch, then scaled and shifted by what is "
        "learned: far higher learning rates work, and the same network without it takes 14 times as many steps to "
        "its accuracy. Two 3×3 convolutions stand for each 5×5.",
        departs="The paper's table gives two widths for the pool projections of 4c and 4d: 96 here, by its sizes of "
        "maps; bn_inception_128 is the other reading.",
    ),
    "inception_v3": Family(
        title="Rethinking the Inception architecture for computer vision",
        authors="Szegedy, Vanhoucke, Ioffe, Shlens, Wojna",
        year=2015,
        reference="arXiv:1512.00567",
        idea="Large windows are factorised: 5×5 into two 3×3, n×n into 1×n and n×1. Maps are reduced by convolution "
        "and pooling side by side, and a tenth of each label's weight is spread evenly over all classes (label "
        "smoothing).",
        departs="The network of the authors' release, whose stem differs from the paper's table 1; at other sizes than "
        "299×299 the auxiliary head averages to 5×5 pixels.",
    ),
    "inception_v4": Family(
        title="Inception-v4, Inception-ResNet and the impact of residual connections on learning",
        authors="Szegedy, Ioffe, Vanhoucke, Alemi",
        year=2016,
        reference="arXiv:1602.07261",
        idea="The Inception modules of version 3 drawn up anew, more uniform and more of them, once training was no "
        "longer divided among machines that set limits to them. It errs about as little as its residual sibling "
        "of the same cost.",
        departs="1×7 and 7×1 come in the order of the authors' release, not of the figures, in one branch a block.",
    ),
    "inception_resnet": Family(
        title="Inception-v4, Inception-ResNet and the impact of residual connections on learning",
        authors="Szegedy, Ioffe, Vanhoucke, Alemi",
        year=2016,
        reference="arXiv:1602.07261",
        idea="Inception modules whose result, brought to the width of their input by a 1×1 convolution, is added to "
        "it. They train much faster than the same without shortcuts; residuals are scaled by 0.1 to 0.3, or the "
        "widest networks die while they train.",
        departs="Version 2 is the network of the authors' release: another stem than the paper's, 10, 20 and 10 blocks "
        "(the paper: 5, 10, 5), the last without ReLU, and a last convolution to 1536 channels.",
    ),
    "xception": Family(
        title="Xception: deep learning with depthwise separable convolutions",
        authors="Chollet",
        year=2016,
        reference="arXiv:1610.02357",
        idea="An Inception module taken to its limit: channels and places are handled wholly apart, each channel by a "
        "3×3 filter of its own and all of them by a 1×1 convolution. With as many parameters as Inception v3 it "
        "errs a little less.",
    ),
}

_THIN = 1 / 64
_RESNET1 = InceptionResNet(version="v1", depths=(5, 10, 5))
_RESNET2 = InceptionResNet(version="v2", depths=(10, 20, 10))

TINY: dict[str, Networks] = {
    "googlenet": GoogLeNet(width=_THIN, auxiliary=AuxiliaryHeads(channels=8, hidden=16)),
    "bn_inception": BNInception(width=_THIN),
    "inception_v3": InceptionV3(width=_THIN, auxiliary=AuxiliaryHead(channels=8, hidden=16)),
    "inception_v4": InceptionV4(depths=(1, 1, 1), width=_THIN),
    "inception_resnet": replace(_RESNET2, depths=(2, 1, 2), width=_THIN),
    "xception": Xception(stem=(4, 8), entry=(8, 12), middle=1, exit=16, last=(16, 24)),
}

_SIDE_224, _SIDE_299 = (3, 224, 224), (3, 299, 299)


def _error(source: str, top1: float | None, top5: float) -> Published:
    return Published(data="ImageNet", source=source, top1_error=top1, top5_error=top5)


CARDS: dict[str, Card] = {
    "googlenet": Card(
        family="googlenet",
        spec=GoogLeNet(auxiliary=AuxiliaryHeads()),
        input=_SIDE_224,
        figures=Figures(parameters=13_378_280, multiply_adds=1_582_671_872),
        published=_error("the paper, table 3, one network, one crop", None, 10.07),
        crop=0.875,
        about="as published: local response normalisation, two auxiliary heads while training",
    ),
    "googlenet_bn": Card(
        family="googlenet",
        spec=GoogLeNet(
            local_response="none",
            norm=BatchNorm(eps=1e-3),
            large=3,
            last_pool=2,
            auxiliary=AuxiliaryHeads(pool="adaptive"),
            dropout=0.2,
        ),
        input=_SIDE_224,
        figures=Figures(parameters=13_004_888, multiply_adds=1_498_376_192),
        published=_error("torchvision, weights IMAGENET1K_V1, 224×224 centre crop", 30.222, 10.47),
        crop=0.875,
        about="torchvision's reading: batch normalisation, and 3×3 where the paper has 5×5",
    ),
    "bn_inception": Card(
        family="bn_inception",
        spec=BNInception(),
        input=_SIDE_224,
        figures=Figures(parameters=11_194_984, multiply_adds=2_018_851_840),
        published=_error("the paper, figure 4, one network, one crop", 25.2, 7.8),
        crop=0.875,
        about="Inception v2: batch normalisation, two 3×3 in place of 5×5",
    ),
    "bn_inception_128": Card(
        family="bn_inception",
        spec=BNInception(projection=128, norm=BatchNorm(), bias=True, average="padded"),
        input=_SIDE_224,
        figures=Figures(parameters=11_295_240, multiply_adds=2_032_600_064),
        crop=0.875,
        about="the widely used Caffe port's reading: wider pool projections in 4c and 4d, biases",
    ),
    "inception_v3": Card(
        family="inception_v3",
        spec=InceptionV3(auxiliary=AuxiliaryHead()),
        input=_SIDE_299,
        figures=Figures(parameters=27_161_264, multiply_adds=5_713_216_096),
        published=_error("torchvision, weights IMAGENET1K_V1, 299×299 centre crop", 22.706, 6.55),
        crop=0.875,
        about="factorised convolutions; an auxiliary head while training",
    ),
    "inception_v4": Card(
        family="inception_v4",
        spec=InceptionV4(),
        input=_SIDE_299,
        figures=Figures(parameters=42_679_816, multiply_adds=12_253_974_624),
        published=_error("timm, weights inception_v4.tf_in1k, 299×299 centre crop", 19.856, 5.018),
        crop=0.875,
    ),
    "inception_resnet_v1": Card(
        family="inception_resnet",
        spec=_RESNET1,
        input=_SIDE_299,
        figures=Figures(parameters=22_756_328, multiply_adds=6_206_361_696),
        published=_error("the paper, table 2, one network, one crop", 21.3, 5.5),
        crop=0.875,
        about="residual connections around Inception modules; as costly as v3",
    ),
    "inception_resnet_v2": Card(
        family="inception_resnet",
        spec=_RESNET2,
        input=_SIDE_299,
        figures=Figures(parameters=55_843_464, multiply_adds=13_155_794_016),
        published=_error("timm, weights inception_resnet_v2.tf_in1k, 299×299 centre crop", 19.566, 4.688),
        crop=0.8975,
        about="residual connections around Inception modules; as costly as v4",
    ),
    "xception": Card(
        family="xception",
        spec=Xception(),
        input=_SIDE_299,
        figures=Figures(parameters=22_855_952, multiply_adds=8_357_403_496),
        published=_error("Keras, its page of applications", 21.0, 5.5),
        about="depthwise separable convolutions with residual connections",
    ),
}
