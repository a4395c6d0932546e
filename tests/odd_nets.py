"""Tiny architectures with what a pixel engine or a proof may stumble over, and what a certificate says of each.

`ODD` maps a name to (network, image shape, words): the words that the refusal of a certificate holds, or "" where it
gives a verdict.
"""

import torch
import torch.nn.functional as F
from torch import nn

GREY, RGB = (1, 8, 8), (3, 8, 8)


class Fn(nn.Module):
    """A function as a network, with the modules it uses."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.function(self, x)


def conv(channels=1, out=4, size=3, **settings):
    return nn.Conv2d(channels, out, size, **settings)


def ending(count, *between):
    """A convolution, then anything, then a dense layer on `count` values."""
    return nn.Sequential(conv(padding=1), *between, nn.Flatten(), nn.Linear(count, 3))


class Token(nn.Module):
    """A class token before the patches, as vision transformers have it."""

    def __init__(self, mixing):
        super().__init__()
        self.patch, self.token, self.mixing = conv(out=8, size=4, stride=4), nn.Parameter(torch.zeros(1, 1, 8)), mixing
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        patches = self.patch(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(x.size(0), -1, -1), patches], 1)
        return self.head(self.mixing(tokens)[:, 0])


def encoder(*, first):
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=first)
    return nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)


def transposed(inner):
    return Fn(lambda self, x: self.inner(x.transpose(0, 1)).transpose(0, 1), inner=inner)


def sampled(self, x):
    turn = torch.eye(2, 3, dtype=x.dtype, device=x.device).expand(x.size(0), 2, 3)
    return self.rest(F.grid_sample(x, F.affine_grid(turn, x.shape, align_corners=False), align_corners=False))


def strongest(self, x):
    h = self.conv(x).flatten(1)
    return self.head(h.masked_fill(h < h.topk(20, 1).values[:, -1:], 0.0))


def summed(self, x):
    h = self.conv(x)
    return self.head(F.relu(h, inplace=True).add(h).flatten(1))


def doubled(self, x):
    h = self.conv(x).relu()
    return self.head((h + h).flatten(1))


def untracked(self, x):
    with torch.no_grad():
        x = self.conv(x).relu()
    return self.head(x.flatten(1))


ODD = {
    "same padding": (lambda: ending(256, nn.ReLU(), conv(4, padding="same"), nn.ReLU()), GREY, ""),
    "same padding, even kernel": (lambda: ending(256, nn.ReLU(), conv(4, size=(2, 4), padding="same")), GREY, ""),
    "same padding, even kernel, dilated": (
        lambda: ending(256, nn.ReLU(), conv(4, size=2, padding="same", dilation=3)),
        GREY,
        "a convolution of this form",
    ),
    "valid padding": (lambda: ending(144, nn.ReLU(), conv(4, padding="valid"), nn.ReLU()), GREY, ""),
    "reflected padding": (
        lambda: ending(256, nn.ReLU(), conv(4, padding=1, padding_mode="reflect")),
        GREY,
        "padding as an operation",
    ),
    "stride beyond the kernel": (lambda: ending(36, nn.ReLU(), conv(4, size=1, stride=3)), GREY, ""),
    "stride beyond the kernel, first": (
        lambda: nn.Sequential(conv(size=1, stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3)),
        GREY,
        "",
    ),
    "pool stride beyond its size": (lambda: ending(36, nn.ReLU(), nn.MaxPool2d(2, 3)), GREY, ""),
    "pool of one cell, stride 3": (lambda: ending(36, nn.MaxPool2d(1, 3), nn.ReLU()), GREY, ""),
    "global average pooling": (lambda: ending(4, nn.ReLU(), nn.AdaptiveAvgPool2d(1)), GREY, "global average pooling"),
    "global mean": (
        lambda: Fn(lambda self, x: self.head(self.conv(x).relu().mean((2, 3))), conv=conv(), head=nn.Linear(4, 3)),
        GREY,
        "global average pooling",
    ),
    "adaptive max pooling": (lambda: ending(16, nn.AdaptiveMaxPool2d(2)), GREY, "adaptive max pooling"),
    "pooling rounded up": (lambda: ending(36, nn.MaxPool2d(3, ceil_mode=True)), GREY, "max pooling"),
    "GELU": (lambda: ending(256, nn.GELU()), GREY, "GELU"),
    "leaky ReLU": (lambda: ending(256, nn.LeakyReLU()), GREY, "leaky ReLU"),
    "sigmoid after a dense layer": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Sigmoid(), nn.Linear(8, 3)),
        GREY,
        "sigmoid",
    ),
    "group norm": (lambda: ending(256, nn.GroupNorm(2, 4), nn.ReLU()), GREY, "group normalisation"),
    "instance norm": (lambda: ending(256, nn.InstanceNorm2d(4), nn.ReLU()), GREY, "instance normalisation"),
    "flatten with view": (
        lambda: Fn(lambda self, x: self.head(self.conv(x).relu().view(-1, 144)), conv=conv(3), head=nn.Linear(144, 3)),
        RGB,
        "",
    ),
    "view inside": (
        lambda: Fn(
            lambda self, x: self.head(self.conv(x).view(x.size(0), 2, -1).relu().flatten(1)),
            conv=conv(3),
            head=nn.Linear(144, 3),
        ),
        RGB,
        "the operation 'view'",
    ),
    "flatten of a permutation": (
        lambda: Fn(
            lambda self, x: self.head(self.conv(x).permute(0, 2, 3, 1).flatten(1)), conv=conv(), head=nn.Linear(144, 3)
        ),
        GREY,
        "permutation of axes",
    ),
    "class token": (lambda: Token(nn.LayerNorm(8)), GREY, "layer normalisation"),
    "transformer": (lambda: Token(encoder(first=True)), GREY, "attention"),
    "transformer, sequence first": (lambda: Token(transposed(encoder(first=False))), GREY, "attention"),
    "LSTM over rows": (
        lambda: Fn(
            lambda self, x: self.head(self.rows(x[:, 0])[0][:, -1]),
            rows=nn.LSTM(8, 6, batch_first=True),
            head=nn.Linear(6, 3),
        ),
        GREY,
        "LSTM",
    ),
    "cosine classifier": (
        lambda: Fn(
            lambda self, x: 9 * F.linear(F.normalize(self.conv(x).relu().flatten(1)), F.normalize(self.head.weight)),
            conv=conv(),
            head=nn.Linear(144, 3),
        ),
        GREY,
        "the norm of a value",
    ),
    "grid sampling": (lambda: Fn(sampled, rest=ending(256, nn.ReLU())), GREY, "grid sampling"),
    "k largest": (lambda: Fn(strongest, conv=conv(), head=nn.Linear(144, 3)), GREY, "choice of the k largest"),
    "in-place ReLU read twice": (lambda: Fn(summed, conv=conv(), head=nn.Linear(144, 3)), GREY, ""),
    "a value added to itself": (lambda: Fn(doubled, conv=conv(), head=nn.Linear(144, 3)), GREY, ""),
    "channel shuffle": (lambda: ending(256, nn.ChannelShuffle(2), nn.ReLU()), GREY, "channel shuffle"),
    "pixel shuffle": (lambda: ending(256, nn.PixelShuffle(2), nn.ReLU()), GREY, "pixel shuffle"),
    "transposed convolution": (
        lambda: ending(512, nn.ReLU(), nn.ConvTranspose2d(4, 2, 2, stride=2)),
        GREY,
        "transposed convolution",
    ),
    "three-dimensional convolution": (
        lambda: Fn(
            lambda self, x: self.head(self.conv(x[:, None]).flatten(1)),
            conv=nn.Conv3d(1, 2, (2, 3, 3)),
            head=nn.Linear(144, 3),
        ),
        RGB,
        "three-dimensional convolution",
    ),
    "gradients switched off inside": (lambda: Fn(untracked, conv=conv(), head=nn.Linear(144, 3)), GREY, ""),
    "grey levels looked up": (
        lambda: Fn(
            lambda self, x: self.head(self.levels((x * 15).long()).flatten(1)),
            levels=nn.Embedding(16, 2),
            head=nn.Linear(128, 3),
        ),
        GREY,
        "looked up",
    ),
    "numpy inside": (
        lambda: Fn(lambda self, x: self.head(torch.from_numpy(x.numpy() * 2).flatten(1)), head=nn.Linear(64, 3)),
        GREY,
        "cannot be read: torch.export cannot trace it",
    ),
    "a decision by values": (
        lambda: Fn(
            lambda self, x: self.head((x if float(x.detach().mean()) < 2 else 2 * x).flatten(1)), head=nn.Linear(64, 3)
        ),
        GREY,
        "cannot be read: torch.export cannot trace it",
    ),
    "centred by the batch": (lambda: ending(256, Fn(lambda self, x: x - x.mean(0)), nn.ReLU()), GREY, "averaging"),
}
