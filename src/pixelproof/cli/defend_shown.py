"""What `defend` found, as the terminal shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pixelproof.cli.screen import err, loud, out, percent, table

if TYPE_CHECKING:
    from pixelproof.views.commands import DefendedAnswer

HINT = "two attacks prove nothing: 'pixelproof audit' asks whether this robustness can be believed"


def show(found: DefendedAnswer, *, quiet: bool) -> None:
    """Print what `defend` found, without hints when `quiet`."""
    from pixelproof.measure.first_look import STEPS
    from pixelproof.models import NETS

    at = f"eps={found.eps_given}"
    rows = [
        (name, percent(side.clean), percent(side.fgsm), percent(side.pgd))
        for name, side in (("before", found.before), ("after", found.after))
    ]
    title = f"{', '.join(found.defences)} on {found.data}"
    table(title, ["", "clean", f"fgsm {at}", f"pgd-{STEPS} {at}"], rows)
    loud(found.warnings)
    if found.stopped:
        err.print(f"training ended early, its best epoch is kept: {found.stopped}", style="yellow", highlight=False)
    if found.certified is not None:
        proven = percent(found.certified)
        out.print(f"proven at eps {found.eps_given} by interval bounds: {proven} of the test images", highlight=False)
    out.print(f"{found.cpu_seconds:.1f} CPU seconds, n={found.n}, seed {found.seed}", highlight=False)
    own = found.network in NETS
    load = f"--model {found.model}" if own else f"--model {found.network} --weights {found.model}"
    out.print(f"model: {load}", soft_wrap=True, highlight=False)
    if not quiet:
        err.print(HINT, style="dim")
