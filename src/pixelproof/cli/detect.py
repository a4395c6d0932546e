"""detect: build, tune, keep and apply a guard on a model and images of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pixelproof.cli.options import AsJson, DataDir, Device, Quiet, Seed, Weights
from pixelproof.cli.screen import emit, err, out, percent, progress, table
from pixelproof.cli.single import _model

SHOWN = 20


def detect(
    model_name: Annotated[str, typer.Argument(metavar="MODEL", help="cnn, ..., model.safetensors, my_model.py:build.")],
    data_name: Annotated[str, typer.Argument(metavar="DATA", help="digits, mnist, cifar10, or a path to your own.")],
    images: Annotated[
        Path | None, typer.Option("--images", help="Judge these: a picture, a folder of pictures, or an .npz.")
    ] = None,
    detector: Annotated[
        str, typer.Option("--detector", help="For example margin, neighbours:k=75, ensemble (see 'list').")
    ] = "neighbours",
    attack: Annotated[
        list[str] | None, typer.Option("--attack", help="Judge the guard against this attack (may be repeated).")
    ] = None,
    tune: Annotated[
        str | None, typer.Option("--tune", help="Tune k of 'neighbours' per layer on this attack, as in paper 3.")
    ] = None,
    adaptive: Annotated[
        int, typer.Option("--adaptive", min=0, help="Also attack n images by attacks that know the guard.")
    ] = 0,
    rate: Annotated[float, typer.Option("--rate", help="The share of clean images that may be alarmed.")] = 0.05,
    fit: Annotated[int, typer.Option("--fit", min=100, help="Training images to fit on at most.")] = 10_000,
    n: Annotated[int, typer.Option("--n", min=20, help="Test images to attack and to judge on at most.")] = 500,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Keep the guard here; the same command uses it again.")
    ] = None,
    weights: Weights = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Fit a guard of MODEL on the training images of DATA, set its threshold on validation images, and apply it.

    Without --images it judges the test images: how many false alarms, and with --attack what it notices.
    """
    from pixelproof import attacks, data
    from pixelproof.cli import guarding
    from pixelproof.detect import SUPERVISED, NeighbourGuard, parse
    from pixelproof.errors import BadInput

    if not 0 < rate < 1:
        raise BadInput("--rate", "the false-alarm rate must lie in (0, 1)", rate)
    if tune is not None and parse(detector).name != "neighbours":
        raise BadInput("--tune", "only 'neighbours' has k and thresholds per layer to tune", f"'{detector}'")
    specs = list(dict.fromkeys(attack or ()))
    for spec in [*specs, *([tune] if tune else []), detector]:
        parse(spec) if spec == detector else attacks.parse(spec)
    learns = parse(detector).name in SUPERVISED
    if learns and not specs:
        expected = f"'{detector}' is fitted on attacked training images and needs an attack"
        raise BadInput(
            "--attack", expected, "none", "For example --attack pgd:eps=8/255; it learns from the first one."
        )
    asked = guarding.Asked(detector, tune, rate, fit, seed, specs[0] if learns else None)
    with progress(silent=quiet or as_json) as tell:
        model = _model(model_name, weights, data_name, data_dir, device, seed, tell)
        pictures = None if images is None else guarding.pictures(model, images)  # before the long work
        train, held = data.load(data_name, "train", data_dir), data.load(data_name, "val", data_dir)
        built = guarding.build(asked, model, (train, held), folder=out_folder, tell=tell)
        report: dict[str, Any] = {**vars(asked), "model": model.digest(), "new": built.new, "tuned": built.tuned}
        report["settings"] = built.settings
        report["folder"] = None if out_folder is None else str(out_folder)
        report["mute"] = isinstance(built.guard, NeighbourGuard) and built.guard.mute
        if pictures is not None:
            report["images"] = guarding.judged(built.guard, model, *pictures)
        if images is None or specs or adaptive:
            test = data.load(data_name, "test", data_dir).sample(n, seed)
            found = {spec: guarding.mounted(spec, model, test, seed, tell) for spec in specs}
            report |= guarding.measured(built.guard, model, test, found, seed)
            if adaptive:
                report["known"] = guarding.known(built.guard, model, test, adaptive, found, seed, tell)
    if as_json:
        emit(report)
    else:
        _print(report, quiet=quiet)


def _print(report: dict[str, Any], *, quiet: bool) -> None:
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
        out.print(f"false alarms {percent(clean)} of {clean['n']} clean test images", highlight=False)
        out.print(f"alarms on natural errors {percent(wrong)}, n={wrong['n']}", highlight=False)
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
            f"n={known['evaded']['n']}",
            highlight=False,
        )
    if report["folder"] is not None:
        out.print(f"guard: {report['folder']} ({'new' if report['new'] else 'kept'})", soft_wrap=True)
