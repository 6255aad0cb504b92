"""Keras's weights (Apache-2.0; VGG CC BY 4.0, ResNet v1 MIT). Facts of Keras 3.15; errors of keras.io's table.

Keras resizes an image to the input's size without keeping its proportions (`load_img`, nearest pixel). Its modes:
"caffe" takes blue, green, red in 0…255 minus the mean of ImageNet; "tf" takes −1…1; "torch" mean and
standard deviation.
"""

from __future__ import annotations

from typing import Literal

from visus.data.preprocess import ImagePreprocess
from visus.weights.releases.base import HALF, IMAGENET_MEAN, IMAGENET_STD, UNIT, Release

_BASE = "https://storage.googleapis.com/tensorflow/keras-applications"
_B_NETS = "https://storage.googleapis.com/keras-applications"
_CAFFE_MEAN = (103.939 / 255, 116.779 / 255, 123.68 / 255)  # of blue, green, red


def _row(
    url: str, md5: str, mode: Literal["caffe", "tf", "torch"], top1: float | None, top5: float | None, size: int = 224
) -> Release:
    order: Literal["rgb", "bgr"] = "bgr" if mode == "caffe" else "rgb"
    mean, std = {"caffe": (_CAFFE_MEAN, UNIT), "tf": (HALF, HALF), "torch": (IMAGENET_MEAN, IMAGENET_STD)}[mode]
    preprocess = ImagePreprocess(
        size=(size, size), fit="stretch", interpolation="nearest", order=order, mean=mean, std=std
    )
    file, digest = url.rpartition("/")[2], f"md5:{md5}" if md5 else ""
    return Release("imagenet", file, preprocess, top1, top5, url, digest, licence="see keras.io")


