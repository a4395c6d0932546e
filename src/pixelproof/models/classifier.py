"""Classifier: a network with its normalisation inside, and a card that says where it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from pixelproof.errors import BadInput, UnknownName
from pixelproof.models.card import Card
from pixelproof.models.hooks import hooked
from pixelproof.models.identity import digest, recognised
from pixelproof.models.modes import evaluating
from pixelproof.types import Images, Logits, check_images

PerChannel: TypeAlias = Sequence[float] | float  # a single number is refused with a sentence

LARGEST_STD = 2.0  # no deviation of values in [0, 1] is larger than 0.5, one for 0..255 is hardly smaller than 30


class Classifier(nn.Module):
    """Images in [0, 1] to logits; mean and standard deviation are subtracted and divided here and nowhere else."""

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, card: Card, *, mean: PerChannel = (), std: PerChannel = ()) -> None:
        super().__init__()
        self.net = net
        self.card = card
        self.training = net.training
        self.named = True  # False: its classes were only counted
        self.channels_last = any(_channels_last(parameter) for parameter in net.parameters())
        self.set_normalisation(mean, std)

    def set_normalisation(self, mean: PerChannel, std: PerChannel) -> None:
        """Subtract `mean` and divide by `std` from now on, one value per channel each; empty: 0 and 1.

        Raises BadInput for another number of values, for values on the scale 0..255, and for a `std` that is not
        positive.
        """
        mean, std = self._per_channel("mean", mean), self._per_channel("std", std)
        if any(value > 1 for value in mean) or any(value > LARGEST_STD for value in std):
            got = f"mean {mean}, std {std}"
            do = "Those are for 0..255: divide both by 255 (a network that wants 0..255 has mean 0 and std 1/255)."
            raise BadInput(self.card.name, "mean and std must be those of images in [0, 1]", got, do)
        if any(value <= 0 for value in std):
            raise BadInput(self.card.name, "std must be positive", std)
        self.normalised = bool(mean) or bool(std)
        for name, values, none in (("mean", mean, 0.0), ("std", std, 1.0)):
            scale = torch.tensor(values or (none,) * self.card.input_shape[0]).view(1, -1, 1, 1)
            self.register_buffer(name, scale, persistent=False)

    def _per_channel(self, name: str, values: PerChannel) -> tuple[float, ...]:
        channels = self.card.input_shape[0]
        if isinstance(values, float | int):
            do = f"Write {name}=({', '.join([str(values)] * channels)},)."
            raise BadInput(self.card.name, f"{name} needs one value per channel ({channels})", values, do)
        if values and len(values) != channels:
            raise BadInput(self.card.name, f"{name} needs one value per channel ({channels})", len(values))
        return tuple(values)

    def forward(self, images: Images) -> Logits:
        """One row of logits per image, float32 whatever the network computes in (float64 for images in float64).

        The network gets a tensor of its own, contiguous unless its weights are laid out with channels last, so that
        nothing it does in place reaches the caller's images. Raises BadInput when an image has another shape than the
        card says, and when the output is no tensor and holds none that could be logits.
        """
        if images.shape[1:] != self.card.input_shape:
            raise BadInput(
                self.card.name,
                f"images must have shape {self.card.input_shape}",
                tuple(images.shape[1:]),
                "Load the data set this model was trained on, or resize the images.",
            )
        logits = logits_of(self.net(self.own(images)))
        if logits is None:
            raise BadInput(self.card.name, "must return logits", "no tensor", "Return one row of logits per image.")
        wanted = torch.promote_types(images.dtype, torch.float32)
        return logits if logits.dtype == wanted else logits.to(wanted)

    def normalise(self, images: Images) -> Images:
        """The images as the network wants them: mean subtracted, divided by the standard deviation."""
        return (images - self.mean) / self.std if self.normalised else images

    def own(self, images: Images) -> Images:
        """The normalised images in memory that nobody else has, laid out as the network may expect."""
        normalised = self.normalise(images)
        if self.channels_last:
            return normalised if self.normalised else normalised.clone()
        if self.normalised:
            return normalised if normalised.is_contiguous() else normalised.contiguous()
        return normalised.clone(memory_format=torch.contiguous_format)

    @property
    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation, one value per channel each; two empty tuples where there is none."""
        if not self.normalised:
            return (), ()
        return tuple(self.mean.flatten().tolist()), tuple(self.std.flatten().tolist())

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return self.mean.device

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the convolutional and dense layers, in the order they were registered."""
        kinds = (nn.Conv1d, nn.Conv2d, nn.Linear)
        return tuple(name for name, module in self.net.named_modules() if isinstance(module, kinds))

    def taps(self, images: Images, layers: Sequence[str]) -> dict[str, Tensor]:
        """What the named layers put out for `images`, each flattened to (n, d); any named module can be tapped.

        A module that is called more than once gives its last output, one that puts out several tensors (attention,
        recurrent layers) the first of them. Values are float32. Hooks are gone afterwards, also after an error.

        Raises UnknownName for a module that is not there, BadInput for one that does not run or puts out no row per
        image.
        """
        modules = dict(self.net.named_modules())
        for layer in layers:
            if layer not in modules or not layer:
                raise UnknownName(self.card.name, "layer", layer, [name for name in modules if name])
        found: dict[str, Tensor] = {}

        def keep(layer: str) -> Any:
            def hook(_module: nn.Module, _inputs: object, output: object) -> None:
                first = logits_of(output)
                if first is None or first.ndim < 2 or len(first) != len(images):
                    got = type(output).__name__ if first is None else f"shape {tuple(first.shape)}"
                    expected = f"layer '{layer}' must put out one row per image ({len(images)})"
                    raise BadInput(self.card.name, expected, got, "Tap another layer.")
                # a clone, for an in-place activation may follow
                found[layer] = first.clone().flatten(1).to(torch.promote_types(images.dtype, torch.float32))

            return hook

        with ExitStack() as stack:
            for layer in layers:
                stack.enter_context(hooked(modules[layer], keep(layer)))
            self(images)
        silent = [layer for layer in layers if layer not in found]
        if silent:
            raise BadInput(self.card.name, "tapped layers must run in a forward pass", ", ".join(silent))
        return {layer: found[layer] for layer in layers}

    def predict(self, images: Images, batch: int = 64) -> Logits:
        """Logits of any number of images, in evaluation mode, without gradients, on the CPU."""
        check_images(self.card.name, images)
        with torch.no_grad(), evaluating(self):
            parts = [
                self(images[start : start + batch].to(self.device)).float().cpu()
                for start in range(0, len(images), batch)
            ]
        logits = torch.cat(parts)
        if not torch.isfinite(logits).all():
            raise BadInput(self.card.name, "must return finite logits", "NaN or infinity", "Check weights and images.")
        return logits

    def digest(self) -> str:
        """Changes with anything that decides an answer: see `identity.digest`."""
        return digest(self)

    def recognises(self, recorded: str) -> bool:
        """Whether a digest that was written down is this classifier's, also by the rule of earlier builds."""
        return recognised(self, recorded)

    def carrying(self, **changes: Any) -> Classifier:
        """This classifier with some fields of its card replaced (the network is shared)."""
        self.card = replace(self.card, **changes)
        return self


def logits_of(output: object) -> Tensor | None:
    """The tensor that an output is, or holds as `logits`, as its only value or as its first; None without any."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        found = output.get("logits", next(iter(output.values())) if len(output) == 1 else None)
    elif isinstance(output, tuple | list):
        found = getattr(output, "logits", output[0] if output else None)
    else:
        found = getattr(output, "logits", None)
    return found if isinstance(found, Tensor) else None


def _channels_last(parameter: Tensor) -> bool:
    """Whether a weight is laid out with channels last, and not at the same time in the usual way."""
    if parameter.ndim != 4 or not isinstance(parameter, nn.Parameter):
        return False
    return not parameter.is_contiguous() and parameter.is_contiguous(memory_format=torch.channels_last)
