"""What a few passes over clean images tell: flags 1, 2, 3, 11, 13, 15 and 19."""

from __future__ import annotations

import torch

from pixelproof import lp
from pixelproof.attacks.stochastic import ATTACK_DRAWS, JUDGE_DRAWS, PASSES, unsteady
from pixelproof.draws import Draws
from pixelproof.measure import flags
from pixelproof.measure.evaluate import FLAG_IMAGES
from pixelproof.measure.redflags.subject import AuditSubject
from pixelproof.results.audit import Finding

RADIUS = 8 / 255  # of which half is drawn to either side, as in the indicators of attack failure
ROUGH = 0.5  # mean relative change of the margin from which the surface is called noisy
SURFACE_IMAGES = 50
ALONE = 1e-3  # logits of an image alone and in company, in lengths of the longest, that lie further apart
MULTICLASS = 4  # classes that a targeted DLR loss needs; an untargeted one needs one fewer


def non_determinism(subject: AuditSubject) -> Finding:
    """1: passes over the same images that differ."""
    data = subject.field.data[:FLAG_IMAGES]
    found = unsteady(subject.model, data.images)
    if not found.any():
        return Finding(False, 0.0, f"{PASSES} passes over {len(data)} images agree")
    detail = (
        f"{PASSES} passes differ on {int(found.sum())} of {len(data)} images: attacked through the mean of "
        f"{ATTACK_DRAWS} draws, judged by {JUDGE_DRAWS} draws per image"
    )
    return Finding(True, float(found.double().mean()), detail, "the model is random", data.index[found])


def softmax_given(subject: AuditSubject) -> Finding:
    """2: outputs that are probabilities."""
    outputs = subject.model.predict(subject.field.data[:FLAG_IMAGES].images)
    if not flags.are_probabilities(outputs):
        return Finding(False, None, f"outputs are logits: from {outputs.min():.3g} to {outputs.max():.3g}")
    why = "the outputs are probabilities, whose gradient vanishes where the softmax saturates"
    return Finding(True, 1.0, f"{why}: give the audit the network without its softmax", why)


def zero_gradient(subject: AuditSubject) -> Finding:
    """3: images without a gradient; the margin's decides, for the cross-entropy's may only have underflowed."""
    data = subject.probes.data
    none = torch.zeros(len(data), dtype=torch.bool)
    mute, still, broken = none.clone(), none.clone(), none.clone()
    for start in range(0, len(data), FLAG_IMAGES):
        rows = slice(start, start + FLAG_IMAGES)
        mute[rows] = flags.silent(subject.field.model, data.images[rows], data.labels[rows])
        still[rows] = flags.silent(subject.field.model, data.images[rows], data.labels[rows], "margin")
        gradient = flags.slope(subject.field.model, data.images[rows], data.labels[rows], "margin")
        broken[rows] = False if gradient is None else ~gradient.isfinite().flatten(1).all(1)
    share = float(still.double().mean())
    if still.any():
        said = f"the margin has no gradient at {int(still.sum())} of {len(data)} images"
        return Finding(True, share, f"{said}, the cross-entropy at {int(mute.sum())}", said, data.index[still])
    detail = f"the margin has a gradient at all {len(data)} images"
    if broken.any():
        detail += f"; entries are infinite or NaN at {int(broken.sum())} and count as 0"
    if mute.any():
        detail += f"; the cross-entropy underflows at {int(mute.sum())}, where margin and DLR losses go on"
    return Finding(False, share, detail)


def noisy_surface(subject: AuditSubject) -> Finding:
    """11: a margin that jumps under noise far too small to matter."""
    if subject.random:
        return Finding.not_run("every pass of a random model differs, noise or not")
    data, goal = subject.field.data[:SURFACE_IMAGES], subject.field.goal[:SURFACE_IMAGES]
    draws, clean = Draws.keyed(subject.seed, data.index), data.images
    reference = goal.margin(subject.field.model.predict(clean))
    change = torch.zeros(len(data))
    for _ in range(subject.effort.draws):
        noise = (draws.uniform(*data.shape) - 0.5) * RADIUS
        margin = goal.margin(subject.field.model.predict((clean + noise).clamp(0, 1)))
        change += (margin - reference).abs() / reference.abs().clamp_min(lp.TINY) / subject.effort.draws
    value = float(change.clamp_max(1).mean())
    detail = f"under noise of ±{RADIUS / 2:.3f} the margin changes by {100 * value:.1f} % (mean of {len(data)} images)"
    return Finding(value > ROUGH, value, detail, "the loss surface is noisy", data.index[change > ROUGH])


def optimises(subject: AuditSubject) -> Finding:
    """13: a forward pass that optimises."""
    if flags.optimises(subject.model, subject.field.data[:2].images):
        why = "the forward pass computes gradients itself"
        return Finding(True, 1.0, f"{why}: the whole process has to be attacked end to end", why)
    return Finding(False, 0.0, "a forward pass calls neither grad nor backward")


def weak_dlr(subject: AuditSubject) -> Finding:
    """15: too few classes for the DLR loss."""
    count = subject.classes
    if count >= MULTICLASS:
        return Finding(False, float(count), f"{count} classes: DLR and targeted DLR are defined")
    kind = "DLR is" if count < MULTICLASS - 1 else "targeted DLR is"
    detail = f"{count} classes: {kind} not defined, and the ensemble uses the margin in its place"
    return Finding(True, float(count), detail, f"{kind} not defined for {count} classes")


def company(subject: AuditSubject) -> Finding:
    """19: an image's answer that changes with the other images of its batch."""
    if subject.random:
        return Finding.not_run("every pass of a random model differs")
    data = subject.field.data[:FLAG_IMAGES]
    together, alone = subject.model.predict(data.images), subject.model.predict(data.images, batch=1)
    scale = torch.maximum(together.norm(dim=1), alone.norm(dim=1)).clamp_min(lp.TINY)
    moved = (together.argmax(1) != alone.argmax(1)) | ((together - alone).norm(dim=1) / scale > ALONE)
    detail = f"alone, {int(moved.sum())} of {len(data)} images get another answer than in company"
    reason = "answers depend on the other images of the batch"
    return Finding(bool(moved.any()), float(moved.double().mean()), detail, reason, data.index[moved])
