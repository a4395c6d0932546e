"""What one pixel can do: rates per class and target, the attackability map, proofs, and detection by repair."""

from __future__ import annotations

import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure as Canvas
from torch import Tensor

from pixelproof import views
from pixelproof.report.draw import PALETTE, Words, draw
from pixelproof.report.page import (
    Block,
    Cell,
    Figure,
    Headline,
    Prose,
    ReportSection,
    Table,
    bounds,
    cells,
    interval,
    number,
    percent,
)
from pixelproof.report.pictures import POSITIVE
from pixelproof.run import Run
from pixelproof.views import OpenRun
from pixelproof.views.answer import held
from pixelproof.views.one_pixel import OnePixelFindings, OnePixelProofs, RepairFindings

SHOWN = 8
FAINT = LinearSegmentedColormap.from_list("faint", [to_rgba(PALETTE[1], 0), to_rgba(PALETTE[1], 1)])


def one_pixel(opened: OpenRun) -> ReportSection | None:
    """Everything about one-pixel attacks that the study measured (paper 3)."""
    facts = held(lambda: views.one_pixel(opened))
    if facts is None:
        return None
    quick = facts.quick
    all_, pairs = percent(facts.untargeted.value), percent(facts.targeted.value)
    said = (
        f"Every pixel in every corner colour of {facts.n} correctly classified test images (a stratified sample, "
        f"seed {facts.seed}): {all_} fall to some class, {pairs} of all pairs of an image and a wrong class are "
        f"reached. Half of the images that fall have at least {facts.median_vulnerable} vulnerable pixels of "
        f"{facts.pixels}. Trying only the pixels that the gradient points at, on {quick.n} images, "
        f"{percent(quick.untargeted.value)} fall at {number(quick.seconds, 2)} CPU seconds per image "
        f"instead of {number(facts.seconds, 2)}; those make the data set of paper 3: {facts.tuning} images with "
        f"their twins to tune on, {facts.validation} to validate. A miss here proves nothing; a proof does."
    )
    blocks: list[Block] = [_headline(facts), Prose(said), _rates(facts), _pairs(facts), _map(opened.run, facts)]
    blocks += _proofs(facts.proofs) + _repair(facts.repair)
    return ReportSection("one-pixel", "What one pixel can do", tuple(blocks))


def _headline(facts: OnePixelFindings) -> Headline:
    entries = [(percent(facts.untargeted.value), bounds(facts.untargeted), "of images fall to one pixel")]
    proofs, repair = facts.proofs, facts.repair
    if proofs:
        rate = proofs.proven
        entries.append(
            (percent(rate.value), bounds(rate), f"of {proofs.n} correct images proven: no one-pixel attack exists")
        )
    if repair:
        entries.append((percent(repair.caught.value), bounds(repair.caught), "of twins caught by repair"))
    return Headline(tuple(entries))


def _rates(facts: OnePixelFindings) -> Table:
    rows = tuple(
        (
            Cell(row.name, head=True),
            Cell(interval(row.fallen), shade=row.fallen.value),
            Cell(str(row.fallen.n)),
            Cell(interval(row.reached), shade=row.reached.value),
        )
        for row in facts.classes
    )
    total = (
        Cell("all", head=True),
        Cell(interval(facts.untargeted)),
        Cell(str(facts.untargeted.n)),
        Cell(interval(facts.targeted)),
    )
    return Table(
        name="one-pixel-classes",
        caption=f"One-pixel attack rates per class and target, n = {facts.n}",
        columns=("class", "images of it that fall", "n", "other images that reach it"),
        bodies=(rows, (total,)),
        note="Shares with 95 % intervals. The last column counts pairs of an image and this target.",
    )


def _pairs(facts: OnePixelFindings) -> Table:
    names = [row.name for row in facts.classes]
    rows = []
    for name, row, counts in zip(names, facts.classes, facts.pairs, strict=True):
        n = max(1, row.fallen.n)
        shaded = (Cell(str(count) if count else "·", shade=(count / n) ** 0.7) for count in counts)
        rows.append((Cell(name, head=True), *shaded))
    return Table(
        name="one-pixel-pairs",
        caption="From which class to which: images for which some pixel reaches the target",
        columns=("true", *names),
        bodies=(tuple(rows),),
        compact=True,
    )


