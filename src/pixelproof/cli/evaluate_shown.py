"""What `evaluate` found, as the terminal shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pixelproof.cli.screen import err, loud, out, percent, table
from pixelproof.specs import decimal

if TYPE_CHECKING:
    from pixelproof.views.commands import EvaluationAnswer


def show(found: EvaluationAnswer) -> None:
    """Print what `evaluate` found."""
    rows = [(part.part, part.attacked, part.broke, f"{part.seconds:.1f}") for part in found.parts if part.attacked]
    table(f"{found.attack}, seed {found.seed}", ["part", "attacked", "broke", "seconds"], rows)
    out.print(f"clean accuracy {percent(found.clean_accuracy)}, n={found.n}")
    bound = percent(found.robust_accuracy_at_most)
    out.print(f"robust accuracy <= {bound}, {found.ended}, {found.seconds:.1f} s")
    out.print(f"left standing of the correctly classified: {percent(found.left_standing)}")
    if found.curve is not None:
        points = zip(found.curve.eps, found.curve.robust_accuracy_at_most, strict=True)
        shown, searched = [(decimal(eps), percent(value)) for eps, value in points], found.curve.searched
        rest = "" if searched == len(found.images) else f"; time for {searched} of {len(found.images)} images"
        table(f"curve, {found.norm}, n={found.n}{rest}", ["eps", "robust accuracy <="], shown)
    if found.random:
        out.print(f"expected robust accuracy {100 * found.expected_robust_accuracy:.1f} % (random model)")
        out.print(f"{found.undecided} images fool in about half of the passes: the interval of their rate holds 50 %")
    fooled = [image for image in found.images if image.fooled]
    still = sum(image.fooled_8bit for image in fooled)
    out.print(f"of {len(fooled)} fooled, {still} still are after saving in 8 bits")
    for note in found.notes:
        out.print(f"note: {note}", markup=False, highlight=False)
    loud([flag for flag in found.flags if flag.startswith("clean accuracy")])
    for flag in found.flags:
        err.print(f"flag: {flag}", style="yellow", markup=False, highlight=False)
