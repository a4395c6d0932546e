"""defend: harden a model with one or several defences, and say at once what that did and did not do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pixelproof.cli import amounts
from pixelproof.cli.defend_shown import show
from pixelproof.cli.kept import kept
from pixelproof.cli.model import chosen_model
from pixelproof.cli.options import AsJson, DataDir, DataName, Device, ModelName, Quiet, Seed, Weights
from pixelproof.cli.progress import progress
from pixelproof.cli.refusals import check_training
from pixelproof.cli.screen import emit
from pixelproof.errors import BadInput, UnknownName

SPLITS: tuple[Literal["train", "val", "test"], ...] = ("train", "val", "test")


def defend(
    defences: Annotated[
        list[str],
        typer.Argument(metavar="DEFENCE...", help="For example mask:ratio=0.3,fill=noise,when=train gradient-noise."),
    ],
    data_name: DataName = "digits",
    model_name: ModelName = "mlp",
    weights: Weights = None,
    settings: Annotated[str, typer.Option("--training", help="For example epochs=5,batch=128.")] = "",
    start: Annotated[
        str, typer.Option("--start", help="fresh: new weights (our networks); given: go on from the model's; auto.")
    ] = "auto",
    place: Annotated[
        Path,
        typer.Option("--out", help="A file NAME.safetensors for the hardened model, or a folder to keep all of it in."),
    ] = Path("hardened.safetensors"),
    eps: Annotated[str, typer.Option("--eps", help="Size of the linf change that both models are tried with.")] = "0.1",
    n: Annotated[int, typer.Option("--n", min=1, help="Test images to try both models on.")] = 300,
    data_dir: DataDir = None,
    device: Device = "auto",
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Harden a model with the DEFENCEs, all in one training, and save it.

    Both models are tried with FGSM and PGD on the same test images. That is a first look and no proof: `pixelproof
    evaluate` bounds the robust accuracy, `pixelproof audit` says whether it can be believed.
    """
    from pixelproof import data, models, specs
    from pixelproof import defend as library
    from pixelproof.results import catalogue
    from pixelproof.study.before_after import before_and_after
    from pixelproof.views.commands import defended

    if start not in ("auto", "fresh", "given"):
        raise UnknownName("--start", "start", start, ("auto", "fresh", "given"))
    check_training(settings)
    training = specs.parse(f"training:{settings}", {"training": models.Training}) if settings else None
    chosen = library.Hardening(library.parse(defences), training, start)  # type: ignore[arg-type]
    for option, used in (("--training", bool(settings)), ("--start", start != "auto")):
        if used and not chosen.trains:
            raise BadInput(option, "needs a defence that is trained", ", ".join(defences), f"Leave {option} out.")
    size = amounts.size(eps, "linf")
    folder = None if place.suffix == ".safetensors" else place
    with progress(silent=quiet or as_json) as tell:
        model = chosen_model(model_name, weights, data_name, data_dir, device, seed, tell)
        train, validation, test = (data.load(data_name, split, data_dir) for split in SPLITS)
        test = test.sample(n, seed)
        asked: dict[str, object] = {
            "command": "defend",
            "model": model.digest(),
            "data": train.digest(),
            "tried": test.digest(),
        }
        asked |= {"defences": [specs.write(each) for each in chosen.defences], "training": settings, "start": start}
        with kept(folder, {**asked, "eps": size, "seed": seed}, tell) as run:
            record = None if run is None else catalogue.DEFENDED.find(run)
            file = place if run is None else catalogue.MODEL.path(run)
            if record is None:
                hardened = chosen.conduct(
                    model,
                    train,
                    validation=validation,
                    seed=seed,
                    progress=lambda done, total, note: tell("harden", done, total, note),
                )
                models.save(hardened.model, file)
                bounded = any(isinstance(each, library.IntervalTraining) for each in chosen.defences)
                record = before_and_after(model, hardened, test, size, bounded=bounded, seed=seed)
            if run is not None:
                catalogue.DEFENDED.save(run, record)
                run.finish({})
    answer = defended(record, str(file), eps)
    emit(answer) if as_json else show(answer, quiet=quiet)
