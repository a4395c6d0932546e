"""How a classifier is fooled: attacks, the harness that judges them, and whole robustness curves."""

from collections.abc import Mapping
from types import MappingProxyType

from pixelproof import specs
from pixelproof.attacks.attack import Attack, Model
from pixelproof.attacks.auto.apgd import APGD
from pixelproof.attacks.auto.ensemble import Auto
from pixelproof.attacks.auto.fab import FAB
from pixelproof.attacks.auto.square import Square
from pixelproof.attacks.blackbox import SPSA, transfer
from pixelproof.attacks.critical import Critical, confined
from pixelproof.attacks.deepfool import DeepFool
from pixelproof.attacks.foolbox import Foolbox
from pixelproof.attacks.gradient import BIM, FGSM, PGD
from pixelproof.attacks.hopskip import HopSkipJump
from pixelproof.attacks.minimal import CW, DDN, FMN
from pixelproof.attacks.momentum import MIFGSM, MarginPGD
from pixelproof.attacks.mount import mount
from pixelproof.attacks.noise import SignNoise, UniformNoise
from pixelproof.attacks.pixel import FewPixel, OnePixel, OnePixelDE
from pixelproof.attacks.result import AdversarialSet
from pixelproof.attacks.sparse import PDPGD, SigmaZero
from pixelproof.attacks.sweep import sweep

ATTACKS: Mapping[str, type[Attack]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            FGSM,
            BIM,
            PGD,
            MIFGSM,
            MarginPGD,
            APGD,
            FAB,
            Square,
            SPSA,
            HopSkipJump,
            Auto,
            DeepFool,
            Critical,
            DDN,
            FMN,
            CW,
            SigmaZero,
            PDPGD,
            OnePixel,
            OnePixelDE,
            FewPixel,
            UniformNoise,
            SignNoise,
            Foolbox,
        )
    }
)


def parse(spec: str, *, eps: float | None = None) -> Attack:
    """The attack a spec string names, for example "pgd:eps=8/255,steps=40"; `eps` is the budget it may leave out."""
    return specs.parse(spec, ATTACKS, "attack", defaults=None if eps is None else {"eps": eps})


__all__ = [
    "APGD",
    "ATTACKS",
    "BIM",
    "CW",
    "DDN",
    "FAB",
    "FGSM",
    "FMN",
    "MIFGSM",
    "PDPGD",
    "PGD",
    "SPSA",
    "AdversarialSet",
    "Attack",
    "Auto",
    "Critical",
    "DeepFool",
    "FewPixel",
    "Foolbox",
    "HopSkipJump",
    "MarginPGD",
    "Model",
    "OnePixel",
    "OnePixelDE",
    "SigmaZero",
    "SignNoise",
    "Square",
    "UniformNoise",
    "confined",
    "mount",
    "parse",
    "sweep",
    "transfer",
]
