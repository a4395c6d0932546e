"""Which layers are looked at, and what an image's activations there are as one row of numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pixelproof.detect.guards.guard import check_finite
from pixelproof.errors import BadInput
from pixelproof.models import Classifier, evaluating
from pixelproof.types import Images, Logits

BATCH = 250
MEAN = "@mean"  # "conv2@mean": the mean of each channel of conv2 over the image


def default_layers(model: Classifier) -> tuple[str, ...]:
    """The dense layers, as in Keppel et al., and before them the flattened output of the convolutional part.

    Raises BadInput for a network without a dense layer: name layers yourself.
    """
    modules = dict(model.net.named_modules())
    names = list(modules)
    dense = [name for name in names if isinstance(modules[name], nn.Linear)]
    if not dense:
        raise BadInput("detect", "a network without dense layers needs layers=...", "none", ", ".join(model.layers[:8]))
    before = names[: names.index(dense[0])]
    deep = any(isinstance(modules[name], nn.Conv2d) for name in before)
    flat = [name for name in before if isinstance(modules[name], nn.Flatten)] if deep else []
    return (*flat[-1:], *dense)


def features(model: Classifier, images: Images, layers: Sequence[str]) -> tuple[dict[str, Tensor], Logits]:
    """Rows (n, d) of each layer and the logits, from one forward pass, on the model's device, still in the graph.

    A layer's output is flattened; "LAYER@mean" pools a convolution's to one mean per channel.
    """
    logits: list[Tensor] = []
    handle = model.register_forward_hook(lambda _module, _inputs, output: logits.append(output))
    try:
        taps = model.taps(images, sorted({layer.removesuffix(MEAN) for layer in layers}))
    finally:
        handle.remove()
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
    with evaluating(model), torch.no_grad():
        for batch in torch.split(images, BATCH):
            rows, out = features(model, batch.to(model.device), layers)
            logits.append(out.float().cpu())
            for layer in layers:
                parts[layer].append(check_finite("detect", layer, rows[layer]).float().cpu())
    return {layer: torch.cat(parts[layer]) for layer in layers}, torch.cat(logits)


def _pooled(name: str, module: nn.Module, rows: Tensor) -> Tensor:
    if not isinstance(module, nn.Conv2d):
        raise BadInput("detect", f"only a convolution's channels can be averaged ({MEAN})", f"'{name}'")
    return rows.view(len(rows), module.out_channels, -1).mean(2)


def hidden_layer(model: Classifier) -> str:
    """The last layer before the logits that `default_layers` names (the logits themselves where it is the only one)."""
    return default_layers(model)[-2:][0]
