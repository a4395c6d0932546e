"""What `evaluate` found, as JSON-able facts and as the terminal shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pixelproof.cli.screen import err, loud, out, percent, table
from pixelproof.specs import decimal

if TYPE_CHECKING:
    from pixelproof.measure import Evaluation, RobustnessCurve


def facts(found: Evaluation, curve: RobustnessCurve | None = None, given: str = "") -> dict[str, Any]:
    """An evaluation as JSON-able facts, image by image, with the curve where there is one."""
    return {
        "attack": found.attack,
        "data": found.data,
        "model": found.model,
        "seed": found.seed,
        "n": found.offered,
        "clean_accuracy": found.clean_accuracy,
        "robust_accuracy_at_most": found.robust_accuracy,
        "left_standing": found.left_standing,
        "eps": found.eps,
        "eps_given": given or decimal(found.eps),
        "expected_robust_accuracy": round(found.expected_robust_accuracy, 6),
        "undecided": found.undecided,
        "ended": found.ended,
        "seconds": round(found.seconds, 3),
        "flags": list(found.flags),
        "curve": None
        if curve is None
        else {
            "eps": list(curve.eps),
            "robust_accuracy_at_most": list(curve.robust_accuracy),
            "searched": curve.searched,
            "distance": [round(float(d), 6) if d.isfinite() else None for d in curve.distance],
        },
        "bounds": [[round(b.seconds, 3), round(b.standing / found.offered, 6), b.part] for b in found.bounds],
        "parts": [
            {"part": p.label, "spec": p.spec, "attacked": p.attacked, "broke": p.broke, "seconds": round(p.seconds, 3)}
            for p in found.parts
        ],
        "images": [
            {
                "index": int(found.index[row]),
                "fooled": bool(found.success[row]),
                "fooled_8bit": bool(found.success_8bit[row]),
                "rate": round(float(found.rate[row]), 4),
                "distance": round(float(found.distance[row]), 6) if found.success[row] else None,
                "broken_by": found.breaker(row),
                "first_break": int(found.first_break[row]),
                "forwards": int(found.passes[row, 0]),
                "backwards": int(found.passes[row, 1]),
            }
            for row in range(len(found))
        ],
    }


def show(found: Evaluation, curve: RobustnessCurve | None) -> None:
    """Print what `evaluate` found."""
    shown = [part for part in found.parts if part.attacked]
    rows = [(part.label, part.attacked, part.broke, f"{part.seconds:.1f}") for part in shown]
    table(f"{found.attack}, seed {found.seed}", ["part", "attacked", "broke", "seconds"], rows)
    out.print(f"clean accuracy {percent(found.clean_accuracy)}, n={found.offered}")
    out.print(f"robust accuracy <= {percent(found.robust_accuracy)}, {found.ended}, {found.seconds:.1f} s")
    out.print(f"left standing of the correctly classified: {percent(found.left_standing)}")
    if curve is not None:
        points = zip(curve.eps, curve.robust_accuracy, strict=True)
        shown_points = [(decimal(eps), percent(value)) for eps, value in points]
        rest = "" if curve.searched == len(found) else f"; time for {curve.searched} of {len(found)} images"
        table(f"curve, {found.norm}, n={found.offered}{rest}", ["eps", "robust accuracy <="], shown_points)
    if found.random:
        out.print(f"expected robust accuracy {100 * found.expected_robust_accuracy:.1f} % (random model)")
        out.print(f"{found.undecided} images fool in about half of the passes: the interval of their rate holds 50 %")
    out.print(f"of {int(found.success.sum())} fooled, {int(found.success_8bit.sum())} still are after saving in 8 bits")
    loud([flag for flag in found.flags if flag.startswith("clean accuracy")])
    for flag in found.flags:
        err.print(f"flag: {flag}", style="yellow", markup=False, highlight=False)
