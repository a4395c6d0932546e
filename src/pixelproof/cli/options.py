"""Options that several commands share, said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

GATE = 3  # exit code of a command that was told to fail on its result

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results only: no progress, no hints.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value on standard output.")]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder that holds mnist/, cifar10/, ... (else PIXELPROOF_DATA, then the cache)."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Seed = Annotated[
    int, typer.Option("--seed", min=0, max=2**63 - 1, help="Of training, samples and attacks; splits never change.")
]
DataName = Annotated[str, typer.Option("--data", help="digits, mnist, fashion-mnist, cifar10, or a path to your own.")]
ModelName = Annotated[
    str, typer.Option("--model", help="cnn, mlp, ..., model.safetensors, my_model.py:build, x.pt2 or timm:NAME.")
]
Weights = Annotated[Path | None, typer.Option("--weights", help="Weights for --model: safetensors or a state dict.")]
