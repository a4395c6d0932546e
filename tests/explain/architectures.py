"""The sixteen rows of the correctness table: small networks that differ in how they are written.

What attribution libraries stumble over is how a network is written: activations that are functions, shared or in
place, pools that overlap, normalisations and attention in one module.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelproof.models import Card, Classifier

SHAPE = (1, 16, 16)
CLASSES = 10
FEATURES = 8


def head(features: int = FEATURES) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * features, CLASSES))


def conv_relu_conv_relu_pool() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, FEATURES, 3), nn.ReLU(), nn.Conv2d(FEATURES, FEATURES, 3), nn.ReLU(), nn.MaxPool2d(2), head()
    )


def conv_pool_relu() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, FEATURES, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(49 * FEATURES, CLASSES)
    )


def overlapping_pool() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, FEATURES, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1), head())


class FunctionalResidual(nn.Module):
    """F.relu everywhere, and a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, FEATURES, 3, padding=1)
        self.second = nn.Conv2d(FEATURES, FEATURES, 3, padding=1)
        self.head = head()

    def forward(self, images: Tensor) -> Tensor:
        features = F.relu(self.first(images))
        return self.head(F.relu(self.second(features) + features))


class ModuleResidual(nn.Module):
    """A shortcut with nn.ReLU modules: one used twice, in place, or two separate ones."""

    def __init__(self, *, shared: bool = False, inplace: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, FEATURES, 3, padding=1)
        self.second = nn.Conv2d(FEATURES, FEATURES, 3, padding=1)
        self.relu1 = nn.ReLU(inplace)
        self.relu2 = self.relu1 if shared else nn.ReLU(inplace)
        self.head = head()

    def forward(self, images: Tensor) -> Tensor:
        features = self.relu1(self.first(images))
        return self.head(self.relu2(self.second(features) + features))


def batch_norm() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, FEATURES, 3), nn.BatchNorm2d(FEATURES), nn.ReLU(), nn.AvgPool2d(2), head())


def smooth(activation: nn.Module) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, FEATURES, 3), activation, nn.Conv2d(FEATURES, FEATURES, 3), type(activation)(), head()
    )


def layer_norm_mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 32), nn.LayerNorm(32), nn.ReLU(), nn.Linear(32, CLASSES))


def softmax_output() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 32), nn.ReLU(), nn.Linear(32, CLASSES), nn.Softmax(1))


class PrimitiveNorm(nn.Module):
    """Layer normalisation written with means and products."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return centred * torch.rsqrt((centred * centred).mean(-1, keepdim=True) + 1e-5) * self.weight + self.bias


class VisionTransformer(nn.Module):
    """A pre-norm block on 4 x 4 patches, attention written out, with modules or primitives for norm and softmax."""

    def __init__(self, *, primitive: bool, width: int = 16, heads: int = 2) -> None:
        super().__init__()
        norm = PrimitiveNorm if primitive else nn.LayerNorm
        self.patches = nn.Conv2d(1, width, 4, 4)
        self.place = nn.Parameter(0.1 * torch.randn(1, 16, width))
        self.norm1, self.norm2 = norm(width), norm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.softmax = nn.Softmax(-1)
        self.primitive, self.heads = primitive, heads
        self.head = nn.Linear(width, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        x = self.patches(images).flatten(2).transpose(1, 2) + self.place
        n, tokens, width = x.shape
        split = self.qkv(self.norm1(x)).reshape(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        scores = split[0] @ split[1].transpose(-1, -2) / (width // self.heads) ** 0.5
        weights = self._normalised(scores)
        x = x + self.out((weights @ split[2]).transpose(1, 2).reshape(n, tokens, width))
        x = x + self.mlp(self.norm2(x))
        return self.head(x.mean(1))

    def _normalised(self, scores: Tensor) -> Tensor:
        if not self.primitive:
            return self.softmax(scores)
        powers = torch.exp(scores)
        return powers * torch.reciprocal(powers.sum(-1, keepdim=True))


class TorchvisionBlock(nn.Module):
    """A stem and a basic block as torchvision writes them: batch-norm, one in-place ReLU used twice, 3/2/1 pool."""

    def __init__(self, *, separate: bool) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, FEATURES, 3, 1, 1, bias=False), nn.BatchNorm2d(FEATURES))
        self.conv1 = nn.Conv2d(FEATURES, FEATURES, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(FEATURES)
        self.conv2 = nn.Conv2d(FEATURES, FEATURES, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(FEATURES)
        self.relu = nn.ReLU(inplace=not separate)
        self.relu2 = nn.ReLU() if separate else self.relu
        self.relu3 = nn.ReLU() if separate else self.relu
        self.head = head()

    def forward(self, images: Tensor) -> Tensor:
        features = self.relu(self.stem(images))
        out = self.relu2(self.bn1(self.conv1(features)))
        out = self.bn2(self.conv2(out))
        if self.relu.inplace:
            out += features
        else:
            out = out + features
        return self.head(self.relu3(out))


ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    "conv-relu-conv-relu-pool, separate modules": conv_relu_conv_relu_pool,
    "conv-pool-relu": conv_pool_relu,
    "overlapping max-pool 3/2/1": overlapping_pool,
    "functional F.relu + residual": FunctionalResidual,
    "one nn.ReLU reused + residual": lambda: ModuleResidual(shared=True),
    "in-place nn.ReLU + residual": lambda: ModuleResidual(inplace=True),
    "separate nn.ReLU + residual": ModuleResidual,
    "batch-norm (eval) + relu + avg-pool": batch_norm,
    "GELU": lambda: smooth(nn.GELU()),
    "SiLU": lambda: smooth(nn.SiLU()),
    "layer-norm MLP (nn.LayerNorm)": layer_norm_mlp,
    "softmax output (nn.Softmax)": softmax_output,
    "tiny ViT, nn.LayerNorm and nn.Softmax": lambda: VisionTransformer(primitive=False),
    "tiny ViT, primitives": lambda: VisionTransformer(primitive=True),
    "torchvision block (in-place ReLU used three times)": lambda: TorchvisionBlock(separate=False),
    "torchvision block, separate ReLUs": lambda: TorchvisionBlock(separate=True),
}


def build(name: str, seed: int = 0) -> Classifier:
    """The named network with random weights, spread enough to make every part matter, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = ARCHITECTURES[name]()
        for module in net.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.5)
                module.running_var.uniform_(0.5, 2)
    card = Card(name=name, classes=tuple("0123456789"), input_shape=SHAPE)
    return Classifier(net, card, mean=(0.4,), std=(0.3,)).eval()


def sample(images: int = 8, backgrounds: int = 20) -> tuple[Tensor, Tensor]:
    """Random images and backgrounds."""
    generator = torch.Generator().manual_seed(1)
    return torch.rand(images, *SHAPE, generator=generator), torch.rand(backgrounds, *SHAPE, generator=generator)
