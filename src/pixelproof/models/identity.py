"""Identity: a digest of everything that decides a classifier's answers, and the rule of earlier builds for comparison.

A digest of this rule begins with "2-". Those without a prefix are of the first rule, which covered weights and
normalisation alone: another function with the same weights had the same digest.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pixelproof.models.modes import evaluating
from pixelproof.models.nets import is_own

if TYPE_CHECKING:
    from pixelproof.models.classifier import Classifier

PREFIX = "2-"
ASKED = 4  # fixed images whose logits are part of the digest
STEPS = 32  # logits count in 32nds of their size: rounding that differs between processors must not count
LIBRARIES = (Path(torch.__file__).parents[1], Path(__file__).parents[1], Path(inspect.__file__).parent)


def digest(classifier: Classifier) -> str:
    """ "2-" and sixteen hex digits that change with anything that decides an answer.

    That is: weights and buffers (also those that are not saved), normalisation, class names, the specs of what stands
    before the network, the classes of all modules, the source of those that are not a library's, the code of exported
    and scripted programs, and, for what none of these shows, the logits of four fixed random images, coarsely rounded.
    """
    hashed = hashlib.sha256()

    def take(*parts: object) -> None:
        for part in parts:
            content = part if isinstance(part, bytes) else str(part).encode()
            hashed.update(len(content).to_bytes(8, "little") + content)

    card = classifier.card
    take(json.dumps([card.classes, card.input_shape, card.preprocessors]))
    for name, part in classifier.named_modules():
        kind = type(part)
        take(name, kind.__qualname__, *sources(*kind.__mro__), *_code(part))
    tensors: dict[str, Any] = {**dict(classifier.named_buffers()), **classifier.state_dict()}
    for name, value in sorted(tensors.items()):
        take(name, *_content(value))
    take(*_answers(classifier))
    return PREFIX + hashed.hexdigest()[:16]


def recognised(classifier: Classifier, recorded: str) -> bool:
    """Whether `recorded` is this classifier's digest.

    A digest of the first rule is taken for the same model only where weights and normalisation decide everything: one
    of pixelproof's own networks with nothing before it.
    """
    if recorded.startswith(PREFIX):
        return recorded == digest(classifier)
    card = classifier.card
    plain = not card.preprocessors and is_own(classifier.net, card.name, card.input_shape, len(card.classes))
    return plain and recorded == first_digest(classifier)


def first_digest(classifier: Classifier) -> str:
    """The digest of the first rule, for comparison with what earlier builds wrote down: weights and normalisation."""
    hashed = hashlib.sha256()
    own = {name.replace("net.preprocessor.", "net.front."): value for name, value in classifier.state_dict().items()}
    tensors = {**own, "mean": classifier.mean, "std": classifier.std}
    for name, tensor in sorted(tensors.items()):
        hashed.update(name.encode())
        hashed.update(_bytes(tensor))
    return hashed.hexdigest()[:16]


@cache
def sources(*kinds: type) -> tuple[str, ...]:
    """The source of classes, as far as they are no library's and can be read."""
    found = []
    for base in kinds:
        try:
            if not is_library(inspect.getfile(base)):
                found.append(inspect.getsource(base))
        except (TypeError, OSError):  # built in, or typed at a prompt
            continue
    return tuple(found)


def is_library(file: str) -> bool:
    """Whether a source file belongs to an installed library, Python or pixelproof, and not to the user."""
    return any(Path(file).is_relative_to(library) for library in LIBRARIES)


def _code(part: nn.Module) -> tuple[str, ...]:
    """The code of an exported or scripted program; empty for a module of Python."""
    if isinstance(part, torch.fx.GraphModule | torch.jit.ScriptModule):
        try:
            return (str(part.code),)
        except (RuntimeError, AttributeError):  # a scripted module without a forward of its own
            return ()
    return ()


def _content(value: Any) -> tuple[object, ...]:
    """What a state dict holds under one name: a tensor, or, in a quantised network, several and a type."""
    if isinstance(value, Tensor) and value.is_quantized:
        return ("quantised", str(value.qscheme()), _bytes(value.dequantize()), _bytes(value.int_repr()))
    if isinstance(value, Tensor):
        return (str(value.dtype), tuple(value.shape), _bytes(value))
    if isinstance(value, tuple | list):
        return tuple(part for inner in value for part in _content(inner))
    return (repr(value),)


def _bytes(tensor: Tensor) -> bytes:
    plain = tensor.detach().cpu().contiguous()
    return bytes(plain.view(-1).view(torch.uint8).numpy().tobytes())


def _answers(classifier: Classifier) -> tuple[int, ...]:
    """The size of the logits of fixed images and one projection for each, rounded; empty for what answers at random."""
    if classifier.card.stochastic:
        return ()
    images = fixed_images(classifier.card.input_shape, ASKED).to(classifier.device)
    devices = [classifier.device] if classifier.device.type == "cuda" else []
    exact = torch.backends.cudnn.flags(allow_tf32=False)
    with torch.random.fork_rng(devices=devices), exact, torch.no_grad(), evaluating(classifier):
        torch.manual_seed(0)
        try:
            with torch.autocast(classifier.device.type, enabled=False):
                first, second = (classifier(images).detach().double().cpu() for _ in range(2))
        except Exception:  # a network of others, in the middle of being built: the rest of the digest stands
            return ()
    if first.ndim != 2 or not torch.equal(first, second) or not torch.isfinite(first).all():
        return ()
    size = float(first.square().mean().sqrt())
    if not size:
        return (0,)
    generator = torch.Generator().manual_seed(1)
    direction = torch.randn(first.shape[1], generator=generator, dtype=torch.float64)
    projected = first @ direction / (size * first.shape[1] ** 0.5)
    return (round(STEPS * float(torch.tensor(size).log2())), *(round(STEPS * value) for value in projected.tolist()))


def fixed_images(shape: tuple[int, int, int], n: int) -> Tensor:
    """`n` random images of different brightness and contrast, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand((n, *shape), generator=generator)
    low = torch.linspace(0, 0.6, n).view(-1, 1, 1, 1)
    high = torch.linspace(1, 0.7, n).view(-1, 1, 1, 1)
    return low + (high - low) * noise
