"""The active test: adversarial images are planted, and the evaluation must find them (Zimmermann et al. 2022)."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pixelproof import lp
from pixelproof.attacks import UniformNoise
from pixelproof.data import Dataset
from pixelproof.draws import Draws, subseed
from pixelproof.measure.redflags.subject import AuditSubject
from pixelproof.models import Classifier, evaluating, frozen
from pixelproof.models.hooks import hooked
from pixelproof.results.audit import Finding
from pixelproof.types import Goal, Images, Logits

FOUND = 0.95  # share of the planted images that an evaluation must find
CLOSE = 0.9  # where the boundary lies between the innermost points (0) and the planted image (1)
INNER = 0.95  # radius of the inner points, as a share of the budget
RIDGE = 1e-3


def planted(subject: AuditSubject) -> Finding:
    """17: planted adversarial images that the ensemble does not find.

    For each image the last layer is replaced by a linear two-class head that separates points drawn inside the ball
    from one drawn at its edge, with the boundary close to the latter. So an adversarial image exists and is known; an
    evaluation that misses more than one in twenty cannot be believed where it says that there are none. Drawing at
    random must miss them, or the test would be too easy to mean anything.
    """
    if subject.random:
        return Finding.not_run("the features of a random model move from pass to pass")
    data = subject.field.data.sample(min(subject.effort.planted, len(subject.field.data)), subject.seed)
    found, by_chance, rows = [], [], []
    for row in range(len(data)):
        trap = plant(subject, data[row])
        if trap is not None:
            rows.append(row)
            found.append(bool(_search(subject, trap, data[row])))
            by_chance.append(bool(_draw(subject, trap, data[row])))
    if 2 * len(found) < len(data):
        return Finding.not_run(f"the features tell points of the ball apart at only {len(found)} of {len(data)} images")
    detail = (
        f"of {len(found)} planted adversarial images the ensemble finds {sum(found)}, "
        f"{subject.effort.inner + 1} random draws find {sum(by_chance)}"
    )
    if 2 * sum(by_chance) > len(found):
        return Finding.not_run(f"{detail}: too easy to mean anything")
    missed = data.index[rows][~torch.tensor(found)]
    share = sum(found) / len(found)
    reason = f"the ensemble misses {len(missed)} of {len(found)} planted adversarial images"
    return Finding(share < FOUND, share, detail, reason, missed)


def plant(subject: AuditSubject, one: Dataset) -> Classifier | None:
    """A two-class twin of the model with a planted adversarial image near `one`; None where features cannot tell.

    The head is the direction of largest separation, (covariance of the inner points)^-1 (planted - mean), scaled so
    that the clean image keeps the margin that the model itself gives it.
    """
    model, clean = subject.field.model, one.images
    stream = Draws.keyed(subject.seed, one.index)
    copies = torch.zeros(subject.effort.inner, dtype=torch.long)
    ball = UniformNoise(INNER * subject.eps, subject.norm)
    inner = ball(model, clean[copies], Goal(one.labels[copies]), stream[copies])
    normal = stream.normal(*one.shape)
    edge = (clean + subject.eps * lp.ascent(normal, subject.norm)).clamp(0, 1)
    features = LastFeatures(model)
    points = _rows(features, torch.cat([clean, inner, edge]))
    centre = points[:-1].mean(0)
    spread = (points[:-1] - centre).T @ (points[:-1] - centre) / len(copies)
    spread += RIDGE * spread.diagonal().mean().clamp_min(lp.TINY) * torch.eye(len(spread), dtype=spread.dtype)
    weight = torch.linalg.solve(spread, points[-1] - centre)
    scores = points @ weight
    top, planted_at = scores[:-1].max(), scores[-1]
    offset = top + CLOSE * (planted_at - top)
    margin = Goal(one.labels).margin(model.predict(clean)).double().abs()
    scale = margin / (2 * (offset - scores[0])).clamp_min(lp.TINY)
    trap = Trap(features, (scale * weight).float(), (scale * offset).float())
    card = replace(model.card, name=f"{model.card.name}, planted", classes=("inner", "planted"))
    twin = Classifier(trap, card).to(model.device).eval()
    sure = planted_at > top and twin.predict(torch.cat([clean, edge])).argmax(1).tolist() == [0, 1]
    return twin if sure else None


def _rows(features: LastFeatures, images: Images) -> Tensor:
    """Features of many images, in double precision on the CPU."""
    with torch.no_grad(), evaluating(features):
        parts = [features(part.to(features.model.device)).double().cpu() for part in torch.split(images, 64)]
    return torch.cat(parts)


def _search(subject: AuditSubject, trap: Classifier, one: Dataset) -> Tensor:
    """Whether the ensemble finds an adversarial image of the trap."""
    goal = Goal(torch.zeros(1, dtype=torch.long))
    with frozen(trap):
        there = goal.to(trap.device)
        images = subject.ensemble(trap, one.images.to(trap.device), there, _draws(subject, one))
    return goal.reached(trap.predict(images.cpu()))


def _draw(subject: AuditSubject, trap: Classifier, one: Dataset) -> Tensor:
    """Whether any of as many random draws as there are inner points and one falls into the trap."""
    copies = torch.zeros(subject.effort.inner + 1, dtype=torch.long)
    goal, noise = Goal(torch.zeros_like(copies)), UniformNoise(subject.eps, subject.norm)
    return goal.reached(trap.predict(noise(trap, one.images[copies], goal, _draws(subject, one)[copies]))).any()


def _draws(subject: AuditSubject, one: Dataset) -> Draws:
    return Draws.keyed(subseed(subject.seed, 1, parts=1), one.index)


class LastFeatures(nn.Module):
    """What enters the last dense layer of a classifier; its logits where it has none.

    Also its logits where that layer does not see every image once, as with copies under many masks. Of a committee
    they are the features of its last member.
    """

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model
        dense = [module for module in model.net.modules() if isinstance(module, nn.Linear)]
        self.last = dense[-1] if dense else None

    def forward(self, images: Images) -> Float[Tensor, "n d"]:
        """One row per image."""
        seen: list[Tensor] = []
        if self.last is None:
            return self.model(images) + _tie(images)  # type: ignore[no-any-return]
        with hooked(self.last, lambda _module, inputs: seen.append(inputs[0]), before=True):
            logits = self.model(images)
        once = len(seen) == 1 and len(seen[0]) == len(images)
        return (seen[0].flatten(1) if once else logits) + _tie(images)


def _tie(images: Images) -> Tensor:
    """Zeros that lead back to the images, so that attacks can run where the features do not."""
    return 0 * images.flatten(1).sum(1, keepdim=True)


class Trap(nn.Module):
    """Two logits, -s and s, of a linear score s of the features: 1 is the class of the planted image."""

    weight: Tensor
    offset: Tensor

    def __init__(self, features: LastFeatures, weight: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.features = features
        self.register_buffer("weight", weight)
        self.register_buffer("offset", offset)

    def forward(self, images: Images) -> Logits:
        """One row per image."""
        score = self.features(images) @ self.weight - self.offset
        return torch.stack([-score, score], 1)
