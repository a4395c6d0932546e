"""pixelproof: how is an image classifier fooled, why, can we notice, can we resist: with evidence.

The verbs, each a module that is imported when it is first used:

data       images to work on: data.load("digits"), "mnist", "cifar10", or a path to your own
models     classifiers: models.load("cnn", data=train), or your own: models.wrap(module, classes=..., input_shape=...)
attacks    fool one: PGD, DeepFool, AutoAttack, one pixel, ...; mount runs an attack, counts, and judges what comes back
prove      that no single pixel, or no change below eps, fools it
explain    why it was fooled: DeepSHAP, gradients, critical pixels, signatures
detect     notice it: detectors are fitted, and a guard then judges images
defend     resist it: adversarial training, masks, squeezing, certified training
measure    what can be believed: evaluate, audit, compare
study      all of it from one file, into a run folder that report and explorer read

    import pixelproof as pp

    train, test = pp.data.load("digits", "train"), pp.data.load("digits", "test")
    model = pp.models.load("cnn", data=train)
    fooled = pp.attacks.mount(pp.attacks.PGD(eps=0.1), model, test, seed=0)
    print(fooled.robust_accuracy)
"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixelproof import attacks, data, defend, detect, errors, explain, measure, models, prove, run, study, types

__version__ = version("pixelproof")
__all__ = [
    "__version__",
    "attacks",
    "data",
    "defend",
    "detect",
    "errors",
    "explain",
    "measure",
    "models",
    "prove",
    "run",
    "study",
    "types",
]


def __getattr__(name: str) -> ModuleType:
    """A module of the package, imported when it is asked for, so that the command line is there at once."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
