"""Published receptive fields, stage by stage: Araujo, Norris, Sim 2019, "Computing receptive fields of convolutional
neural networks", Distill, and the table of end points that came with it (github.com/google-research/receptive_field,
RECEPTIVE_FIELD_TABLE.md). A row is (size, effective stride, effective padding); the networks are TensorFlow-Slim's."""

import pytest
from msgspec.structs import replace

from visus.explanation import receptive_field
from visus.models import CATALOG, Network
from visus.models.mobilenet_v1 import MobileNetV1

Rows = list[tuple[float, float, float]]

ANY_SIZE: dict[str, Rows] = {
    # conv1, conv2, conv5, pool5 of alexnet_v2
    "alexnet": [(11, 4, 0), (51, 8, 16), (163, 16, 64), (195, 32, 64)],
    # Conv2d_2b_3x3, Conv2d_4a_3x3, Mixed_5d, Mixed_6e, Mixed_7c
    "inception_v3": [(11, 2, 2), (23, 4, 2), (127, 8, 50), (927, 16, 442), (1311, 32, 618)],
    # Conv2d_2b_3x3, Mixed_4a, Mixed_5e, Mixed_6h, Mixed_7d
    "inception_v4": [(11, 2, 2), (47, 4, 14), (183, 8, 78), (1559, 16, 758), (2071, 32, 998)],
    # Conv2d_2b_3x3, Conv2d_4a_3x3, the ten blocks of 35×35 pixels, PreAuxLogits, Conv2d_7b_1x1. The third isn't in the
    # table: Mixed_6a (415, 16, 186) reduces it, in its widest branch by two 3×3 windows, one with "same" padding.
    "inception_resnet_v2": [
        (11, 2, 2),
        (23, 4, 2),
        (415 - 2 * 2 * 8, 8, 186 - 8),
        (2335, 16, 1146),
        (3039, 32, 1482),
    ],
}
# pool1 to pool5. Our stages end before they are pooled, which adds one pixel of the map to a field's size.
VGG_POOLS: dict[str, Rows] = {
    "vgg11": [(4, 2, 1), (10, 4, 3), (30, 8, 11), (70, 16, 27), (150, 32, 59)],
    "vgg16": [(6, 2, 2), (16, 4, 6), (44, 8, 18), (100, 16, 42), (212, 32, 90)],
}
# block1 to block4 of resnet_v2_50, _101, _152 at 321 pixels. As in Keras, a stage's last unit has the stride.
SLIM_RESIDUAL: dict[str, Rows] = {
    "preact_resnet50_keras": [(35, 8, 17), (99, 16, 49), (291, 32, 145), (483, 32, 241)],
    "preact_resnet101_keras": [(35, 8, 17), (99, 16, 49), (835, 32, 417), (1027, 32, 513)],
    "preact_resnet152_keras": [(35, 8, 17), (163, 16, 81), (1315, 32, 657), (1507, 32, 753)],
}
# Conv2d_0, then Conv2d_1_pointwise, 3, 5, 11 and 13, at 224 and at 321 pixels
MOBILENET: dict[int, Rows] = {
    224: [(3, 2, 0), (7, 2, 2), (19, 4, 6), (43, 8, 14), (219, 16, 94), (315, 32, 126)],
    321: [(3, 2, 1), (7, 2, 3), (19, 4, 9), (43, 8, 21), (219, 16, 109), (315, 32, 157)],
}
# Conv2d_1a_7x7, Conv2d_2c_3x3, Mixed_3c, Mixed_4e, Mixed_5c, at 224 and at 321 pixels
INCEPTION_V2: dict[int, Rows] = {
    224: [(7, 2, 2), (19, 4, 6), (91, 8, 38), (379, 16, 174), (699, 32, 318)],
    321: [(7, 2, 3), (19, 4, 9), (91, 8, 45), (379, 16, 189), (699, 32, 349)],
}


def stages(spec: Network, side: int) -> Rows:
    found: Rows = []
    for field in receptive_field(spec, (3, side, side)):
        assert field.rows is not None
        assert field.rows == field.columns
        found.append((field.rows.size, field.rows.stride, -field.rows.start))
    return found


def mobilenet(padding: str) -> MobileNetV1:
    spec = CATALOG["mobilenet_v1"].spec
    assert isinstance(spec, MobileNetV1)
    return replace(spec, padding=padding)


@pytest.mark.parametrize("name", sorted(ANY_SIZE))
def test_every_stage_sees_what_is_published(name):
    card = CATALOG[name]
    assert stages(card.spec, card.input[1]) == ANY_SIZE[name]


@pytest.mark.parametrize("name", sorted(VGG_POOLS))
def test_vgg(name):
    pools = VGG_POOLS[name]
    before = [(size - stride / 2, stride / 2, padding) for size, stride, padding in pools]
    assert stages(CATALOG[name].spec, 224) == [*before, pools[-1]]


@pytest.mark.parametrize("name", sorted(SLIM_RESIDUAL))
def test_networks_whose_stride_is_in_a_stages_last_unit(name):
    """Ours pad alike at every size; TensorFlow's padding is the same where all sides are odd, as those of 321 are."""
    found = stages(CATALOG[name].spec, 224)
    assert found[-4:] == SLIM_RESIDUAL[name]


@pytest.mark.parametrize("side", [224, 321])
def test_mobilenet_v1_as_its_authors_pad_it(side):
    assert stages(mobilenet("tensorflow"), side) == MOBILENET[side]


@pytest.mark.parametrize("side", [224, 321])
def test_mobilenet_v1_with_symmetric_padding_sees_the_same_from_further_left(side):
    """TensorFlow pads an even side by one pixel less before it where a 3×3 window has stride 2. The five of them have
    pixels of 1, 2, 4, 8 and 16 of the image: 31 in all."""
    assert stages(mobilenet("symmetric"), side) == MOBILENET[321]
    assert MOBILENET[321][-1][2] - MOBILENET[224][-1][2] == 1 + 2 + 4 + 8 + 16


@pytest.mark.parametrize("name", ["bn_inception", "bn_inception_128"])
def test_inception_v2(name):
    """At 321 pixels all sides are odd, and every way of padding is the same. At 224 our pooling pads as TensorFlow's,
    and our convolutions with stride 2 by one pixel more before the image, or the map: 7×7 on pixels of the image, 3×3
    on pixels of 8 and of 16."""
    spec = CATALOG[name].spec
    assert stages(spec, 321) == INCEPTION_V2[321]
    more = (1, 1, 1, 1 + 8, 1 + 8 + 16)
    wanted = [
        (size, stride, padding + each) for (size, stride, padding), each in zip(INCEPTION_V2[224], more, strict=True)
    ]
    assert stages(spec, 224) == wanted
