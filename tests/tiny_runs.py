"""Runs to test on: a real one on the digits, conducted once, and forged ones with random numbers in them."""

import functools
import tempfile
from pathlib import Path

import torch

from pixelproof import study
from pixelproof.results import AttackRecord, CleanRecord
from pixelproof.run import Run

CONTENT = {
    "name": "tiny",
    "title": "Tiny",
    "about": "Few images, few epochs.",
    "seed": 3,
    "data": {"name": "digits", "test": 80},
    "training": {"epochs": 4, "batch": 16},
    "attacks": {
        "specs": ["fgsm", "pgd:steps=4", "deepfool:steps=5", "sign-noise"],
        "eps": [0.05, 0.15],
        "examples": 20,
    },
    "paper": [
        {"source": "T", "measure": "misclassified", "attack": "fgsm", "eps": [0.05, 0.3], "values": [5, 40], "n": 50},
        {"source": "T", "measure": "robust accuracy", "attack": "pgd:steps=4", "eps": [0.15], "values": [0.25]},
        {"source": "T", "measure": "left standing", "attack": "pgd:steps=4", "eps": [0.15], "values": [0.3]},
        {"source": "S", "measure": "clean accuracy", "values": [0.98], "n": 1000},
    ],
}


@functools.cache
def real() -> Run:
    """A finished study of CONTENT; not to be written to."""
    folder = Path(tempfile.mkdtemp(prefix="tiny-run-"))
    return study.conduct(study.parse(CONTENT), folder / "run", device="cpu")


def forge(folder, *, classes=("a", "b", "c"), specs=("fgsm", "pgd"), eps=(0.1, 0.2), n=12, channels=1, **spec) -> Run:
    """A finished run whose numbers were drawn, not computed. An eps of None makes a minimal-norm attack."""
    generator = torch.Generator().manual_seed(0)
    asked = {
        "name": "forged",
        "title": "Forged",
        "about": "",
        "seed": 0,
        "data": {"name": "forged", "train": None, "test": None},
        "model": {"net": "cnn", "weights": None},
        "training": "",
        "attacks": {"specs": list(specs), "eps": [each for each in eps if each is not None], "independent": True},
        "paper": [],
    }
    run = Run.create(Path(folder), asked | spec)
    labels = torch.arange(n) % len(classes)
    common = {"index": torch.arange(n) + 100, "labels": labels}
    numbers = {"parameters": 10, "size_bytes": 40, "seconds_per_image": 1e-5}
    clean = CleanRecord(data="forged", classes=tuple(classes), predicted=labels, digest="0" * 16, **common, **numbers)
    run.save("clean", clean)
    for name in specs:
        for budget in eps:
            success = torch.rand(n, generator=generator) < 0.5
            images = torch.rand((4, channels, 6, 5), generator=generator)
            record = AttackRecord(
                label=name,
                spec=f"{name}:eps={budget}",
                norm="l2" if "norm=l2" in name else "linf",
                eps=budget,
                seed=0,
                offered=n + 1,
                predicted=torch.where(success, (labels + 1) % len(classes), labels),
                success=success,
                success_8bit=success & (torch.arange(n) % 2 == 0),
                distance={norm: torch.rand(n, generator=generator) for norm in ("l0", "l1", "l2", "linf")},
                first_break=torch.where(success, torch.arange(n), -1),
                forwards=torch.full((n,), 3),
                backwards=torch.full((n,), 2),
                seconds=0.5,
                shown=torch.arange(4),
                clean=images,
                images=(images + 0.1).clamp(0, 1),
                **common,
            )
            run.save(f"attack/{name.replace(':', '-')}/eps-{budget}", record)
    run.finish({"device": "cpu", "seconds": {"attack": 1.0}, "threads": 1})
    return run
