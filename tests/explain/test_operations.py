"""Every operation with a rule adds up on its own, whatever surrounds it; one without a rule is named."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelproof.errors import BadInput
from pixelproof.explain import DeepShap
from pixelproof.explain.operations import RULES
from pixelproof.models import wrap

SHAPE = (2, 8, 8)


class Net(nn.Module):
    """conv, then `middle`, then whatever is left is averaged down and mapped to four logits."""

    def __init__(self, middle) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 8, 3, padding=1)
        self.middle = middle
        self.last = nn.LazyLinear(4)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.middle(self.first(images)).flatten(1))


class TokenNet(nn.Module):
    """Rows of the image as tokens, for layers of transformers."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features.flatten(2).transpose(1, 2)[:, :16])


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.MultiheadAttention(8, 2, dropout=0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        turned = tokens.transpose(0, 1)
        return self.layer(turned, turned, turned, need_weights=False)[0].transpose(0, 1)


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Hardsigmoid())

    def forward(self, features: Tensor) -> Tensor:
        return features * self.gate(features)


def assigned(features: Tensor) -> Tensor:
    out = features.clone()
    out[:, :4] = features[:, 4:].relu()
    out[:, 0].mul_(2).add_(features[:, 1])
    return out


MIDDLES = {
    "transformer layer": TokenNet(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu")),
    "multi-head attention": TokenNet(SelfAttention()),
    "scaled dot product": lambda x: F.scaled_dot_product_attention(x, x.flip(1), x * x),
    "group norm": nn.GroupNorm(2, 8),
    "instance norm": nn.InstanceNorm2d(8, affine=True),
    "batch norm": nn.BatchNorm2d(8),
    "squeeze and excite": SqueezeExcite(),
    "depthwise": nn.Conv2d(8, 8, 3, groups=8),
    "strided dilated": nn.Conv2d(8, 4, 3, stride=2, padding=2, dilation=2),
    "transposed": nn.ConvTranspose2d(8, 4, 3, stride=2, output_padding=1),
    "conv1d": nn.Sequential(nn.Flatten(2), nn.Conv1d(8, 4, 5, stride=3)),
    "dense block": lambda x: torch.cat([x, x.relu(), F.avg_pool2d(x, 3, 1, 1)], 1),
    "chunk and split": lambda x: x.chunk(2, 1)[0] * x.split([3, 4, 1], 1)[1].sigmoid(),
    "unbind": lambda x: x.unbind(1)[2] + x.unbind(1)[5].tanh(),
    "square": lambda x: x * x - x.square() * 0.5 + x**3,
    "quotient": lambda x: x[:, :4] / (x[:, 4:].abs() + 1),
    "standardised": lambda x: (x - x.mean((2, 3), keepdim=True)) / x.std((2, 3), keepdim=True),
    "variance": lambda x: x.var((2, 3)).sqrt() + x.var(1, unbiased=False).mean((1, 2))[:, None],
    "normalised": lambda x: F.normalize(x, dim=1),
    "gated": lambda x: F.glu(x, 1),
    "log softmax": lambda x: F.log_softmax(x, 1),
    "logsumexp": lambda x: torch.logsumexp(30 * x, (2, 3)),
    "overlapping pool": nn.MaxPool2d(3, 1, 1),
    "pool with gaps": nn.MaxPool2d(2, 3, dilation=2, ceil_mode=True),
    "adaptive max-pool": nn.AdaptiveMaxPool2d(3),
    "global maximum": lambda x: x.amax((2, 3)),
    "maximum along": lambda x: x.max(1).values,
    "maxout": lambda x: x.view(len(x), 4, 2, 8, 8).amax(2, keepdim=True),
    "resize": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "nearest": lambda x: F.interpolate(x, size=5, mode="nearest"),
    "padding": lambda x: F.pad(x, (1, 2, 0, 1)) + F.pad(x, (1, 2, 0, 1), mode="replicate"),
    "pixel shuffle": lambda x: F.pixel_shuffle(x, 2),
    "einsum": lambda x: torch.einsum("nchw,ndhw->ncd", x, x),
    "roll and flip": lambda x: torch.roll(x, 2, 3).flip(2) - 2 * x,
    "in place": assigned,
    "dropout": nn.Sequential(nn.Dropout(0.5), nn.ReLU(inplace=True), nn.Dropout2d(0.5)),
    **{
        type(layer).__name__: layer
        for layer in (
            nn.ELU(), nn.LeakyReLU(0.2), nn.Softplus(), nn.Hardtanh(), nn.Hardswish(), nn.ReLU6(), nn.Mish(),
            nn.PReLU(8), nn.SELU(), nn.LogSigmoid(), nn.Softsign(), nn.Tanhshrink(), nn.Threshold(0.1, -1.0), nn.CELU(),
        )
    },
}  # fmt: skip


def wrapped(middle):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Net(middle).eval()
        net(torch.rand(1, *SHAPE))
        for parameter in net.parameters():
            parameter.data.mul_(2)
        return wrap(net, classes=4, input_shape=SHAPE, mean=(0.5, 0.4), std=(0.2, 0.3))


@pytest.mark.parametrize("name", MIDDLES)
def test_each_operation_adds_up(name):
    generator = torch.Generator().manual_seed(2)
    model = wrapped(MIDDLES[name])
    images, background = torch.rand(3, *SHAPE, generator=generator), torch.rand(7, *SHAPE, generator=generator)
    found = DeepShap(background, chunk=5).all_classes(model, images)
    assert found.gap.max() < 2e-5
    assert found.values.abs().max() > 1e-4


@pytest.mark.parametrize(
    ("middle", "operation"),
    [(lambda x: x.sort(1).values, "aten.sort"), (torch.rand_like, "aten.rand_like"), (torch.cummax, "aten.cummax")],
)
def test_an_operation_without_a_rule_is_named(middle, operation):
    layer = (lambda x: torch.cummax(x, 1).values) if middle is torch.cummax else lambda x: x + middle(x)
    model = wrapped(layer)
    with pytest.raises(BadInput, match=operation):
        DeepShap(torch.rand(3, *SHAPE))(model, torch.rand(2, *SHAPE), None, torch.Generator())


def test_a_branch_on_pixel_values_is_refused():
    model = wrapped(lambda x: x if x.sum() > 0 else -x)
    with pytest.raises(BadInput, match="branch"):
        DeepShap(torch.rand(3, *SHAPE))(model, torch.rand(2, *SHAPE), None, torch.Generator())


def test_positions_of_a_maximum_are_refused():
    model = wrapped(lambda x: F.max_pool2d(x, 2, return_indices=True)[1].float())
    with pytest.raises(BadInput, match="position"):
        DeepShap(torch.rand(3, *SHAPE))(model, torch.rand(2, *SHAPE), None, torch.Generator())


def test_the_table_names_operations_once():
    assert len(RULES) > 80
    assert all(isinstance(operation, torch._ops.OpOverload) for operation in RULES)
