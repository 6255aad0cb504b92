"""Receptive fields: those that were published, closed forms, and the pixels that really have a part in an output."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visus.errors import ModelError
from visus.explanation import Field, Span, layer_fields, receptive_field
from visus.models import CATALOG, TINY, Network
from visus.models.resnet import Basic, LargeStem, ResNet, SmallStem, SqueezeExcite
from visus.nn import ConvNormAct, Residual, TensorFlowPad

WHOLE = Field(None, None)


def fields(model: nn.Module, height: int = 224, width: int = 224, channels: int = 3) -> dict[str, Field]:
    return layer_fields(model.to("meta").eval(), torch.empty(1, channels, height, width, device="meta"))


def square(size: int, stride: float = 1, start: float = 0) -> Field:
    return Field(Span(size, stride, start), Span(size, stride, start))


def after(*layers: nn.Module) -> Field:
    """Behind all of these layers, on a map of three channels."""
    return fields(nn.Sequential(*layers))[""]


# Published figures: Araujo, Norris, Sim 2019, "Computing receptive fields of convolutional neural networks", Distill,
# table of networks: size, effective stride, effective padding (minus the start).


def test_vgg_16():
    layers: list[nn.Module] = []
    c_in = 3
    for count, width in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        for _ in range(count):
            layers += [nn.Conv2d(c_in, width, 3, padding=1), nn.ReLU(inplace=True)]
            c_in = width
        layers.append(nn.MaxPool2d(2))
    found = fields(nn.Sequential(*layers))
    assert found["29"] == square(196, 16, -90)  # conv5_3
    assert found["30"] == found[""] == square(212, 32, -90)  # pool5; Distill: 212, 32, 90


def test_alexnet():
    model = nn.Sequential(
        nn.Conv2d(3, 96, 11, 4), nn.ReLU(inplace=True), nn.LocalResponseNorm(5), nn.MaxPool2d(3, 2),
        nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(inplace=True), nn.LocalResponseNorm(5), nn.MaxPool2d(3, 2),
        nn.Conv2d(256, 384, 3, padding=1), nn.Conv2d(384, 384, 3, padding=1, groups=2),
        nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.MaxPool2d(3, 2),
        nn.AdaptiveAvgPool2d(6), nn.Flatten(), nn.Dropout(), nn.Linear(9216, 10),
    )  # fmt: skip
    found = fields(model, 227, 227)
    sizes = [found[name].rows.size for name in ("0", "3", "4", "7", "8", "9", "10", "11")]
    assert sizes == [11, 19, 51, 67, 99, 131, 163, 195]
    assert found["11"] == found["12"] == square(195, 32, -64)  # Distill's alexnet_v2: 195, 32, 64
    assert found["15"] == WHOLE


@pytest.mark.parametrize(
    ("depths", "size", "padding"), [((3, 4, 6, 3), 483, 239), ((3, 4, 23, 3), 1027, 511), ((3, 8, 36, 3), 1507, 751)]
)
def test_residual_networks_as_published(depths, size, padding):
    """Distill's resnet_v1_50, 101, 152 are TensorFlow-Slim's: the stride is in a stage's last block, and padding is
    TensorFlow's."""
    layers: list[nn.Module] = [ConvNormAct(3, 8, 7, 2), TensorFlowPad((3, 3), (2, 2)), nn.MaxPool2d(3, 2)]
    for stage, depth in enumerate(depths):
        for number in range(depth):
            stride = 2 if stage < 3 and number == depth - 1 else 1
            branch = [ConvNormAct(8, 2), ConvNormAct(2, 2, 3, stride), ConvNormAct(2, 8, act=None)]
            layers.append(Residual(branch, nn.MaxPool2d(1, stride)))
    assert after(*layers) == square(size, 32, -padding)


def test_mobilenet_v1():
    """Distill: 315, 32, 126."""
    layers: list[nn.Module] = [ConvNormAct(3, 4, 3, 2, padding="tensorflow", act="relu6")]
    for stride in (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1):
        layers += [ConvNormAct(4, 4, 3, stride, groups=4, padding="tensorflow", act="relu6"), ConvNormAct(4, 4)]
    assert after(*layers) == square(315, 32, -126)


