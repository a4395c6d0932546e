"""The networks of the three papers, for any input shape, and a residual network for 32 x 32 images."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn

from pixelproof.draws import seeded
from pixelproof.errors import BadInput

Shape = tuple[int, int, int]


def cnn(shape: Shape, classes: int) -> nn.Module:
    """Paper 1's network: conv32-conv64-pool-fc128-fc, 3 x 3 kernels without padding."""
    channels, height, width = shape
    flat = 64 * ((height - 4) // 2) * ((width - 4) // 2)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 32, 3),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(32, 64, 3),
            relu2=nn.ReLU(),
            pool=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(flat, 128),
            relu3=nn.ReLU(),
            fc2=nn.Linear(128, classes),
        )
    )


def mlp(shape: Shape, classes: int) -> nn.Module:
    """Paper 2's fully connected network: 256-128."""
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            fc1=nn.Linear(shape[0] * shape[1] * shape[2], 256),
            relu1=nn.ReLU(),
            fc2=nn.Linear(256, 128),
            relu2=nn.ReLU(),
            fc3=nn.Linear(128, classes),
        )
    )


def masking_cnn(shape: Shape, classes: int) -> nn.Module:
    """Paper 2's convolutional network: conv32-pool-conv64-pool-fc128-fc, 3 x 3 kernels without padding."""
    channels, height, width = shape
    flat = 64 * (((height - 2) // 2 - 2) // 2) * (((width - 2) // 2 - 2) // 2)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 32, 3),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(32, 64, 3),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(flat, 128),
            relu3=nn.ReLU(),
            fc2=nn.Linear(128, classes),
        )
    )


def cifar_cnn(shape: Shape, classes: int) -> nn.Module:
    """Paper 3's network (the Keras cifar10_cnn): two blocks conv-conv-pool-dropout of 32 and 64 channels, fc512."""
    channels, height, width = shape
    flat = 64 * (((height - 2) // 2 - 2) // 2) * (((width - 2) // 2 - 2) // 2)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 32, 3, padding=1),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(32, 32, 3),
            relu2=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            drop1=nn.Dropout(0.25),
            conv3=nn.Conv2d(32, 64, 3, padding=1),
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(64, 64, 3),
            relu4=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            drop2=nn.Dropout(0.25),
            flatten=nn.Flatten(),
            fc1=nn.Linear(flat, 512),
            relu5=nn.ReLU(),
            drop3=nn.Dropout(0.5),
            fc2=nn.Linear(512, classes),
        )
    )


class Residual(nn.Module):
    """conv-bn-relu-conv-bn plus a shortcut, then relu (He et al. 2016, arXiv 1512.03385)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.relu2 = nn.ReLU()
        same = stride == 1 and before == after
        self.shortcut: nn.Module = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features (n, before, h, w) to (n, after, h / stride, w / stride)."""
        inner = self.relu1(self.norm1(self.conv1(features)))
        out: Tensor = self.relu2(self.norm2(self.conv2(inner)) + self.shortcut(features))
        return out


def resnet18(shape: Shape, classes: int) -> nn.Module:
    """ResNet-18 with a 3 x 3 stem and no first pool, as usual for 32 x 32 images."""
    blocks: list[tuple[str, nn.Module]] = [
        ("conv1", nn.Conv2d(shape[0], 64, 3, 1, 1, bias=False)),
        ("norm1", nn.BatchNorm2d(64)),
        ("relu1", nn.ReLU()),
    ]
    before = 64
    for stage, width in enumerate((64, 128, 256, 512)):
        for block in range(2):
            stride = 2 if stage and not block else 1
            blocks.append((f"block{stage + 1}{'ab'[block]}", Residual(before, width, stride)))
            before = width
    blocks += [
        ("pool", nn.AdaptiveAvgPool2d(1)),
        ("flatten", nn.Flatten()),
        ("fc", nn.Linear(512, classes)),
    ]
    return nn.Sequential(OrderedDict(blocks))


NETS: Mapping[str, Callable[[Shape, int], nn.Module]] = MappingProxyType(
    {"cnn": cnn, "mlp": mlp, "masking-cnn": masking_cnn, "cifar-cnn": cifar_cnn, "resnet18": resnet18}
)


SMALLEST: Mapping[str, int] = MappingProxyType({"cnn": 6, "masking-cnn": 10, "cifar-cnn": 10})


def build(name: str, shape: Shape, classes: int, seed: int) -> nn.Module:
    """A freshly initialised network of `NETS`; the global random state is left as it was.

    Raises BadInput for images so small that nothing is left of them after the last pool.
    """
    side = SMALLEST.get(name, 1)
    if min(shape[1:]) < side:
        raise BadInput(name, f"needs images of at least {side} x {side} pixels", shape, "Use cnn, mlp or resnet18.")
    with seeded(seed):
        return NETS[name](shape, classes).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def is_own(net: nn.Module, name: str, shape: Shape, classes: int) -> bool:
    """Whether `net` is the network of that name, layer by layer, and not another that is called so."""
    if name not in NETS or min(shape[1:]) < SMALLEST.get(name, 1):
        return False
    with torch.device("meta"):
        twin = NETS[name](shape, classes)

    def form(module: nn.Module) -> tuple[list[tuple[str, type]], dict[str, torch.Size]]:
        kinds = [(path, type(part)) for path, part in module.named_modules()]
        return kinds, {path: tensor.shape for path, tensor in module.state_dict().items()}

    return form(net) == form(twin)
