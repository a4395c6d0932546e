"""Models whose answers are known in closed form, and a small trained network on real digits."""

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import ClassVar

import torch
from torch import nn

from pixelproof import data, models
from pixelproof.attacks import (
    APGD,
    ATTACKS,
    BIM,
    CW,
    DDN,
    FAB,
    FGSM,
    FMN,
    MIFGSM,
    PDPGD,
    PGD,
    SPSA,
    Auto,
    Critical,
    DeepFool,
    FewPixel,
    Foolbox,
    HopSkipJump,
    MarginPGD,
    OnePixel,
    OnePixelDE,
    SigmaZero,
    SignNoise,
    Square,
    UniformNoise,
)
from pixelproof.data import Dataset
from pixelproof.models import Training

SHAPE = (1, 4, 4)
CHOSEN = (
    FGSM(0.1),
    FGSM(0.7, norm="l2"),
    BIM(0.1, steps=5),
    BIM(0.7, steps=5, norm="l2"),
    PGD(0.1, steps=8, precision="float32"),
    PGD(0.7, steps=8, norm="l2", precision="float32"),
    PGD(0.05, steps=5, restarts=3, precision="float32"),
    PGD(0.1, steps=8, precision="bf16"),
    DeepFool(),
    DeepFool(norm="l2"),
    DeepFool(eps=0.05),
    Critical(0.4, k=20, steps=6),
    UniformNoise(0.1),
    UniformNoise(0.7, norm="l2"),
    SignNoise(0.1),
    Foolbox("LinfBasicIterativeAttack", 0.1, ("steps=5",)),
    MIFGSM(0.15),
    MarginPGD(0.7, steps=8, targets=2, norm="l2", precision="float32"),
    APGD(0.1, steps=12),
    APGD(0.7, steps=12, loss="dlr", targets=2, norm="l2"),
    APGD(6.0, steps=20, norm="l1"),
    FAB(steps=6, targets=2),
    FAB(steps=6, targets=2, restarts=2, norm="l2", eps=0.7),
    Square(0.25, queries=40),
    Square(12.0, queries=40, norm="l1"),
    SPSA(0.2, steps=8, pairs=4, rate=0.05),
    HopSkipJump(queries=150, samples=20),
    HopSkipJump(queries=100, samples=20, norm="linf", eps=0.3),
    Auto(0.05),
    DDN(steps=20, precision="float32"),
    FMN("linf", steps=30, precision="float32"),
    FMN("l0", steps=30, precision="float32"),
    CW(steps=30, searches=2, rate=0.1, weight=1.0),
    SigmaZero(steps=40),
    PDPGD("linf", steps=40),
    OnePixel(ranked=8),
    OnePixelDE(population=24, iterations=8),
    FewPixel(k=2, queries=60, ranked=2),
)


SMALL = {"steps": 20, "queries": 60, "samples": 20, "pairs": 4, "population": 24, "iterations": 8, "ranked": 8}
BUDGETS = {"linf": 0.1, "l2": 0.7, "l1": 6.0, "l0": 3.0}


def small(kind):
    """An attack of the table as its class describes it: short, in float32, at a budget of its default norm's size."""
    names = {field.name for field in fields(kind)}
    chosen = {name: value for name, value in SMALL.items() if name in names}
    if "precision" in names:
        chosen["precision"] = "float32"
    if kind.kind == "budget":
        chosen["eps"] = BUDGETS[getattr(kind, "norm", "linf")]
    return kind(**chosen)


TRIED = {attack.name for attack in CHOSEN}
ALL = (*CHOSEN, *(small(kind) for name, kind in ATTACKS.items() if name not in TRIED))


def linear(classes=3, seed=0):
    """A linear classifier with its weights (classes, 16), and images that it gets right, far from 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    dense = nn.Linear(16, classes)
    with torch.no_grad():
        dense.weight.copy_(torch.randn(classes, 16, generator=generator))
        dense.bias.copy_(-dense.weight.sum(1) / 2)  # centred on the grey image
    model = models.wrap(nn.Sequential(nn.Flatten(), dense), classes=classes, input_shape=SHAPE).eval()
    images = 0.3 + 0.4 * torch.rand(40, *SHAPE, generator=generator)
    labels = model(images).argmax(1)
    names = tuple(str(k) for k in range(classes))
    return model, dense.weight.detach(), Dataset("toy", images, labels, names)


@lru_cache
def digits_net():
    """A `cnn` trained on the digits, and 150 of their test images."""
    model = models.load("cnn", data=data.load("digits"), training=Training(epochs=8, batch=64))
    return model, data.load("digits", "test").sample(150)


@dataclass(frozen=True)
class Returns:
    """An attack that returns whatever `made(images, eps)` gives, and says that it kept within eps."""

    made: object
    eps: float | None = 0.1
    norm: str = "linf"

    name: ClassVar[str] = "returns"
    kind: ClassVar[str] = "budget"
    draws: ClassVar[bool] = False
    targetable: ClassVar[bool] = True

    def __call__(self, model, images, goal, rng):
        return self.made(images)
