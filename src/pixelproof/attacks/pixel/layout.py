"""How images are laid out in memory for somebody else's network."""

from __future__ import annotations

import torch

from pixelproof.models import Classifier
from pixelproof.types import Images, Logits


class Laid:
    """A model that is given channels-last batches, which are faster, for as long as it accepts them.

    A network that flattens with `view` needs contiguous images and raises otherwise; from then on it gets those.
    """

    def __init__(self, model: Classifier) -> None:
        self.model = model
        self.last = True

    def __call__(self, images: Images) -> Logits:
        """The model's logits."""
        if self.last:
            try:
                logits: Logits = self.model(images.contiguous(memory_format=torch.channels_last))
            except RuntimeError:
                self.last = False
            else:
                return logits
        # `clone`, since one grey channel counts as contiguous in either layout and would keep its strides
        answer: Logits = self.model(images.clone(memory_format=torch.contiguous_format))
        return answer
