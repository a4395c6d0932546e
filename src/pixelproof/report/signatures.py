"""Signatures as heat maps, critical pixels over the image, and paper 1's Tables I and II with what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from torch import Tensor

from pixelproof import views
from pixelproof.explain.critical import Sense
from pixelproof.report.draw import Words, draw
from pixelproof.report.page import (
    Block,
    Figure,
    Prose,
    ReportSection,
    Table,
    budget,
    cells,
    count,
    interval,
    number,
    percent,
)
from pixelproof.report.pictures import NEGATIVE, POSITIVE, diverging, signed
from pixelproof.views import OpenRun
from pixelproof.views.answer import Estimate, held
from pixelproof.views.critical import CriticalFindings
from pixelproof.views.signatures import ExplainedImage, ProximityRow

SHOWN = 8
TABLE_TWO = {  # what the paper says of a pixel's SHAP value
    "far from 0": "substantial impact, whatever the sign",
    "far above 0": "strong influence",
    "far below 0": "strong influence",
    "random": "–",
    "close to 0": "minimal impact, neutral",
}
WITHIN = 0.995  # share of the values that the colour scale of the maps spans
TABLE_ONE = (
    ("objective", "find vulnerabilities", "recognise changed explanations"),
    ("focus", "influential features", "changed contributions"),
    ("methodology", "analyse the adversarial image", "compare normal and adversarial"),
    ("SHAP values used", "of the adversarial image", "adversarial minus clean"),
    ("purpose", "craft attacks", "detect and understand attacks"),
    ("insight gained", "weaknesses, how to modify", "how the decision changed"),
)


def signatures(opened: OpenRun) -> ReportSection | None:
    """Paper 1's Fig. 3, Table II, Fig. 4 and Table I."""
    facts, found = held(lambda: views.critical(opened)), held(lambda: views.signatures(opened))
    if facts is None or found is None:
        return None
    shots = views.explained_images(opened.run, SHOWN)
    said = (
        f"A signature is the DeepSHAP attribution of the predicted class's logit to every pixel. Here it is shown for "
        f"the first {len(shots)} test images, in file order, that {facts.attack} fooled at eps "
        f"{budget(facts.eps)}. "
        f"Every map adds up to its logit up to a relative gap of at most {found.largest:.1e} (n = {found.n} maps"
        + (f"; {found.unsound} of them miss the 0.1 % that a share must not miss)." if found.unsound else ").")
    )
    blocks: tuple[Block, ...] = (
        Prose(said),
        _maps(shots),
        *_table_two(found.proximity),
        _critical(shots, views.critical_of_all(opened.run), facts.k),
        _table_one(facts),
    )
    return ReportSection("signatures", "Why it was fooled: signatures", blocks)


def _picture(axes: Axes, pixels: Tensor) -> None:
    axes.imshow(np.clip(pixels.numpy(), 0, 1), interpolation="nearest", vmin=0, vmax=1)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _sheet(rows: list[tuple[str, list[Tensor]]], titles: list[str]) -> Callable[[Canvas], None]:
    def paint(canvas: Canvas) -> None:
        grid = canvas.subplots(len(rows), len(titles), squeeze=False)
        for line, (label, pictures) in enumerate(rows):
            for column, pixels in enumerate(pictures):
                _picture(grid[line, column], pixels)
            grid[line, 0].set_ylabel(label, fontsize=8.5)
        for column, title in enumerate(titles):
            grid[0, column].set_title(title, fontsize=8.5, loc="center")

    return paint


def _grey(image: Tensor) -> Tensor:
    return (image if len(image) == 3 else image[:1].expand(3, -1, -1)).permute(1, 2, 0)


def _maps(shots: list[ExplainedImage]) -> Figure:
    """Fig. 3: one shared scale with zero in the middle."""
    scale = _reach(torch.stack([part for shot in shots for part in (shot.clean_map, shot.image_map)]))
    rows = [
        ("clean", [_grey(shot.clean) for shot in shots]),
        ("its signature", [diverging(signed(shot.clean_map), scale) / 255 for shot in shots]),
        ("adversarial", [_grey(shot.image) for shot in shots]),
        ("its signature", [diverging(signed(shot.image_map), scale) / 255 for shot in shots]),
    ]
    caption = (
        f"Blue lowers the predicted class's logit, orange raises it; white is 0, the ends are ±{scale:.3g}, one scale "
        f"for all maps; {100 * WITHIN:.1f}\u00a0% of the values shown lie within, the others have the colour of the "
        "end. The title is the true class and what the attack made of it."
    )
    words = Words("Signatures before and after the attack (paper 1, Fig. 3)", caption, _alt(shots, "signatures"))
    return draw(
        "signature-maps",
        _sheet(rows, [f"{shot.label} → {shot.predicted}" for shot in shots]),
        words=words,
        size=(max(4.0, 1.0 * len(shots)), 4.4),
    )


