"""follow: one attack on one image, told pass by pass, so that somebody can watch it and stop it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pixelproof.attacks.attack import Attack
from pixelproof.attacks.mount import verify
from pixelproof.attacks.watch import Watched
from pixelproof.draws import Draws
from pixelproof.models import Classifier, frozen
from pixelproof.models.hooks import hooked
from pixelproof.types import Goal, Images, Logits

Listener = Callable[[Images, Logits], None]


def follow(
    attack: Attack, model: Classifier, image: Images, goal: Goal, *, seed: int = 0, listener: Listener
) -> Images:
    """The image (1, c, h, w) that the attack returns, inside its range and budget; unlike `mount` any image will do.

    `listener` is given the images and logits of every forward pass (an attack may ask about several at once). What it
    raises ends the attack and comes out here. Raises BrokenPromise as `mount` does.
    """

    def tell(_module: object, inputs: tuple[Any, ...], output: Tensor) -> None:
        if type(output) is Tensor:  # not a pass that only records the graph, as pixel attacks do first
            listener(inputs[0].detach(), output.detach().float())

    with hooked(model, tell), frozen(model):
        watched = Watched(model, goal)
        found = attack(watched, image, goal, Draws.keyed(seed, torch.tensor([0]))).detach()
    verify(attack.name, image, found, attack.norm, attack.eps)
    return found
