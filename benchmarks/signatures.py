"""Do signatures tell attacks from noise of a kind that the fit has never seen? Fresh images, several seeds, intervals.

The numbers that the strong detector looks at were chosen on MNIST test images. Here every image comes from the part of
the training file that no network is trained on, so none of them is a test image. Each seed trains its own network and
draws its own images, split by image: half to fit, 15 % to calibrate, the rest to judge. Attacks at eps 0.2; noise has
each image's own realised l2 size under the attack tested. `--explore` adds the table of other numbers and other heads.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import torch
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer

from pixelproof import attacks, data, models
from pixelproof.attacks import AdversarialSet, mount
from pixelproof.detect import matched_noise
from pixelproof.detect.detectors.evidence import Evidence, PixelSignature
from pixelproof.detect.detectors.signature import FITTED, rows_of
from pixelproof.detect.evaluation.noise import KINDS
from pixelproof.measure import Candidate, Examination, Split
from pixelproof.measure.signature_detectors import CLEAN, twin
from pixelproof.results import DetectorRecord, RowTable
from pixelproof.study.signature_detectors import DETECTORS, divided, line

ATTACKS = ("fgsm", "pgd", "bim", "deepfool")
EPS = 0.2
BACKGROUND = 10
COLUMNS = {  # of Evidence
    "8 dispersion statistics": range(8),
    "the same of predicted class, rival, difference": range(24),
    "residual under a median filter": range(24, 38),
    "residual under a binomial filter": range(38, 52),
    "residual under rounding to one bit": range(52, 66),
    "all three residuals": range(24, 66),
    "all three residuals and dispersion": range(66),
}


def case(seed: int, n: int, weights: Path | None) -> tuple[models.Classifier, dict[str, AdversarialSet], torch.Tensor]:
    """A network, the same n correctly classified held-out images under every attack, and background images."""
    training, held = data.load("mnist"), data.load("mnist", "val")
    path = weights / f"cnn{seed}" if weights else None
    if path and path.is_file():
        model = models.open_saved(path, torch.device("cpu"))
    else:
        settings = replace(models.suited("cnn", len(training)), epochs=1, seed=seed)
        model = models.load("cnn", data=training, training=settings)
        if path:
            models.save(model, path)
    right = model.predict(held.images).argmax(1) == held.labels
    chosen = held[right].sample(n, seed)
    parsed = {name: attacks.parse(f"{name}:eps={EPS}") for name in ATTACKS}
    found = {name: mount(attack, model, chosen, seed=seed) for name, attack in parsed.items()}
    return model, found, training.sample(BACKGROUND, seed).images


def states(found: dict[str, AdversarialSet], norm: str, seed: int) -> dict[str, torch.Tensor]:
    """The images clean, attacked, and with every kind of noise of each attack's realised size."""
    rng = torch.Generator().manual_seed(seed)
    images = {CLEAN: found["pgd"].clean, **{name: each.images for name, each in found.items()}}
    for name, each in found.items():
        for kind in KINDS:
            images[twin(kind, name)] = matched_noise(each.clean, each.images, rng, kind=kind, norm=norm)
    return images


def spaces(model, images: dict[str, torch.Tensor], background: torch.Tensor, *, every: bool) -> dict[str, RowTable]:
    """The rows of every state in each space that is asked for."""
    evidence, signature = Evidence(background), PixelSignature(background)
    makers = {
        "evidence": lambda part: rows_of(evidence, model, part),
        "logits": lambda part: model.predict(part).sort(dim=1, descending=True).values,
        "pixels": lambda part: part.flatten(1),
        "top row": lambda part: part[:, :, 0].mean((1, 2))[:, None],
        "signatures": lambda part: rows_of(signature, model, part),
    }
    if every:
        makers["unsorted logits"] = model.predict
    return {name: RowTable({state: make(part) for state, part in images.items()}) for name, make in makers.items()}


