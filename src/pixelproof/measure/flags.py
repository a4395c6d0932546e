"""Warning signs that a robust accuracy is not what it seems: the five of AutoAttack."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from pixelproof.attacks.stochastic import is_stochastic
from pixelproof.models import Classifier, evaluating, frozen
from pixelproof.types import Goal, Images, Labels

RANDOMISED = "randomised: two passes over the same images differ; success is judged as a rate over draws"
PROBABILITIES = "probabilities: the outputs lie in [0, 1] and sum to 1; gradients vanish where the softmax saturates"
NO_GRADIENT = "zero gradient"
BLACK_BOX = "black box beats white box"
INFERENCE = "optimisation at inference: the forward pass computes gradients itself; attack the whole process"


def before(model: Classifier, images: Images, labels: Labels) -> tuple[str, ...]:
    """The flags that show on clean images, before any attack."""
    found = []
    if is_stochastic(model, images):
        found.append(RANDOMISED)
    logits = model.predict(images)
    sums = logits.sum(1)
    if logits.min() >= 0 and logits.max() <= 1 and torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
        found.append(PROBABILITIES)
    if optimises(model, images[:2]):
        found.append(INFERENCE)
    elif still := zero_gradients(model, images, labels):
        found.append(f"{NO_GRADIENT}: the loss has none at {still} of {len(images)} clean images")
    return tuple(found)


def after(black_box: int, standing: int) -> tuple[str, ...]:
    """The flag that shows at the end: `black_box` images broken by Square of the `standing` ones it was given."""
    if not black_box:
        return ()
    return (f"{BLACK_BOX}: Square broke {black_box} of {standing} images that every gradient attack had left standing",)


def zero_gradients(model: Classifier, images: Images, labels: Labels) -> int:
    """At how many images the gradient of the cross-entropy is exactly zero, or cannot be computed at all."""
    x = images.to(model.device).requires_grad_()
    with frozen(model), torch.enable_grad():
        loss = Goal(labels.to(model.device)).loss(model(x)).sum()
        if not loss.requires_grad:
            return len(images)
        gradient: Tensor = torch.autograd.grad(loss, x)[0]
    return int((gradient == 0).flatten(1).all(1).sum())


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
