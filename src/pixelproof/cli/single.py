"""Commands that do one thing: attack, train, list."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from pixelproof.cli.options import AsJson, DataDir, DataName, Device, ModelName, Quiet, Seed, Weights
from pixelproof.cli.screen import emit, err, out, percent, progress, table

if TYPE_CHECKING:
    from pixelproof.attacks import AdversarialSet
    from pixelproof.data import Dataset
    from pixelproof.models import Classifier


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
    save: Annotated[Path | None, typer.Option("--save", help="Write images and facts to this .npz file.")] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Attack a model on the correctly classified images of a test set and print what held."""
    from pixelproof import attacks, data

    chosen = attacks.parse(spec)
    images = data.load(data_name, "test", data_dir)
    images = images if n is None else images.sample(n, seed)
    with progress(silent=quiet or as_json) as tell:
        model = _model(model_name, weights, data_name, data_dir, device, seed, tell)
        targets = None
        if target is not None:
            images = images[images.labels != target]
            targets = images.labels.new_full((len(images),), target)
        attacked = model if surrogate is None else _model(surrogate, None, data_name, data_dir, device, seed, tell)

        def told(done: int, total: int) -> None:
            tell(f"attack {chosen.name} on {attacked.card.name}", done, total, "")

        if surrogate is None:
            found = attacks.mount(chosen, model, images, targets=targets, seed=seed, progress=told)
        else:
            found = attacks.transfer(chosen, attacked, model, images, targets=targets, seed=seed, progress=told)
    if save is not None:
        _save(found, save)
    facts = _facts(found) if surrogate is None else {**_facts(found), "searched_on": attacked.card.name}
    if as_json:
        emit(facts)
        return
    rows = [
        (key.replace("_", " "), percent(value) if isinstance(value, dict) else value) for key, value in facts.items()
    ]
    table(found.attack, ["", ""], [row for row in rows if row[1] is not None])
    if chosen.name == "fgsm" and not quiet:
        err.print("FGSM alone says little: run pgd at the same eps beside it", style="dim")


def train(
    model_name: ModelName = "cnn",
    data_name: DataName = "digits",
    settings: Annotated[
        str, typer.Option("--training", help="For example epochs=20,learning_rate=1e-3,augment=flip.")
    ] = "",
    out_folder: Annotated[Path | None, typer.Option("--out", help="Run folder (default: runs/MODEL-DATA).")] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train a network and keep it as a run: model.safetensors, history, scores on the test set."""
    from pixelproof import models, study, views
    from pixelproof.errors import UnknownName
    from pixelproof.views.answer import held

    if model_name not in models.NETS:
        raise UnknownName("train", "network of pixelproof's own", model_name, models.NETS)
    name = re.sub("[^a-z0-9]+", "-", f"{model_name}-{Path(data_name).stem}".lower()).strip("-")
    wanted = study.parse(
        {
            "name": name,
            "title": f"{model_name} trained on {data_name}",
            "seed": seed,
            "data": {"name": data_name},
            "model": {"net": model_name},
            "training": settings,
        },
        who="train",
    )
    folder = out_folder or Path("runs") / wanted.name
    with progress(silent=quiet or as_json) as tell:
        done = study.conduct(
            wanted,
            folder,
            root=data_dir,
            device=device,
            listener=lambda event: tell(event.stage, event.done, event.total, event.note),
        )
    opened = views.OpenRun(done, done.folder.name)
    facts = views.overview(opened)
    if as_json:
        emit({"model": str(done.path("model")), "overview": facts, "history": held(lambda: views.training(opened))})
        return
    out.print(f"clean accuracy {percent(facts.clean_accuracy)}, n={facts.clean_accuracy.n}")
    out.print(f"model: {done.path('model')}", soft_wrap=True)


def components(as_json: AsJson = False) -> None:
    """List attacks, detectors, defences and networks with their settings and defaults."""
    from pixelproof import attacks, defend, detect, models

    rows, hardening = _table(attacks.ATTACKS), _table(defend.DEFENCES)
    guards = _table({**detect.DETECTORS, **detect.SUPERVISED})
    nets = [(name, _first_line(net)) for name, net in models.NETS.items()]
    if as_json:
        emit(
            {
                "attacks": [dict(zip(("name", "settings", "about"), row, strict=True)) for row in rows],
                "detectors": [dict(zip(("name", "settings", "about"), row, strict=True)) for row in guards],
                "defences": [dict(zip(("name", "settings", "about"), row, strict=True)) for row in hardening],
                "networks": dict(nets),
            }
        )
        return
    for title, entries in (("Attacks", rows), ("Detectors", guards), ("Defences", hardening), ("Networks", nets)):
        out.print(title, style="bold")
        for entry in entries:
            out.print(Text.assemble("  ", (entry[0], "bold"), f"  {entry[-1]}"))
            if len(entry) == 3:
                out.print(f"      settings: {entry[1]}", highlight=False)


def _table(table: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, settings with defaults, and first line of every component of a table."""
    rows = []
    for name, kind in table.items():
        fields = [
            field.name if field.default is dataclasses.MISSING else f"{field.name}={field.default}"
            for field in dataclasses.fields(kind)
        ]
        rows.append((name, ", ".join(fields), _first_line(kind)))
    return rows


def _first_line(thing: object) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]


def _model(
    name: str, weights: Path | None, data_name: str, data_dir: Path | None, device: str, seed: int, tell: Any
) -> Classifier:
    """The model of a command: its training set is read only when it must be trained."""
    from pixelproof import data, models

    trained_here = name in models.NETS and weights is None
    shapes: Dataset = data.load(data_name, "train" if trained_here else "test", data_dir)
    return models.load(
        name,
        data=shapes,
        weights=weights,
        training=dataclasses.replace(models.suited(name, len(shapes)), seed=seed) if trained_here else None,
        device=device,
        progress=lambda done, total, note: tell(f"train {name}", done, total, note),
    )


def _facts(found: AdversarialSet) -> dict[str, Any]:
    from pixelproof.scores import median
    from pixelproof.views.overview import rate

    looked = found.success & (found.first_break >= 0)
    return {
        "attack": found.attack,
        **({"settings": found.used} if found.used != found.attack else {}),
        "data": found.data,
        "model": found.model,
        "seed": found.seed,
        "n": len(found),
        "offered": found.offered,
        "fooled": int(found.success.sum()),
        "fooled_8bit": int(found.success_8bit.sum()),
        "robust_accuracy": rate(found.robust_accuracy),
        "overall_accuracy": rate(found.overall_accuracy),
        **({} if found.rate is None else {"expected_robust_accuracy": round(found.expected_robust_accuracy, 6)}),
        **({"notes": "; ".join(found.notes)} if found.notes else {}),
        f"median_{found.norm}_of_fooled": median(found.distance[found.norm][found.success]),
        "median_first_break": median(found.first_break[looked]),
        "forwards_per_image": round(float(found.forwards.double().mean()), 2),
        "backwards_per_image": round(float(found.backwards.double().mean()), 2),
        "seconds": round(found.seconds, 3),
    }


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
