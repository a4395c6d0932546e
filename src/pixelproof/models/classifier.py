"""Classifier: a network with its normalisation inside, and a card that says where it came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from pixelproof.errors import BadInput, UnknownName
from pixelproof.types import Images, Logits, check_images

PROBE_IMAGES = 8


@dataclass(frozen=True)
class Card:
    """Where a classifier comes from: network, training data, seed, accuracy on held-out images, and its defences.

    `defences` are the specs of all it went through, `preprocessors` of what stands before the network (outermost
    first), `parent` the digest of the classifier it was made from, `cost` the CPU seconds that all its defences took.
    """

    name: str
    classes: tuple[str, ...]
    input_shape: tuple[int, int, int]
    data: str = ""
    seed: int | None = None
    accuracy: float | None = None
    defences: tuple[str, ...] = ()
    stochastic: bool = False
    preprocessors: tuple[str, ...] = ()
    parent: str = ""
    cost: float | None = None


class Classifier(nn.Module):
    """Images in [0, 1] to logits; mean and standard deviation are subtracted and divided here and nowhere else."""

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, card: Card, *, mean: Sequence[float] = (), std: Sequence[float] = ()) -> None:
        super().__init__()
        self.net = net
        self.card = card
        self.set_normalisation(mean, std)

    def set_normalisation(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Subtract `mean` and divide by `std` from now on, one value per channel each; empty: 0 and 1.

        Raises BadInput for another number of values, and for a `std` that is not positive.
        """
        channels = self.card.input_shape[0]
        for name, values in (("mean", mean), ("std", std)):
            if values and len(values) != channels:
                raise BadInput(self.card.name, f"{name} needs one value per channel ({channels})", len(values))
        if any(value <= 0 for value in std):
            raise BadInput(self.card.name, "std must be positive", tuple(std))
        self.normalised = bool(mean) or bool(std)
        self.register_buffer("mean", torch.tensor(tuple(mean) or (0.0,) * channels).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(tuple(std) or (1.0,) * channels).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Images) -> Logits:
        """One row of logits per image; raises BadInput when an image has another shape than the card says."""
        if images.shape[1:] != self.card.input_shape:
            raise BadInput(
                self.card.name,
                f"images must have shape {self.card.input_shape}",
                tuple(images.shape[1:]),
                "Load the data set this model was trained on, or resize the images.",
            )
        logits: Tensor = self.net(self.normalise(images))
        return logits

    def normalise(self, images: Images) -> Images:
        """The images as the network wants them: mean subtracted, divided by the standard deviation."""
        return (images - self.mean) / self.std if self.normalised else images

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

        A module that is called more than once gives its last output. Hooks are gone afterwards, also after an error.
        """
        modules = dict(self.net.named_modules())
        for layer in layers:
            if layer not in modules or not layer:
                raise UnknownName(self.card.name, "layer", layer, [name for name in modules if name])
        found: dict[str, Tensor] = {}

        def keep(layer: str) -> Any:
            def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
                found[layer] = output.clone().flatten(1)  # a clone, for an in-place activation may follow

            return hook

        handles = [modules[layer].register_forward_hook(keep(layer)) for layer in layers]
        try:
            self(images)
        finally:
            for handle in handles:
                handle.remove()
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
        """Sixteen hex digits that change when any weight, buffer or the normalisation does."""
        hashed = hashlib.sha256()
        tensors = {**self.state_dict(), "mean": self.mean, "std": self.std}
        for name, tensor in sorted(tensors.items()):
            hashed.update(name.encode())
            hashed.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return hashed.hexdigest()[:16]

    def carrying(self, **changes: Any) -> Classifier:
        """This classifier with some fields of its card replaced (the network is shared)."""
        self.card = replace(self.card, **changes)
        return self


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside, every submodule's own mode restored afterwards, also after an error."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Evaluation mode and no parameter gradients inside; both restored afterwards. `param.grad` is never touched."""
    wanted = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    with evaluating(module):
        for parameter, _ in wanted:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter, needs in wanted:
                parameter.requires_grad_(needs)


class LogProbabilities(nn.Module):
    """Turns a network that ends in a softmax into one that gives logits: their logarithm, floored at 1e-12.

    Attacks and attributions need logits. The logarithm of a float32 softmax has lost what saturated, so removing the
    softmax from the network itself is always the better way.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Images) -> Logits:
        """The logarithm of the wrapped network's probabilities."""
        probabilities: Tensor = self.net(images)
        return probabilities.clamp_min(1e-12).log()


def wrap(
    module: nn.Module,
    *,
    classes: int | Sequence[str],
    input_shape: tuple[int, int, int],
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
) -> Classifier:
    """Your own network as a Classifier: images in [0, 1] go in, `mean` and `std` are applied inside.

    Raises BadInput when the output has the wrong shape, is not finite, or looks like probabilities instead of logits.
    """
    names = tuple(str(k) for k in range(classes)) if isinstance(classes, int) else tuple(classes)
    name = type(module).__name__.lower()
    card = Card(name=name, classes=names, input_shape=tuple(input_shape))  # type: ignore[arg-type]
    classifier = Classifier(module, card, mean=mean, std=std)
    probe(classifier)
    return classifier


def probe(classifier: Classifier) -> None:
    """Run a few random images and refuse a network whose output cannot be logits for the classes of its card."""
    card = classifier.card
    images = torch.rand((PROBE_IMAGES, *card.input_shape), generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad(), evaluating(classifier):
            logits = classifier.net(classifier.normalise(images.to(classifier.device)))
    except (RuntimeError, TypeError, ValueError) as reason:
        raise BadInput(
            card.name, f"must accept images of shape {card.input_shape}", reason, "Check input_shape."
        ) from reason
    if not isinstance(logits, Tensor) or logits.shape != (PROBE_IMAGES, len(card.classes)):
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise BadInput(card.name, f"must return ({PROBE_IMAGES}, {len(card.classes)}) logits", got, "Check classes.")
    if not torch.isfinite(logits).all():
        raise BadInput(card.name, "must return finite logits", "NaN or infinity", "Check the weights.")
    with torch.no_grad(), evaluating(classifier):
        extreme = classifier(100 * images.to(classifier.device) - 50)
    if logits.std() > 0 and all(value.min() >= 0 and value.max() <= 1 for value in (logits, extreme)):
        raise BadInput(
            card.name,
            "must return logits",
            "what looks like probabilities (every value in [0, 1], whatever the input)",
            "Remove the last softmax or sigmoid, or wrap the network in models.LogProbabilities first.",
        )
