"""timm's weights on the Hugging Face hub, the library's default of each network first. Facts of timm 1.0.

Errors are those of timm's own result tables at the size given here. Licences differ: each repository's card says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from visus.data.preprocess import ImagePreprocess
from visus.weights.releases.base import HALF, IMAGENET_MEAN, IMAGENET_STD, Release


def _row(
    tag: str, top1: float | None, top5: float | None, crop: float, *, size: int = 224,
    interpolation: Literal["bilinear", "bicubic"] = "bicubic",
    mean: tuple[float, ...] = IMAGENET_MEAN, std: tuple[float, ...] = IMAGENET_STD,
    fit: Literal["crop", "stretch"] = "crop",
) -> Release:  # fmt: skip
    preprocess = ImagePreprocess(size=(size, size), fit=fit, crop=crop, interpolation=interpolation, mean=mean, std=std)
    return Release(tag, "model.safetensors", preprocess, top1, top5)


_ROWS: dict[str, tuple[Release, ...]] = {
    "resnet18": (
        _row("a1_in1k", 28.496, 9.914, 0.95),
        _row("a2_in1k", 29.366, 10.514, 0.95),
        _row("a3_in1k", 34.33, 13.732, 0.95, size=160),
        _row("fb_ssl_yfcc100m_ft_in1k", 27.364, 8.584, 0.875, interpolation="bilinear"),
        _row("fb_swsl_ig1b_ft_in1k", 26.714, 8.246, 0.875, interpolation="bilinear"),
        _row("gluon_in1k", 29.156, 10.25, 0.875),
        _row("tv_in1k", 30.248, 10.918, 0.875, interpolation="bilinear"),
    ),
    "resnet34": (
        _row("a1_in1k", 23.58, 7.104, 0.95),
        _row("a2_in1k", 24.48, 7.546, 0.95),
        _row("a3_in1k", 29.42, 10.46, 0.95, size=160),
        _row("bt_in1k", 24.824, 7.834, 0.875),
        _row("gluon_in1k", 25.426, 8.012, 0.875),
        _row("ra4_e3600_r224_in1k", 22.508, 6.502, 0.9, mean=HALF, std=HALF),
        _row("tv_in1k", 26.702, 8.578, 0.875, interpolation="bilinear"),
    ),
    "resnet50": (
        _row("a1_in1k", 19.618, 5.402, 0.95),
        _row("a1h_in1k", 20.736, 5.502, 0.9, size=176),
        _row("a2_in1k", 20.172, 5.44, 0.95),
        _row("a3_in1k", 24.006, 7.506, 0.95, size=160),
        _row("am_in1k", 20.996, 5.608, 0.875),
        _row("b1k_in1k", 20.436, 5.378, 0.95),
        _row("b2k_in1k", 20.612, 5.42, 0.95),
        _row("bt_in1k", 21.556, 5.726, 0.875),
        _row("c1_in1k", 20.234, 5.046, 0.95),
        _row("c2_in1k", 20.132, 5.138, 0.95),
        _row("d_in1k", 20.096, 5.334, 0.95),
        _row("fb_ssl_yfcc100m_ft_in1k", 20.748, 5.174, 0.875, interpolation="bilinear"),
        _row("fb_swsl_ig1b_ft_in1k", 18.854, 4.02, 0.875, interpolation="bilinear"),
        _row("gluon_in1k", 22.42, 6.296, 0.875),
        _row("ra_in1k", 21.18, 5.686, 0.875),
        _row("ram_in1k", 20.966, 5.614, 0.875),
        _row("tv2_in1k", 20.566, 5.36, 0.875, size=176, interpolation="bilinear"),
        _row("tv_in1k", 23.844, 7.134, 0.875, interpolation="bilinear"),
    ),
    "resnet101": (
        _row("a1h_in1k", 18.05, 4.24, 0.95),
        _row("a1_in1k", 18.506, 4.836, 0.95),
        _row("a2_in1k", 18.656, 4.802, 0.95),
        _row("a3_in1k", 22.072, 6.314, 0.95, size=160),
        _row("gluon_in1k", 20.694, 5.462, 0.875),
        _row("tv2_in1k", 20.092, 5.394, 0.875, size=176, interpolation="bilinear"),
        _row("tv_in1k", 22.596, 6.448, 0.875, interpolation="bilinear"),
    ),
    "resnet152": (
        _row("a1h_in1k", 17.182, 3.876, 0.95),
        _row("a1_in1k", 18.002, 4.706, 0.95),
        _row("a2_in1k", 18.236, 4.73, 0.95),
        _row("a3_in1k", 21.104, 5.86, 0.95, size=160),
        _row("gluon_in1k", 20.288, 5.28, 0.875),
        _row("tv2_in1k", 19.778, 5.35, 0.875, size=176, interpolation="bilinear"),
        _row("tv_in1k", 21.67, 5.954, 0.875, interpolation="bilinear"),
    ),
    "resnetv2_50": (_row("a1h_in1k", 19.59, 4.918, 0.95, mean=HALF, std=HALF),),
    "resnetv2_101": (_row("a1h_in1k", 17.958, 4.134, 0.95, mean=HALF, std=HALF),),
    "wide_resnet50_2": (
        _row("racm_in1k", 18.534, 4.456, 0.875),
        _row("tv2_in1k", 19.558, 4.924, 0.875, size=176, interpolation="bilinear"),
        _row("tv_in1k", 21.514, 5.916, 0.875, interpolation="bilinear"),
    ),
    "wide_resnet101_2": (
        _row("tv_in1k", 21.138, 5.688, 0.875, interpolation="bilinear"),
        _row("tv2_in1k", 19.506, 5.022, 0.875, size=176, interpolation="bilinear"),
    ),
    "resnext50_32x4d": (
        _row("a1h_in1k", 18.86, 4.68, 0.95),
        _row("a1_in1k", 19.474, 5.542, 0.95),
        _row("a2_in1k", 19.556, 5.37, 0.95),
        _row("a3_in1k", 22.268, 6.686, 0.95, size=160),
        _row("fb_ssl_yfcc100m_ft_in1k", 19.684, 4.614, 0.875, interpolation="bilinear"),
        _row("fb_swsl_ig1b_ft_in1k", 17.838, 3.776, 0.875, interpolation="bilinear"),
        _row("gluon_in1k", 20.646, 5.576, 0.875),
        _row("ra_in1k", 20.2, 5.392, 0.875),
        _row("tv2_in1k", 20.616, 5.698, 0.875, size=176, interpolation="bilinear"),
        _row("tv_in1k", 22.368, 6.326, 0.875, interpolation="bilinear"),
    ),
    "resnext101_32x4d": (
        _row("fb_ssl_yfcc100m_ft_in1k", 19.064, 4.268, 0.875, interpolation="bilinear"),
        _row("fb_swsl_ig1b_ft_in1k", 16.732, 3.24, 0.875, interpolation="bilinear"),
        _row("gluon_in1k", 19.664, 5.092, 0.875),
    ),
    "resnext101_32x8d": (
        _row("tv_in1k", 20.692, 5.47, 0.875, interpolation="bilinear"),
        _row("fb_ssl_yfcc100m_ft_in1k", 18.38, 3.964, 0.875, interpolation="bilinear"),
        _row("fb_swsl_ig1b_ft_in1k", 15.724, 2.812, 0.875, interpolation="bilinear"),
        _row("fb_wsl_ig1b_ft_in1k", 17.28, 3.376, 0.875, interpolation="bilinear"),
        _row("tv2_in1k", 18.01, 4.284, 0.875, size=176, interpolation="bilinear"),
    ),
    "resnext101_64x4d": (
        _row("c1_in1k", 17.554, 4.08, 0.95),
        _row("gluon_in1k", 19.36, 5.0, 0.875),
        _row("tv_in1k", 17.022, 3.748, 0.875, interpolation="bilinear"),
    ),
    "seresnet50": (
        _row("a1_in1k", 19.988, 5.296, 0.95),
        _row("a2_in1k", 19.898, 5.28, 0.95),
        _row("a3_in1k", 24.896, 7.904, 0.95, size=160),
        _row("ra2_in1k", 19.74, 4.932, 0.875),
    ),
    "seresnext50_32x4d": (
        _row("racm_in1k", 18.732, 4.376, 0.875),
        _row("gluon_in1k", 20.084, 5.184, 0.875),
    ),
    "seresnext101_32x4d": (_row("gluon_in1k", 19.114, 4.732, 0.875),),
    "seresnext101_32x8d": (_row("ah_in1k", 16.382, 3.588, 0.95),),
    "senet154": (_row("gluon_in1k", 18.742, 4.642, 0.875),),
    "inception_v3": (
        _row("tv_in1k", 22.528, 6.532, 0.875, size=299, mean=HALF, std=HALF),
        _row("gluon_in1k", 21.194, 5.628, 0.875, size=299),
        _row("tf_adv_in1k", 22.402, 6.274, 0.875, size=299, mean=HALF, std=HALF),
        _row("tf_in1k", 22.134, 6.356, 0.875, size=299, mean=HALF, std=HALF),
    ),
    "inception_v4": (_row("tf_in1k", 19.856, 5.018, 0.875, size=299, mean=HALF, std=HALF),),
    "inception_resnet_v2": (
        _row("tf_in1k", 19.566, 4.688, 0.8975, size=299, mean=HALF, std=HALF),
        _row("tf_ens_adv_in1k", 20.002, 5.06, 0.8975, size=299, mean=HALF, std=HALF),
    ),
    "vgg11": (_row("tv_in1k", 30.95, 11.37, 0.875, interpolation="bilinear"),),
    "vgg13": (_row("tv_in1k", 30.05, 10.738, 0.875, interpolation="bilinear"),),
    "vgg16": (_row("tv_in1k", 28.406, 9.602, 0.875, interpolation="bilinear"),),
    "vgg19": (_row("tv_in1k", 27.6, 9.122, 0.875, interpolation="bilinear"),),
    "vgg11_bn": (_row("tv_in1k", 29.626, 10.198, 0.875, interpolation="bilinear"),),
    "vgg13_bn": (_row("tv_in1k", 28.44, 9.628, 0.875, interpolation="bilinear"),),
    "vgg16_bn": (_row("tv_in1k", 26.646, 8.51, 0.875, interpolation="bilinear"),),
    "vgg19_bn": (_row("tv_in1k", 25.77, 8.152, 0.875, interpolation="bilinear"),),
    "mobilenetv1_100": (_row("ra4_e3600_r224_in1k", 24.612, 7.69, 0.875, mean=HALF, std=HALF),),
    "mobilenetv2_050": (_row("lamb_in1k", 34.072, 13.886, 0.875),),
    "mobilenetv2_100": (_row("ra_in1k", 27.09, 9.0, 0.875),),
    "mobilenetv2_140": (_row("ra_in1k", 23.472, 6.992, 0.875),),
    "mobilenetv3_small_075": (_row("lamb_in1k", 34.716, 14.538, 0.875),),
    "mobilenetv3_small_100": (_row("lamb_in1k", 32.364, 12.362, 0.875),),
    "mobilenetv3_large_100": (
        _row("ra_in1k", 24.216, 7.472, 0.875),
        _row(
            "miil_in21k_ft_in1k",
            22.08,
            7.106,
            0.875,
            interpolation="bilinear",
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
        ),
        _row("ra4_e3600_r224_in1k", 23.69, 7.158, 0.95, mean=HALF, std=HALF),
    ),
    "tf_mobilenetv3_small_075": (_row("in1k", None, None, 0.875, interpolation="bilinear", mean=HALF, std=HALF),),
    "tf_mobilenetv3_large_075": (_row("in1k", None, None, 0.875, interpolation="bilinear", mean=HALF, std=HALF),),
    "tf_mobilenetv3_small_100": (_row("in1k", 32.078, 12.314, 0.875, interpolation="bilinear", mean=HALF, std=HALF),),
    "tf_mobilenetv3_small_minimal_100": (
        _row("in1k", 37.108, 15.73, 0.875, interpolation="bilinear", mean=HALF, std=HALF),
    ),
    "tf_mobilenetv3_large_100": (_row("in1k", 24.49, 7.4, 0.875, interpolation="bilinear", mean=HALF, std=HALF),),
    "tf_mobilenetv3_large_minimal_100": (
        _row("in1k", 27.73, 9.336, 0.875, interpolation="bilinear", mean=HALF, std=HALF),
    ),
    "efficientnet_b0": (
        _row("ra_in1k", 22.302, 6.462, 0.875),
        _row("ra4_e3600_r224_in1k", 21.432, 5.66, 0.9, mean=HALF, std=HALF),
    ),
    "efficientnet_b1": (
        _row("ra4_e3600_r240_in1k", 19.596, 4.848, 0.9, size=240, mean=HALF, std=HALF),
        _row("ft_in1k", 22.408, 6.364, 0.875),
    ),
    "efficientnet_b2": (_row("ra_in1k", 20.676, 5.418, 0.875, size=256),),
    "efficientnet_b3": (_row("ra2_in1k", 18.528, 4.304, 0.875, size=288),),
    "efficientnet_b4": (_row("ra2_in1k", 17.342, 3.866, 0.875, size=320),),
    "efficientnet_b5": (_row("sw_in12k_ft_in1k", 14.106, 2.258, 1, size=448, fit="stretch"),),
    "tf_efficientnet_b0": (
        _row("ns_jft_in1k", 21.32, 5.628, 0.875),
        _row("aa_in1k", 23.118, 6.73, 0.875),
        _row("ap_in1k", 22.9, 6.742, 0.875, mean=HALF, std=HALF),
        _row("in1k", 23.458, 6.992, 0.875),
    ),
    "tf_efficientnet_b1": (
        _row("ns_jft_in1k", 18.612, 4.244, 0.882, size=240),
        _row("aa_in1k", 21.16, 5.798, 0.882, size=240),
        _row("ap_in1k", 20.712, 5.684, 0.882, size=240, mean=HALF, std=HALF),
        _row("in1k", 21.454, 5.904, 0.882, size=240),
    ),
    "tf_efficientnet_b2": (
        _row("ns_jft_in1k", 17.588, 3.762, 0.89, size=260),
        _row("aa_in1k", 19.926, 5.094, 0.89, size=260),
        _row("ap_in1k", 19.7, 4.968, 0.89, size=260, mean=HALF, std=HALF),
        _row("in1k", 20.388, 5.286, 0.89, size=260),
    ),
    "tf_efficientnet_b3": (
        _row("ns_jft_in1k", 15.946, 3.074, 0.904, size=300),
        _row("aa_in1k", 18.352, 4.276, 0.904, size=300),
        _row("ap_in1k", 18.158, 4.386, 0.904, size=300, mean=HALF, std=HALF),
        _row("in1k", 19.122, 4.692, 0.904, size=300),
    ),
    "tf_efficientnet_b4": (
        _row("ns_jft_in1k", 14.844, 2.518, 0.922, size=380),
        _row("aa_in1k", 16.96, 3.702, 0.922, size=380),
        _row("ap_in1k", 16.754, 3.608, 0.922, size=380, mean=HALF, std=HALF),
        _row("in1k", 17.402, 3.868, 0.922, size=380),
    ),
    "tf_efficientnet_b5": (
        _row("ns_jft_in1k", 13.904, 2.256, 0.934, size=456),
        _row("aa_in1k", 16.304, 3.288, 0.934, size=456),
        _row("ap_in1k", 15.742, 3.016, 0.934, size=456, mean=HALF, std=HALF),
        _row("in1k", 16.83, 3.466, 0.934, size=456),
        _row("ra_in1k", 16.166, 3.236, 0.934, size=456),
    ),
    "tf_efficientnet_b6": (
        _row("ns_jft_in1k", 13.524, 2.136, 0.942, size=528),
        _row("aa_in1k", 15.876, 3.11, 0.942, size=528),
        _row("ap_in1k", 15.206, 2.862, 0.942, size=528, mean=HALF, std=HALF),
    ),
    "tf_efficientnet_b7": (
        _row("ns_jft_in1k", 13.15, 1.92, 0.949, size=600),
        _row("aa_in1k", 15.576, 3.092, 0.949, size=600),
        _row("ap_in1k", 14.868, 2.744, 0.949, size=600, mean=HALF, std=HALF),
        _row("ra_in1k", 15.074, 2.78, 0.949, size=600),
    ),
    "efficientnet_lite0": (_row("ra_in1k", 24.512, 7.492, 0.875),),
    "tf_efficientnet_lite0": (_row("in1k", 25.154, 7.82, 0.875, mean=HALF, std=HALF),),
    "tf_efficientnet_lite1": (_row("in1k", 23.326, 6.768, 0.882, size=240, mean=HALF, std=HALF),),
    "tf_efficientnet_lite2": (_row("in1k", 22.53, 6.244, 0.89, size=260, mean=HALF, std=HALF),),
    "tf_efficientnet_lite3": (
        _row("in1k", 20.192, 5.092, 0.904, size=300, interpolation="bilinear", mean=HALF, std=HALF),
    ),
    "tf_efficientnet_lite4": (
        _row("in1k", 18.46, 4.332, 0.92, size=380, interpolation="bilinear", mean=HALF, std=HALF),
    ),
    "densenet121": (
        _row("ra_in1k", 24.426, 7.352, 0.875),
        _row("tv_in1k", 25.25, 7.842, 0.875),
    ),
    "densenet161": (_row("tv_in1k", 22.616, 6.344, 0.875),),
    "densenet169": (_row("tv_in1k", 24.078, 7.024, 0.875),),
    "densenet201": (_row("tv_in1k", 22.716, 6.52, 0.875),),
    "vit_tiny_patch16_224": (_row("augreg_in21k_ft_in1k", 24.548, 7.142, 0.9, mean=HALF, std=HALF),),
    "vit_small_patch16_224": (
        _row("augreg_in21k_ft_in1k", 18.598, 3.85, 0.9, mean=HALF, std=HALF),
        _row("augreg_in1k", 21.158, 5.72, 0.9, mean=HALF, std=HALF),
    ),
    "vit_small_patch32_224": (_row("augreg_in21k_ft_in1k", 23.99, 6.734, 0.9, mean=HALF, std=HALF),),
    "vit_base_patch16_224": (
        _row("augreg2_in21k_ft_in1k", 14.892, 2.47, 0.9, mean=HALF, std=HALF),
        _row("augreg_in1k", 20.846, 5.892, 0.9, mean=HALF, std=HALF),
        _row("augreg_in21k_ft_in1k", 15.466, 2.7, 0.9, mean=HALF, std=HALF),
        _row("orig_in21k_ft_in1k", 18.218, 3.878, 0.9, mean=HALF, std=HALF),
        _row("sam_in1k", 19.754, 5.236, 0.9, mean=HALF, std=HALF),
    ),
    "vit_base_patch32_224": (
        _row("augreg_in21k_ft_in1k", 19.268, 4.426, 0.9, mean=HALF, std=HALF),
        _row("augreg_in1k", 25.092, 8.23, 0.9, mean=HALF, std=HALF),
        _row("sam_in1k", 26.296, 8.988, 0.9, mean=HALF, std=HALF),
    ),
    "vit_large_patch16_224": (_row("augreg_in21k_ft_in1k", 14.144, 2.178, 0.9, mean=HALF, std=HALF),),
}

RELEASES: dict[str, tuple[Release, ...]] = {
    name: tuple(replace(row, hub=f"timm/{name}.{row.tag}") for row in rows) for name, rows in _ROWS.items()
}
