"""attack: one attack on the correctly classified images of a test set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelproof.cli.kept import kept
from pixelproof.cli.model import chosen_model
from pixelproof.cli.options import AsJson, DataDir, DataName, Device, ModelName, Quiet, Seed, Weights
from pixelproof.cli.progress import progress
from pixelproof.cli.screen import emit, err, loud, percent, table

if TYPE_CHECKING:
    from pixelproof.attacks import AdversarialSet
    from pixelproof.views.commands import AttackAnswer


def attack(
    spec: Annotated[str, typer.Argument(metavar="ATTACK", help="For example pgd:eps=8/255,steps=40 (see 'list').")],
    data_name: DataName = "digits",
    model_name: ModelName = "cnn",
    weights: Weights = None,
    n: Annotated[int | None, typer.Option("--n", min=1, help="Attack a seeded stratified sample of n images.")] = None,
    target: Annotated[int | None, typer.Option("--target", help="Make every image be taken for this class.")] = None,
    surrogate: Annotated[
        str | None, typer.Option("--surrogate", help="Search on this model instead; --model only judges (transfer).")
    ] = None,
    folder: Annotated[Path | None, typer.Option("--out", help="Keep the attack here, for report and explore.")] = None,
    save: Annotated[Path | None, typer.Option("--save", help="Write images and facts to this .npz file.")] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Attack a model on the correctly classified images of a test set and print what stands."""
    from pixelproof import attacks, data
    from pixelproof.measure import flags
    from pixelproof.results import catalogue
    from pixelproof.results.attacked import AttackedRecord
    from pixelproof.views.commands import attacked

    chosen = attacks.parse(spec)
    images = data.load(data_name, "test", data_dir)
    images = images if n is None else images.sample(n, seed)
    with progress(silent=quiet or as_json) as tell:
        model = chosen_model(model_name, weights, data_name, data_dir, device, seed, tell)
        targets = None
        if target is not None:
            images = images[images.labels != target]
            targets = images.labels.new_full((len(images),), target)
        source = model if surrogate is None else chosen_model(surrogate, None, data_name, data_dir, device, seed, tell)
        asked = {"command": "attack", "attack": repr(chosen), "model": model.digest(), "data": images.digest()}
        others = {"searched_on": None if surrogate is None else source.digest(), "target": target, "seed": seed}

        def told(done: int, total: int) -> None:
            tell(f"attack {chosen.name} on {source.card.name}", done, total, "")

        with kept(folder, {**asked, **others}, tell) as run:
            record = None if run is None else catalogue.ATTACK.find(run)
            if record is None and surrogate is None:
                record = AttackedRecord(attacks.mount(chosen, model, images, targets=targets, seed=seed, progress=told))
            elif record is None:
                found = attacks.transfer(chosen, source, model, images, targets=targets, seed=seed, progress=told)
                record = AttackedRecord(found, source.card.name)
            if run is not None and not run.complete:
                catalogue.ATTACK.save(run, record)
                run.finish({})
    if save is not None:
        _save(record.found, save)
    answer = attacked(record)
    loud([text for text in [flags.chance(answer.clean_accuracy, len(images.classes))] if text])
    if as_json:
        emit(answer)
        return
    show(answer)
    if chosen.name == "fgsm" and not quiet:
        err.print("FGSM alone says little: run pgd at the same eps beside it", style="dim")


def show(answer: AttackAnswer) -> None:
    """Print every figure that there is."""
    from pixelproof.types import Rate

    said = {**dict(answer), "notes": "; ".join(answer.notes)}
    unsaid = ("attack", *(["settings"] if answer.settings == answer.attack else []))
    rows = [(key.replace("_", " "), value) for key, value in said.items() if key not in unsaid]
    texts = [
        (key, percent(value) if isinstance(value, Rate) else f"{value:.4g}" if isinstance(value, float) else value)
        for key, value in rows
    ]
    table(answer.attack, ["", ""], [row for row in texts if row[1] not in (None, "")])


def _save(found: AdversarialSet, path: Path) -> None:
    """Images and facts as a plain .npz file, written whole or not at all."""
    import numpy as np

    from pixelproof.atomic import replacing

    tensors = {
        "clean": found.clean,
        "images": found.images,
        "labels": found.labels,
        "predicted": found.predicted,
        "success": found.success,
        "success_8bit": found.success_8bit,
        "index": found.index,
        **{f"distance_{norm}": values for norm, values in found.distance.items()},
    }
    arrays: Any = {name: tensor.numpy() for name, tensor in tensors.items()}
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays)
