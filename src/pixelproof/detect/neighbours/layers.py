"""Which layers are looked at, and what an image's activations there are as one row of numbers."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from pixelproof.detect.guards.guard import check_finite
from pixelproof.draws import seeded
from pixelproof.errors import BadInput
from pixelproof.models import Classifier, evaluating
from pixelproof.models.exported import Program
from pixelproof.models.hooks import hooked
from pixelproof.types import Images, Logits

BATCH = 250  # images at once, at most
AT_ONCE = 8_000_000  # values of images or activations at once: 250 images of 32,000 values each
PROBED = 2
GIB = 2**30
FITS = 4 * GIB  # activations of default layers; a constant, for defaults must not depend on the machine
MEAN = "@mean"  # "conv2@mean": the mean of each channel of conv2 over the image


def default_layers(model: Classifier, *, rows: int = 0) -> tuple[str, ...]:
    """The dense layers, as in Keppel et al., and before them the flattened output of the convolutional part.

    Only layers that run in a forward pass, and only the last of them whose activations of `rows` images fit into 4 GiB
    together: a transformer's dense layers put out a row per token. Raises BadInput for a network without a dense layer
    that runs, and for one whose layers cannot be tapped.
    """
    modules = dict(model.net.named_modules())
    names = list(modules)
    width = widths(model, [name for name in names if isinstance(modules[name], nn.Linear | nn.Flatten)])
    dense = [name for name in width if isinstance(modules[name], nn.Linear)]
    if not dense:
        others = {} if isinstance(model.net, Program) else widths(model, [name for name in names if name])
        if not others:
            expected = "a network whose layers can be tapped is needed"
            do = "Use a detector that looks at the image or the logits, such as margin, transform or squeezing."
            raise BadInput("detect", expected, f"{model.card.name}, which shows none", do)
        do = f"Join several by '|', such as layers={'|'.join(list(others)[-2:])}."
        raise BadInput("detect", "a network without dense layers needs layers=...", "none", do)
    before = names[: names.index(dense[0])]
    deep = any(isinstance(modules[name], nn.Conv2d) for name in before)
    flat = [name for name in before if name in width and isinstance(modules[name], nn.Flatten)] if deep else []
    chosen = [*flat[-1:], *dense]
    while len(chosen) > 1 and index_bytes([width[name] for name in chosen], rows) > FITS:
        chosen = chosen[1:]
    return tuple(chosen)


def widths(model: Classifier, names: Sequence[str]) -> dict[str, int]:
    """How many values an image has in each of these modules that run and put out one row per image, in their order."""
    found: dict[str, int] = {}
    modules = dict(model.net.named_modules())

    def note(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and output.ndim > 1 and len(output) == PROBED:
                found[name] = output[0].numel()

        return hook

    with ExitStack() as stack, evaluating(model), torch.no_grad(), seeded(None):
        for name in names:
            if name in modules:
                stack.enter_context(hooked(modules[name], note(name)))
        model(torch.zeros((PROBED, *model.card.input_shape), device=model.device))
    return {name: found[name] for name in names if name in found}


def index_bytes(width: Sequence[int], rows: int) -> int:
    """The memory that the activations of `rows` images take."""
    return 4 * rows * sum(width)


def check_memory(width: Mapping[str, int], rows: int) -> None:
    """Refuse activations that this machine cannot hold, before a single one is computed."""
    needed, there = index_bytes(list(width.values()), rows), installed_memory()
    if there is not None and needed > there:
        largest = max(width, key=lambda name: width[name])
        raise BadInput(
            "store",
            f"the activations of {rows} images must fit into memory ({there / GIB:.1f} GiB)",
            f"{needed / GIB:.1f} GiB, {width[largest]:,} values an image in '{largest}' alone",
            "Name fewer or smaller layers, or give fewer images.",
        )


def installed_memory() -> int | None:
    """Bytes of memory in this machine, None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def batch_of(values: int, most: int = BATCH) -> int:
    """How many images of so many values are taken at once: `most`, fewer of large ones."""
    return max(1, min(most, AT_ONCE // max(values, 1)))


def features(model: Classifier, images: Images, layers: Sequence[str]) -> tuple[dict[str, Tensor], Logits]:
    """Rows (n, d) of each layer and the logits, from one forward pass, on the model's device, still in the graph.

    A layer's output is flattened; "LAYER@mean" pools a convolution's to one mean per channel.
    """
    logits: list[Tensor] = []
    with hooked(model, lambda _module, _inputs, output: logits.append(output)):
        taps = model.taps(images, sorted({layer.removesuffix(MEAN) for layer in layers}))
    modules = dict(model.net.named_modules())
    rows = {}
    for layer in layers:
        name = layer.removesuffix(MEAN)
        rows[layer] = taps[name] if layer == name else _pooled(name, modules[name], taps[name])
    return rows, logits[-1]


def activations(model: Classifier, images: Images, layers: Sequence[str]) -> tuple[dict[str, Tensor], Logits]:
    """`features` of any number of images, on the CPU, without gradients; refuses activations that are not finite."""
    parts: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    logits = []
    width = [batch_of(math.prod(images.shape[1:]))]
    with evaluating(model), torch.no_grad():
        for batch in batches(images, width):
            rows, out = features(model, batch.to(model.device), layers)
            logits.append(out.float().cpu())
            width[0] = min(width[0], batch_of(sum(row.shape[1] for row in rows.values())))
            for layer in layers:
                parts[layer].append(check_finite("detect", layer, rows[layer]).float().cpu())
    return {layer: torch.cat(parts[layer]) for layer in layers}, torch.cat(logits)


def batches(images: Images, size: Sequence[int]) -> Iterator[Images]:
    """Images, as many at a time as `size` holds when they are asked for, so that a batch can size the next one."""
    start = 0
    while start < len(images):
        stop = start + size[0]
        yield images[start:stop]
        start = stop


def _pooled(name: str, module: nn.Module, rows: Tensor) -> Tensor:
    if not isinstance(module, nn.Conv2d):
        raise BadInput("detect", f"only a convolution's channels can be averaged ({MEAN})", f"'{name}'")
    return rows.view(len(rows), module.out_channels, -1).mean(2)


def hidden_layer(model: Classifier) -> str:
    """The last layer before the logits that `default_layers` names (the logits themselves where it is the only one)."""
    return default_layers(model)[-2:][0]
