"""Warning signs that a robust accuracy is not what it seems: AutoAttack's, and missing gradients."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from pixelproof.models import Classifier, evaluating, frozen
from pixelproof.results.evaluation import RANDOMISED
from pixelproof.types import Goal, Images, Labels, Logits, Mask, Rate

PROBABILITIES = "probabilities: the outputs lie in [0, 1] and sum to 1; gradients vanish where the softmax saturates"
NO_GRADIENT = "zero gradient"
GRADIENT_FREE = "no gradient: none can be computed through the network; it was attacked by queries alone"
NOT_FINITE = "gradient not finite"
BLACK_BOX = "black box beats white box"
BATCH = "answers depend on the batch: an image's logits change with the other images beside it, and so do all figures"
CHANCE = "clean accuracy is not above chance"
ROUNDING = 1e-5  # by how much probabilities may miss [0, 1] and a sum of 1 (AutoAttack's own tolerance)
INFERENCE = "optimisation at inference: the forward pass computes gradients itself; attack the whole process"


def before(model: Classifier, images: Images, labels: Labels, *, random: bool) -> tuple[str, ...]:
    """The flags that show on clean images, before any attack; whether the model is `random` is known already."""
    found = [RANDOMISED] if random else []
    if model.card.batch_dependent:
        found.append(BATCH)
    logits = model.predict(images)
    if are_probabilities(logits):
        found.append(PROBABILITIES)
    if optimises(model, images[:2]):
        found.append(INFERENCE)
    elif (gradient := slope(model, images, labels)) is None:
        found.append(GRADIENT_FREE)
    else:
        finite = gradient.isfinite().flatten(1)
        if still := int(silent(model, images, labels).sum()):
            found.append(f"{NO_GRADIENT}: the loss has none at {still} of {len(images)} clean images")
        if broken := int((~finite.all(1)).sum()):
            found.append(f"{NOT_FINITE}: infinite or NaN entries at {broken} of {len(images)} clean images")
    return tuple(found)


def after(black_box: int, standing: int) -> tuple[str, ...]:
    """The flag that shows at the end: `black_box` images broken by Square of the `standing` ones it was given."""
    if not black_box:
        return ()
    left = f"{standing} images that the gradient attacks before it had left standing"
    return (f"{BLACK_BOX}: Square broke {black_box} of {left}",)


def chance(clean: Rate, classes: int) -> str:
    """What is wrong with a clean accuracy that guessing would reach; empty for one above it."""
    if not classes or float(clean) > 1 / classes:
        return ""
    what = f"{CHANCE}: {100 * float(clean):.1f} % of {clean.n} images with {classes} classes"
    return f"{what}; check the order of the classes, the normalisation (mean and std) and the weights"


def are_probabilities(outputs: Logits) -> bool:
    """Whether every output lies in [0, 1] and every row sums to 1."""
    inside = outputs.min() > -ROUNDING and outputs.max() < 1 + ROUNDING
    return bool(inside and ((outputs.sum(1) - 1).abs() < ROUNDING).all())


def silent(model: Classifier, images: Images, labels: Labels, loss: Literal["ce", "margin"] = "ce") -> Mask:
    """At which images the gradient of the loss is exactly zero, nowhere finite, or cannot be computed at all."""
    gradient = slope(model, images, labels, loss)
    if gradient is None:
        return torch.ones(len(images), dtype=torch.bool)
    return (gradient.nan_to_num(0.0, 0.0, 0.0) == 0).flatten(1).all(1)


def slope(model: Classifier, images: Images, labels: Labels, loss: Literal["ce", "margin"] = "ce") -> Tensor | None:
    """The gradient of the loss at each image, on the CPU, as it comes; None where no gradient can be computed.

    The cross-entropy is the bare one, as float32 has it, and not what attacks put in its place where it underflows.
    """
    x, wanted = images.to(model.device, copy=True).requires_grad_(), labels.to(model.device)
    with frozen(model), torch.enable_grad():
        try:
            logits = model(x)
            value = (
                -F.cross_entropy(logits, wanted, reduction="sum") if loss == "ce" else Goal(wanted).margin(logits).sum()
            )
            gradient: Tensor = torch.autograd.grad(value, x)[0]
        except RuntimeError:  # nothing leads back to the image, or an operation on the way has no derivative
            return None
    return gradient.cpu()


def optimises(model: Classifier, images: Images) -> bool:
    """Whether a forward pass calls autograd itself."""
    listener = _Listener()
    with evaluating(model), torch.no_grad(), listener:
        model(images.to(model.device))
    return listener.heard


class _Listener(TorchFunctionMode):
    """Hears calls of torch.autograd.grad and backward while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: bool = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.autograd.grad, torch.autograd.backward, Tensor.backward):
            self.heard = True
        return func(*args, **(kwargs or {}))
