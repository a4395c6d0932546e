"""Signatures and critical pixels: what moved, whether it can be believed, and which pixels suffice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pixelproof.explain import Attribution, HeldOutTest, NullRun, critical_pixels, verdict
from pixelproof.explain.critical import CriticalPixels, Sense
from pixelproof.results import catalogue
from pixelproof.run import Run
from pixelproof.types import Rate
from pixelproof.views.overview import rate


@dataclass(frozen=True, eq=False)
class Explained:
    """One image before and after the focus attack, with both signatures (c, h, w) and the critical pixels (h, w)."""

    index: int
    label: str
    predicted: str
    clean: Tensor
    image: Tensor
    clean_map: Tensor
    image_map: Tensor
    generation: Bool[Tensor, "h w"]
    detection: Bool[Tensor, "h w"]


def overall(run: Run) -> dict[str, Tensor]:
    """Masks (h, w) of the k pixels with the largest mean score over all images that the focus attack fooled."""
    record = catalogue.CRITICAL.load(run)
    return {sense: CriticalPixels(sense, record.k, getattr(record, sense)[None]).masks[0] for sense in get_args(Sense)}


def critical(run: Run) -> dict[str, Any] | None:
    """Both senses of critical pixels, the pooled test, the held-out test and the null run; None without signatures."""
    if not catalogue.CRITICAL.has(run):
        return None
    record = catalogue.CRITICAL.load(run)
    pooled, held_out, null = record.pooled, record.held_out, record.null
    used = record.deep_curves or record.curves
    repaired = {curve.ranking: _at(curve.sizes, curve.repaired, record.k) for curve in used}
    sufficient = {curve.ranking: _at(curve.sizes, curve.sufficient, record.k) for curve in used}
    fooled = {each.ranking: rate(each.fooled) for each in record.confined}
    return {
        "attack": record.attack,
        "deep": record.deep,
        "curves_n": used[0].n,
        "eps": record.eps,
        "k": record.k,
        "n": record.n,
        "seed": record.seed,
        "shared": float(record.shared.mean()),
        "senses": [
            {
                "sense": sense,
                "concentration": float(record.concentration[position]),
                "repaired": repaired[sense],
                "sufficient": sufficient[sense],
                "confined": fooled[sense],
            }
            for position, sense in enumerate(("generation", "detection"))
        ],
        "pooled": {
            "t": pooled.t,
            "p": pooled.p,
            "means": list(pooled.means),
            "deviations": list(pooled.deviations),
            "observations": list(pooled.observations),
        },
        "held_out": _held_out(held_out),
        "fixed": {"attacked": _held_out(record.fixed.attacked), "noisy": _held_out(record.fixed.noisy)},
        "null": _null(null),
        "noise_runs": _null(record.fixed.noise_runs),
        "significant": int(record.pixels.significant().sum()),
        "pixels": record.pixels.t.numel(),
        "verdict": verdict(pooled, held_out, null),
    }


def _held_out(found: HeldOutTest) -> dict[str, Any]:
    low, high = found.interval
    return {"n": found.n, "mean": found.mean, "low": low, "high": high, "d_z": found.d_z, "p": found.p}


def _null(found: NullRun) -> dict[str, Any]:
    return {"pooled": rate(found.pooled), "held_out": rate(found.held_out)}


def _at(sizes: tuple[int, ...], values: Float[Tensor, " s"], k: int) -> float:
    return float(values[sizes.index(k)])


def curves(run: Run) -> list[dict[str, Any]]:
    """One row per attack, ranking and k: share repaired and share still fooled, with the areas under whole curves.

    The attack without early stop comes first, where there is one.
    """
    if not catalogue.CRITICAL.has(run):
        return []
    record = catalogue.CRITICAL.load(run)
    fooled = {each.ranking: rate(each.fooled) for each in record.confined}
    return [
        {
            "attack": attack,
            "ranking": curve.ranking,
            "n": curve.n,
            "k": size,
            "repaired": float(curve.repaired[position]),
            "sufficient": float(curve.sufficient[position]),
            "repair_area": _area(curve.area[0], curve.interval[0]),
            "insertion_area": _area(curve.area[1], curve.interval[1]),
            "confined": fooled[curve.ranking],
        }
        for attack, found in ((record.deep, record.deep_curves), (record.attack, record.curves))
        for curve in found
        for position, size in enumerate(curve.sizes)
    ]


def _area(value: float, interval: tuple[float, float]) -> dict[str, float]:
    return {"value": value, "low": interval[0], "high": interval[1]}


def confined(run: Run) -> list[dict[str, Any]]:
    """One row per ranking: what an attack reaches that may change only its first k pixels."""
    if not catalogue.CRITICAL.has(run):
        return []
    record = catalogue.CRITICAL.load(run)
    return [{"ranking": each.ranking, "k": each.k, "fooled": rate(each.fooled)} for each in record.confined]


def histograms(run: Run) -> dict[str, list[float]]:
    """Bin edges and counts of |change| for critical and other pixels."""
    found = catalogue.CRITICAL.load(run).histogram
    return {"edges": found.edges.tolist(), "critical": found.critical.tolist(), "other": found.other.tolist()}


def proximity(run: Run) -> list[dict[str, Any]]:
    """One row per group of k pixels: what setting them to a background's values does; empty where it was not measured.

    `size` is the mean |change| of the explained logit, `change` the signed mean, each with the 95 % interval of a mean
    over n images (normal approximation); `relabelled` is a share, with a Wilson interval that counts images.
    """
    if not catalogue.PROXIMITY.has(run):
        return []
    record = catalogue.PROXIMITY.load(run)
    return [
        {
            "group": group,
            "k": record.k,
            "n": len(change),
            "size": _mean(change.abs()),
            "change": _mean(change),
            "relabelled": rate(Rate(round(float(relabelled.sum())), len(relabelled))),
        }
        for group, change, relabelled in zip(record.groups, record.change, record.relabelled, strict=True)
    ]


def _mean(values: Tensor) -> dict[str, float]:
    mean, half = float(values.mean()), float(1.96 * values.std() / len(values) ** 0.5)
    return {"value": mean, "low": mean - half, "high": mean + half}


def sanity(run: Run) -> dict[str, Any] | None:
    """How much signatures depend on the backgrounds, and whether they depend on the model; None without signatures."""
    if not catalogue.SANITY.has(run):
        return None
    record = catalogue.SANITY.load(run)
    return {
        "n": record.n,
        "k": record.k,
        "background": record.background,
        "draws": record.draws,
        "stability": float(record.stability.mean()),
        "lowest": float(record.stability.mean(1).min()),
        "models": record.models,
        "models_n": record.models_n,
        "over_models": None if record.over_models is None else float(record.over_models.mean()),
        "chance": record.chance,
        "layers": list(record.randomisation.layers),
        "correlation": [float(row.mean()) for row in record.randomisation.correlation],
        "with_mass": [float(row.mean()) for row in record.randomisation.with_mass],
        "overlap": [float(row.mean()) for row in record.randomisation.overlap],
    }


def explained(run: Run, limit: int) -> list[Explained]:
    """The first `limit` images that the focus attack fooled, in file order."""
    record = catalogue.CRITICAL.load(run)
    slug = "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in record.attack)
    found = catalogue.TWINS.load(run, attack=slug)
    before, after = (catalogue.MAPS.load(run, state=name) for name in ("clean", slug))
    names = catalogue.CLEAN.load(run).classes
    rows = found.success.nonzero()[:limit, 0]
    cut = [Attribution(m.values[rows], m.classes[rows], m.base[rows], m.gap[rows]) for m in (before, after)]
    masks = [critical_pixels(*cut, sense=sense, k=record.k).masks for sense in get_args(Sense)]
    predicted = found.logits.argmax(1)
    return [
        Explained(
            index=int(found.index[row]),
            label=names[int(found.labels[row])],
            predicted=names[int(predicted[row])],
            clean=found.clean[row],
            image=found.images[row],
            clean_map=cut[0].values[place],
            image_map=cut[1].values[place],
            generation=masks[0][place],
            detection=masks[1][place],
        )
        for place, row in enumerate(rows.tolist())
    ]


def gaps(run: Run) -> dict[str, Any] | None:
    """How well the signatures add up: the largest relative gap, and how many are above 0.1 %."""
    names = run.names("signatures/maps/")
    if not names:
        return None
    found = [run.load(name, Attribution) for name in names]
    gap = torch.cat([each.gap for each in found])
    return {"n": len(gap), "largest": float(gap.max()), "unsound": int((gap > 1e-3).sum())}