def trees(rows, wanted, held):
    """200 extremely randomised trees."""
    fitted = ExtraTreesClassifier(200, class_weight="balanced", random_state=0).fit(rows.numpy(), wanted.numpy())
    return (lambda asked: torch.from_numpy(fitted.predict_proba(asked.numpy())[:, 1])), None


def quantiles(rows, wanted, held):
    """Logistic regression on quantile-transformed columns."""
    scale = QuantileTransformer(n_quantiles=100, output_distribution="normal", random_state=0)
    fitted = make_pipeline(scale, LogisticRegression(C=0.3, class_weight="balanced", max_iter=2000))
    fitted.fit(rows.numpy(), wanted.numpy())
    return (lambda asked: torch.from_numpy(fitted.decision_function(asked.numpy()))), None


def explored(tables: dict[str, RowTable], split: Split, examine: Examination) -> list[DetectorRecord]:
    """Every set of numbers under three heads, fitted with and without noise."""
    named = {"raw pixels": tables["pixels"], "signature pixels": tables["signatures"]}
    named |= {"logits": tables["unsorted logits"], "logits, sorted": tables["logits"]}
    for name, columns in COLUMNS.items():
        rows = tables["evidence"].rows
        named[name] = RowTable({state: part[:, list(columns)] for state, part in rows.items()})
    found = []
    for name, table in named.items():
        for head, fit in (("ET", trees), ("quantile LR", quantiles), ("LR", line)):
            for noise in ((), FITTED):
                said = f"{name} | {head} | {'noise' if noise else 'no noise'}"
                found.append(examine(Candidate(said, fit, noise), table, split))
                show(found[-1], "explored")
    return found


def show(record: DetectorRecord, seed: object) -> None:
    """One line per detector: means over the twelve pairs of two attacks."""
    cells = "  ".join(f"{key} {record.cross[key]}" for key in ("clean", "noise", "from sign", "to sign", "left out"))
    print(f"{seed}  {record.name:52s} {cells}", flush=True)


def main() -> None:
    """Every detector of the study, over seeds; the last lines are means over seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="300 images and three seeds instead of 120 and one")
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--n", type=int)
    parser.add_argument("--norm", choices=("l2", "linf"), default="l2", help="the norm in which noise is as large")
    parser.add_argument("--explore", action="store_true")
    parser.add_argument("--weights", type=Path, help="a folder in which trained networks are kept")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    n = asked.n or (300 if asked.full else 120)
    seeds = asked.seeds or ([1, 2, 3] if asked.full else [1])
    means: dict[str, list[dict[str, float]]] = {}
    for seed in seeds:
        started = time.process_time()
        model, found, background = case(seed, n, asked.weights)
        tables = spaces(model, states(found, asked.norm, seed), background, every=asked.explore)
        split = divided(found["pgd"].labels, {name: each.success for name, each in found.items()}, seed)
        examine = Examination("pgd", 0.05, seed)
        print(f"seed {seed}: fooled", {name: str(each.success.float().mean()) for name, each in found.items()})
        for name, (space, candidate) in DETECTORS.items():
            record = examine(candidate, tables[space], split)
            show(record, seed)
            means.setdefault(name, []).append({key: float(value) for key, value in record.cross.items()})
        if asked.explore:
            explored(tables, split, examine)
        print(f"seed {seed}: {time.process_time() - started:.0f} s CPU", flush=True)
    keys = ("clean", "noise", "from sign", "to sign", "left out")
    for name, rows in means.items():
        spread = {key: torch.tensor([row[key] for row in rows]) for key in keys}
        said = (f"{key} {v.mean():.3f} ({v.min():.3f} to {v.max():.3f})" for key, v in spread.items())
        print(f"mean of {len(rows)}  {name:52s}", "  ".join(said))
    if asked.out:
        asked.out.write_text(json.dumps(means, indent=1))


if __name__ == "__main__":
    main()
