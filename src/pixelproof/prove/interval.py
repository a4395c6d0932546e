"""Interval bounds: what every layer can put out when each pixel may move by eps, and the accuracy that this proves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pixelproof.data import Dataset
from pixelproof.errors import BadInput
from pixelproof.models import Classifier, duplicate, evaluating
from pixelproof.models.preprocessors.features import Chosen
from pixelproof.models.preprocessors.preprocessor import Preprocessed
from pixelproof.models.preprocessors.squeezing import Filter, Rounding
from pixelproof.types import Images, Labels, Rate

SLACK = 1e-5  # relative; float64 sums lose far less, the network's own float32 logits may lose about this much
AGREE = 1e-3  # relative; by how much bounds at eps 0 may differ from the network's own logits
STEP = 1e-6  # by how much a box is widened before a rounding, where a hair's breadth moves a value by a whole level
POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
MONOTONE = (*POOLS, nn.ReLU, nn.Flatten, nn.Identity, nn.Dropout, Filter, Chosen)
KNOWN = (
    "Linear, Conv2d, BatchNorm2d, ReLU, MaxPool2d, AvgPool2d, AdaptiveAvgPool2d, Flatten, Dropout, Sequential, and the "
    "preprocessors bits, median and features"
)


@dataclass(frozen=True, eq=False)
class Box:
    """Lower and upper end of every value."""

    low: Tensor
    high: Tensor

    def affine(self, centre: Tensor, radius: Tensor) -> Box:
        """The box of an affine map's values at the middle and of its absolute map's at the half width."""
        return Box(centre - radius, centre + radius)

    @property
    def middle(self) -> Tensor:
        """(low + high) / 2."""
        return (self.low + self.high) / 2

    @property
    def half(self) -> Tensor:
        """(high - low) / 2."""
        return (self.high - self.low) / 2


def layers(model: Classifier) -> list[nn.Module]:
    """What images go through, in order: preprocessors, layers of nested sequences, and classifiers, which stand for
    their normalisation alone. BadInput names the first that has no interval bounds here.
    """
    found = list(_unrolled(model))
    pixels = True  # whether values are still the image's own, which STEP is meant for
    for layer in found:
        if type(layer) is Rounding and not pixels:
            do = "Round before anything else is done to the image."
            raise BadInput("interval bounds", "a rounding must read the image's own values", "computed ones", do)
        same = type(layer) in (Rounding, Filter, Chosen) or (type(layer) is Classifier and not layer.normalised)
        pixels = pixels and same
        # a subclass may compute anything
        if type(layer) not in (Classifier, Rounding, nn.Linear, nn.Conv2d, nn.BatchNorm2d, *MONOTONE):
            raise BadInput("interval bounds", f"know {KNOWN}", type(layer).__name__, "Use another network or defence.")
        if isinstance(layer, nn.Conv2d) and layer.padding_mode != "zeros":
            raise BadInput("interval bounds", "know padding with zeros", layer.padding_mode)
    if not isinstance(found[-1], nn.Linear):
        raise BadInput("interval bounds", "the last layer must be Linear", type(found[-1]).__name__)
    return found


def has_bounds(model: Classifier) -> bool:
    """Whether interval bounds can go through everything in `model`, what stands before the network included."""
    try:
        layers(model)
    except BadInput:
        return False
    return True


def _unrolled(module: nn.Module) -> Iterator[nn.Module]:
    if type(module) is nn.Sequential:
        for part in module:
            yield from _unrolled(part)
    elif type(module) is Classifier:
        yield module
        yield from _unrolled(module.net)
    elif type(module) is Preprocessed:
        yield module.preprocessor
        yield from _unrolled(module.inner)
    else:
        yield module


def rivals(chain: list[nn.Module], images: Images, labels: Labels, eps: float) -> Float[Tensor, "n k"]:
    """Upper bounds of logit k minus the label's logit over the linf ball and [0, 1]; 0 at the label.

    Gowal et al. 2018 (arXiv 1810.12715), the last layer merged into the difference. Dropout counts as the identity.
    """
    box = Box((images - eps).clamp(0, 1), (images + eps).clamp(0, 1))
    for layer in chain[:-1]:
        box = _through(layer, box)
    last = chain[-1]
    assert isinstance(last, nn.Linear)
    gaps = last.weight[None] - last.weight[:, None]
    offset = gaps.new_zeros(1) if last.bias is None else (last.bias[None] - last.bias[:, None])[labels]
    at, reach = gaps[labels], gaps.abs()[labels]
    return (at @ box.middle[:, :, None] + reach @ box.half[:, :, None])[:, :, 0] + offset


def _through(layer: nn.Module, box: Box) -> Box:
    if isinstance(layer, nn.Linear):
        return box.affine(layer(box.middle), F.linear(box.half, layer.weight.abs()))
    if isinstance(layer, nn.Conv2d):
        return box.affine(layer(box.middle), layer._conv_forward(box.half, layer.weight.abs(), None))
    if isinstance(layer, nn.BatchNorm2d):
        assert layer.running_var is not None
        scale = torch.rsqrt(layer.running_var + layer.eps)
        scale = scale if layer.weight is None else scale * layer.weight
        middle = F.batch_norm(
            box.middle, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=layer.eps
        )
        return box.affine(middle, box.half * scale.abs().view(1, -1, 1, 1))
    if isinstance(layer, nn.Dropout):
        return box
    if isinstance(layer, Classifier):
        return Box(layer.normalise(box.low), layer.normalise(box.high))
    if isinstance(layer, Rounding):
        spare = STEP * (box.high > box.low)
        return Box(layer(box.low - spare), layer(box.high + spare))
    return Box(layer(box.low), layer(box.high))


def certified(model: Classifier, data: Dataset, eps: float, *, batch: int = 200) -> Rate:
    """The share of `data` proven to keep its right class at every image within linf `eps`: a lower bound, no attack
    can undercut it. Bounds are computed in float64 and must hold with a margin of 1e-5 of the logits; that covers the
    rounding of common networks in float32, but is no proof about rounding itself.

    Raises BadInput for a layer without bounds, for forward hooks, and where the bounds at eps 0 are not the
    network's own logits.
    """
    for name, module in model.named_modules():
        if module._forward_hooks or module._forward_pre_hooks:
            raise BadInput("interval bounds", "cannot see through hooks", f"one on '{name}'", "Remove it first.")
    return proven(model, data, eps, batch=batch)


def proven(model: Classifier, data: Dataset, eps: float, *, batch: int = 200) -> Rate:
    """As `certified`, for a network in training, whose own hooks (dropout) do nothing in evaluation mode."""
    layers(model)  # before the copy, so that what is refused is named
    exact = duplicate(model).double()
    chain = layers(exact)
    held = 0
    with torch.no_grad(), evaluating(model), evaluating(exact):
        for part in data.batches(batch):
            images, labels = part.images.to(model.device), part.labels.to(model.device)
            logits = model(images).double()
            size = logits.abs().amax(1)
            _check_same(rivals(chain, images.double(), labels, 0.0), logits, labels)
            bounds = rivals(chain, images.double(), labels, eps)
            others = bounds.scatter(1, labels[:, None], -torch.inf)
            held += int((others.amax(1) < -SLACK * (1 + size)).sum())
    return Rate(held, len(data))


def _check_same(gaps: Tensor, logits: Tensor, labels: Tensor) -> None:
    """Refuse bounds that are of another function than the network: at eps 0 they are its logit differences."""
    off = (gaps - (logits - logits.gather(1, labels[:, None]))).abs().amax(1)
    if not (off <= AGREE * (1 + logits.abs().amax(1))).all():
        do = "Check its layers, and that no pixel lies at a step between two levels of a rounding."
        got = f"a difference of {float(off.max()):.2g}"
        raise BadInput("interval bounds", "at eps 0 they must be the network's own logits", got, do)
