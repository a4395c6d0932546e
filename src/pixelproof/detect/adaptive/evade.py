"""Attacks that know the repair detector: a pixel that stays wrong when it is repaired, or a second one as a decoy."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, islice

import torch
from torch import Tensor

from pixelproof.attacks.pixel import Scene
from pixelproof.attacks.pixel.found import changed
from pixelproof.attacks.pixel.margins import colour_grid, margins
from pixelproof.detect.detectors.repair import RepairGuard, neighbour_medians
from pixelproof.errors import BadInput
from pixelproof.models import Classifier, frozen
from pixelproof.types import Images, Labels, Mask

PLACES = 24  # strongest vulnerable pixels among which decoys are paired


@dataclass(frozen=True, eq=False)
class RepairEvasion:
    """Per image the best attempt: `fooled` (the classifier is wrong) and `unseen` (it is, and the guard is silent)."""

    images: Images
    fooled: Mask
    unseen: Mask


def evade(
    guard: RepairGuard, model: Classifier, images: Images, labels: Labels, *, pixels: int = 1, tries: int = 12
) -> RepairEvasion:
    """One-pixel attacks (or, with `pixels=2`, pairs) chosen so that no single repair gives the label back.

    One pixel: a repair puts the neighbours' median in its place whatever its colour was, so only pixels at which that
    median alone already fools the model can stay unseen and, where the guard repairs outlying pixels only, colours that
    stick out no more than the pixels it repairs in the clean image; those come first, by margin. Two: each must fool
    the model alone into the same class, so that repairing either leaves the other. The first of `tries` candidates
    that the guard does not notice is kept, else the strongest.
    """
    if pixels not in (1, 2):
        raise BadInput("evade", "pixels must be 1 or 2", pixels)
    corners = colour_grid(images.shape[1], 2)
    best, fooled, unseen = images.clone(), [], []
    for row, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        with frozen(model):
            scene = guard.engine.focus(image.to(model.device))
            if pixels == 1:
                candidates = _single(scene, image, label, corners, guard.most)
            else:
                candidates = _pairs(scene, image, label, corners)
        found = torch.stack(candidates[:tries]) if candidates else image[None]
        wrong = (model.predict(found).argmax(1) != label).nonzero()[:, 0].tolist()
        silent = next((k for k in wrong if not bool(guard(model, found[[k]]).alarm[0])), None)
        best[row] = found[silent if silent is not None else wrong[0] if wrong else 0]
        fooled.append(bool(wrong))
        unseen.append(silent is not None)
    return RepairEvasion(best, torch.tensor(fooled), torch.tensor(unseen))


def _swept(scene: Scene, image: Tensor, label: int, corners: Tensor) -> tuple[Tensor, Tensor]:
    """For every position and corner colour: the class predicted and how far the label is behind (negative)."""
    everywhere = torch.arange(image.shape[1] * image.shape[2])
    logits = scene.logits(everywhere, corners.expand(len(everywhere), -1, -1)).cpu()
    return logits.argmax(-1), margins(logits, label, False)


def _single(scene: Scene, image: Tensor, label: int, corners: Tensor, most: int | None) -> list[Tensor]:
    """Vulnerable pixels and colours, first those whose own repair leaves the same wrong class or is not tried."""
    predicted, margin = _swept(scene, image, label, corners)
    medians = neighbour_medians(image)
    everywhere = torch.arange(len(medians))
    after = scene.logits(everywhere, medians[:, None].to(scene.clean))[:, 0].cpu().argmax(-1)
    stays = (predicted == after[:, None]) & (predicted != label)
    if most is not None and most < len(medians):
        least = (image.flatten(1).t() - medians).abs().amax(1).topk(most).values[-1]
        hidden = (corners[None] - medians[:, None]).abs().amax(2) <= least
        stays |= hidden & (predicted != label)
    order = (margin - 1e6 * stays).flatten().argsort()
    fooling = order[margin.flatten()[order] < 0][:64].tolist()
    return [changed(image, place // len(corners), corners[place % len(corners)]) for place in fooling]


def _pairs(scene: Scene, image: Tensor, label: int, corners: Tensor) -> list[Tensor]:
    """Pairs of strong pixels that fool the model into the same class each on its own."""
    predicted, margin = _swept(scene, image, label, corners)
    strongest, colour = margin.min(1)
    places = [place for place in strongest.argsort()[:PLACES].tolist() if strongest[place] < 0]
    classes = {place: int(predicted[place, colour[place]]) for place in places}
    found = []
    for first, second in islice(combinations(places, 2), 64):
        if classes[first] == classes[second]:
            one = changed(image, first, corners[colour[first]])
            found.append(changed(one, second, corners[colour[second]]))
    return found
