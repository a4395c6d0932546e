"""The audit on networks that play tricks and on ordinary ones, beside a long attack that knows the trick.

    python -m benchmarks.tricky [--n 60] [--only NAME ...] [--skip-ordinary]

Prints a Markdown table: the audit's bound, the strongest attack known (PGD of 50 steps with two losses and two starts
on the network as it stands, backwards, and on the network inside it, the same images on the 8-bit grid, and what the
audit found itself), and the flags that block. "missed": the bound lies by more than its interval above that attack, and
the audit believes it. "refused": an ordinary network that is not believed.
"""

from __future__ import annotations

import argparse
import sys
import time

import torch
from torch import Tensor

from benchmarks.tricky_nets import Parts, Tricky, ordinary, tricky
from pixelproof import data, measure, models
from pixelproof.attacks import HopSkipJump, Square, mount
from pixelproof.data import Dataset
from pixelproof.errors import BadInput
from pixelproof.measure import Audit, Effort
from pixelproof.models import Classifier, frozen
from pixelproof.types import Goal, Mask, Rate

EFFORT = Effort(probes=60, draws=30, doubled=30, noisy=2, noise=1000, queries=2000, planted=4, inner=200, width=1.0)
STEPS, STARTS = 50, 2
EPS_TRICKY, EPS_ORDINARY = 0.15, 0.1


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=60)
    parser.add_argument("--only", nargs="+", default=(), help="parts of names")
    parser.add_argument("--skip-ordinary", action="store_true")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    train, validation = data.load("digits", "train"), data.load("digits", "val")
    test = data.load("digits", "test").sample(given.n, 0)
    parts = Parts.of(train, validation)
    print(
        f"| network | bound, eps {EPS_TRICKY} | strongest known | verdict | flags that block |\n|---|---|---|---|---|"
    )
    for name, function in tricky(parts).items():
        if not given.only or any(part in name for part in given.only):
            net = Tricky(parts.hardened, function)
            try:
                model = models.wrap(net, classes=list(test.classes), input_shape=(1, 8, 8)).eval()
            except BadInput as reason:
                print(f"| {name} | - | - | refused at the door | {reason} |", flush=True)
                continue
            _row(name, model, parts.hardened, test, EPS_TRICKY)
    if not given.skip_ordinary:
        print(f"| **ordinary, eps {EPS_ORDINARY}** | | | | |")
        for name, model in ordinary(parts, train, validation).items():
            if not given.only or any(part in name for part in given.only):
                _row(name, model, model, test, EPS_ORDINARY)


def _row(name: str, model: Classifier, inner: Classifier, test: Dataset, eps: float) -> None:
    started = time.process_time()
    found = measure.audit(model, test, eps=eps, effort=EFFORT)
    audited = time.process_time() - started
    known = strongest(found, model, inner, test, eps)
    seconds = f"{audited:.0f} + {time.process_time() - started - audited:.0f} CPU s"
    blocking = ", ".join(flag.name for flag in found.raised if flag.blocks) or "-"
    cells = (
        name,
        percent(found.evaluation.robust_accuracy),
        f"{100 * float(known):.1f}",
        judged(found, known),
        blocking,
    )
    print(f"| {' | '.join(cells)} |")
    print(f"{name}: {seconds}", file=sys.stderr, flush=True)


def judged(found: Audit, known: Rate) -> str:
    """What the audit's verdict is worth beside the strongest attack known."""
    loose = float(known) < found.evaluation.robust_accuracy.interval[0]
    return ("missed" if loose else "believed") if found.believable else ("flagged" if loose else "flagged, bound right")


def percent(rate: Rate) -> str:
    """A rate with its interval, in percent."""
    low, high = rate.interval
    return f"{100 * float(rate):.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def strongest(found: Audit, model: Classifier, inner: Classifier, test: Dataset, eps: float) -> Rate:
    """The robust accuracy that is left after everything known, over all images."""
    rows = torch.isin(test.index, found.evaluation.index)
    x, y = test.images[rows], test.labels[rows]
    broken = found.evaluation.success.clone() | fooled(model, found.evaluation.images, y, random=found.random)
    for target, sign in ((inner, 1), (model, 1), (model, -1)):
        for loss in ("ce", "margin"):
            for start in range(STARTS):
                images = pgd(target, x, y, eps, loss=loss, sign=sign, seed=start)
                for tried in (images, on_grid(images, x, eps)):
                    left = ~broken
                    broken[left] |= fooled(model, tried[left], y[left], random=found.random)
    if not found.random and not broken.all():
        for attack in (Square(eps, 2000), HopSkipJump(2000, "linf", eps=eps)):
            kept = mount(attack, model, test[rows.nonzero()[:, 0]][~broken], seed=7)
            broken[torch.isin(test.index[rows], kept.index[kept.success])] = True
            if broken.all():
                break
    return Rate(int((~broken).sum()), len(test))


def fooled(model: Classifier, images: Tensor, labels: Tensor, *, random: bool) -> Mask:
    """Which images the network takes for something else, each asked alone; a random one by majority of 20 passes."""
    goal = Goal(labels)
    if not len(images):
        return torch.zeros(0, dtype=torch.bool)
    passes = [goal.reached(model.predict(images, batch=1)) for _ in range(20 if random else 1)]
    return torch.stack(passes).float().mean(0) > 0.5


def on_grid(images: Tensor, clean: Tensor, eps: float) -> Tensor:
    """Images of 8 bits inside the ball, where clean images are."""
    low, high = ((clean - eps) * 255).ceil(), ((clean + eps) * 255).floor()
    return torch.minimum(torch.maximum((images * 255).round(), low), high).clamp(0, 255) / 255


def pgd(model: Classifier, x: Tensor, y: Tensor, eps: float, *, loss: str, sign: int, seed: int) -> Tensor:  # fmt: skip
    """The image with the lowest margin on a long walk; `sign` -1 walks against what the gradient says."""
    goal, generator = Goal(y), torch.Generator().manual_seed(seed)
    moved = (x + eps * (2 * torch.rand(x.shape, generator=generator) - 1)).clamp(0, 1)
    best, lowest = moved.clone(), torch.full((len(x),), torch.inf)
    with frozen(model):
        for step in range(STEPS):
            at = moved.detach().requires_grad_()
            with torch.enable_grad():
                logits = model(at)
                value = goal.loss(logits) if loss == "ce" else goal.margin(logits)
                if not value.requires_grad:
                    return moved.detach()
                gradient = torch.autograd.grad(value.sum(), at)[0].nan_to_num(0.0, 0.0, 0.0)
            margin = goal.margin(logits.detach())
            better = margin < lowest
            best[better], lowest[better] = moved.detach()[better], margin[better]
            size = eps * (0.3 if step < STEPS // 2 else 0.08)
            moved = moved.detach() - sign * size * gradient.sign()
            moved = torch.minimum(torch.maximum(moved, x - eps), x + eps).clamp(0, 1)
    return torch.where((lowest <= 0)[:, None, None, None], best, moved)


if __name__ == "__main__":
    main()
