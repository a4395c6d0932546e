"""Every detector against every attack on CIFAR-10: the table of docs/detect.md.

Detectors are fitted on training images; their thresholds come from validation images alone, before any attack is seen,
one per detector for all attacks. Figures are from test images. Needs weights of a trained network and PIXELPROOF_DATA.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from pixelproof import attacks, data, models
from pixelproof.detect import DETECTORS, adapt, evaluate_all, figures, natural_errors, parse

ATTACKS = ("fgsm:eps=8/255", "bim:eps=4/255", "pgd:eps=2/255", "pgd:eps=8/255", "deepfool")
ENSEMBLES = (
    "neighbours:rule=any",
    "neighbours:rule=credibility",
    "mahalanobis:kind=relative",
    "ensemble:members=margin|transform",
    "ensemble:members=margin|transform|squeezing|neighbours",
    "ensemble:members=margin|transform,how=max",
    "ensemble:how=max",
)


def table(model, splits, sets, detectors: Sequence[str], *, adaptive: int) -> list[dict[str, object]]:
    """One row per detector: figures against every set, natural errors, false alarms, and the adaptive result."""
    train, held, clean = splits
    rows = []
    for spec in detectors:
        started = time.process_time()
        guard = parse(spec).fit(model, train, None, torch.Generator().manual_seed(0)).calibrated(model, held)
        row: dict[str, object] = {"detector": spec, "fit_cpu_s": time.process_time() - started}
        errors = natural_errors(guard, model, clean)
        row["natural errors"] = {"auroc": str(errors.auroc), "n": errors.attacked}
        for name, found in evaluate_all(guard, model, clean, sets).items():
            row[name] = {
                **{key: str(getattr(found.figures, key)) for key in ("auroc", "aupr", "fpr95", "tpr1", "tpr5", "eer")},
                "auroc, all clean": str(found.figures_all.auroc),
                "auroc, matched noise": str(found.noise),
                "alarms": str(found.alarms),
                "balanced": round(found.balanced, 3),
                "recovered": str(found.recovered),
                "second class": str(found.second),
                "recovered where alarmed": str(found.recovered_alarmed),
                "second where alarmed": str(found.second_alarmed),
                "n": found.figures.attacked,
                "ms_per_image": round(1000 * found.seconds_per_image, 3),
            }
            row["false alarms"] = str(found.false_alarms)
        if adaptive:
            few = clean.sample(adaptive, seed=3)
            known = adapt(guard, model, few, eps=8 / 255, steps=50, weights=(1.0,))
            fooled = torch.isfinite(known.score)
            right = model.predict(clean.images).argmax(1) == clean.labels
            row["adaptive pgd 8/255"] = {
                "evaded by any": str(known.lost),
                **{name: str(known.rate(name)) for name in known.attacks},
                "auroc, quietest": str(figures(guard(model, clean.images).score[right], known.score[fooled]).auroc),
            }
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="safetensors of a cifar-cnn")
    parser.add_argument("--attacks", nargs="*", default=list(ATTACKS), help="attack specs")
    parser.add_argument("--detectors", nargs="*", default=[*DETECTORS, *ENSEMBLES], help="detector specs")
    parser.add_argument("--images", type=int, default=200, help="test images to attack")
    parser.add_argument("--fit", type=int, default=4000, help="training images to fit on")
    parser.add_argument("--adaptive", type=int, default=0, help="test images for the adaptive column (0: leave it out)")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    train = data.load("cifar10", "train").sample(options.fit)
    model = models.load("cifar-cnn", data=train, weights=options.weights, device="cpu")
    held, test = data.load("cifar10", "val").sample(2000), data.load("cifar10", "test")
    victims = test.sample(options.images, seed=1)
    clean = test[~torch.isin(test.index, victims.index)].sample(1000, seed=2)
    sets = {spec: attacks.mount(attacks.parse(spec), model, victims) for spec in options.attacks}
    table(model, (train, held, clean), sets, options.detectors, adaptive=options.adaptive)


if __name__ == "__main__":
    main()
