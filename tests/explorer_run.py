"""A small digits study with every section the explorer shows, conducted once per session of tests."""

import fcntl
import functools
import os
import tempfile
from pathlib import Path

from pixelproof.run import Run
from unchecked import conduct

CONTENT = {
    "name": "explored",
    "title": "Explored",
    "about": "Few images, few epochs, every section.",
    "seed": 5,
    "data": {"name": "digits"},
    "model": {"net": "mlp"},
    "training": {"epochs": 5, "batch": 64},
    "attacks": {"specs": ["fgsm", "pgd:steps=4"], "eps": [0.08, 0.2], "examples": 12},
    "signatures": {
        "attacks": ["fgsm", "pgd:steps=4"],
        "focus": "pgd:steps=4",
        "n": 140,
        "background": 4,
        "k": [4, 8, 16],
    },
    "pixels": {"n": 60, "validation": 6},
    "guards": {
        "attacks": ["pgd:steps=4", "pixels"],
        "focus": "pgd:steps=4",
        "eps": 0.15,
        "n": 100,
        "k": 15,
        "calibrate": 120,
        "detectors": ["margin"],
        "adaptive": 2,
        "steps": 2,
        "weights": [1],
    },
}
PGD = "pgd-steps-4"


@functools.cache
def explored() -> Run:
    """The finished study; not to be written to.

    Conducted by the first worker that asks.
    """
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    shared = Path(tempfile.gettempdir()) / f"explored-{session}"
    shared.mkdir(exist_ok=True)
    folder = shared / "explored"
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return conduct(CONTENT, folder)


def example(run: Run, section: str = "guards", name: str = PGD, *, row: int = 0) -> str:
    """The id of the row-th success of a set."""
    from pixelproof.attacks import AdversarialSet

    stored = {"guards": f"guards/sets/{name}", "signatures": f"signatures/twins/{name}"}[section]
    found = run.load(stored, AdversarialSet)
    return f"{stored.replace('/', '~')}~{int(found.index[found.success.nonzero()[row, 0]])}"
