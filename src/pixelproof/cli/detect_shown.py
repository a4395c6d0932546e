"""What `detect` prints: settings, tuning, verdicts on pictures, figures on test images."""

from __future__ import annotations

from typing import Any

from pixelproof.cli.screen import err, out, percent, table

SHOWN = 20


def show(report: dict[str, Any], *, quiet: bool) -> None:
    """Print the report of `detect`, without hints when `quiet`."""
    out.print(report["settings"], highlight=False, markup=False, style="dim", soft_wrap=True)
    for row in report["tuned"]:
        out.print(
            f"{row['layer']}: k = {row['k']}, threshold {row['threshold']}, EER {100 * row['eer']:.1f} %, accuracy "
            f"{100 * row['accuracy']:.1f} % (n = {row['clean']} clean, {row['attacked']} attacked)",
            highlight=False,
        )
    if report["mute"]:
        err.print(
            f"at this k no count of neighbours is rare enough for {100 * report['rate']:g} % false alarms: this guard "
            "never alarms. Raise k or --rate, or set a threshold: neighbours:k=5,threshold=2.",
            style="yellow",
            highlight=False,
        )
    if "images" in report:
        rows = sorted(report["images"], key=lambda row: (row["p_value"], -row["score"]))
        body: list[tuple[object, ...]] = [
            (
                row["image"], row["predicted"], "alarm" if row["alarm"] else "quiet", f"{row['score']:.4g}",
                f"{row['p_value']:.4f}", row["recovered"] or "-",
            )
            for row in rows[:SHOWN]
        ]  # fmt: skip
        alarms = sum(row["alarm"] for row in rows)
        title = f"{report['detector']}: {alarms} of {len(rows)} images alarmed, strangest first"
        table(title, ["image", "predicted", "verdict", "score", "p-value", "recovered"], body)
        if len(rows) > SHOWN and not quiet:
            err.print(f"{len(rows) - SHOWN} more: --json gives all of them, with their neighbours", style="dim")
    if "false_alarms" in report:
        clean, wrong = report["false_alarms"], report["natural_error_alarms"]
        out.print(f"false alarms {percent(clean)} of {clean.n} clean test images", highlight=False)
        out.print(f"alarms on natural errors {percent(wrong)}, n={wrong.n}", highlight=False)
        body = [
            (
                row["attack"], f"{row['fooled']} of {row['attacked']}",
                *(
                    (
                        f"{row['auroc']:.3f}", percent(row["alarms"]),
                        "-" if row["recovered"] is None else percent(row["recovered"]),
                    )
                    if "auroc" in row
                    else ("-", "-", "-")
                ),
            )
            for row in report["attacks"]
        ]  # fmt: skip
        if body:
            table(report["detector"], ["attack", "fooled", "AUROC", "alarms", "recovered class right"], body)
        for row in report["attacks"]:
            if row.get("remark"):
                out.print(f"{row['attack']}: {row['remark']}", highlight=False, markup=False)
    if "known" in report:
        known = report["known"]
        out.print(
            f"attacks that know the guard (linf {known['eps']:.3g}): {percent(known['evaded'])} evade, "
            f"n={known['evaded'].n}",
            highlight=False,
        )
    if report["folder"] is not None:
        out.print(f"guard: {report['folder']} ({'new' if report['new'] else 'kept'})", soft_wrap=True)