def _reach(maps: Tensor) -> float:
    """The end of the common scale: a few extreme pixels would leave everything else white."""
    return float(maps.abs().flatten().double().quantile(WITHIN)) or float(maps.abs().max())


def _critical(shots: list[ExplainedImage], overall: Mapping[Sense, Tensor], k: int) -> Figure:
    """Fig. 4: critical pixels over the input, each image's own and those of all images together."""
    rows = [
        ("generation", [_overlaid(shot.image, shot.generation, POSITIVE) for shot in shots]),
        ("all images", [_overlaid(shot.image, overall["generation"], POSITIVE) for shot in shots]),
        ("detection", [_overlaid(shot.image, shot.detection, NEGATIVE) for shot in shots]),
        ("all images", [_overlaid(shot.image, overall["detection"], NEGATIVE) for shot in shots]),
    ]
    caption = (
        f"The {k} most critical pixels of each adversarial image and, below, those with the largest mean score over "
        "all fooled images. Generation: where the signature is largest. Detection: where it differs most from the "
        "signature of the clean image."
    )
    words = Words("Critical pixels over the adversarial images (paper 1, Fig. 4)", caption, _alt(shots, "pixels"))
    return draw(
        "critical-pixels",
        _sheet(rows, [f"{shot.label} → {shot.predicted}" for shot in shots]),
        words=words,
        size=(max(4.0, 1.0 * len(shots)), 4.4),
    )


def _overlaid(image: Tensor, mask: Tensor, colour: tuple[int, int, int]) -> Tensor:
    return torch.where(mask[..., None], torch.tensor(colour) / 255, _grey(image))


def _alt(shots: list[ExplainedImage], what: str) -> str:
    return f"{len(shots)} images that were fooled, clean and adversarial, with their {what}."


def _table_one(facts: CriticalFindings) -> Table:
    generation, detection = facts.senses
    k = facts.k
    measured = (
        (
            f"score in the first {k} pixels",
            *(percent(s.concentration) for s in (generation, detection)),
        ),
        ("labels repaired when these are set back", *(percent(s.repaired) for s in (generation, detection))),
        ("still fooled when only these stay", *(percent(s.sufficient) for s in (generation, detection))),
        (
            "fooled by an attack confined to these",
            *(percent(s.confined.value) for s in (generation, detection)),
        ),
    )
    return Table(
        name="generation-detection",
        caption=f"Attack generation and detection (paper 1, Table I), with what was measured, n = {facts.n}",
        columns=("aspect", "generation", "detection"),
        bodies=(
            tuple(cells(*row, head=1) for row in TABLE_ONE),
            tuple(cells(*row, head=1) for row in measured),
        ),
        note=f"The upper part is the paper's. Repaired and still fooled: {facts.deep or facts.attack}, n = "
        f"{facts.curves_n}; the other lines: {facts.attack}. The two senses share {number(facts.shared, 2)} "
        "of their pixels (Jaccard index, mean over images). The detection ranking needs the clean twin: it explains an "
        "attack after the fact, it cannot detect one.",
    )


def _table_two(rows: Sequence[ProximityRow]) -> list[Table]:
    """What a pixel's SHAP value says of it, and what happens when pixels of that kind are replaced."""
    if not rows:
        return []
    body = tuple(
        cells(
            row.group, TABLE_TWO[row.group], _mean(row.size), _mean(row.change, sign="+"),
            interval(row.relabelled), head=1,
        )
        for row in rows
    )  # fmt: skip
    return [
        Table(
            name="proximity",
            caption=f"SHAP values close to and far from 0 (paper 1, Table II), with what was measured, "
            f"{count(rows[0].n)}",
            columns=(
                "SHAP value",
                "the paper says",
                "|change of the logit| [95\u00a0%]",
                "change of the logit [95\u00a0%]",
                "class changed [95\u00a0%]",
            ),
            bodies=(body,),
            note=f"{rows[0].k} pixels of each clean image are set to the values of each background; the logit is "
            "that of the predicted class. Only pixels that differ from some background take part: a border that is "
            "black everywhere moves nothing, whatever its SHAP value, and would prove the paper's words by itself. "
            "Random pixels of the same kind are the control.",
        )
    ]


def _mean(found: Estimate, sign: str = "") -> str:
    text = f"{found.value:{sign}.2f} [{found.low:{sign}.2f}, {found.high:{sign}.2f}]"
    return text.replace("-", "−")