@pytest.mark.parametrize("name", ["resnet50", "resnet101", "resnet152", "resnext50_32x4d", "seresnet50"])
def test_ours_have_the_stride_in_a_stages_first_block(name):
    """Then the 3×3 of the first block adds 2 of the finer pixels, and each further one 2 of the coarser."""
    spec, size, stride, wanted = CATALOG[name].spec, 11, 4, [(11, 4)]
    for stage, depth in enumerate(spec.depths):
        size += 2 * stride
        stride *= 2 if stage else 1
        size += (depth - 1) * 2 * stride
        wanted.append((size, stride))
    found = receptive_field(spec, (3, 224, 224))
    assert [(field.rows.size, field.rows.stride) for field in found] == wanted
    assert all(field.rows == field.columns for field in found)
    if spec.depths == (3, 4, 6, 3):
        assert size == 427


def test_lenet5():
    """Windows 5, 2, 5, 2, 5 with strides 1, 2, 1, 2, 1: the 120 pixels of C5 see all of the paper's 32×32."""
    found = receptive_field(CATALOG["lenet5"].spec, (1, 32, 32))
    assert [field.rows for field in found] == [Span(5, 1, 0), Span(14, 2, 0), Span(32, 4, 0)]


def test_attention_sees_the_whole_image():
    patches, *rest = receptive_field(TINY["vit"], (3, 32, 48))
    assert patches == square(8, 8)
    assert rest == [WHOLE] * 4
    rows, *rest = receptive_field(TINY["transformer"], (3, 32, 48))
    assert rows == Field(Span(1, 1, 0), None)
    assert rest == [WHOLE] * 2
    assert receptive_field(TINY["mlp"], (3, 8, 8)) == receptive_field(TINY["mlp"], (12,)) == (WHOLE, WHOLE)


@pytest.mark.parametrize("name", ["resnet18", "resnet20", "wide_resnet50_2", "vit_tiny_patch32"])
def test_strides_are_those_of_the_network(name):
    card = CATALOG[name]
    with torch.device("meta"):
        strides = card.spec.build(card.input).strides
    found = receptive_field(card.spec, card.input)
    for field, stride in zip(found, strides, strict=True):
        assert field == WHOLE or field.rows.stride == field.columns.stride == stride


def test_sizes_do_not_depend_on_the_image():
    spec = CATALOG["resnet18"].spec
    assert receptive_field(spec, (3, 7, 300)) == receptive_field(spec, (1, 224, 224))


