"""Identity: a digest of everything that decides a classifier's answers, and the rule of earlier builds for comparison.

A digest of this rule begins with "2-". Those without a prefix are of the first rule, which covered weights and
normalisation alone: another function with the same weights had the same digest.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pixelproof.draws import rng_of, seeded
from pixelproof.models import hooks as listening
from pixelproof.models.modes import evaluating
from pixelproof.models.nets import is_own
from pixelproof.tensorfile import settled

if TYPE_CHECKING:
    from pixelproof.models.classifier import Classifier

PREFIX = "2-"
ASKED = 4  # fixed images whose logits are part of the digest
STEPS = 32  # logits count in 32nds of their size: rounding that differs between processors must not count
LIBRARIES = (Path(torch.__file__).parents[1], Path(__file__).parents[1], Path(inspect.__file__).parent)


def digest(classifier: Classifier) -> str:
    """ "2-" and sixteen hex digits that change with anything that decides an answer.

    That is: weights and buffers (also those that are not saved), normalisation, class names, the specs of what stands
    before the network, the classes of all modules, their settings and hooks, the source of those that
    are not a library's and of what that source calls, the code of exported and scripted programs, and, for what none of
    these shows, the logits of four fixed random images, coarsely rounded.
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
        take(name, kind.__qualname__, *sources(*kind.__mro__), *_code(part), *_attached(part))
    tensors: dict[str, Any] = {**dict(classifier.named_buffers()), **classifier.state_dict()}
    for name, value in sorted(tensors.items()):
        take(name, *_content(value))
    take(*_answers(classifier))
    if not is_own(classifier.net, card.name, card.input_shape, len(card.classes)):
        # after two passes: what a network keeps of one is there by now, and what each changes, as a count, shows
        before = _settings(classifier.net)
        _answers(classifier)
        take(*(f"{key}={value}" for key, value in _settings(classifier.net).items() if before.get(key) == value))
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
def sources(*kinds: Callable[..., Any]) -> tuple[str, ...]:
    """The source of classes and functions and of what these name in their files, as far as it is no library's."""
    found: dict[str, str] = {}
    for kind in kinds:
        _follow(kind, found)
    return tuple(f"{key} {found[key]}" for key in sorted(found))


def _follow(code: Callable[..., Any], found: dict[str, str]) -> None:
    """Add to `found` the source of a class or function, and the functions, classes and constants that it names."""
    key = code.__qualname__
    try:
        if key in found or is_library(inspect.getfile(code)):
            return
        found[key] = inspect.getsource(code)
    except (TypeError, OSError):  # built in, or typed at a prompt
        found[key] = _compiled(code)
    for part in vars(code).values() if isinstance(code, type) else (code,):
        function = getattr(part, "__func__", part)
        if not isinstance(function, FunctionType):
            continue
        for name in sorted(_names(function.__code__)):
            named = function.__globals__.get(name)
            if isinstance(named, FunctionType | type):
                _follow(named, found)
            elif name in function.__globals__ and _is_plain(named):
                found[name] = repr(named)


def _compiled(code: Callable[..., Any]) -> str:
    """What was typed at a prompt, as it was compiled; empty for what is built in."""
    parts = vars(code).values() if isinstance(code, type) else (code,)
    codes = [part.__code__ for part in parts if isinstance(part, FunctionType)]
    return " ".join(f"{each.co_code.hex()} {[part for part in each.co_consts if _is_plain(part)]}" for each in codes)


def _names(code: CodeType) -> set[str]:
    """The names of other objects in a function, and in the functions inside it."""
    inner = (_names(part) for part in code.co_consts if isinstance(part, CodeType))
    return set(code.co_names).union(*inner)


def _attached(part: nn.Module) -> tuple[str, ...]:
    """The source of what was attached to one module alone: a forward of its own, and hooks but those of `hooked`."""
    hooks = (*part._forward_pre_hooks.values(), *part._forward_hooks.values())
    attached = [*hooks, *((vars(part)["forward"],) if "forward" in vars(part) else ())]
    functions = [getattr(each, "__func__", each) for each in attached]
    functions = [each for each in functions if getattr(each, "__module__", "") != listening.__name__]
    return tuple(
        text for each in functions if isinstance(each, FunctionType) for text in (each.__qualname__, *sources(each))
    )


def _settings(net: nn.Module) -> dict[str, str]:
    """By name, what modules hold beside tensors: numbers, texts, truth values, such as slopes, strides, paddings."""
    found = {}
    for path, part in net.named_modules():
        if not isinstance(part, torch.jit.ScriptModule):
            plain = {key: value for key, value in vars(part).items() if key[0] != "_" and key != "training"}
            found.update({f"{path}.{key}": repr(value) for key, value in plain.items() if _is_plain(value)})
    return found


def _is_plain(value: object) -> bool:
    """Whether a value is a number, a text, a truth value, None, or holds nothing else."""
    if isinstance(value, tuple | list):
        return all(_is_plain(inner) for inner in value)
    return value is None or isinstance(value, bool | int | float | str)


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
    return bytes(settled(tensor).view(-1).view(torch.uint8).numpy().tobytes())


def _answers(classifier: Classifier) -> tuple[int, ...]:
    """The size of the logits of fixed images and one projection for each, rounded; empty for what answers at random."""
    if classifier.card.stochastic:
        return ()
    images = fixed_images(classifier.card.input_shape, ASKED).to(classifier.device)
    devices = [classifier.device] if classifier.device.type == "cuda" else []
    exact = torch.backends.cudnn.flags(allow_tf32=False)
    with seeded(0, devices), exact, torch.no_grad(), evaluating(classifier):
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
    generator = rng_of(1)
    direction = torch.randn(first.shape[1], generator=generator, dtype=torch.float64)
    projected = first @ direction / (size * first.shape[1] ** 0.5)
    return (round(STEPS * float(torch.tensor(size).log2())), *(round(STEPS * value) for value in projected.tolist()))


def fixed_images(shape: tuple[int, int, int], n: int) -> Tensor:
    """`n` random images of different brightness and contrast, the same at every call."""
    generator = rng_of(0)
    noise = torch.rand((n, *shape), generator=generator)
    low = torch.linspace(0, 0.6, n).view(-1, 1, 1, 1)
    high = torch.linspace(1, 0.7, n).view(-1, 1, 1, 1)
    return low + (high - low) * noise
