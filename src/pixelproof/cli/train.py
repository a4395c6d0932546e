"""train: a network of pixelproof's own, kept as a run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from pixelproof.cli.options import AsJson, DataDir, DataName, Device, Quiet, Seed
from pixelproof.cli.progress import progress
from pixelproof.cli.refusals import check_data_dir, check_training
from pixelproof.cli.screen import emit, out, percent


def train(
    model_name: Annotated[
        str,
        typer.Option("--model", help="A network of pixelproof's own: cifar-cnn, cnn, masking-cnn, mlp or resnet18."),
    ] = "cnn",
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
    check_data_dir(data_dir, (data_name,))
    check_training(settings)
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