class Apply(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def shuffled(x: Tensor) -> Tensor:
    return x.unflatten(1, (2, 2)).transpose(1, 2).flatten(1, 2)


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (lambda x: F.max_pool2d(x, 3, 2, 1), square(7, 4, -3)),
        (lambda x: F.avg_pool2d(x, (2, 3)), Field(Span(5, 4, -1), Span(7, 6, -1))),
        (lambda x: F.max_pool2d(x, 2, ceil_mode=True), square(5, 4, -1)),
        (lambda x: x[:, :, 1:, ::2], Field(Span(3, 2, 1), Span(3, 4, -1))),
        (lambda x: x[..., -1:, 2], Field(Span(3, 2, -1 + 2 * 55), Span(3, 2, -1))),
        (lambda x: F.pad(x, (1, 0, 2, 0)), Field(Span(3, 2, -5), Span(3, 2, -3))),
        (lambda x: F.pad(x, (-3, 0)), Field(Span(3, 2, -1), Span(3, 2, 5))),
        (lambda x: torch.cat(x.chunk(2, 1), 1), square(3, 2, -1)),
        (lambda x: torch.stack(torch.split(x, [1, 3], 1)[1].unbind(1), 1), square(3, 2, -1)),
        (lambda x: torch.cat([x, F.avg_pool2d(x, 5, 1, 2)], 1), square(11, 2, -5)),
        (lambda x: x + F.avg_pool2d(F.pad(x, (0, 2)), (1, 3), 1), Field(Span(3, 2, -1), Span(7, 2, -1))),
        (lambda x: x * F.hardsigmoid(x.mean((2, 3), keepdim=True)), square(3, 2, -1)),
        (lambda x: x * F.adaptive_avg_pool2d(x, 1).sigmoid(), square(3, 2, -1)),
        (lambda x: x + F.adaptive_avg_pool2d(x, 1), WHOLE),
        (lambda x: torch.cat([x, x.amax((2, 3), keepdim=True).expand_as(x)], 1), WHOLE),
        (lambda x: x.mean(2), Field(None, Span(3, 2, -1))),
        (lambda x: x.sum(), WHOLE),
        (lambda x: F.adaptive_avg_pool2d(x, (56, 56)), square(3, 2, -1)),
        (lambda x: F.adaptive_avg_pool2d(x, 7), WHOLE),
        (shuffled, square(3, 2, -1)),
        (lambda x: F.conv2d(shuffled(x), torch.empty(8, 2, 3, 3, device="meta"), groups=2), square(7, 2, -1)),
        (lambda x: F.local_response_norm(x, 3), square(3, 2, -1)),
        (lambda x: F.hardswish(F.dropout(x, 0.5, False)), square(3, 2, -1)),
        (lambda x: F.group_norm(x, 2), square(3, 2, -1)),
        (lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2), square(3, 2, -1)),
        (lambda x: F.layer_norm(x, x.shape[1:]), WHOLE),
        (lambda x: F.softmax(x, 1), square(3, 2, -1)),
        (lambda x: F.softmax(x, 2), Field(None, Span(3, 2, -1))),
        (lambda x: x @ torch.empty(56, 5, device="meta"), Field(Span(3, 2, -1), None)),
        (lambda x: x + x.mT, WHOLE),
        (lambda x: x.mT @ x, WHOLE),
        (lambda x: F.linear(x.flatten(2).mT, torch.empty(5, 4, device="meta")), square(3, 2, -1)),
        (lambda x: F.linear(x.flatten(1), torch.empty(5, 4 * 56 * 56, device="meta")), WHOLE),
        (lambda x: x.flatten(2).mT.mT.unflatten(2, (56, 56)).unsqueeze(0).squeeze(0), square(3, 2, -1)),
        (lambda x: F.conv_transpose2d(x, torch.empty(4, 2, 2, 2, device="meta"), stride=2), square(3, 1, -1.5)),
        (lambda x: torch.zeros(1, 4, 56, 56, device="meta"), WHOLE),
    ],
)
def test_operations(function, wanted):
    """Behind a 3×3 convolution with stride 2 and padding 1, whose fields are of 3 pixels, 2 apart, from −1 on."""
    found = fields(nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), Apply(function)), 112, 112)
    assert found["0"] == square(3, 2, -1)
    assert found[""] == wanted


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.interpolate(x, scale_factor=2),
        lambda x: x.unflatten(2, (8, 7)),
        lambda x: x.chunk(2, 2)[1],
        lambda x: x[:, :, :28] + F.max_pool2d(x, 2, (2, 1), 0)[..., :1],
        lambda x: F.conv1d(x.flatten(2), torch.empty(4, 4, 3, device="meta")),
    ],
)
def test_what_cannot_be_followed_is_refused(function):
    with pytest.raises(ModelError, match="aten"):
        fields(nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), Apply(function)), 112, 112)


# The pixels that an output depends on


