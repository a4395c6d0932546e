"""The running mean of weights during a training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from pixelproof.models.classifier import Classifier

WARM = 10  # the mean forgets faster at first: decay (1 + t) / (10 + t), as is usual


class Average:
    """An exponential moving average of a classifier's weights (Polyak & Juditsky 1992; Izmailov et al. 2018)."""

    def __init__(self, classifier: Classifier, decay: float) -> None:
        self.classifier, self.decay, self.steps = classifier, decay, 0
        self.live = [tensor for tensor in classifier.state_dict().values() if tensor.is_floating_point()]
        self.mean = [tensor.clone() for tensor in self.live]

    def update(self) -> None:
        """Take the weights as they are now into the mean."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (WARM + self.steps))
        torch._foreach_lerp_(self.mean, self.live, 1 - decay)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """The classifier has the mean weights inside, and its own again afterwards."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        with torch.no_grad():
            for live, mean in zip(self.live, self.mean, strict=True):
                kept: Tensor = live.clone()
                live.copy_(mean)
                mean.copy_(kept)
