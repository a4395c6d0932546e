"""Images: clean, adversarial, and what was changed."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.figure import Figure as Canvas
from PIL import Image

from pixelproof import views
from pixelproof.report.draw import Words, draw
from pixelproof.report.page import Block, Figure, Fold, PictureGallery, Prose, ReportSection, budget, percent
from pixelproof.report.pictures import gallery
from pixelproof.views import OpenRun
from pixelproof.views.answer import held
from pixelproof.views.robustness import Robustness, RobustnessRow

LARGE, SMALL = 12, 6


def examples(opened: OpenRun) -> ReportSection | None:
    """The same images under every attack at one budget, chosen by rule."""
    found = held(lambda: views.robustness(opened))
    if found is None or found.focus is None or found.focus.eps is None:
        return None
    focus, eps = found.focus, found.focus.eps
    shots = views.examples(opened, attack=focus.attack, eps=eps, limit=LARGE)
    if not shots:
        return None
    fooled = sum(shot.success for shot in shots)
    said = (
        f"The first {len(shots)} images, in file order, of the sample that was drawn by class share before any attack "
        f"ran: nothing here was picked for its looks, and failures stay in. The attack is {focus.attack}, which "
        f"broke most images over all budgets, at eps {budget(eps)}, the budget that leaves closest to half "
        f"of the attacked images standing ({percent(focus.left_standing.value)}). {fooled} of these {len(shots)} are "
        "misclassified. "
        "From left to right: clean, adversarial, and the signed change per pixel (in colour images that of the "
        "channel that changed most). Pictures are rounded to 8 bits."
    )
    main = gallery(
        shots, name="examples", title=f"{focus.attack}, eps {budget(eps)}: {fooled} of {len(shots)} misclassified"
    )
    blocks: list[Block] = [Prose(said), main, _sheet(main), *_others(opened, found, focus)]
    return ReportSection("examples", "What it looks like", tuple(blocks))


def _others(opened: OpenRun, found: Robustness, chosen: RobustnessRow) -> list[Fold]:
    """The same images under the other attacks at the same budget."""
    galleries: list[PictureGallery] = []
    eps = chosen.eps or 0.0
    for position, attack in enumerate(found.attacks):
        other = attack != chosen.attack
        shots = views.examples(opened, attack=attack, eps=eps, limit=SMALL) if other else []
        if shots:
            fooled = sum(shot.success for shot in shots)
            title = f"{attack}, eps {budget(eps)}: {fooled} of {len(shots)} misclassified"
            galleries.append(gallery(shots, name=f"examples-{position + 1}", title=title))
    return [Fold("The same images under the other attacks", tuple(galleries))] if galleries else []


def _sheet(shown: PictureGallery) -> Figure:
    """The gallery as one figure file, for use outside the page."""

    def paint(canvas: Canvas) -> None:
        grid = canvas.subplots(3, len(shown.shots), squeeze=False)
        for column, shot in enumerate(shown.shots):
            for row, picture in enumerate(shot.pictures):
                axes = grid[row, column]
                axes.imshow(np.asarray(Image.open(io.BytesIO(picture.png))), interpolation="nearest")
                axes.set_xticks([])
                axes.set_yticks([])
                axes.grid(visible=False)
                axes.spines[:].set_visible(False)
            grid[0, column].set_title(shot.verdict, fontsize=8, loc="center")
        for row, label in enumerate(("clean", "adversarial", f"change, ±{shown.scale}")):
            grid[row, 0].set_ylabel(label)

    words = Words(shown.title, "", f"{len(shown.shots)} images, clean, adversarial and the change between them.")
    size = (max(3.0, 0.95 * len(shown.shots)), 3.3)
    return draw("examples-sheet", paint, words=words, size=size, shown=False)