def supports(model: nn.Module, x: Tensor, place: tuple[int, int]) -> list[tuple[int, int]]:
    """First pixel and span of the pixels, along rows and columns, by which the output at a place is moved. All weights
    are above zero, so that nothing cancels, and windows are averaged, so that each pixel of them counts."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(0.01, 0.1)
    model.double().eval()(x.requires_grad_())[0, :, place[0], place[1]].sum().backward()
    moved = x.grad[0].ne(0).any(0)
    found = []
    for along in (moved.any(1), moved.any(0)):
        pixels = along.nonzero().flatten().tolist()
        found.append((pixels[0], pixels[-1] + 1 - pixels[0]))
    return found


def averaging(model: nn.Module) -> nn.Module:
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.MaxPool2d):
                setattr(module, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding))
    return model


@pytest.mark.parametrize(
    "spec",
    [
        TINY["resnet"],
        TINY["wide_resnet"],
        TINY["resnext"],
        TINY["lenet5"],
        ResNet(depths=(2, 1), widths=(2, 4), block=Basic(), stem=LargeStem(channels=2)),
        ResNet(depths=(1, 2), widths=(2, 4), stem=SmallStem(channels=2), shortcut="pad"),
    ],
    ids=str,
)
def test_a_networks_field_is_what_its_output_depends_on(spec: Network):
    shape = (1, 32, 44) if spec == TINY["lenet5"] else (3, 96, 112)
    backbone = averaging(spec.build(shape))
    for number, field in enumerate(receptive_field(spec, shape)):
        x = torch.ones(1, *shape, dtype=torch.float64)
        stages = nn.Sequential(*backbone.stages[: number + 1])
        with torch.no_grad():
            side = stages.double().eval()(x).shape
        place = (side[2] // 2, side[3] // 2)
        wanted = [
            (span.start + each * span.stride, span.size)
            for each, span in zip(place, (field.rows, field.columns), strict=True)
        ]
        assert all(start >= 0 for start, _ in wanted)  # inside of the image, or the test would be of its borders
        assert supports(stages, x, place) == wanted


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [nn.Conv2d(1, 2, (3, 5), (2, 1), (1, 2), (2, 1)), nn.Conv2d(2, 2, 3, 2, groups=2)],
        lambda: [ConvNormAct(1, 2, 3, 2, padding="tensorflow"), ConvNormAct(2, 2, 4, 2, padding="tensorflow")],
        lambda: [nn.AvgPool2d(3, 2, 1), Residual([nn.Conv2d(1, 1, (1, 5), padding=(0, 2))], nn.Conv2d(1, 1, (3, 1),
                 padding=(1, 0)), act=None)],
        lambda: [nn.Conv2d(1, 1, 2), Apply(lambda x: x[:, :, ::3, 2::2]), Apply(lambda x: torch.cat([x, F.avg_pool2d(
                 F.pad(x, (3, 0)), (1, 4), 1)], 1))],
    ],
)  # fmt: skip
def test_a_field_is_what_an_output_depends_on(layers):
    found = fields(nn.Sequential(*layers()), 64, 64, 1)[""]
    place = (6, 7)
    wanted = [
        (span.start + each * span.stride, span.size)
        for each, span in zip(place, (found.rows, found.columns), strict=True)
    ]
    assert supports(nn.Sequential(*layers()), torch.ones(1, 1, 64, 64, dtype=torch.float64), place) == wanted


@pytest.mark.parametrize(
    ("size", "stride", "pad", "dilation"), [(2, 2, 0, 1), (3, 2, 1, 1), (4, 2, 1, 1), (5, 3, 1, 1)]
)
def test_behind_a_transposed_convolution_the_size_is_of_the_widest_and_the_start_their_mean(
    size, stride, pad, dilation
):
    def model() -> nn.Module:
        up = nn.ConvTranspose2d(1, 1, size, stride, pad, dilation=dilation)
        return nn.Sequential(nn.Conv2d(1, 1, 3, 2), up)

    span = fields(model(), 48, 48, 1)[""].rows
    middle = 6 * stride
    seen = [
        supports(model(), torch.ones(1, 1, 48, 48, dtype=torch.float64), (place, place))[0]
        for place in range(middle, middle + stride)
    ]
    assert span.size == max(count for _, count in seen)
    centres = [start + (count - 1) / 2 for start, count in seen]
    ours = [span.start + place * span.stride + (span.size - 1) / 2 for place in range(middle, middle + stride)]
    assert sum(ours) / stride == pytest.approx(sum(centres) / stride)


def test_gates_are_not_counted_though_outputs_depend_on_them():
    spec = ResNet(depths=(1,), widths=(4,), stem=SmallStem(channels=4), gate=SqueezeExcite(reduction=2))
    assert receptive_field(spec, (3, 32, 32))[-1] == square(7, 1, -3)
    backbone = spec.build((3, 32, 32))
    seen = supports(nn.Sequential(*backbone.stages), torch.ones(1, 3, 32, 32, dtype=torch.float64), (16, 16))
    assert seen == [(0, 32), (0, 32)]