def _map(run: Run, facts: OnePixelFindings) -> Figure:
    """The mean attackability map, and single images with their vulnerable pixels."""
    shots = views.pixel_examples(run, SHOWN)
    share = torch.tensor(facts.map)

    def paint(canvas: Canvas) -> None:
        left, right = canvas.subfigures(1, 2, squeeze=False, width_ratios=(1, 2.6))[0]
        axes = left.subplots()
        drawn = axes.imshow(share.numpy() * 100, cmap=FAINT, vmin=0)
        axes.set_title("images vulnerable here, %", fontsize=8.5)
        left.colorbar(drawn, ax=axes, shrink=0.7)
        _bare(axes)
        grid = right.subplots(2, max(1, len(shots)), squeeze=False)
        for column, shot in enumerate(shots):
            for line, picture in enumerate((_marked(shot.image), _dimmed(shot))):
                grid[line, column].imshow(picture.numpy(), interpolation="nearest")
                _bare(grid[line, column])
            grid[0, column].set_title(f"{shot.label}\n→ {shot.target}", fontsize=7.5, loc="center")
            row, place = shot.place
            grid[0, column].plot(place, row, "o", ms=7, mfc="none", mec="#e69f00", mew=1.2)
        grid[0, 0].set_ylabel("twin", fontsize=8.5)
        grid[1, 0].set_ylabel("vulnerable", fontsize=8.5)

    caption = (
        f"Left: the share of all {facts.n} images that some corner colour at this pixel fools. Right: the first "
        f"{len(shots)} images of the validation half, in file order, with the changed pixel circled, and below in "
        "colour the vulnerable ones among the pixels that the gradient points at."
    )
    peak = int(share.argmax())
    alt = (
        f"Mean share {percent(float(share.mean()), 2)}, largest {percent(float(share.max()))} at row "
        f"{peak // share.shape[1]}, column {peak % share.shape[1]}; then {len(shots)} example images."
    )
    return draw("attackability", paint, words=Words("Attackability map", caption, alt), size=(10.5, 3.1))


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _marked(image: Tensor) -> Tensor:
    return (image if len(image) == 3 else image[:1].expand(3, -1, -1)).permute(1, 2, 0).clamp(0, 1)


def _dimmed(shot: views.PixelExample) -> Tensor:
    grey = _marked(shot.clean).mean(2, keepdim=True).expand(-1, -1, 3) * 0.5 + 0.5
    return torch.where(shot.vulnerable[..., None], torch.tensor(POSITIVE) / 255, grey)


def _proofs(facts: OnePixelProofs | None) -> list[Block]:
    """Attacked and certified accuracy side by side."""
    if facts is None:
        why = "the study's [pixels] asks for none, or its network has an operation without bounds"
        return [Prose(f"No certificates were made: {why}; pixelproof certify makes them, or names the operation.")]
    cost = facts.quartiles
    spent = "–" if cost is None else " / ".join(number(value, 3) for value in cost)
    of_all, of_right = f"of all {facts.offered} images", f"of the {facts.n} correctly classified"
    rows = (
        cells(f"robust accuracy, {of_all} (upper bound)", interval(facts.robust_accuracy), head=1),
        cells(f"left standing, {of_right} (upper bound)", interval(facts.left_standing), head=1),
        cells(f"certified accuracy, {of_all} (lower bound)", interval(facts.certified_accuracy), head=1),
        cells(f"proven, {of_right} (lower bound)", interval(facts.proven), head=1),
        cells(
            "attacked / proven / undecided",
            f"{facts.attacked} / {facts.certified} / {facts.undecided}",
            head=1,
        ),
        cells("CPU seconds per image, mean", number(facts.mean_seconds, 3), head=1),
        cells("of those not attacked: least, quartiles, most", spent, head=1),
    )
    note = (
        f"The first {facts.offered} test images in file order, of which {facts.n} are classified correctly; at most "
        f"{number(facts.budget, 4)} CPU seconds each; {facts.boxes} boxes of colours were bounded. A proof is "
        "about the network in exact arithmetic, with a margin of 0.001 logits for float32."
    )
    caption = "Accuracy under one pixel: attacked against certified"
    return [Table("one-pixel-certificate", caption, ("", "value"), (rows,), note)]


def _repair(facts: RepairFindings | None) -> list[Block]:
    """Detection by repair, and the attacks that know it."""
    if facts is None:
        return []
    first = tuple(
        cells(name, interval(rate), rate.n, head=1)
        for name, rate in (
            ("twins caught", facts.caught),
            ("changed pixel located", facts.located),
            ("true label restored", facts.restored),
            ("false alarms on correct test images", facts.false_alarms),
            ("false alarms on the twins' clean images", facts.false_on_twins),
        )
    )
    second = tuple(
        cells(
            f"unseen when the attack knows, pixels: {row.pixels}",
            interval(row.unseen),
            row.unseen.n,
            head=1,
        )
        for row in facts.adaptive
    )
    note = (
        "An alarm: putting one of the pixels that stick out most to the median of its neighbours changes the label. "
        f"AUROC {number(facts.auroc, 3)}, {number(facts.seconds, 2)} CPU seconds per image. The clean images "
        "of twins are nearer to a boundary than others. Two pixels that each suffice cannot be repaired one at a time."
    )
    return [Table("one-pixel-repair", "Detection by repair", ("", "share", "n"), (first, second), note)]
