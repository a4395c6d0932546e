"""The stages that look inside the network: the penultimate layer, drift per layer, and two-dimensional maps."""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor

from pixelproof.errors import BadInput, UnknownName
from pixelproof.explain import PROJECTIONS, drift, penultimate_layer, separability, shift
from pixelproof.models import evaluating
from pixelproof.results import InsideRecord, ProjectionRecord, catalogue
from pixelproof.study.context import Context
from pixelproof.study.signatures import NOISE, twins
from pixelproof.study.spec import SignatureSection
from pixelproof.types import Images

LEAST = 20  # images of which half must suffice to fit a line
BATCH = 250


def inside(context: Context, section: SignatureSection) -> None:
    """The penultimate layer under every attack and under noise, on the images that the attack fools."""
    names = (*section.attacks, NOISE)
    for number, spec in enumerate(names):
        if catalogue.INSIDE.has(context.run, attack=spec):
            continue
        found = twins(context, spec)
        chosen = found.success if spec != NOISE else torch.ones_like(found.success)
        if not chosen.any():
            raise BadInput("inside", f"needs images that {spec} fools", 0, "Raise eps in the study's [signatures].")
        clean, attacked = found.clean[chosen], found.images[chosen]
        layer = penultimate_layer(context.model)
        held = torch.arange(len(clean)) % 2 == 1
        auc, judged = None, 0
        if len(clean) >= LEAST:
            auc, judged = separability(context.model, clean, attacked, layer=layer, held_out=held)
        record = InsideRecord(
            attack=spec,
            layer=layer,
            shift=shift(context.model, clean, attacked, found.labels[chosen], layer=layer),
            drift=tuple(drift(context.model, clean, attacked, layers=context.model.layers)),
            separability=auc,
            separability_n=judged,
        )
        catalogue.INSIDE.save(context.run, record, attack=spec)
        context.tell("inside", number + 1, len(names))


def project(context: Context, section: SignatureSection) -> None:
    """Where clean and attacked images lie among each other: in pixels, and in the penultimate or the given layers."""
    method = section.projection
    if method == "auto":
        method = "umap" if importlib.util.find_spec("umap") else "pca"
    sets = {spec: twins(context, spec) for spec in section.attacks}
    first = next(iter(sets.values()))
    unknown = [name for name in section.layers if name not in context.model.layers]
    if unknown:
        raise UnknownName("projection", "layer", unknown[0], context.model.layers)
    spaces = ("images", *(section.layers or (penultimate_layer(context.model),)))
    for number, space in enumerate(spaces):
        if catalogue.PROJECTIONS.has(context.run, space=space):
            continue
        place = PROJECTIONS[method]().fit(_rows(context, first.clean, space))
        record = ProjectionRecord(
            method=method,
            space=space,
            labels=first.labels,
            clean=place(_rows(context, first.clean, space)),
            attacked={spec: place(_rows(context, found.images, space)) for spec, found in sets.items()},
            fooled={spec: found.success for spec, found in sets.items()},
        )
        catalogue.PROJECTIONS.save(context.run, record, space=space)
        context.tell("projection", number + 1, len(spaces), method)


def _rows(context: Context, images: Images, space: str) -> Tensor:
    """Images as rows of pixels, or of the activations of a layer."""
    if space == "images":
        return images.flatten(1)
    with torch.no_grad(), evaluating(context.model):
        parts = [
            context.model.taps(part.to(context.model.device), (space,))[space].cpu()
            for part in torch.split(images, BATCH)
        ]
    return torch.cat(parts)