RELEASES: dict[str, tuple[Release, ...]] = {
    "vgg16": (
        _row(
            f"{_BASE}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels.h5",
            "64373286793e3c8b2b4e3219cbf3544b",
            "caffe",
            28.7,
            9.9,
        ),
    ),
    "vgg19": (
        _row(
            f"{_BASE}/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels.h5",
            "cbe5617147190e668d6c5d5026f83318",
            "caffe",
            28.7,
            10.0,
        ),
    ),
    "inceptionv3": (
        _row(
            f"{_BASE}/inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels.h5",
            "9a0d58056eeedaa3f26cb7ebd46da564",
            "tf",
            22.1,
            6.3,
            299,
        ),
    ),
    "inceptionresnetv2": (
        _row(
            f"{_BASE}/inception_resnet_v2/inception_resnet_v2_weights_tf_dim_ordering_tf_kernels.h5",
            "e693bd0210a403b3192acc6073ad2e96",
            "tf",
            19.7,
            4.7,
            299,
        ),
    ),
    "xception": (
        _row(
            f"{_BASE}/xception/xception_weights_tf_dim_ordering_tf_kernels.h5",
            "0a58e3b7378bc2990ea3b43d5981f1f6",
            "tf",
            21.0,
            5.5,
            299,
        ),
    ),
    "resnet50": (
        _row(
            f"{_BASE}/resnet/resnet50_weights_tf_dim_ordering_tf_kernels.h5",
            "2cb95161c43110f7111970584f804107",
            "caffe",
            25.1,
            7.9,
        ),
    ),
    "resnet101": (
        _row(
            f"{_BASE}/resnet/resnet101_weights_tf_dim_ordering_tf_kernels.h5",
            "f1aeb4b969a6efcfb50fad2f0c20cfc5",
            "caffe",
            23.6,
            7.2,
        ),
    ),
    "resnet152": (
        _row(
            f"{_BASE}/resnet/resnet152_weights_tf_dim_ordering_tf_kernels.h5",
            "100835be76be38e30d865e96f2aaae62",
            "caffe",
            23.4,
            6.9,
        ),
    ),
    "resnet50v2": (
        _row(
            f"{_BASE}/resnet/resnet50v2_weights_tf_dim_ordering_tf_kernels.h5",
            "3ef43a0b657b3be2300d5770ece849e0",
            "tf",
            24.0,
            7.0,
        ),
    ),
    "resnet101v2": (
        _row(
            f"{_BASE}/resnet/resnet101v2_weights_tf_dim_ordering_tf_kernels.h5",
            "6343647c601c52e1368623803854d971",
            "tf",
            22.8,
            6.2,
        ),
    ),
    "resnet152v2": (
        _row(
            f"{_BASE}/resnet/resnet152v2_weights_tf_dim_ordering_tf_kernels.h5",
            "a49b44d1979771252814e80f8ec446f9",
            "tf",
            22.0,
            5.8,
        ),
    ),
    "densenet121": (
        _row(
            f"{_BASE}/densenet/densenet121_weights_tf_dim_ordering_tf_kernels.h5",
            "9d60b8095a5708f2dcce2bca79d332c7",
            "torch",
            25.0,
            7.7,
        ),
    ),
    "densenet169": (
        _row(
            f"{_BASE}/densenet/densenet169_weights_tf_dim_ordering_tf_kernels.h5",
            "d699b8f76981ab1b30698df4c175e90b",
            "torch",
            23.8,
            6.8,
        ),
    ),
    "densenet201": (
        _row(
            f"{_BASE}/densenet/densenet201_weights_tf_dim_ordering_tf_kernels.h5",
            "1ceb130c1ea1b78c3bf6114dbdfd8807",
            "torch",
            22.7,
            6.4,
        ),
    ),
    "efficientnetb0": (
        _row(f"{_B_NETS}/efficientnetb0.h5", "902e53a9f72be733fc0bcb005b3ebbac", "torch", 22.9, 6.7, 224),
    ),
    "efficientnetb1": (
        _row(f"{_B_NETS}/efficientnetb1.h5", "1d254153d4ab51201f1646940f018540", "torch", 20.9, 5.6, 240),
    ),
    "efficientnetb2": (
        _row(f"{_B_NETS}/efficientnetb2.h5", "b15cce36ff4dcbd00b6dd88e7857a6ad", "torch", 19.9, 5.1, 260),
    ),
    "efficientnetb3": (
        _row(f"{_B_NETS}/efficientnetb3.h5", "ffd1fdc53d0ce67064dc6a9c7960ede0", "torch", 18.4, 4.3, 300),
    ),
    "efficientnetb4": (
        _row(f"{_B_NETS}/efficientnetb4.h5", "18c95ad55216b8f92d7e70b3a046e2fc", "torch", 17.1, 3.6, 380),
    ),
    "efficientnetb5": (
        _row(f"{_B_NETS}/efficientnetb5.h5", "ace28f2a6363774853a83a0b21b9421a", "torch", 16.4, 3.3, 456),
    ),
    "efficientnetb6": (
        _row(f"{_B_NETS}/efficientnetb6.h5", "165f6e37dce68623721b423839de8be5", "torch", 16.0, 3.2, 528),
    ),
    "efficientnetb7": (
        _row(f"{_B_NETS}/efficientnetb7.h5", "8c03f828fec3ef71311cd463b6759d99", "torch", 15.7, 3.0, 600),
    ),
    "mobilenet_100_224": (_row(f"{_BASE}/mobilenet/mobilenet_1_0_224_tf.h5", "", "tf", 29.6, 10.5),),
    "mobilenet_100_192": (_row(f"{_BASE}/mobilenet/mobilenet_1_0_192_tf.h5", "", "tf", None, None, 192),),
    "mobilenet_100_160": (_row(f"{_BASE}/mobilenet/mobilenet_1_0_160_tf.h5", "", "tf", None, None, 160),),
    "mobilenet_100_128": (_row(f"{_BASE}/mobilenet/mobilenet_1_0_128_tf.h5", "", "tf", None, None, 128),),
    "mobilenet_075_224": (_row(f"{_BASE}/mobilenet/mobilenet_7_5_224_tf.h5", "", "tf", None, None),),
    "mobilenet_075_192": (_row(f"{_BASE}/mobilenet/mobilenet_7_5_192_tf.h5", "", "tf", None, None, 192),),
    "mobilenet_075_160": (_row(f"{_BASE}/mobilenet/mobilenet_7_5_160_tf.h5", "", "tf", None, None, 160),),
    "mobilenet_075_128": (_row(f"{_BASE}/mobilenet/mobilenet_7_5_128_tf.h5", "", "tf", None, None, 128),),
    "mobilenet_050_224": (_row(f"{_BASE}/mobilenet/mobilenet_5_0_224_tf.h5", "", "tf", None, None),),
    "mobilenet_050_192": (_row(f"{_BASE}/mobilenet/mobilenet_5_0_192_tf.h5", "", "tf", None, None, 192),),
    "mobilenet_050_160": (_row(f"{_BASE}/mobilenet/mobilenet_5_0_160_tf.h5", "", "tf", None, None, 160),),
    "mobilenet_050_128": (_row(f"{_BASE}/mobilenet/mobilenet_5_0_128_tf.h5", "", "tf", None, None, 128),),
    "mobilenet_025_224": (_row(f"{_BASE}/mobilenet/mobilenet_2_5_224_tf.h5", "", "tf", None, None),),
    "mobilenet_025_192": (_row(f"{_BASE}/mobilenet/mobilenet_2_5_192_tf.h5", "", "tf", None, None, 192),),
    "mobilenet_025_160": (_row(f"{_BASE}/mobilenet/mobilenet_2_5_160_tf.h5", "", "tf", None, None, 160),),
    "mobilenet_025_128": (_row(f"{_BASE}/mobilenet/mobilenet_2_5_128_tf.h5", "", "tf", None, None, 128),),
    "mobilenetv2_035": (
        _row(f"{_BASE}/mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224.h5", "", "tf", None, None),
    ),
    "mobilenetv2_050": (
        _row(f"{_BASE}/mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.5_224.h5", "", "tf", None, None),
    ),
    "mobilenetv2_075": (
        _row(f"{_BASE}/mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.75_224.h5", "", "tf", None, None),
    ),
    "mobilenetv2_100": (
        _row(f"{_BASE}/mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5", "", "tf", 28.7, 9.9),
    ),
    "mobilenetv2_130": (
        _row(f"{_BASE}/mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.3_224.h5", "", "tf", None, None),
    ),
    "mobilenetv2_140": (
        _row(f"{_BASE}/mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.4_224.h5", "", "tf", None, None),
    ),
    "mobilenetv3small": (
        _row(
            f"{_BASE}/mobilenet_v3/weights_mobilenet_v3_small_224_1.0_float.h5",
            "8768d4c2e7dee89b9d02b2d03d65d862",
            "tf",
            None,
            None,
        ),
    ),
    "mobilenetv3small_075": (
        _row(
            f"{_BASE}/mobilenet_v3/weights_mobilenet_v3_small_224_0.75_float.h5",
            "cb65d4e5be93758266aa0a7f2c6708b7",
            "tf",
            None,
            None,
        ),
    ),
    "mobilenetv3small_minimalistic": (
        _row(
            f"{_BASE}/mobilenet_v3/weights_mobilenet_v3_small_minimalistic_224_1.0_float.h5",
            "99cd97fb2fcdad2bf028eb838de69e37",
            "tf",
            None,
            None,
        ),
    ),
    "mobilenetv3large": (
        _row(
            f"{_BASE}/mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float.h5",
            "59e551e166be033d707958cf9e29a6a7",
            "tf",
            None,
            None,
        ),
    ),
    "mobilenetv3large_075": (
        _row(
            f"{_BASE}/mobilenet_v3/weights_mobilenet_v3_large_224_0.75_float.h5",
            "765b44a33ad4005b3ac83185abf1d0eb",
            "tf",
            None,
            None,
        ),
    ),
    "mobilenetv3large_minimalistic": (
        _row(
            f"{_BASE}/mobilenet_v3/weights_mobilenet_v3_large_minimalistic_224_1.0_float.h5",
            "675e7b876c45c57e9e63e6d90a36599c",
            "tf",
            None,
            None,
        ),
    ),
}
