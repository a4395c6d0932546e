"""detect: build, tune, keep and apply a guard on a model and images of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pixelproof.cli.detect_shown import show
from pixelproof.cli.kept import kept
from pixelproof.cli.model import chosen_model
from pixelproof.cli.options import AsJson, DataDir, Device, Quiet, Seed, Weights
from pixelproof.cli.progress import progress
from pixelproof.cli.screen import emit
from pixelproof.errors import BadInput

N = 500  # test images, unless said


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
    n: Annotated[
        int | None, typer.Option("--n", min=20, help=f"Test images to attack and to judge on at most (default: {N}).")
    ] = None,
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
    from pixelproof.cli.pictures import pictures
    from pixelproof.detect import SUPERVISED, NeighbourGuard, building, parse
    from pixelproof.measure import guards
    from pixelproof.results import catalogue
    from pixelproof.results.detection import DetectionRecord
    from pixelproof.views.commands import detected

    if not 0 < rate < 1:
        raise BadInput("--rate", "the false-alarm rate must lie in (0, 1)", rate)
    if tune is not None and parse(detector).name != "neighbours":
        raise BadInput("--tune", "only 'neighbours' has k and thresholds per layer to tune", f"'{detector}'")
    specs = list(dict.fromkeys(attack or ()))
    if n is not None and images is not None and not specs and not adaptive:
        do = "Leave --n out, or name an --attack."
        raise BadInput("--n", "test images are judged without --images or with --attack", f"--images {images}", do)
    for spec in [*specs, *([tune] if tune else [])]:
        attacks.parse(spec)
    learns = parse(detector).name in SUPERVISED
    if learns and not specs:
        expected = f"'{detector}' is fitted on attacked training images and needs an attack"
        raise BadInput(
            "--attack", expected, "none", "For example --attack pgd:eps=8/255; it learns from the first one."
        )
    asked = building.Asked(detector, tune, rate, fit, seed, specs[0] if learns else None)
    with progress(silent=quiet or as_json) as tell:
        model = chosen_model(model_name, weights, data_name, data_dir, device, seed, tell)
        given = None if images is None else pictures(model, images)  # before the long work
        train, held = data.load(data_name, "train", data_dir), data.load(data_name, "val", data_dir)
        made = {"command": "detect", **vars(asked), "model": model.digest(), "data": train.name}
        with kept(out_folder, {**made, "content": building.content(train, held)}, tell) as run:
            built = building.build(asked, model, (train, held), folder=out_folder, tell=tell)
            tested = known = None
            if images is None or specs or adaptive:
                test = data.load(data_name, "test", data_dir).sample(n or N, seed)
                found = {spec: building.mounted(spec, model, test, seed, tell) for spec in specs}
                tested = guards.on_test(built.guard, model, test, found, seed=seed)
                if adaptive:
                    known = guards.knowing(
                        built.guard, model, test, name=detector, n=adaptive, rate=rate, attacked=found, seed=seed,
                        tell=tell,
                    )  # fmt: skip
            record = DetectionRecord(
                asked=asked,
                model=model.digest(),
                network=model.card.name,
                data=train.name,
                classes=model.card.classes,
                settings=built.settings,
                tuned=built.tuned,
                mute=isinstance(built.guard, NeighbourGuard) and built.guard.mute,
                pictures=None if given is None else guards.on_pictures(built.guard, model, *given),
                tested=tested,
                known=known,
            )
            if run is not None:
                catalogue.DETECTION.save(run, record)
                run.finish({})
    answer = detected(record, new=built.new, folder=None if out_folder is None else str(out_folder))
    emit(answer) if as_json else show(answer, quiet=quiet)
