"""The report of one attack on a model."""

from __future__ import annotations

from pixelproof.report.commands.bounds import headline
from pixelproof.report.page import Block, Prose, ReportSection, Table, cells
from pixelproof.views.commands import AttackAnswer

ONE = "One attack says how often it succeeds. Others may succeed more often: 'pixelproof evaluate' asks an ensemble."


def attack_sections(found: AttackAnswer) -> tuple[ReportSection, ...]:
    """What stands, what fell, how far the images went and what it cost."""
    rates = [
        ("robust accuracy, at most", found.robust_accuracy),
        ("left standing of the correctly classified, at most", found.left_standing),
    ]
    facts = {
        "attack, with every setting": found.settings,
        "searched on": found.searched_on,
        "images turned": f"{found.fooled} of {found.n}",
        "still turned when saved with 8 bits": found.fooled_8bit,
        "expected robust accuracy, random model": found.expected_robust_accuracy,
        f"median {found.norm} distance of those turned": found.median_distance_of_fooled,
        "median forward pass of the first success": found.median_first_break,
        "forward passes per image": found.forwards_per_image,
        "backward passes per image": found.backwards_per_image,
        "seconds": found.seconds,
        "seed": found.seed,
    }
    rows = tuple(
        cells(name, f"{value:.4g}" if isinstance(value, float) else value, head=1)
        for name, value in facts.items()
        if value is not None
    )
    blocks: list[Block] = [headline(rates), Table("attack", "The attack.", ("", ""), (rows,))]
    blocks += [Prose(text, alert=True) for text in found.notes]
    return (ReportSection("attack", "What the attack did", (*blocks, Prose(ONE))),)
